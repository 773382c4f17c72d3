"""Tables of a report as text cells, warnings about its figures, and both as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.benchmarks.conditions import BUSY_SHARE
from edge_fairmot.benchmarks.frame_counts import MIN_BLOCKS, Interval
from edge_fairmot.benchmarks.results import DeviceSpeedScore, Entry, Results, TrackScore
from edge_fairmot.benchmarks.speed import FRAMES_FOR_P99, Speed, Throughput
from edge_fairmot.stages import STAGES

NOTHING = "–"

NEAR_THE_BEST = 0.01
"""Accuracy that a faster row may lack: a point."""

IMPOSSIBLE = 1.2
"""A pipeline is no faster than its slowest stage: a greater share of it was measured wrong."""

_NAMES = ("model", "input", "precision", "runtime")


@dataclass(frozen=True, slots=True)
class TextTable:
    """One table, as the terminal, Markdown and HTML show it."""

    title: str
    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]  # as many a row as the header has
    text_columns: int  # the first ones; the others hold numbers
    note: str  # how to read it


def tables(results: Results) -> list[TextTable]:
    """Return all tables of a report that have a row."""
    made = [main_table(results), _stages(results), _costs(results), _agreement(results), _failures(results)]
    return [table for table in made if table.cells]


def main_table(results: Results) -> TextTable:
    """Return the table of speed and accuracy."""
    truth = results.has_truth
    scores = ("HOTA", "MOTA", "IDF1", "IDSW") if truth else ("MOTA", "IDF1", "IDSW")
    live = "HOTA live" if truth else "IDF1 live"
    against = "ground truth" if truth else f"the tracks of {results.reference}"

    def cells(entry: Entry, speed: Speed) -> tuple[str, ...]:
        frame, right = speed.stages["frame"], entry.correctness
        return (
            _with_interval(_ms(frame.p50), frame.interval),
            _ms(frame.p90),
            _ms(frame.p99),
            _throughput(speed.throughput),
            *(_score_cells(right.score, truth) if right else [NOTHING] * len(scores)),
            *_live_cells(right.at_device_speed if right else ()),
        )

    return TextTable(
        "Speed and accuracy",
        (*_NAMES, "ms a frame (95 %)", "p90", "p99", "fps (95 %)", *scores, live, f"{live}, detect every N"),
        _timed(results, cells),
        4,
        "Milliseconds: median and its 95 % interval, 90th and 99th percentile of all stages of a frame one "
        "after the other. fps: the pipeline, whose stages overlap, and its 95 % interval. Both are measured "
        f"in turns. Scores: against {against}, every frame tracked. Live: the tracks on the screen of a live "
        "source, where frames that this device has no time for are dropped; then with a detection in every "
        "Nth frame and prediction between.",
    )


def _timed(
    results: Results, cells_of: Callable[[Entry, Speed], tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    timed = [(entry, entry.speed) for entry in results.entries if entry.speed is not None]
    return tuple((*_names(entry), *cells_of(entry, speed)) for entry, speed in timed)


def _stages(results: Results) -> TextTable:
    def cells(entry: Entry, speed: Speed) -> tuple[str, ...]:
        live = speed.live
        return (
            *(_ms(speed.stages[stage].p50) for stage in STAGES),
            f"{_ms(live.age_ms.p50)}, {_ms(live.age_ms.p90)}" if live else NOTHING,
            f"{live.dropped} of {live.played}" if live else NOTHING,
        )

    return TextTable(
        "Stages",
        (*_NAMES, *STAGES, "age p50, p90", "dropped"),
        _timed(results, cells),
        4,
        "Milliseconds, medians, each stage alone; sinks write MOTChallenge text and JSON Lines. Age: from "
        "the moment of a frame to its tracks, in the pipeline on a source that is played at its own pace; it "
        "drops frames that it has no time for.",
    )


def _costs(results: Results) -> TextTable:
    def cells(entry: Entry, speed: Speed) -> tuple[str, ...]:
        return (
            f"{entry.model.size_bytes / 1e6:.1f}",
            f"{speed.open_ms / 1e3:.2f} + {speed.first_ms / 1e3:.2f}",
            f"{speed.memory.peak_mb:.0f}",
            _number(speed.memory.slope_kb_per_frame, "+.1f"),
            _ms(speed.cpu_ms),
            _number(speed.energy_j, ".2f"),
        )

    sources = {conditions.energy_source for conditions in results.conditions} - {""}
    energy = f"Energy of {', '.join(sources)}." if sources else "This machine meters no energy."
    return TextTable(
        "Costs",
        (*_NAMES, "file MB", "cold start s", "memory MB", "KB a frame", "CPU ms a frame", "J a frame"),
        _timed(results, cells),
        4,
        "Cold start: loading the runtime and the file, and the first inference. Memory: the peak of the "
        f"process, and its growth. CPU: over all threads. {energy}",
    )


def _agreement(results: Results) -> TextTable:
    cells = []
    for entry in results.entries:
        if entry.correctness is None or entry.name == results.reference:
            continue
        agreement = entry.correctness.agreement
        shares = (agreement.recall, agreement.precision, agreement.iou, agreement.cosine, agreement.idf1)
        changed = _number(agreement.changed_share, ".1%")
        cells.append((*_names(entry), *(_number(share, ".4f") for share in shares), changed))
    return TextTable(
        f"Agreement with {results.reference}",
        (*_NAMES, "recall", "precision of peaks", "IoU", "cosine", "IDF1 of tracks", "frames changed"),
        tuple(cells),
        4,
        "Peaks: detected objects; within 0.02 of the score threshold they count neither way. IDF1: of the "
        "tracks, with the reference's tracks as ground truth. Changed: an identity changed.",
    )


def _failures(results: Results) -> TextTable:
    cells = [(*_names(entry), entry.failure) for entry in results.entries if entry.failure]
    return TextTable("Not measured", (*_NAMES, "reason"), tuple(cells), 5, "")


def _names(entry: Entry) -> tuple[str, str, str, str]:
    width, height = entry.model.input_size
    return entry.model.name, f"{width}x{height}", entry.model.precision or NOTHING, entry.runtime


def _score_cells(score: TrackScore, truth: bool) -> list[str]:
    shares = ([score.hota] if truth else []) + [score.mota, score.idf1]
    return [*(_percent(share) for share in shares), str(score.idsw)]


def _live_cells(shown: Sequence[DeviceSpeedScore]) -> tuple[str, str]:
    every_frame = next((_percent(s.score.headline) for s in shown if s.detect_every == 1), NOTHING)
    interval = [s for s in shown if s.detect_every > 1]
    return every_frame, ", ".join(
        f"{_percent(s.score.headline)} (N = {s.detect_every})" for s in interval
    ) or NOTHING


def _throughput(found: Throughput | None) -> str:
    if found is None:
        return NOTHING
    if found.interval is None:
        return f"{found.fps:.1f}"
    return f"{found.fps:.1f} ({found.interval.low:.1f} to {found.interval.high:.1f})"


def _with_interval(text: str, interval: Interval | None) -> str:
    return text if interval is None else f"{text} ({_ms(interval.low)} to {_ms(interval.high)})"


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f}"


def _ms(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def answer(results: Results) -> str:
    """Return in a sentence which row to take: the fastest of those whose accuracy is near the best."""
    rows = [
        (entry.speed.throughput.fps, entry.correctness.score.headline, entry.name)
        for entry in results.entries
        if entry.speed and entry.speed.throughput and entry.correctness
    ]
    if not rows:
        return "Nothing was measured to the end, so there is no answer."
    best = max(accuracy for _, accuracy, _ in rows)
    fps, _, name = max(row for row in rows if row[1] >= best - NEAR_THE_BEST)
    return f"Take {name}: {fps:.1f} frames/s, the fastest within a point of the best accuracy here."


def _impossible(results: Results) -> Iterator[str]:
    """Name rows whose frame rate and stages contradict each other."""
    for entry in results.entries:
        if entry.speed is None or entry.speed.throughput is None:
            continue
        slowest_ms = max(entry.speed.stages[stage].p50 for stage in STAGES)
        if entry.speed.throughput.fps * slowest_ms / 1000 > IMPOSSIBLE:
            yield (
                f"{entry.name}: {entry.speed.throughput.fps:.1f} frames/s cannot be with a stage of "
                f"{slowest_ms:.0f} ms: the machine changed between the two. Measure again."
            )


def cautions(results: Results) -> Iterator[str]:
    """Return the limits of the figures, a sentence each."""
    yield from _impossible(results)
    if results.ended:
        yield f"The run ended early ({results.ended}); some figures were not measured."
    for number, conditions in enumerate(results.conditions, start=1):
        where = f" in group {number}" if len(results.conditions) > 1 else ""
        if (busy := conditions.other_share) is not None and busy > BUSY_SHARE:
            yield (
                f"Other processes used {busy:.0%} of the processor{where}: times are longer, and vary more, "
                "than on a quiet machine. Ratios within a group suffer less."
            )
        if held := conditions.throttled_share:
            yield f"The processor was throttled in {held:.0%} of the readings{where}."
    if results.machine.virtual:
        yield "The machine is virtual: other guests may share its processor, and no temperature is known."
    if results.machine.governor not in ("", "performance"):
        yield f"The frequency governor is {results.machine.governor!r}: short loads may run below full clock."
    if len({entry.group for entry in results.entries if entry.speed}) > 1:
        yield (
            "Rows of different groups were measured at different times: compare their times to ten percent, "
            "not to one."
        )
    frames = [len(entry.speed.times) for entry in results.entries if entry.speed is not None]
    if frames and min(frames) < FRAMES_FOR_P99:
        yield f"A 99th percentile needs {FRAMES_FOR_P99} frames; rows of fewer frames have none."
    if any(
        entry.speed is not None and entry.speed.stages["frame"].interval is None for entry in results.entries
    ):
        yield f"Fewer than {MIN_BLOCKS} turns were taken: too few for an interval."
    done = [entry.correctness for entry in results.entries if entry.correctness is not None]
    if done and all(right.score.idf1 is None for right in done):
        yield "These frames hold no people, so the scores have no meaning: give frames with people."
    yield from results.notes


def render_markdown(results: Results) -> str:
    """Return the results as Markdown: the run, the tables, and the warnings."""
    parts = [f"# Benchmark, {results.made_at[:10]}", describe_run(results)]
    for table in tables(results):
        parts += [f"## {table.title}", render_table(table), table.note]
    found = list(cautions(results))
    if found:
        parts += ["## Limits of these figures", "\n".join(f"- {caution}" for caution in found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_table(table: TextTable) -> str:
    """Return one table as Markdown."""
    ruler = ["---"] * table.text_columns + ["---:"] * (len(table.header) - table.text_columns)
    lines = [table.header, ruler, *table.cells]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def describe_run(results: Results) -> str:
    """Return the machine, versions and frames of the figures, in a few sentences."""
    machine = results.machine
    sources = "; ".join(
        f"{Path(source.name).name}, {source.frames} frames of "
        f"{source.frame_size[0]}x{source.frame_size[1]} at "
        f"{source.frame_rate:g} a second" + (", with ground truth" if source.ground_truth else "")
        for source in results.sources
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    threads = results.settings.threads or "as each runtime chooses"
    governor = f", governor {machine.governor}" if machine.governor else ""
    gpus = f" GPU: {', '.join(machine.accelerators)}." if machine.accelerators else ""
    environment = "".join(f", {name}={value}" for name, value in machine.environment.items())
    heat = [c.hottest_c for c in results.conditions if c.hottest_c is not None]
    clocks = [c.frequency_range_mhz for c in results.conditions if c.frequency_range_mhz is not None]
    meanwhile = f" Up to {max(heat):.0f} °C." if heat else ""
    if clocks:
        low, high = min(low for low, _ in clocks), max(high for _, high in clocks)
        meanwhile += f" Clock {low:.0f} MHz." if low == high else f" Clock {low:.0f} to {high:.0f} MHz."
    return (
        f"{machine}; {machine.system}, kernel {machine.kernel}{governor}.{gpus} Threads: {threads}"
        f"{environment}. Python {machine.python}, {versions}.\n\nFrames: {sources}. "
        f"Score threshold {results.settings.score_threshold:g}. Made {results.made_at}.{meanwhile}"
    )
