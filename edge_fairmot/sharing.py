"""One runtime for several cameras: each gets its turns, and a file of batches gets them full."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import monotonic

import numpy as np

from edge_fairmot.channel import ChannelClosedError
from edge_fairmot.detector import check_outputs, letterbox_frame, select_detections
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import ParallelRuntime, Runtime
from edge_fairmot.types import Detections, Frame, RawDetections, UInt8Array

CLOSING_S = 2.0
"""Maximum wait for the network's threads at the end: the runtime may never return."""


@dataclass(slots=True, eq=False)
class _Place:
    """The place of one camera in the order of turns.

    ``start`` is the virtual time of its next turn; each turn moves it on by ``1 / weight`` (start-time fair
    queueing: Goyal, Vin and Cheng, 1996). A camera that did not wait keeps a credit of one turn at most.
    """

    weight: float
    patience_s: float
    start: float = 0.0
    waiting: bool = False
    granted: bool = False
    left: bool = False


@dataclass(slots=True, eq=False)
class _Job:
    place: _Place
    image: UInt8Array
    due_s: float
    answer: Future[RawDetections] = field(default_factory=Future)


class SharedRuntime:
    """Runs the frames of several cameras with one runtime, in its own threads.

    The camera that has waited longest is next; where cameras have weights, turns are in proportion to them.
    A camera without a frame waits for nothing and holds up no other one. With a file of batches, a batch
    leaves when it is full, or half a frame period after its first frame; the rest of it is padding.

    Parameters
    ----------
    runtime : Runtime
        Stays open: the caller closes it after this.
    clock : callable, optional
        Monotonic clock, in seconds.

    Examples
    --------
    >>> from edge_fairmot import Pipeline, SharedRuntime, Tracker, open_runtime
    >>> shared = SharedRuntime(open_runtime("fairmot.onnx"))  # doctest: +SKIP
    >>> runs = [Pipeline(camera, shared.detector(), Tracker()) for camera in cameras]  # doctest: +SKIP
    >>> for run in runs:  # doctest: +SKIP
    ...     Thread(target=run.run, args=([sink],)).start()
    """

    def __init__(self, runtime: Runtime, *, clock: Callable[[], float] = monotonic) -> None:
        self.runtime = runtime
        self._clock = clock
        self._batch_size = runtime.manifest.batch_size
        self._changed = Condition()
        self._places: list[_Place] = []
        self._jobs: deque[_Job] = deque()
        calls = runtime.parallel_calls if isinstance(runtime, ParallelRuntime) else 1
        self._turns = calls * self._batch_size  # that may be granted now
        self._start = 0.0  # of the last turn
        self._closed = False
        # The name is known to the command line: it ends the process where such a thread hangs.
        self._threads = [
            Thread(target=self._run, name="edge-fairmot inference", daemon=True) for _ in range(calls)
        ]
        for thread in self._threads:
            thread.start()

    def detector(
        self, score_threshold: float = 0.4, *, weight: float = 1.0, frame_rate: float = 30.0
    ) -> CameraDetector:
        """Return the detector of one more camera.

        Parameters
        ----------
        score_threshold : float
            Only detections with a greater score are returned.
        weight : float
            Share of the turns, relative to those of the other cameras.
        frame_rate : float
            Frames per second of the camera: a batch waits half a period of it for others.

        Returns
        -------
        CameraDetector
            For one :class:`~edge_fairmot.Pipeline`.

        Raises
        ------
        InvalidInputError
            If weight or frame rate are not positive.
        """
        if not (0 < weight < np.inf and 0 < frame_rate < np.inf):
            raise InvalidInputError(f"weight and frame_rate must be positive, not {weight} and {frame_rate}")
        place = _Place(weight, 0.5 / frame_rate)
        with self._changed:
            self._places.append(place)
        return CameraDetector(self, place, score_threshold)

    def close(self) -> None:
        """End the threads; cameras that still wait are turned away. May be called twice."""
        with self._changed:
            self._closed = True
            for place in tuple(self._places):
                self._leave(place)
            self._changed.notify_all()
        until_s = monotonic() + CLOSING_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - monotonic()))

    def _take_turn(self, place: _Place, timeout_s: float | None) -> bool:
        with self._changed:
            place.start = max(place.start, self._start - 1 / place.weight)
            place.waiting = True
            self._grant()
            self._changed.wait_for(lambda: place.granted or place.left, timeout_s)
            granted = place.granted
            place.waiting = place.granted = False
            if place.left:
                raise ChannelClosedError
            return granted

    def _grant(self) -> None:
        """Give free turns to those that wait; the lock is held."""
        while self._turns:
            waiting = [place for place in self._places if place.waiting and not place.granted]
            if not waiting:
                break
            place = min(waiting, key=lambda one: one.start)
            self._start = place.start
            place.start += 1 / place.weight
            place.granted = True
            self._turns -= 1
        self._changed.notify_all()

    def _give_back(self, turns: int) -> None:
        with self._changed:
            self._turns += turns
            self._grant()

    def _submit(self, place: _Place, image: UInt8Array) -> Future[RawDetections]:
        """Put an image, uint8 (H, W, 3), into the next batch; this uses up a turn."""
        with self._changed:
            if place.left:
                self._give_back(1)
                raise ChannelClosedError
            job = _Job(place, image, self._clock() + place.patience_s)
            self._jobs.append(job)
            self._changed.notify_all()
        return job.answer

    def _leave(self, place: _Place) -> None:
        with self._changed:
            if place.left:
                return
            place.left = True
            self._places.remove(place)
            gone = [job for job in self._jobs if job.place is place]
            for job in gone:
                self._jobs.remove(job)
                job.answer.set_exception(ChannelClosedError())
            self._give_back(len(gone) + place.granted)

    def _run(self) -> None:
        while jobs := self._next_batch():
            self._answer(jobs)
            self._give_back(len(jobs))

    def _next_batch(self) -> list[_Job]:
        """Wait for a batch that is full or due; empty at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return []
                wait_s = self._jobs[0].due_s - self._clock()
                if wait_s <= 0 or self._is_full():
                    return [self._jobs.popleft() for _ in range(min(self._batch_size, len(self._jobs)))]
                self._changed.wait(wait_s)

    def _is_full(self) -> bool:
        return len(self._jobs) >= min(self._batch_size, len(self._places))

    def _answer(self, jobs: list[_Job]) -> None:
        """Run the network for one batch; the last image fills it up."""
        images = [job.image for job in jobs]
        batch = np.stack(images + images[-1:] * (self._batch_size - len(images)))
        try:
            raw = check_outputs(self.runtime.infer(batch), self.runtime.manifest, self.runtime.name)
        except BaseException as error:  # raised again in the thread that waits for it
            if len(jobs) == 1:
                jobs[0].answer.set_exception(error)
            else:  # only the camera whose image it is has the error
                for job in jobs:
                    self._answer([job])
            return
        for row, job in enumerate(jobs):
            one = slice(row, row + 1)
            job.answer.set_result(
                RawDetections(raw.boxes[one], raw.scores[one], raw.class_ids[one], raw.embeddings[one])
            )


class CameraDetector:
    """The detector of one camera of a :class:`SharedRuntime`; made by its ``detector``.

    Attributes
    ----------
    runtime : Runtime
        The runtime that is shared.
    score_threshold : float
        Only detections with a greater score are returned.
    """

    def __init__(self, shared: SharedRuntime, place: _Place, score_threshold: float) -> None:
        self.runtime = shared.runtime
        self.score_threshold = score_threshold
        self._shared, self._place = shared, place

    @property
    def name(self) -> str:
        """Name of the runtime, as in ``openvino:CPU``."""
        return self.runtime.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class id, as the file has them."""
        return tuple(self.runtime.manifest.class_names)

    def take_turn(self, timeout_s: float | None = None) -> bool:
        """Wait until this camera may prepare a frame; see :class:`edge_fairmot.protocols.SharedDetector`."""
        return self._shared._take_turn(self._place, timeout_s)

    def leave(self) -> None:
        """Leave the shared runtime, from any thread: this camera gets no turn any more."""
        self._shared._leave(self._place)

    def detect(self, frame: Frame) -> Detections:
        """Return the detections of one frame, in source pixels, when its turn has come.

        Raises
        ------
        InferenceError
            If the runtime cannot run, or its outputs are not those of :class:`~edge_fairmot.RawDetections`.
        """
        self.take_turn()
        return self.prepare(frame)()

    def prepare(self, frame: Frame) -> Callable[[], Detections]:
        """Letterbox a frame and send it to the network; the returned function waits for the detections."""
        width, height = self.runtime.manifest.input_size
        image = np.empty((height, width, 3), np.uint8)
        try:
            letterbox = letterbox_frame(frame, (width, height), image)
        except BaseException:
            self._shared._give_back(1)
            raise
        answer = self._shared._submit(self._place, image)
        return lambda: select_detections(answer.result(), letterbox, self.score_threshold)
