"""Results of a benchmark: frozen dataclasses, and JSON with a schema version.

Every measured frame is in them, so that two runs can be compared by their samples. Values that a system or a
run does not know are null.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edge_fairmot
from edge_fairmot.benchmarks.conditions import Conditions
from edge_fairmot.benchmarks.machine import Machine
from edge_fairmot.benchmarks.speed import Speed
from edge_fairmot.errors import EvaluationError, MissingDependencyError
from edge_fairmot.system import atomic_write

RESULTS_SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a run; results of other settings are not comparable."""

    frames: int = 300  # of each source, at most
    score_threshold: float = 0.4
    threads: int | None = None  # for one inference; None leaves it to the backend
    warm_up: int = 3  # inferences before anything is timed
    live_s: float = 10.0  # seconds of each source that are played at their own pace
    detect_every: int | None = None  # interval at device speed besides 1; None for the least that keeps up


@dataclass(frozen=True, slots=True)
class MeasuredSource:
    """One source of frames."""

    name: str
    frame_size: tuple[int, int]
    frame_rate: float
    frames: int  # measured
    sha256: str  # of the file; empty for a folder of images
    ground_truth: str  # its file; empty where there is none


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file, by its manifest."""

    name: str  # file name, or the path where two files have the same name
    size_bytes: int
    graph_sha256: str
    checkpoint_sha256: str
    precision: str
    input_size: tuple[int, int]
    lowering: str  # of the deformable convolutions
    rewrites: tuple[str, ...]
    calibration: str


@dataclass(frozen=True, slots=True)
class TrackScore:
    """Tracks against ground truth or, without it, against the reference's tracks."""

    hota: float | None  # None without ground truth
    mota: float | None  # None where neither side has a box
    idf1: float | None
    idsw: int
    fp: int
    fn: int

    @property
    def headline(self) -> float:
        """One number: HOTA or, without ground truth, IDF1; 0 where neither side has a box."""
        return (self.idf1 or 0.0) if self.hota is None else self.hota


@dataclass(frozen=True, slots=True)
class DeviceSpeedScore:
    """Score of the tracks on the screen of a live source, on this device."""

    detect_every: int
    score: TrackScore
    dropped_share: float  # frames that the device had no time for
    detections_per_s: float
    age_ms: float  # median, from a frame's moment to its tracks


@dataclass(frozen=True, slots=True)
class Agreement:
    """Peaks and tracks against the reference's; see :mod:`edge_fairmot.benchmarks.parity_check`."""

    recall: float | None  # of the reference's peaks; None if there are none
    precision: float | None
    iou: float | None  # means over matched peaks
    cosine: float | None
    idf1: float | None  # of the tracks, with the reference's as ground truth
    mota: float | None
    changed_share: float | None  # frames in which an identity changed


@dataclass(frozen=True, slots=True)
class Correctness:
    """Scores of one model on one runtime."""

    score: TrackScore  # every frame tracked, however long it took
    at_device_speed: tuple[DeviceSpeedScore, ...]  # every frame detected and, where it differs, every Nth
    agreement: Agreement
    counts: tuple[Mapping[str, tuple[int, ...]], ...]  # FrameCounts of each source, as plain numbers


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a model on a runtime.

    Entries of one group were measured in turns and are comparable to the percent. Different groups were
    measured at different times.
    """

    model: ModelFile
    runtime: str
    group: int = 0
    failure: str = ""  # the reason for missing figures, in one line
    speed: Speed | None = None
    correctness: Correctness | None = None

    @property
    def name(self) -> str:
        """File and runtime."""
        return f"{self.model.name} on {self.runtime}"

    @property
    def done(self) -> bool:
        """Whether all figures are there."""
        return self.speed is not None and self.correctness is not None

    @property
    def best_live(self) -> DeviceSpeedScore | None:
        """The best score at device speed."""
        if self.correctness is None:
            return None
        return max(self.correctness.at_device_speed, key=lambda shown: shown.score.headline)


@dataclass(frozen=True, slots=True)
class Results:
    """One benchmark."""

    made_at: str  # UTC, ISO 8601
    ended: str  # the reason for an early end; empty for a complete run
    machine: Machine
    settings: Settings
    sources: tuple[MeasuredSource, ...]
    reference: str  # name of the entry that the others are compared with
    entries: tuple[Entry, ...]
    conditions: tuple[Conditions, ...]  # by group
    notes: tuple[str, ...] = ()  # limits of the figures
    schema_version: int = RESULTS_SCHEMA_VERSION
    toolkit_version: str = edge_fairmot.__version__

    @property
    def has_truth(self) -> bool:
        """Whether scores are against ground truth."""
        return bool(self.sources) and all(source.ground_truth for source in self.sources)


def write_results(path: str | os.PathLike[str], results: Results) -> None:
    """Write results as JSON; a reader meanwhile sees the old file."""
    path = Path(path)
    data = _adapter().dump_json(results, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise EvaluationError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder with -o"
        ) from error


def read_results(path: str | os.PathLike[str]) -> Results:
    """Return the results that :func:`write_results` wrote."""
    adapter = _adapter()
    fix = "give a results.json that edge-fairmot bench wrote"
    try:
        text = Path(path).read_text()
        found = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(f"{path} cannot be read ({error}): {fix}") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != RESULTS_SCHEMA_VERSION:
        raise EvaluationError(
            f"{path} has results schema {version}, this edge-fairmot reads {RESULTS_SCHEMA_VERSION}: {fix}"
        )
    try:
        results: Results = adapter.validate_json(text)
    except ValueError as error:  # pydantic's, over many lines
        first = " ".join(str(error).split())[:160]
        raise EvaluationError(f"{path} is damaged ({first}): {fix}") from error
    return results


def _adapter() -> Any:
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pydantic", "bench", "to read and write results") from error
    return TypeAdapter(Results)
