"""Protocols of the loop: source, runtime, detector and sink.

They are protocols: any object of this shape fits; no base class is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from edge_fairmot.manifest import ModelManifest
from edge_fairmot.types import Detections, Frame, FrameResult, GroundTruth, RawDetections, UInt8Array


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of a source.

    Attributes
    ----------
    name : str
        Path or address, as given by the user, without credentials.
    frame_size : (int, int)
        Width and height, pixels.
    frame_rate : float
        Frames per second of the source's clock.
    frame_count : int or None
        Number of frames; None where it is unknown.
    live : bool
        True where frames come at their own pace, as from a camera. The loop then works on the newest frame
        and drops older ones. It drops no frame of any other source.
    """

    name: str
    frame_size: tuple[int, int]
    frame_rate: float
    frame_count: int | None
    live: bool = False


class Source(Protocol):
    """Source of frames. Iterated once."""

    @property
    def info(self) -> SourceInfo:
        """Properties of the source."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in order.

        The loop reads them ahead, in a thread: each frame has an array of its own, which the source does not
        use again.

        Raises
        ------
        SourceError
            After the last good frame, if the source ended too early.
        """

    def close(self) -> None:
        """Release files and devices. May be called twice, and from another thread than the reading one.

        It ends the iteration without an error, also while a live source waits for a frame.
        """


@runtime_checkable
class HasGroundTruth(Protocol):
    """A source that knows the true objects of its frames."""

    def truth(self, index: int) -> GroundTruth:
        """Return the true objects of the frame with this index; from any thread."""


SourceStatus: TypeAlias = Literal["starting", "running", "lost", "stalled", "ended"]


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a live source at one moment.

    Attributes
    ----------
    status : str
        ``starting`` until the first frame, ``running`` while frames come, ``lost`` while the camera is opened
        again, ``stalled`` while a detector, a decoder or an output does not return (set by ``live``, by no
        source), ``ended`` after the last frame.
    since_s : float
        Start of this status, on ``time.monotonic``'s clock.
    reconnects : int
        How often frames came again after they had stopped.
    message : str
        One line about the status, without credentials; may be empty.
    """

    status: SourceStatus
    since_s: float
    reconnects: int = 0
    message: str = ""


class Runtime(Protocol):
    """What runs an exported file.

    The loop calls :meth:`infer` in frame order from one thread, which is not the thread that opened the
    runtime.
    """

    @property
    def name(self) -> str:
        """Backend and device, as in ``cpu`` or ``openvino:GPU``."""

    @property
    def manifest(self) -> ModelManifest:
        """The manifest of the file."""

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network.

        Parameters
        ----------
        images : uint8 (N, H, W, 3)
            BGR, letterboxed to the manifest's input size. The caller reuses the array after the call.

        Returns
        -------
        RawDetections
            Arrays that later calls do not change.

        Raises
        ------
        InferenceError
            If the input does not fit the file, or the outputs hold NaN.
        """

    def close(self) -> None:
        """Release the session. May be called twice."""


@runtime_checkable
class ParallelRuntime(Runtime, Protocol):
    """A runtime that takes several calls of :meth:`infer` at a time, from as many threads."""

    @property
    def parallel_calls(self) -> int:
        """Number of calls at a time that makes it fastest."""


class Detector(Protocol):
    """What finds the objects of a frame.

    :class:`edge_fairmot.FairMotDetector` runs an exported file, :class:`edge_fairmot.CachedDetector` reads a
    detection cache. The loop calls :meth:`detect` in frame order from one thread.
    """

    def detect(self, frame: Frame) -> Detections | None:
        """Return the detections of a frame in source pixels, or None to have its tracks predicted.

        Raises
        ------
        InferenceError
            If the frame cannot be processed.
        """


@runtime_checkable
class HasClassNames(Protocol):
    """A detector that names its classes; one without finds people only."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class id."""


@runtime_checkable
class PreparingDetector(Detector, Protocol):
    """A detector with two parts of work per frame, which the loop runs in two threads."""

    def prepare(self, frame: Frame) -> Callable[[], Detections | None]:
        """Do the first part; the returned function does the second and returns what ``detect`` would."""


@runtime_checkable
class SharedDetector(PreparingDetector, Protocol):
    """A detector that several loops share. A loop takes a turn for each frame that it prepares."""

    def take_turn(self, timeout_s: float | None = None) -> bool:
        """Wait until a frame may be prepared, ``timeout_s`` at most; False if the turn has not come.

        Raises ChannelClosedError after :meth:`leave`.
        """

    def leave(self) -> None:
        """End all waiting of this loop. Safe in any thread, and a second time."""


OutputHealth: TypeAlias = Mapping[str, Any]
"""State of an output that continues after an error. ``trouble`` is the present error, or empty. Keys that
begin with ``missed_`` count lost frames and events."""


class Sink(Protocol):
    """Output for results."""

    def write(self, result: FrameResult) -> None:
        """Take the result of one frame. What was written survives a crash right after.

        Raises
        ------
        SinkError
            If it cannot be written.
        """

    def close(self) -> None:
        """Finish the output. May be called twice."""


@runtime_checkable
class HasHealth(Protocol):
    """A sink that continues after an error and reports it."""

    @property
    def health(self) -> Mapping[str, OutputHealth]:
        """State of each output of this sink, by name."""


def output_health(sinks: Sequence[Sink]) -> dict[str, OutputHealth]:
    """Return the health of every output that reports one, by name."""
    return {
        name: health for sink in sinks if isinstance(sink, HasHealth) for name, health in sink.health.items()
    }
