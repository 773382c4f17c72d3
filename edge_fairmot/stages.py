"""The stages before association, each in a thread of its own: capture, letterbox, inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any

import numpy as np

from edge_fairmot.channel import Channel, ChannelClosedError
from edge_fairmot.contracts import Runtime, Source
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.geometry import Letterbox
from edge_fairmot.schedule import DetectionPacer, DetectionSchedule
from edge_fairmot.types import Frame, RawDetections, UInt8Array

QUEUE_DEPTH = 2
"""Frames that may wait between two stages: enough for an uneven decoder, and little memory."""

LONGEST_FAREWELL_S = 1.0
"""How long the end of a run waits for a live source that may never give another frame."""

Clock = Callable[[], float]


class StageTimes:
    """Seconds that each stage was busy. A stage adds to its own alone, so no lock is needed.

    Parameters
    ----------
    names : tuple of str
    clock : callable
        Gives seconds.
    """

    def __init__(self, names: tuple[str, ...], clock: Clock) -> None:
        self.clock = clock
        self.busy_s = dict.fromkeys(names, 0.0)

    def add(self, stage: str, started_s: float) -> float:
        """Add the time since then, and return it."""
        elapsed_s = self.clock() - started_s
        self.busy_s[stage] += elapsed_s
        return elapsed_s


@dataclass(frozen=True, slots=True)
class _Prepared:
    frame: Frame
    letterbox: Letterbox
    batch: UInt8Array | None


@dataclass(frozen=True, slots=True)
class Inferred:
    """A frame after inference.

    Attributes
    ----------
    frame : Frame
    letterbox : Letterbox
        The one that its picture went or would have gone through.
    raw : RawDetections or None
        None where the frame is to be predicted.
    """

    frame: Frame
    letterbox: Letterbox
    raw: RawDetections | None


class Stages:
    """Three threads that turn a source into inferred frames, in order, a few frames ahead of who iterates.

    Frames of a file wait for each other, and none is dropped. Of a live source only the newest frame waits;
    it is prepared when the network is free and not before, so that it does not grow old.

    Parameters
    ----------
    source : Source
    runtime : Runtime
        Called from one thread, in frame order.
    schedule : DetectionSchedule
    times : StageTimes
        Of the stages ``decode``, ``letterbox`` and ``inference``.
    """

    def __init__(
        self, source: Source, runtime: Runtime, schedule: DetectionSchedule, times: StageTimes
    ) -> None:
        self._source, self._runtime, self._times = source, runtime, times
        self._live = source.info.live
        self._pacer = DetectionPacer(schedule)
        self._replaced = self._outdated = 0
        self._captured: Channel[Frame] = Channel(1 if self._live else QUEUE_DEPTH)
        self._prepared: Channel[_Prepared] = Channel(QUEUE_DEPTH)
        self._inferred: Channel[Inferred] = Channel(1)
        # A ring: a batch goes round from the letterbox to the network and back.
        self._batches: Channel[UInt8Array] = Channel(1 if self._live else QUEUE_DEPTH)
        self._threads = (
            _worker("capture", self._capture, self._captured),
            _worker("letterbox", self._prepare, self._prepared),
            _worker("inference", self._infer, self._inferred),
        )

    @property
    def dropped(self) -> int:
        """Frames of a live source that a newer one took the place of, here or in the source."""
        return self._replaced + self._outdated

    def start(self) -> None:
        """Start the threads."""
        width, height = self._runtime.manifest.input_size
        for _ in range(1 if self._live else QUEUE_DEPTH):
            self._batches.put(np.empty((1, height, width, 3), np.uint8))
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Inferred]:
        """Inferred frames in order, and then what any stage failed with."""
        return iter(self._inferred)

    def end(self) -> None:
        """Give out no more frames; from any thread."""
        self._inferred.close()

    def stop(self) -> None:
        """End the threads and wait for them: for the read and the inference that are going on, no longer."""
        for channel in (self._captured, self._batches, self._prepared, self._inferred):
            channel.close()
        capture, *others = self._threads
        for thread in others:
            if thread.ident is not None:
                thread.join()
        if capture.ident is not None:
            capture.join(LONGEST_FAREWELL_S if self._live else None)

    def _capture(self) -> None:
        times, frames = self._times, iter(self._source)
        due: int | None = None
        while True:
            started_s = times.clock()
            frame = next(frames, None)
            times.add("decode", started_s)
            if frame is None:
                return
            if self._live:
                # A source that buffers passes over frames too when this thread is late.
                self._replaced += max(0, frame.index - due) if due is not None else 0
                due = frame.index + 1
                self._replaced += self._captured.put_latest(frame)
            else:
                self._captured.put(frame)

    def _prepare(self) -> None:
        letterbox: Letterbox | None = None
        while True:
            waiting = self._captured.poll()
            frame = self._captured.get() if waiting is None else waiting
            awaited = self._live and waiting is None
            batch: UInt8Array | None = None
            if self._pacer.wants_detection(self._times.clock(), source_was_awaited=awaited):
                batch = self._batches.get()
                frame = self._newest(frame)
            size = frame.image.shape[1::-1]
            if letterbox is None or letterbox.source_size != size:
                letterbox = Letterbox((size[0], size[1]), self._runtime.manifest.input_size)
            if batch is not None:
                started_s = self._times.clock()
                _fill(batch[0], frame, letterbox)
                self._times.add("letterbox", started_s)
            self._prepared.put(_Prepared(frame, letterbox, batch))

    def _newest(self, frame: Frame) -> Frame:
        """Give what has come in from a live source while this frame waited for the network, if anything."""
        newer = self._captured.poll() if self._live else None
        if newer is None:
            return frame
        self._outdated += 1
        return newer

    def _infer(self) -> None:
        for prepared in self._prepared:
            raw: RawDetections | None = None
            if prepared.batch is not None:
                started_s = self._times.clock()
                raw = self._runtime.infer(prepared.batch)
                self._pacer.took(self._times.add("inference", started_s))
                self._batches.put(prepared.batch)
            self._inferred.put(Inferred(prepared.frame, prepared.letterbox, raw))


def _fill(batch: UInt8Array, frame: Frame, letterbox: Letterbox) -> None:
    if frame.reduced is None:
        letterbox.apply(frame.image, out=batch)
        return
    width, height = frame.reduced.shape[1::-1]
    reduced = Letterbox((width, height), letterbox.input_size)
    if reduced.inner_size != letterbox.inner_size:
        large = "x".join(map(str, letterbox.source_size))
        raise InvalidInputError(
            f"the camera's small picture, {width}x{height}, is of another shape than its large one, {large}: "
            "ask for one shape, as in size=1152x640,lores=576x320"
        )
    reduced.apply(frame.reduced, out=batch)


def _worker(name: str, work: Callable[[], None], output: Channel[Any]) -> Thread:
    def run() -> None:
        try:
            work()
        except ChannelClosedError:
            output.finish()
        except BaseException as error:  # raised again by who gets from the channel
            output.finish(error)
        else:
            output.finish()

    # A daemon: a read that never returns must not keep the process alive.
    return Thread(target=run, name=f"edge-fairmot {name}", daemon=True)
