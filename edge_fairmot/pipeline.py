"""The one loop: source, letterbox, runtime, tracker, sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from edge_fairmot.contracts import Runtime, Sink, Source
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.geometry import Letterbox
from edge_fairmot.tracking import Tracker
from edge_fairmot.types import Detections, Frame, RawDetections, Tracks, UInt8Array

STAGES = ("decode", "letterbox", "inference", "association", "sinks")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did, so far.

    Attributes
    ----------
    frames : int
        Frames that went through every stage.
    identities : int
        Different track ids given out.
    detections : int
        Detections above the score threshold, over all frames.
    wall_s : float
        Since the first frame was asked for.
    stage_ms : dict of str to float
        Mean milliseconds a frame, by stage.
    """

    frames: int
    identities: int
    detections: int
    wall_s: float
    stage_ms: dict[str, float]

    @property
    def frame_rate(self) -> float:
        """Frames per second, wall clock."""
        return self.frames / self.wall_s if self.wall_s else 0.0


class Pipeline:
    """Runs a tracker over a source.

    Iterating gives ``(frame, tracks)`` pairs, after the sinks have had them; it closes nothing, :meth:`run`
    closes the sinks.

    Parameters
    ----------
    source : Source
    runtime : Runtime
        Its file must have a batch size of 1.
    tracker : Tracker
    sinks : sequence of Sink, optional

    Raises
    ------
    InvalidInputError
        If the file has another batch size.

    Examples
    --------
    >>> from edge_fairmot import Pipeline, Tracker
    >>> from edge_fairmot.runtimes import open_runtime
    >>> from edge_fairmot.sources import open_source
    >>> pipeline = Pipeline(open_source("street.mp4"), open_runtime("fairmot.onnx"), Tracker())
    >>> for frame, tracks in pipeline:
    ...     print(frame.index, tracks.track_id, tracks.xyxy)  # doctest: +SKIP
    """

    def __init__(
        self, source: Source, runtime: Runtime, tracker: Tracker, sinks: Sequence[Sink] = ()
    ) -> None:
        if runtime.manifest.batch_size != 1:
            raise InvalidInputError(
                f"the file takes batches of {runtime.manifest.batch_size}, the pipeline needs 1: "
                "convert again without --batch-size"
            )
        self._source = source
        self._runtime = runtime
        self._tracker = tracker
        self._sinks = tuple(sinks)
        self._stage_s = dict.fromkeys(STAGES, 0.0)
        self._frames = self._identities = self._detections = 0
        self._highest_id = 0
        self._started_s: float | None = None
        self._last_s = 0.0

    def run(self, on_frame: Callable[[Frame, Tracks], None] | None = None) -> RunSummary:
        """Go through the whole source, and close the sinks whatever happens.

        Parameters
        ----------
        on_frame : callable, optional
            Called with each frame and its tracks.

        Returns
        -------
        RunSummary

        Raises
        ------
        EdgeFairmotError
            From any stage; what was tracked before is in the sinks, and :meth:`summary` tells how much.
        """
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)
            for frame, tracks in self:
                if on_frame is not None:
                    on_frame(frame, tracks)
        return self.summary()

    def summary(self) -> RunSummary:
        """Tell what was done up to now."""
        return RunSummary(
            frames=self._frames,
            identities=self._identities,
            detections=self._detections,
            wall_s=self._last_s - self._started_s if self._started_s is not None else 0.0,
            stage_ms={name: 1e3 * total / max(self._frames, 1) for name, total in self._stage_s.items()},
        )

    def __iter__(self) -> Iterator[tuple[Frame, Tracks]]:
        self._started_s = self._last_s = perf_counter()
        letterbox: Letterbox | None = None
        batch: UInt8Array | None = None
        for frame in self._source:
            self._clock("decode")
            height, width = frame.image.shape[:2]
            if letterbox is None or batch is None or letterbox.source_size != (width, height):
                letterbox = Letterbox((width, height), self._runtime.manifest.input_size)
                batch = np.empty((1, *letterbox.input_size[::-1], 3), np.uint8)
            letterbox.apply(frame.image, out=batch[0])
            self._clock("letterbox")
            raw = self._runtime.infer(batch)
            self._clock("inference")
            detections = select_detections(raw, letterbox, self._tracker.config.score_threshold)
            tracks = self._tracker.update(detections, frame.time_s)
            self._clock("association")
            for sink in self._sinks:
                sink.write(frame, tracks)
            self._clock("sinks")
            self._count(len(detections), tracks)
            yield frame, tracks
            self._last_s = perf_counter()

    def _clock(self, stage: str) -> None:
        now = perf_counter()
        self._stage_s[stage] += now - self._last_s
        self._last_s = now

    def _count(self, detections: int, tracks: Tracks) -> None:
        self._frames += 1
        self._detections += detections
        # Ids rise with the frame of birth and are first given out one frame later, so a new one is higher
        # than all before: no set of ids has to be kept.
        self._identities += int((tracks.track_id > self._highest_id).sum())
        self._highest_id = max(self._highest_id, int(tracks.track_id.max(initial=0)))


def select_detections(raw: RawDetections, letterbox: Letterbox, score_threshold: float) -> Detections:
    """Keep what is above the threshold, in source pixels.

    Parameters
    ----------
    raw : RawDetections
        Of one picture.
    letterbox : Letterbox
        The one the picture went through.
    score_threshold : float

    Returns
    -------
    Detections
    """
    count = int((raw.scores[0] > score_threshold).sum())  # scores descend
    return Detections(
        xyxy=letterbox.to_source(raw.boxes[0, :count]),
        score=raw.scores[0, :count],
        embedding=raw.embeddings[0, :count],
        class_id=raw.class_ids[0, :count],
    )
