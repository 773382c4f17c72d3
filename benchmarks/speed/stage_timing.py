"""The loop with its stages one after the other, each timed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

import numpy as np

from edge_fairmot.letterbox import Letterbox
from edge_fairmot.pipeline import select_detections
from edge_fairmot.protocols import Runtime, Sink, Source
from edge_fairmot.tracking import Tracker
from edge_fairmot.types import Frame, RawDetections


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """What one frame took.

    Attributes
    ----------
    at_s : float
        When it was begun, on the clock of ``time.perf_counter``.
    stage_ms : tuple of float
        Of decode, letterbox, inference, association and sinks.
    cpu_ms : float
        Processor time meanwhile, over all threads of the process.
    """

    at_s: float
    stage_ms: tuple[float, ...]
    cpu_ms: float


def time_stages(
    source: Source, runtime: Runtime, tracker: Tracker, sinks: Sequence[Sink]
) -> Iterator[tuple[TimedFrame, Frame, RawDetections]]:
    """Take a source through the loop, frame by frame.

    The product's loop overlaps its stages, which then slow each other down; here none has company. What the
    overlap gains is measured apart, as throughput.

    Parameters
    ----------
    source : Source
    runtime : Runtime
    tracker : Tracker
    sinks : sequence of Sink

    Yields
    ------
    timed : TimedFrame
    frame : Frame
    raw : RawDetections
        What the network gave for it.
    """
    width, height = runtime.manifest.input_size
    batch = np.empty((1, height, width, 3), np.uint8)
    threshold = tracker.config.lowest_score
    frames = iter(source)
    while True:
        cpu_s, moments = process_time(), [perf_counter()]
        frame = next(frames, None)
        moments.append(perf_counter())
        if frame is None:
            return
        letterbox = Letterbox((frame.image.shape[1], frame.image.shape[0]), (width, height))
        letterbox.apply(frame.image, out=batch[0])
        moments.append(perf_counter())
        raw = runtime.infer(batch)
        moments.append(perf_counter())
        tracks = tracker.update(select_detections(raw, letterbox, threshold), frame.time_s)
        moments.append(perf_counter())
        for sink in sinks:
            sink.write(frame, tracks)
        moments.append(perf_counter())
        stage_ms = tuple(round(1e3 * float(taken), 4) for taken in np.diff(moments))
        yield TimedFrame(moments[0], stage_ms, round(1e3 * (process_time() - cpu_s), 4)), frame, raw
