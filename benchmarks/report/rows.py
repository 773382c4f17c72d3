"""The tables of a report, as text cells: what is shown on the terminal, in Markdown and in HTML alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_fairmot.benchmarks.results import Entry, Results
from edge_fairmot.benchmarks.scores import DeviceSpeedScore, TrackScore
from edge_fairmot.benchmarks.speed.figures import Spread
from edge_fairmot.pipeline import STAGES

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Rows:
    """One table.

    Attributes
    ----------
    title : str
    header : tuple of str
    cells : tuple of tuple of str
        As many a row as the header has.
    text_columns : int
        So many from the left are names, the rest numbers.
    note : str
        How to read it.
    """

    title: str
    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    text_columns: int
    note: str


def tables(results: Results) -> list[Rows]:
    """Make all tables of a report."""
    made = [_main(results), _stages(results), _costs(results), _agreement(results), _failures(results)]
    return [rows for rows in made if rows.cells]


def main_table(results: Results) -> Rows:
    """Make the table of speed and accuracy."""
    return _main(results)


def device_speed_score(entry: Entry) -> DeviceSpeedScore | None:
    """Give the best that an entry can show live: with a detection in every frame, or with an interval."""
    if entry.correctness is None:
        return None
    return max(entry.correctness.at_device_speed, key=lambda shown: headline(shown.score))


def headline(score: TrackScore) -> float:
    """Sum a score up in one number: HOTA or, without ground truth, IDF1; 0 where there is nobody."""
    return (score.idf1 or 0.0) if score.hota is None else score.hota


def headline_name(results: Results) -> str:
    """Name that number."""
    return "HOTA" if results.has_truth else "IDF1 against the reference's tracks"


def _main(results: Results) -> Rows:
    truth = results.has_truth
    scores = ("HOTA", "MOTA", "IDF1", "IDSW") if truth else ("MOTA", "IDF1", "IDSW")
    live = "HOTA live" if truth else "IDF1 live"
    against = "ground truth" if truth else f"the tracks of {results.reference}"
    cells = []
    for entry in results.entries:
        if entry.speed is None:
            continue
        frame, right = entry.speed.stages["frame"], entry.correctness
        cells.append(
            (
                *_names(entry),
                _median(frame),
                _ms(frame.p90),
                _ms(frame.p99),
                _number(entry.speed.throughput_fps, ".1f"),
                *(_score_cells(right.score, truth) if right else [NOTHING] * len(scores)),
                *_live_cells(right.at_device_speed if right else ()),
            )
        )
    header = ("model", "input", "precision", "runtime", "ms a frame (95 %)", "p90", "p99", "fps")
    return Rows(
        "Speed and accuracy",
        (*header, *scores, live, f"{live}, detect every N"),
        tuple(cells),
        4,
        f"Milliseconds: median and its 95 % interval, 90th and 99th percentile of all stages of a frame one "
        f"after the other. fps: the product's loop, whose stages overlap. Scores: against {against}, every "
        f"frame tracked. Live: what a viewer of a live source would have seen, frames dropped that this "
        f"device had no time for; then with a detection in every Nth frame and prediction between.",
    )


def _stages(results: Results) -> Rows:
    cells = []
    for entry in results.entries:
        if entry.speed is None:
            continue
        live = entry.speed.live
        cells.append(
            (
                *_names(entry),
                *(_ms(entry.speed.stages[stage].p50) for stage in STAGES),
                f"{_ms(live.age_ms.p50)}, {_ms(live.age_ms.p90)}" if live else NOTHING,
                f"{live.dropped} of {live.played}" if live else NOTHING,
            )
        )
    return Rows(
        "Stages",
        ("model", "input", "precision", "runtime", *STAGES, "age p50, p90", "dropped"),
        tuple(cells),
        4,
        "Milliseconds, medians, each stage alone; sinks write MOTChallenge text and JSON Lines. Age: from "
        "the moment of a frame to its tracks, in the overlapping loop on a source played at its own pace; "
        "it drops frames that it has no time for.",
    )


def _costs(results: Results) -> Rows:
    cells = []
    for entry in results.entries:
        if entry.speed is None:
            continue
        speed, memory = entry.speed, entry.speed.memory
        cells.append(
            (
                *_names(entry),
                f"{entry.model.size_bytes / 1e6:.1f}",
                f"{speed.open_ms / 1e3:.2f} + {speed.first_ms / 1e3:.2f}",
                f"{memory.peak_mb:.0f}",
                _number(memory.slope_kb_per_frame, "+.1f"),
                _ms(speed.cpu_ms),
                _number(speed.energy_j, ".2f"),
            )
        )
    sources = {conditions.energy_source for conditions in results.conditions} - {""}
    energy = f"Energy of {', '.join(sources)}." if sources else "This machine meters no energy."
    return Rows(
        "Costs",
        (
            *("model", "input", "precision", "runtime", "file MB", "cold start s"),
            *("memory MB", "KB a frame", "CPU ms a frame", "J a frame"),
        ),
        tuple(cells),
        4,
        "Cold start: loading the runtime and the file, and the first inference. Memory: the most that the "
        f"process held, and how it grew. CPU: over all threads. {energy}",
    )


def _agreement(results: Results) -> Rows:
    cells = []
    for entry in results.entries:
        if entry.correctness is None or entry.name == results.reference:
            continue
        agreement = entry.correctness.agreement
        shares = (agreement.recall, agreement.precision, agreement.iou, agreement.cosine, agreement.idf1)
        cells.append(
            (
                *_names(entry),
                *(_number(share, ".4f") for share in shares),
                _number(agreement.renamed_share, ".1%"),
            )
        )
    return Rows(
        f"Agreement with {results.reference}",
        (
            *("model", "input", "precision", "runtime", "recall", "precision of peaks"),
            *("IoU", "cosine", "IDF1 of tracks", "frames renamed"),
        ),
        tuple(cells),
        4,
        "Peaks: people found; within 0.02 of the score threshold they count neither way. IDF1: of its "
        "tracks, with the reference's in the place of ground truth. Renamed: an identity changed hands.",
    )


def _failures(results: Results) -> Rows:
    cells = [(*_names(entry), entry.failure) for entry in results.entries if entry.failure]
    return Rows(
        "Not measured",
        ("model", "input", "precision", "runtime", "reason"),
        tuple(cells),
        5,
        "",
    )


def _names(entry: Entry) -> tuple[str, str, str, str]:
    width, height = entry.model.input_size
    return entry.model.name, f"{width}x{height}", entry.model.precision or NOTHING, entry.runtime


def _score_cells(score: TrackScore, truth: bool) -> list[str]:
    shares = ([score.hota] if truth else []) + [score.mota, score.idf1]
    return [*(_share(share) for share in shares), str(score.idsw)]


def _live_cells(shown: Sequence[DeviceSpeedScore]) -> tuple[str, str]:
    every_frame = next((_share(headline(s.score)) for s in shown if s.detect_every == 1), NOTHING)
    interval = [s for s in shown if s.detect_every > 1]
    return every_frame, ", ".join(
        f"{_share(headline(s.score))} (N = {s.detect_every})" for s in interval
    ) or NOTHING


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f}"


def _median(spread: Spread) -> str:
    if spread.interval is None:
        return _ms(spread.p50)
    return f"{_ms(spread.p50)} ({_ms(spread.interval.low)} to {_ms(spread.interval.high)})"


def _ms(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)
