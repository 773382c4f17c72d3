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
from edge_fairmot.service.history import HistorySink
from edge_fairmot.service.web import saved_drawing
from edge_fairmot.sharing import SharedRuntime
from edge_fairmot.sinks import JsonLinesHeader
from edge_fairmot.sinks.text import counts_document
from edge_fairmot.system import atomic_write
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Counts, ZoneCounts

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
            class_names=self.model.class_names,
            settings=self.tracker_document | {"schedule": asdict(self.config.schedule)} | settings,
        )


def open_run(
    config: RunConfig,
    source: Source,
    stack: ExitStack,
    *,
    detections: Path | None = None,
    save_detections: Path | None = None,
    drawn: str = "",
    runtime: Runtime | None = None,
    shared: SharedNetwork | None = None,
    history: HistorySink | None = None,
) -> Run:
    """Open the model, the tracker and the counter of a run; the stack closes what was opened.

    ``runtime`` is one of :func:`open_network` that stays open, ``shared`` the network of several cameras;
    without them, a runtime is opened here. ``detections`` is a cache to be read instead of running the
    network, ``save_detections`` one to be written. ``drawn`` is the name under which a page saves shapes, if
    there is one: then there is a counter also where nothing is counted yet. Counts go on from those of
    ``history``.
    """
    info = source.info
    tracker = config.tracker_config(info.frame_rate)
    if detections is not None:
        detector, model = _open_cache(detections, tracker, info)
    elif shared is not None:
        detector, model = shared.detector(config, tracker), shared.model
    else:
        runtime = runtime or stack.enter_context(closing(open_network(config)))
        detector, model = FairMotDetector(runtime, tracker.lowest_score), _model_of(config, runtime)
    counting = config.counted
    saved = saved_drawing(config.web, drawn, counting) if drawn else None
    counting = saved or counting  # what was drawn on the page replaces the lines and zones of the file
    ignored = IgnoredZones(counting.ignore)
    counter: Counter | None = None
    if drawn or counting.lines or counting.zones:
        try:
            counter = Counter(
                counting,
                info.frame_size,
                model.class_names,
                tracker.classes,
                live=info.live,
                earlier=None if history is None else history.begin(counting),
            )
        except InvalidInputError as error:
            if saved is None:
                raise
            drawing = f"{config.web.drawing_path}, drawn on the page of an earlier run"
            raise InvalidInputError(f"{drawing}: {error}") from error
    writer: DetectionWriter | None = None
    if save_detections is not None:
        writer = stack.enter_context(_open_writer(save_detections, detector, model, tracker, info))
    pipeline = Pipeline(
        source,
        detector,
        Tracker(tracker, model.class_names),
        counter=counter,
        schedule=config.schedule,
        on_detections=writer,
        camera_motion=CameraMotion() if config.tracker.camera_motion == "sparse" else None,
        ignored=ignored,
    )
    return Run(config, source, model, tracker, counter, ignored, pipeline)


@dataclass(frozen=True, slots=True)
class SharedNetwork:
    """The network of several cameras; each has turns in proportion to its target."""

    runtime: SharedRuntime
    model: ModelInfo
    highest_target_fps: float

    def detector(self, config: RunConfig, tracker: TrackerConfig) -> Detector:
        """Return the detector of one more camera. Without a target, it has the highest one's share."""
        weight = config.schedule.target_fps or self.highest_target_fps
        return self.runtime.detector(tracker.lowest_score, weight=weight, frame_rate=tracker.frame_rate)


def open_shared_network(configs: Sequence[RunConfig], stack: ExitStack) -> SharedNetwork:
    """Open one runtime for several cameras, all of one model; the stack closes it."""
    runtime = stack.enter_context(closing(_open_runtime(configs[0])))
    advise_on_precision(runtime)
    shared = SharedRuntime(runtime)
    stack.callback(shared.close)
    targets = [config.schedule.target_fps for config in configs]
    return SharedNetwork(shared, _model_of(configs[0], runtime), max(filter(None, targets), default=1.0))


def open_network(config: RunConfig, path: Path | None = None) -> Runtime:
    """Open the model of a run of one source, or a copy of it at another path."""
    runtime = _open_runtime(config, path)
    if runtime.manifest.batch_size != 1:
        runtime.close()
        raise InvalidInputError(
            f"{config.model_path} takes batches of {runtime.manifest.batch_size}, a run of one source needs "
            "1: convert again without --batch-size"
        )
    advise_on_precision(runtime)
    return runtime


def _open_runtime(config: RunConfig, path: Path | None = None) -> Runtime:
    from edge_fairmot.runtimes import open_runtime

    return open_runtime(
        path or config.model_path,
        config.runtime.name,
        config.runtime.options,
        integrity_check=config.runtime.integrity_check,
    )


def _model_of(config: RunConfig, runtime: Runtime) -> ModelInfo:
    manifest = runtime.manifest
    return ModelInfo(
        str(config.model_path), manifest.checkpoint_sha256, runtime.name, tuple(manifest.class_names)
    )


def _open_cache(folder: Path, tracker: TrackerConfig, info: SourceInfo) -> tuple[Detector, ModelInfo]:
    cached = CachedDetector(folder, tracker.lowest_score)
    cached.require_source(info.frame_size)
    made_by = cached.info
    return cached, ModelInfo(made_by.model, made_by.checkpoint_sha256, cached.name, cached.class_names)


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
        model.class_names,
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
        "model": {
            "path": run.model.path,
            "checkpoint_sha256": run.model.checkpoint_sha256,
            "class_names": run.model.class_names,
        },
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
    rows = []
    for name, line in counts.lines.items():
        rows.append((name, f"in {line.inwards}, out {line.outwards}"))
        for kind, part in line.by_class.items() if len(line.by_class) > 1 else ():
            rows.append((f"{name}: {kind}", f"in {part.inwards}, out {part.outwards}"))
    for name, zone in counts.zones.items():
        rows.append((name, _shown_zone(zone)))
        for kind, stays in zone.by_class.items() if len(zone.by_class) > 1 else ():
            rows.append((f"{name}: {kind}", _shown_zone(stays)))
    return rows


def _shown_zone(zone: ZoneCounts) -> str:
    dwell = f", stayed {zone.mean_dwell_s:.1f} s on average, {zone.longest_dwell_s:.1f} s at most"
    unseen = f" (+{zone.unseen} unseen)" if zone.unseen else ""
    return f"{zone.occupancy} inside{unseen}, {zone.entries} entries{dwell if zone.stays else ''}"
