"""One run of ``track`` or ``live``: its parts are opened here, and its summary is written here."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import edge_fairmot
from edge_fairmot.camera_motion import CameraMotion
from edge_fairmot.cli.console import warn
from edge_fairmot.cli.run_config import RunConfig
from edge_fairmot.cli.run_flags import advise_on_precision
from edge_fairmot.counting import Counter, IgnoredZones
from edge_fairmot.detection_cache import CachedDetector, CacheInfo, DetectionWriter
from edge_fairmot.detector import FairMotDetector
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.protocols import Detector, OutputHealth, Runtime, Source, SourceInfo
from edge_fairmot.service.web import saved_drawing
from edge_fairmot.sinks import JsonLinesHeader
from edge_fairmot.sinks.text import counts_document
from edge_fairmot.system import atomic_write
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Counts

_log = logging.getLogger(__name__)

SUMMARY_VERSION = 2
"""Of ``summary.json``; ``summary.schema.json`` beside this file describes it."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model of a run: what found the detections, or made the cache that is read."""

    path: str
    checkpoint_sha256: str
    runtime: str
    class_names: tuple[str, ...] = ("person",)

    @property
    def document(self) -> dict[str, str]:
        """The model as the headers of files name it."""
        return {"file": Path(self.path).name, "checkpoint_sha256": self.checkpoint_sha256}


@dataclass(frozen=True, slots=True)
class Run:
    """The parts of a run."""

    config: RunConfig
    source: Source
    model: ModelInfo
    tracker: TrackerConfig
    counter: Counter | None
    ignored: IgnoredZones
    pipeline: Pipeline

    @property
    def counts(self) -> Counts | None:
        """What was counted up to now; None where nothing is counted."""
        return None if self.counter is None else self.counter.counts

    @property
    def tracker_document(self) -> dict[str, Any]:
        """The tracker's settings, and how a moving camera is followed where it is."""
        camera_motion = self.config.tracker.camera_motion
        moving = {} if camera_motion == "off" else {"camera_motion": camera_motion}
        return asdict(self.tracker) | moving

    def header(self, **settings: Any) -> JsonLinesHeader:
        """Return the first line of a file of tracks."""
        info = self.source.info
        return JsonLinesHeader(
            source=info.name,
            frame_size=info.frame_size,
            frame_rate=info.frame_rate,
            model=self.model.document,
            settings=self.tracker_document | {"schedule": asdict(self.config.schedule)} | settings,
        )


def open_run(
    config: RunConfig,
    source: Source,
    stack: ExitStack,
    *,
    detections: Path | None = None,
    save_detections: Path | None = None,
    drawn: bool = False,
    runtime: Runtime | None = None,
) -> Run:
    """Open the model, the tracker and the counter of a run; the stack closes what was opened.

    ``runtime`` is one of :func:`open_network` that stays open; without it, one is opened here. ``detections``
    is a cache to be read instead of running the network, ``save_detections`` one to be written. ``drawn``
    makes a counter also where nothing is counted yet, because shapes may be drawn.
    """
    info = source.info
    tracker = config.tracker_config(info.frame_rate)
    detector, model = (
        _network(config, tracker, runtime or stack.enter_context(closing(open_network(config))))
        if detections is None
        else _open_cache(detections, tracker, info)
    )
    counting = config.counted
    if drawn:  # what was drawn on the page replaces the lines and zones of the file
        counting = saved_drawing(config.web, info.name, counting) or counting
    ignored = IgnoredZones(counting.ignore)
    counter = Counter(counting, info.frame_size) if drawn or counting.lines or counting.zones else None
    writer: DetectionWriter | None = None
    if save_detections is not None:
        writer = stack.enter_context(_open_writer(save_detections, detector, model, tracker, info))
    pipeline = Pipeline(
        source,
        detector,
        Tracker(tracker),
        counter=counter,
        schedule=config.schedule,
        on_detections=writer,
        camera_motion=CameraMotion() if config.tracker.camera_motion == "sparse" else None,
        ignored=ignored,
    )
    return Run(config, source, model, tracker, counter, ignored, pipeline)


def open_network(config: RunConfig, path: Path | None = None) -> Runtime:
    """Open the model of a run, or a copy of it at another path."""
    from edge_fairmot.runtimes import open_runtime

    runtime = open_runtime(
        path or config.model_path,
        config.runtime.name,
        config.runtime.options,
        integrity_check=config.runtime.integrity_check,
    )
    if runtime.manifest.batch_size != 1:
        runtime.close()
        raise InvalidInputError(
            f"{config.model_path} takes batches of {runtime.manifest.batch_size}, a run needs 1: "
            "convert again without --batch-size"
        )
    advise_on_precision(runtime)
    return runtime


def _network(config: RunConfig, tracker: TrackerConfig, runtime: Runtime) -> tuple[Detector, ModelInfo]:
    manifest = runtime.manifest
    model = ModelInfo(
        str(config.model_path), manifest.checkpoint_sha256, runtime.name, tuple(manifest.class_names)
    )
    return FairMotDetector(runtime, tracker.lowest_score), model


def _open_cache(folder: Path, tracker: TrackerConfig, info: SourceInfo) -> tuple[Detector, ModelInfo]:
    cached = CachedDetector(folder, tracker.lowest_score)
    cached.require_source(info.frame_size)
    return cached, ModelInfo(cached.info.model, cached.info.checkpoint_sha256, cached.name)


def _open_writer(
    folder: Path, detector: Detector, model: ModelInfo, tracker: TrackerConfig, info: SourceInfo
) -> DetectionWriter:
    if isinstance(detector, CachedDetector):
        dim = detector.info.embedding_dim
    else:
        assert isinstance(detector, FairMotDetector)
        dim = detector.runtime.manifest.embedding_dim
    cache = CacheInfo(
        info.name,
        info.frame_size,
        info.frame_rate,
        tracker.lowest_score,
        dim,
        Path(model.path).name,
        model.checkpoint_sha256,
    )
    return DetectionWriter(folder, cache)


def summary_document(
    run: Run, ended: str, *, reconnects: int = 0, outputs: Mapping[str, OutputHealth] | None = None
) -> dict[str, Any]:
    """Return the summary of a run; ``ended`` is "" if it reached its end, and else the reason."""
    summary, counts = run.pipeline.summary(), run.counts
    return {
        "schema_version": SUMMARY_VERSION,
        "edge_fairmot": edge_fairmot.__version__,
        "complete": not ended,
        "ended": ended,
        "source": asdict(run.source.info),
        "reconnects": reconnects,
        "model": {"path": run.model.path, "checkpoint_sha256": run.model.checkpoint_sha256},
        "runtime": run.model.runtime,
        "runtime_options": asdict(run.config.runtime.options),
        "tracker": run.tracker_document,
        "schedule": asdict(run.config.schedule),
        **asdict(summary),
        "frame_rate": summary.frame_rate,
        "counts": None if counts is None else counts_document(counts),
        "outputs": {name: dict(health) for name, health in (outputs or {}).items()},
    }


def write_summary(path: Path, document: Mapping[str, Any], ended: str) -> None:
    """Write a summary completely or not at all.

    A run that failed already keeps its own error: then a summary that cannot be written is only logged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # the folder may have been removed meanwhile
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(document, indent=2, default=str) + "\n")
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}; free space or choose another folder"
        if not ended:
            raise SinkError(message) from error
        warn(message)


def reason_of(error: BaseException) -> str:
    """Return why a run ended, never empty."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return str(error) or type(error).__name__


def shown_counts(counts: Counts) -> Sequence[tuple[str, str]]:
    """Return totals as rows of names and values, for a terminal."""
    rows = [(name, f"in {line.inwards}, out {line.outwards}") for name, line in counts.lines.items()]
    for name, zone in counts.zones.items():
        dwell = f", stayed {zone.mean_dwell_s:.1f} s on average, {zone.longest_dwell_s:.1f} s at most"
        rows.append((name, f"{zone.occupancy} inside, {zone.entries} entries{dwell if zone.stays else ''}"))
    return rows
