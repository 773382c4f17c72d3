"""What a benchmark found, as it is kept: frozen dataclasses, and JSON with a schema version.

Everything that was timed is in it, frame by frame, so that two runs can be compared by their samples. Numbers
that a system or a run cannot tell are null.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edge_fairmot
from edge_fairmot.benchmarks.bootstrap import Interval
from edge_fairmot.benchmarks.device.conditions import Conditions
from edge_fairmot.benchmarks.device.machine import Machine
from edge_fairmot.benchmarks.frame_counts import FrameCounts
from edge_fairmot.errors import EvaluationError, MissingDependencyError

RESULTS_SCHEMA_VERSION = 1

STAGES = ("decode", "letterbox", "inference", "association", "sinks")


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for; results of other settings are not comparable.

    Attributes
    ----------
    frames : int
        Of each source, at most.
    score_threshold : float
    threads : int or None
        For one inference; None leaves it to the backend.
    warm_up : int
        Inferences before anything is timed.
    live_s : float
        How much of each source is played at its own pace, seconds.
    detect_every : int or None
        The interval that accuracy at device speed is told for besides 1; None for the least with which a
        contender keeps up.
    """

    frames: int = 300
    score_threshold: float = 0.4
    threads: int | None = None
    warm_up: int = 3
    live_s: float = 10.0
    detect_every: int | None = None


@dataclass(frozen=True, slots=True)
class Footage:
    """One source of frames.

    Attributes
    ----------
    name : str
    frame_size : (int, int)
        Width and height, pixels.
    frame_rate : float
    frames : int
        Measured.
    sha256 : str
        Of the file; empty for a folder of pictures.
    ground_truth : str
        Its file; empty where there is none.
    """

    name: str
    frame_size: tuple[int, int]
    frame_rate: float
    frames: int
    sha256: str
    ground_truth: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file, as its manifest describes it.

    Attributes
    ----------
    name : str
        File name, or the path where two files have the same.
    size_bytes : int
    graph_sha256, checkpoint_sha256 : str
    precision : str
    input_size : (int, int)
    lowering : str
        Of the deformable convolutions.
    rewrites : tuple of str
    calibration : str
    """

    name: str
    size_bytes: int
    graph_sha256: str
    checkpoint_sha256: str
    precision: str
    input_size: tuple[int, int]
    lowering: str
    rewrites: tuple[str, ...]
    calibration: str


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """What every frame took, in the order they were measured.

    Attributes
    ----------
    at_s : tuple of float
        When the frame was begun, since the measuring began.
    block : tuple of int
        Frames of one block were measured one right after the other; between blocks others had their turn.
    stage_ms : dict of str to tuple of float
        By the names in ``STAGES``, each stage alone.
    """

    at_s: tuple[float, ...]
    block: tuple[int, ...]
    stage_ms: Mapping[str, tuple[float, ...]]

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def frame_ms(self) -> tuple[float, ...]:
        """All stages of each frame together."""
        return tuple(map(sum, zip(*(self.stage_ms[stage] for stage in STAGES), strict=True)))


@dataclass(frozen=True, slots=True)
class Spread:
    """Times of one stage, milliseconds.

    Attributes
    ----------
    mean, p50, p90 : float
    p99 : float or None
        None below a hundred frames, of which it would be the largest.
    interval : Interval or None
        Of the median, 95 %, by bootstrap over blocks; None for a handful of blocks.
    """

    mean: float
    p50: float
    p90: float
    p99: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Live:
    """The pipelined loop on a source that plays at its own pace, as a camera does.

    Attributes
    ----------
    played, tracked, dropped : int
        Frames that the source gave, that were tracked, and that a newer one took the place of.
    age_ms : Spread
        From the moment a frame is due at the glass to its tracks at the sinks.
    """

    played: int
    tracked: int
    dropped: int
    age_ms: Spread


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the contender's process.

    Attributes
    ----------
    before_mb : float
        With the toolkit loaded, before the runtime was.
    peak_mb : float
    slope_kb_per_frame : float or None
        By least squares over the measured frames; None for a handful.
    """

    before_mb: float
    peak_mb: float
    slope_kb_per_frame: float | None


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one contender was.

    Attributes
    ----------
    times : FrameTimes
    stages : dict of str to Spread
        By the names in ``STAGES``, and ``frame`` for all together.
    throughput_fps : float
        Frames a second of the pipelined loop on a file.
    live : Live or None
        None where it was not asked for.
    open_ms, first_ms : float
        Cold start: importing the runtime and opening the file; the first inference after that.
    memory : Memory
    cpu_ms : float
        Processor time a frame, over all threads.
    energy_j : float or None
        A frame; of what ``conditions.energy_source`` meters.
    """

    times: FrameTimes
    stages: Mapping[str, Spread]
    throughput_fps: float
    live: Live | None
    open_ms: float
    first_ms: float
    memory: Memory
    cpu_ms: float
    energy_j: float | None


@dataclass(frozen=True, slots=True)
class TrackScore:
    """Tracks against ground truth or, where there is none, against the reference's tracks.

    Attributes
    ----------
    hota : float or None
        None without ground truth.
    mota, idf1 : float
    idsw, fp, fn : int
    """

    hota: float | None
    mota: float
    idf1: float
    idsw: int
    fp: int
    fn: int


@dataclass(frozen=True, slots=True)
class DeviceSpeedScore:
    """What a viewer would have seen of a live source, had this device tracked it.

    Attributes
    ----------
    detect_every : int
    score : TrackScore
    dropped_share : float
        Frames that the device had no time for.
    detections_per_s : float
    age_ms : float
        Median, from a frame's moment to its tracks.
    """

    detect_every: int
    score: TrackScore
    dropped_share: float
    detections_per_s: float
    age_ms: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """The contender against the reference, peaks and tracks; see :mod:`edge_fairmot.benchmarks.ladder`.

    Attributes
    ----------
    recall, precision : float or None
        Of the reference's peaks; None where there are none.
    iou, cosine : float or None
        Means over matched peaks.
    idf1, mota : float or None
        Of its tracks, with the reference's in the place of ground truth.
    renamed_share : float or None
        Frames in which an identity changed hands.
    """

    recall: float | None
    precision: float | None
    iou: float | None
    cosine: float | None
    idf1: float | None
    mota: float | None
    renamed_share: float | None


@dataclass(frozen=True, slots=True)
class Tally:
    """:class:`edge_fairmot.benchmarks.frame_counts.FrameCounts` of one source, as plain numbers."""

    truth: tuple[int, ...]
    results: tuple[int, ...]
    matched: tuple[int, ...]
    switches: tuple[int, ...]
    identified: tuple[int, ...]

    @classmethod
    def of(cls, counts: FrameCounts) -> Tally:
        """Keep counts."""
        return cls(*(tuple(map(int, getattr(counts, name))) for name in cls.__slots__))

    def counts(self) -> FrameCounts:
        """Give the counts back."""
        return FrameCounts(*(np.array(getattr(self, name), np.int64) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Correctness:
    """How right one contender was.

    Attributes
    ----------
    score : TrackScore
        Every frame tracked, however long it took.
    at_device_speed : tuple of DeviceSpeedScore
        With a detection in every frame and, where that differs, with the interval that keeps up.
    agreement : Agreement
    tallies : tuple of Tally
        What MOTA and IDF1 are made of, source by source, for comparisons.
    """

    score: TrackScore
    at_device_speed: tuple[DeviceSpeedScore, ...]
    agreement: Agreement
    tallies: tuple[Tally, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a file on a runtime.

    Attributes
    ----------
    model : ModelFile
    runtime : str
        As asked for.
    group : int
        Entries of one group were measured in turn, and are comparable to the percent; those of different
        groups had the machine at different times.
    failure : str
        Why there are no figures, in one line; empty where there are.
    speed : Speed or None
    correctness : Correctness or None
    """

    model: ModelFile
    runtime: str
    group: int = 0
    failure: str = ""
    speed: Speed | None = None
    correctness: Correctness | None = None

    @property
    def name(self) -> str:
        """File and runtime."""
        return f"{self.model.name} on {self.runtime}"

    @property
    def done(self) -> bool:
        """Whether it has all its figures."""
        return self.speed is not None and self.correctness is not None


@dataclass(frozen=True, slots=True)
class Results:
    """One benchmark.

    Attributes
    ----------
    made_at : str
        UTC, ISO 8601.
    ended : str
        Why it ended before its end; empty for a whole one.
    machine : Machine
    settings : Settings
    footage : tuple of Footage
    reference : str
        Name of the entry that the others are compared with.
    entries : tuple of Entry
    conditions : tuple of Conditions
        By group.
    notes : tuple of str
        What a reader should know before believing a figure.
    schema_version : int
    toolkit_version : str
        Version of the toolkit.
    """

    made_at: str
    ended: str
    machine: Machine
    settings: Settings
    footage: tuple[Footage, ...]
    reference: str
    entries: tuple[Entry, ...]
    conditions: tuple[Conditions, ...]
    notes: tuple[str, ...] = ()
    schema_version: int = RESULTS_SCHEMA_VERSION
    toolkit_version: str = edge_fairmot.__version__

    @property
    def has_truth(self) -> bool:
        """Whether scores are against ground truth."""
        return bool(self.footage) and all(footage.ground_truth for footage in self.footage)


def write_results(path: str | os.PathLike[str], results: Results) -> None:
    """Write results as JSON; whoever reads the file meanwhile sees the old one.

    Raises
    ------
    EvaluationError
        If it cannot be written.
    MissingDependencyError
        If pydantic is not installed.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    data = _adapter().dump_json(results, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise EvaluationError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder with -o"
        ) from error


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read what :func:`write_results` wrote.

    Raises
    ------
    EvaluationError
        If there is no such file, or it is not of this schema.
    MissingDependencyError
        If pydantic is not installed.
    """
    adapter = _adapter()
    remedy = "give a results.json that edge-fairmot bench wrote"
    try:
        text = Path(path).read_text()
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read ({error}): {remedy}") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != RESULTS_SCHEMA_VERSION:
        raise EvaluationError(
            f"{path} has results schema {version}, this edge-fairmot reads {RESULTS_SCHEMA_VERSION}: {remedy}"
        )
    try:
        results: Results = adapter.validate_json(text)
    except ValueError as error:  # pydantic's, over many lines
        first = " ".join(str(error).split())[:160]
        raise EvaluationError(f"{path} is damaged ({first}): {remedy}") from error
    return results


def _adapter() -> Any:
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pydantic", "bench", "to read and write results") from error
    return TypeAdapter(Results)
