"""One benchmark: models on runtimes, measured in groups, scored from their detection caches.

The folder of a benchmark holds ``results.json``, the reports, and in ``detections/`` a detection cache of
each model and runtime for each source. Scores, accuracy at device speed and images all come from the caches,
and a resumed run infers nothing twice.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Container, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np

from edge_fairmot.benchmarks.conditions import Conditions, ConditionsLog
from edge_fairmot.benchmarks.correctness import (
    Baseline,
    CachedSource,
    Recording,
    score_recordings,
    worst_frames,
)
from edge_fairmot.benchmarks.device_speed import FrameCosts
from edge_fairmot.benchmarks.disagreement import Disagreement
from edge_fairmot.benchmarks.machine import describe_machine
from edge_fairmot.benchmarks.mot_text import MotTruth, read_ground_truth
from edge_fairmot.benchmarks.results import Entry, MeasuredSource, ModelFile, Results, Settings
from edge_fairmot.benchmarks.speed import summarize
from edge_fairmot.benchmarks.turns import (
    Measurement,
    OnTurn,
    block_length,
    chunk_length,
    ignore_turn,
    measure,
)
from edge_fairmot.benchmarks.worker import Job
from edge_fairmot.errors import EvaluationError, InvalidInputError, ManifestError
from edge_fairmot.model_file import hash_graph, read_onnx_file
from edge_fairmot.runtimes import list_runtimes
from edge_fairmot.sources import open_source
from edge_fairmot.types import UInt8Array

CACHES = "detections"

NOT_BEGUN = "not begun when the run was interrupted"

CACHE_MISSING = "its detection cache, or that of the reference, is missing: run the same command again"


@dataclass(frozen=True, slots=True)
class PairSpec:
    """A model and a runtime that are to be measured."""

    model: ModelFile
    path: Path
    runtime: str

    @property
    def entry(self) -> Entry:
        """Its row, without figures."""
        return Entry(self.model, self.runtime)


def name_models(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the files by their file names, or by their paths where two have the same name."""
    if len(set(paths)) < len(paths):
        raise InvalidInputError("a model was given twice: give each once")
    names = [path.name for path in paths]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in paths}


def choose_runtimes(text: str) -> tuple[str, ...]:
    """Return the names from ``cpu,openvino:GPU``; ``all`` is every runtime that this machine has."""
    if text == "all":
        return tuple(row.name for row in list_runtimes() if row.available)
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(f"--runtimes {text!r}: give each once, as in cpu,openvino, or all")
    return names


def describe_model(path: Path, name: str) -> tuple[ModelFile, str]:
    """Return a model file by its manifest, and the reason why it cannot be measured; empty if it can."""
    if not path.is_file():
        read_onnx_file(path)  # raises the error
    try:
        file = read_onnx_file(path)
        manifest = file.manifest
    except ManifestError as error:
        return ModelFile(name, path.stat().st_size, "", "", "", (0, 0), "", (), ""), str(error)
    return (
        ModelFile(
            name=name,
            size_bytes=file.size_bytes,
            graph_sha256=hash_graph(path),
            checkpoint_sha256=manifest.checkpoint_sha256,
            precision=manifest.default_precision,
            input_size=manifest.input_size,
            lowering=", ".join(dict.fromkeys(manifest.deform_conv.values())),
            rewrites=manifest.rewrites,
            calibration=manifest.calibration,
        ),
        "",
    )


class Benchmark:
    """Measures models on runtimes on the same frames, and keeps their rows.

    ``ground_truth`` has one file for each source, or none. ``preferred_reference`` names the model that the
    others are compared with; the first one in float32 if empty. ``earlier`` are results of the same folder,
    which are resumed.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[str],
        ground_truth: Sequence[Path],
        settings: Settings,
        *,
        preferred_reference: str = "",
        earlier: Results | None = None,
    ) -> None:
        if ground_truth and len(ground_truth) != len(sources):
            raise InvalidInputError(
                f"{len(sources)} of --video and {len(ground_truth)} of --gt: give one --gt for each --video"
            )
        self._folder, self._names, self._settings = folder, tuple(sources), settings
        self._truth = [
            _read_truth(path, source, settings.frames)
            for path, source in zip(ground_truth, sources, strict=False)
        ]
        self._sources = [
            _describe_source(source, settings.frames, str(truth))
            for source, truth in zip_longest(sources, ground_truth, fillvalue="")
        ]
        self._machine = describe_machine()
        self._preferred = preferred_reference
        self._reference = ""
        self._entries: dict[str, Entry] = {}
        self._conditions: list[Conditions] = []
        self.notes: list[str] = []
        if earlier is not None:
            self._resume(earlier)
        (folder / CACHES).mkdir(parents=True, exist_ok=True)

    @property
    def frames(self) -> int:
        """Frames of all sources, as far as their lengths are known."""
        return sum(source.frames for source in self._sources)

    def is_done(self, spec: PairSpec) -> bool:
        """Whether a row has all its figures, of the same graph."""
        found = self._entries.get(spec.entry.name)
        return found is not None and found.done and found.model.graph_sha256 == spec.model.graph_sha256

    def add_failure(self, model: ModelFile, runtime: str, reason: str) -> None:
        """Add a row for a model that cannot be measured."""
        entry = Entry(model, runtime, len(self._conditions), reason)
        self._entries[entry.name] = entry

    def measure(self, specs: Sequence[PairSpec], on_turn: OnTurn = ignore_turn) -> None:
        """Measure a group side by side and score it; after an interruption the figures so far are kept."""
        measurements: dict[str, Measurement] = {}
        group, origin_s = len(self._conditions), 0.0
        for spec in specs:
            if spec.entry.name == self._reference:
                self._reference = ""  # others were compared with a cache that this one replaces
            self._entries[spec.entry.name] = replace(spec.entry, group=group, failure=NOT_BEGUN)

        def keep(measurement: Measurement, what: str) -> None:
            measurements[str(measurement.job.caches)] = measurement
            on_turn(measurement, what)

        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            log = stack.enter_context(ConditionsLog())
            origin_s = log.origin_s
            jobs = [self._job(spec, scratch / str(index)) for index, spec in enumerate(specs)]
            try:
                measure(jobs, self._settings.live_s, meter=log.meter, on_turn=keep)
            finally:
                self._conditions.append(log.conditions())
                for spec, job in zip(specs, jobs, strict=True):
                    if (measurement := measurements.get(str(job.caches))) is not None:
                        self._enter(replace(spec.entry, group=group), measurement, origin_s)
        self.score()

    def score(self) -> None:
        """Score the measured rows without scores; all rows where the reference has changed."""
        recordings = {
            name: found
            for name, entry in self._entries.items()
            if (found := self._recordings(entry)) is not None
        }
        if not recordings:
            return
        if self._reference not in recordings:
            self._reference = self._choose_reference(recordings)
            self._drop_scores(recordings)
        self._sources = [
            replace(source, frames=len(recording.cached))
            for source, recording in zip(self._sources, recordings[self._reference], strict=True)
        ]
        baseline = self._baseline(recordings[self._reference])
        for name, found in recordings.items():
            if self._entries[name].correctness is None:
                correctness = score_recordings(found, baseline)
                self._entries[name] = replace(self._entries[name], correctness=correctness)

    def results(self, ended: str = "") -> Results:
        """Return the results so far; ``ended`` is the reason for an early end."""
        return Results(
            made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            ended=ended,
            machine=self._machine,
            settings=self._settings,
            sources=tuple(self._sources),
            reference=self._reference,
            entries=tuple(self._entries.values()),
            conditions=tuple(self._conditions),
            notes=tuple(self.notes),
        )

    def worst_frames(self, count: int) -> dict[str, list[Disagreement]]:
        """Return up to ``count`` frames of each row that differ most from the reference, with images."""
        done = {name: entry for name, entry in self._entries.items() if entry.done}
        reference = done.get(self._reference)
        recorded = self._recordings(reference) if count and reference is not None else None
        if recorded is None:
            return {}
        baseline = self._baseline(recorded)
        worst = {
            name: worst_frames(found, baseline, count)
            for name, entry in done.items()
            if name != self._reference and (found := self._recordings(entry)) is not None
        }
        images = self._read_images({(frame.sequence, frame.frame) for row in worst.values() for frame in row})
        return {
            name: [replace(frame, image=images[frame.sequence, frame.frame]) for frame in row]
            for name, row in worst.items()
        }

    def _resume(self, earlier: Results) -> None:
        for what, ours, theirs in (
            ("settings", self._settings, earlier.settings),
            ("machine", str(self._machine), str(earlier.machine)),
            ("sources", [s.name for s in self._sources], [s.name for s in earlier.sources]),
            ("ground truth", *([s.ground_truth for s in part] for part in (self._sources, earlier.sources))),
        ):
            if ours != theirs:
                raise EvaluationError(
                    f"{self._folder} holds results of other {what} ({theirs}, not {ours}): "
                    "choose another folder with -o, or remove it"
                )
        self._entries = {
            entry.name: entry
            for entry in earlier.entries
            # A row that was interrupted before its throughput begins again.
            if entry.done and entry.speed is not None and entry.speed.throughput is not None
        }
        self._conditions, self.notes = list(earlier.conditions), list(earlier.notes)
        if earlier.reference in self._entries:
            self._reference = earlier.reference
        else:  # rows were compared with a reference that is gone
            self._entries = {name: replace(e, correctness=None) for name, e in self._entries.items()}
            self.score()

    def _job(self, spec: PairSpec, scratch: Path) -> Job:
        scratch.mkdir()
        return Job(
            model=spec.path,
            runtime=spec.runtime,
            sources=self._names,
            caches=self._caches(spec.entry.name),
            scratch=scratch,
            frames=self._settings.frames,
            block=block_length(self.frames),
            chunk=chunk_length(self.frames),
            score_threshold=self._settings.score_threshold,
            threads=self._settings.threads,
            warm_up=self._settings.warm_up,
        )

    def _caches(self, name: str) -> tuple[Path, ...]:
        slug = re.sub(r"[^\w.-]+", "-", name)
        return tuple(self._folder / CACHES / f"{slug}-{number}" for number in range(1, 1 + len(self._names)))

    def _enter(self, entry: Entry, measurement: Measurement, origin_s: float) -> None:
        if measurement.failure:
            entry = replace(entry, failure=measurement.failure)
        elif not measurement.frames:
            entry = replace(entry, failure=NOT_BEGUN)
        else:
            cut = "" if measurement.finished else f"interrupted after {measurement.frames} frames"
            entry = replace(entry, speed=summarize(measurement, origin_s), failure=cut)
        self._entries[entry.name] = entry

    def _recordings(self, entry: Entry) -> tuple[Recording, ...] | None:
        """Return recordings of a row; None where it was not measured to the end."""
        if entry.speed is None or entry.failure:
            return None
        recordings, begin = [], 0
        for source, folder in zip(self._names, self._caches(entry.name), strict=True):
            if not folder.exists():  # removed since the results were written
                return None
            cached = CachedSource.read(folder, self._settings.score_threshold)
            part = slice(begin, begin + len(cached))
            begin = part.stop
            stage_s = {stage: np.array(ms[part]) / 1e3 for stage, ms in entry.speed.times.stage_ms.items()}
            costs = FrameCosts(
                time_s=cached.time_s,
                decode_s=stage_s["decode"],
                letterbox_s=stage_s["letterbox"],
                inference_s=stage_s["inference"],
                output_s=stage_s["association"] + stage_s["sinks"],
            )
            recordings.append(Recording(source, cached, costs))
        return tuple(recordings) if begin == len(entry.speed.times) else None

    def _drop_scores(self, recorded: Container[str]) -> None:
        """Drop scores against an earlier reference; a row without a cache cannot be scored again."""
        for name, entry in self._entries.items():
            whole = entry.speed is not None and not entry.failure
            failure = CACHE_MISSING if whole and name not in recorded else entry.failure
            self._entries[name] = replace(entry, correctness=None, failure=failure)

    def _choose_reference(self, names: Iterable[str]) -> str:
        able = [self._entries[name] for name in names]
        wanted = [entry for entry in able if entry.model.name == self._preferred]
        exact = [entry for entry in able if entry.model.precision == "fp32"]
        return [*wanted, *exact, *able][0].name

    def _baseline(self, reference: tuple[Recording, ...]) -> Baseline:
        truth = tuple(
            truth.at_frames(recording.cached.numbers)
            for truth, recording in zip(self._truth, reference, strict=False)
        )
        settings = self._settings
        return Baseline(reference, truth or None, settings.score_threshold, settings.detect_every)

    def _read_images(self, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], UInt8Array]:
        images: dict[tuple[str, int], UInt8Array] = {}
        for name in self._names:
            left = {frame for source, frame in wanted if source == name}
            with closing(open_source(name)) as source:
                for place, frame in enumerate(source):
                    if not left:
                        break
                    if place in left:
                        left.discard(place)
                        images[name, place] = frame.image
        return images


def _describe_source(name: str, frames: int, ground_truth: str) -> MeasuredSource:
    """Return a source of which at most this many frames are measured."""
    with closing(open_source(name)) as source:
        info = source.info
    sha256, path = "", Path(info.name)
    if path.is_file():
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
        sha256 = digest.hexdigest()
    count = min(info.frame_count or frames, frames)
    return MeasuredSource(info.name, info.frame_size, info.frame_rate, count, sha256, ground_truth)


def _read_truth(path: Path, source_name: str, frames: int) -> MotTruth:
    truth = read_ground_truth(path)
    labelled = set(truth.rows.frame.tolist())
    with closing(open_source(source_name)) as source:
        if not any(frame.number in labelled for frame in islice(source, frames)):
            raise EvaluationError(
                f"{path} has no box in the first {frames} frames, so nothing can be scored: give more "
                "--max-frames"
            )
    return truth
