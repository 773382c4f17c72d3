"""FairMOT multi-object tracking on edge devices.

``track("street.mp4")`` yields a :class:`FrameResult` per frame. Its parts are here too: a source, a detector
(an exported file in a runtime), the tracker, and the pipeline that joins them. Names are imported when they
are used: ``import edge_fairmot`` alone needs numpy, OpenCV and lap at most. Conversion is
:mod:`edge_fairmot.convert`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_fairmot.camera_motion import CameraMotion
    from edge_fairmot.counting import Counter, CountingConfig, IgnoredZones
    from edge_fairmot.detection_cache import CachedDetector, DetectionWriter
    from edge_fairmot.detector import FairMotDetector
    from edge_fairmot.errors import EdgeFairmotError
    from edge_fairmot.pipeline import Pipeline, RunSummary
    from edge_fairmot.protocols import Detector, Runtime, Sink, Source
    from edge_fairmot.runtimes import open_runtime
    from edge_fairmot.schedule import DetectionSchedule
    from edge_fairmot.sharing import SharedRuntime
    from edge_fairmot.sources import open_source
    from edge_fairmot.tracking import Tracker, TrackerConfig
    from edge_fairmot.types import Detections, Frame, FrameResult, RawDetections, Tracks

__version__ = "0.1.0"

_HOMES = {
    "CachedDetector": "detection_cache",
    "CameraMotion": "camera_motion",
    "Counter": "counting",
    "CountingConfig": "counting",
    "DetectionSchedule": "schedule",
    "DetectionWriter": "detection_cache",
    "Detections": "types",
    "Detector": "protocols",
    "EdgeFairmotError": "errors",
    "FairMotDetector": "detector",
    "Frame": "types",
    "FrameResult": "types",
    "IgnoredZones": "counting",
    "Pipeline": "pipeline",
    "RawDetections": "types",
    "RunSummary": "pipeline",
    "Runtime": "protocols",
    "SharedRuntime": "sharing",
    "Sink": "protocols",
    "Source": "protocols",
    "Tracker": "tracking",
    "TrackerConfig": "tracking",
    "Tracks": "types",
    "open_runtime": "runtimes",
    "open_source": "sources",
}

__all__ = [
    "CachedDetector",
    "CameraMotion",
    "Counter",
    "CountingConfig",
    "DetectionSchedule",
    "DetectionWriter",
    "Detections",
    "Detector",
    "EdgeFairmotError",
    "FairMotDetector",
    "Frame",
    "FrameResult",
    "IgnoredZones",
    "Pipeline",
    "RawDetections",
    "RunSummary",
    "Runtime",
    "SharedRuntime",
    "Sink",
    "Source",
    "Tracker",
    "TrackerConfig",
    "Tracks",
    "open_runtime",
    "open_source",
    "track",
]


def track(
    source: str | Path,
    model: str | Path | None = None,
    *,
    runtime: str = "auto",
    config: TrackerConfig | None = None,
    counting: CountingConfig | None = None,
) -> Iterator[FrameResult]:
    """Track a video, an image folder, a camera or ``synthetic:``, and yield the result of each frame.

    Parameters
    ----------
    source : str or Path
        As :func:`open_source` takes it.
    model : str or Path, optional
        A file made by ``edge-fairmot convert``; the bundled one when not given.
    runtime : str
        As :func:`open_runtime` takes it, as in ``openvino``; ``auto`` is the faster one that is installed.
    config : TrackerConfig, optional
        The defaults with the source's frame rate when not given.
    counting : CountingConfig, optional
        Lines and zones to count at.

    Yields
    ------
    FrameResult

    Raises
    ------
    EdgeFairmotError
        If the source, the model or the runtime cannot be opened, or a stage fails.

    Examples
    --------
    >>> import edge_fairmot
    >>> for result in edge_fairmot.track("street.mp4"):  # doctest: +SKIP
    ...     print(result.frame.number, result.tracks.track_id)
    """
    from contextlib import closing  # noqa: PLC0415

    from edge_fairmot.bundled import choose_model  # noqa: PLC0415
    from edge_fairmot.counting import Counter  # noqa: PLC0415
    from edge_fairmot.detector import FairMotDetector  # noqa: PLC0415
    from edge_fairmot.pipeline import Pipeline  # noqa: PLC0415
    from edge_fairmot.runtimes import open_runtime  # noqa: PLC0415
    from edge_fairmot.sources import open_source  # noqa: PLC0415
    from edge_fairmot.tracking import Tracker, TrackerConfig  # noqa: PLC0415

    with (
        closing(open_source(source)) as opened,
        closing(open_runtime(choose_model(model), runtime)) as net,
    ):
        config = config or TrackerConfig(frame_rate=opened.info.frame_rate)
        detector = FairMotDetector(net, config.lowest_score)
        names, size = detector.class_names, opened.info.frame_size
        counter = None if counting is None else Counter(counting, size, names, config.classes)
        yield from Pipeline(opened, detector, Tracker(config, names), counter=counter)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
