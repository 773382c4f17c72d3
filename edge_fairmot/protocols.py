"""The three seams of the loop: where frames come from, what looks at them, where tracks go.

They are protocols: anything of this shape fits, no base class is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from edge_fairmot.manifest import ModelManifest
from edge_fairmot.types import Frame, RawDetections, Tracks, UInt8Array

# FOLDED sources/state.py: How a live source is doing, for whoever watches it from outside the loop.

SourceStatus: TypeAlias = Literal["starting", "running", "lost", "ended"]


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is known about a source at one moment.

    Attributes
    ----------
    status : str
        ``starting`` until the first frame, ``running`` while frames come, ``lost`` while it is waited for or
        opened again, ``ended`` when nothing more will come.
    since_s : float
        When that began, on ``time.monotonic``'s clock.
    reconnects : int
        How often frames came again after they had stopped.
    message : str
        One line about it, without credentials; empty where there is nothing to say.
    """

    status: SourceStatus
    since_s: float
    reconnects: int = 0
    message: str = ""


# FOLDED sinks/state.py: How the outputs of a run are doing, for whoever tells it.

Outputs: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Outputs that go on after an error, by name: ``trouble`` is why one gives nothing now, empty where it does;
what begins with ``missed_`` counts what was lost."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says it will deliver.

    Attributes
    ----------
    name : str
        Path or address, as given by the user.
    frame_size : (int, int)
        Width and height, pixels.
    frame_rate : float
        Frames per second of the source's clock.
    frame_count : int or None
        How many frames it holds; None where that is unknown.
    live : bool
        True where frames come whether or not they are asked for, as from a camera. The loop then works on
        the newest and drops those it has no time for; of any other source it drops none.
    """

    name: str
    frame_size: tuple[int, int]
    frame_rate: float
    frame_count: int | None
    live: bool = False


class Source(Protocol):
    """Where frames come from. Iterated once."""

    @property
    def info(self) -> SourceInfo:
        """What it will deliver."""

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order.

        They are read in a thread of the loop's, ahead of their use: each has an array of its own, which the
        source does not change or use again.

        Raises
        ------
        SourceError
            After the last good frame, if the source ended before it should.
        """

    def close(self) -> None:
        """Release files and devices. May be called twice, and from another thread than the one that reads.

        It ends the iteration, without an error; of a live source also where it waits for a frame.
        """


class Runtime(Protocol):
    """What runs an exported file.

    The loop calls :meth:`infer` in the order of the frames and from one thread, which is not the one that
    opened the runtime.
    """

    @property
    def name(self) -> str:
        """Backend and device, as in ``cpu`` or ``openvino:GPU``."""

    @property
    def manifest(self) -> ModelManifest:
        """The manifest of the file it runs."""

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network.

        Parameters
        ----------
        images : uint8 (N, H, W, 3)
            BGR, letterboxed to the manifest's input size. Not to be kept: the caller writes the next picture
            into it.

        Returns
        -------
        RawDetections
            Arrays of the caller's: a later call does not change them.

        Raises
        ------
        InferenceError
            If the input does not fit the file, or the outputs hold NaN.
        """

    def close(self) -> None:
        """Release the session. May be called twice."""


class Sink(Protocol):
    """Where tracks go."""

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take the tracks of one frame; what is written survives a crash right after.

        Raises
        ------
        SinkError
            If it cannot be written.
        """

    def close(self) -> None:
        """Finish what was written. May be called twice."""
