"""What a reader should know before believing a figure, found in the results themselves."""

from __future__ import annotations

from collections.abc import Iterator

from edge_fairmot.benchmarks.bootstrap import MIN_BLOCKS
from edge_fairmot.benchmarks.device.conditions import BUSY_SHARE
from edge_fairmot.benchmarks.results import Results
from edge_fairmot.benchmarks.speed.summary import FRAMES_FOR_P99


def cautions(results: Results) -> Iterator[str]:
    """Say what speaks against the figures.

    Parameters
    ----------
    results : Results

    Yields
    ------
    str
        A sentence each.
    """
    if results.ended:
        yield f"The run ended before its end ({results.ended}); what is missing was not measured."
    for number, conditions in enumerate(results.conditions, start=1):
        where = f" in group {number}" if len(results.conditions) > 1 else ""
        if (busy := conditions.other_share) is not None and busy > BUSY_SHARE:
            yield (
                f"Others used {busy:.0%} of the processor{where}: times are longer, and vary more, than on a "
                "quiet machine. Ratios within a group suffer less."
            )
        if held := conditions.throttled_share:
            yield f"The processor was throttled in {held:.0%} of the readings{where}."
    if results.machine.virtual:
        yield "The machine is virtual: unseen neighbours share its processor, and it tells no temperature."
    if results.machine.governor not in ("", "performance"):
        yield (
            f"The frequency governor is {results.machine.governor!r}: short loads may run below full clock."
        )
    if len({entry.group for entry in results.entries if entry.speed}) > 1:
        yield (
            "Rows of different groups were measured at different times: compare their times to ten percent, "
            "not to one."
        )
    frames = [len(entry.speed.times) for entry in results.entries if entry.speed is not None]
    if frames and min(frames) < FRAMES_FOR_P99:
        yield f"A 99th percentile needs {FRAMES_FOR_P99} frames, and rows of fewer have none."
    if any(
        entry.speed is not None and entry.speed.stages["frame"].interval is None for entry in results.entries
    ):
        yield f"Fewer than {MIN_BLOCKS} turns were taken: too few for an interval."
    done = [entry.correctness for entry in results.entries if entry.correctness is not None]
    if done and all(right.score.idf1 is None for right in done):
        yield "Nobody is to be seen in these frames, so the scores say nothing: give frames with people."
    yield from results.notes
