"""Network cameras (RTSP, HTTP) through PyAV, which is FFmpeg."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.address import is_network_address, take_option, without_secrets
from edge_fairmot.sources.base import ReadingGuard
from edge_fairmot.sources.decoding import RisingClock, StreamClock
from edge_fairmot.types import Frame

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

TRANSPORTS = ("tcp", "udp")

DEFAULT_FRAME_RATE = 25.0
"""For a camera that does not tell its rate; frames come with their times all the same."""

MAX_FRAME_RATE = 240.0
"""Above this a stated rate is a clock's, not a camera's."""

ANALYSIS_US = "1000000"
"""How long FFmpeg watches a stream before it gives the first picture: usually it takes 5 s."""

TIMELESS_FORMATS = frozenset({"mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe", "h264", "hevc"})
"""Formats that carry no times: FFmpeg makes some up from a rate that nobody told it. Arrival counts there."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a network camera is read.

    Attributes
    ----------
    transport : str
        Of RTSP: ``tcp``, which every network lets through and loses nothing, or ``udp``, which waits for
        nothing.
    open_timeout_s, read_timeout_s : float
        How long opening may take, and each read.

    Raises
    ------
    InvalidInputError
        If a value is out of range.
    """

    transport: str = "tcp"
    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if self.transport not in TRANSPORTS:
            raise InvalidInputError(
                f"transport must be one of {', '.join(TRANSPORTS)}, not {self.transport!r}"
            )
        for name in ("open_timeout_s", "read_timeout_s"):
            if not 0 < getattr(self, name) <= 600:
                raise InvalidInputError(f"{name} must be above 0 and at most 600, not {getattr(self, name)}")


class NetworkSource(AbstractContextManager["NetworkSource"]):
    """Frames of a network camera, with their presentation times.

    ``?transport=udp`` in the address is taken out of it before the camera sees it. What cannot be decoded
    or is marked as damaged is passed over: after a loss pictures come again with the next whole one. Name
    and messages are without user, password and query.

    Parameters
    ----------
    address : str
        ``rtsp://``, ``rtsps://``, ``http://`` or ``https://``.
    options : NetworkOptions, optional

    Raises
    ------
    SourceError
        If nothing answers, or what answers gives no picture in time.
    InvalidInputError
        If it is no such address, or the transport in it is unknown.
    MissingDependencyError
        If PyAV is not installed.
    """

    def __init__(self, address: str, options: NetworkOptions | None = None) -> None:
        self._name = without_secrets(address)
        if not is_network_address(address):
            raise InvalidInputError(f"{self._name} is no address: write rtsp://camera/stream, or http://")
        bare, transport = take_option(address, "transport")
        options = options or NetworkOptions()
        self._options = options if transport is None else replace(options, transport=transport)
        self._av = _import_av()
        container = self._open(bare)
        self._guard = ReadingGuard(container.close)
        try:
            self._info, self._pictures = self._look(container)
        except BaseException:
            self._guard.close()
            raise

    @property
    def info(self) -> SourceInfo:
        """Size of the first picture, and the rate that the camera tells."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come, once.

        Raises
        ------
        SourceError
            If the camera goes away or says nothing for longer than the timeout; at once, if the source was
            read or closed before.
        """
        pictures, self._pictures = self._pictures, None
        if pictures is None or self._guard.closed:
            raise SourceError(f"{self._name} was read or closed already: open it again")
        return self._read(pictures)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration and the connection; a read that goes on ends with its timeout.

        May be called twice.
        """
        self._guard.close()

    def _open(self, address: str) -> InputContainer:
        options = {"analyzeduration": ANALYSIS_US}
        if address.lower().startswith("rtsp"):
            # Sound is not asked for: FFmpeg waits for every stream of which it was promised one.
            options |= {"rtsp_transport": self._options.transport, "allowed_media_types": "video"}
        began_s = time.monotonic()
        timeouts = (self._options.open_timeout_s, self._options.read_timeout_s)
        try:
            container: InputContainer = self._av.open(
                address, "r", options=options, timeout=timeouts, metadata_errors="replace"
            )
            return container
        except self._av.error.FFmpegError as error:
            # FFmpeg's message and the error itself hold the address with its password.
            problem = _problem(error, began_s, self._options.open_timeout_s)
        raise SourceError(f"{self._name} cannot be opened ({problem}): check the address, and that it is on")

    def _look(self, container: InputContainer) -> tuple[SourceInfo, Iterator[av.VideoFrame] | None]:
        """Wait for the first picture: a camera that opens and shows nothing is not open."""
        if not container.streams.video:
            raise SourceError(f"{self._name} has no video: check the address")
        if container.duration and self._name.startswith("http"):
            seconds = container.duration / 1e6
            raise InvalidInputError(
                f"{self._name} is a recording of {seconds:.0f} s, no camera: download it, and give the file"
            )
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # threads by the frame hold back a frame each
        pictures = self._decode(container)
        first = self._take(pictures)
        if first is None:
            raise SourceError(f"{self._name} ended before its first picture: check the camera")
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        self._keeps_time = container.format.name not in TIMELESS_FORMATS
        info = SourceInfo(
            name=self._name,
            frame_size=(first.width, first.height),
            frame_rate=rate if 0 < rate <= MAX_FRAME_RATE else DEFAULT_FRAME_RATE,
            frame_count=None,
            live=True,
        )
        return info, _chain(first, pictures)

    def _decode(self, container: InputContainer) -> Iterator[av.VideoFrame]:
        began_s = time.monotonic()
        patience_s: float | None = self._options.open_timeout_s + self._options.read_timeout_s
        for packet in container.demux(container.streams.video[0]):
            if self._guard.closed:  # while nothing could be decoded
                return
            if patience_s is not None and time.monotonic() - began_s > patience_s:
                raise SourceError(
                    f"{self._name} sends nothing that can be decoded: check the camera's codec settings"
                )
            with suppress(self._av.error.InvalidDataError):
                for picture in packet.decode():
                    if isinstance(picture, self._av.VideoFrame) and not picture.is_corrupt:
                        patience_s = None
                        yield picture

    def _take(self, pictures: Iterator[av.VideoFrame]) -> av.VideoFrame | None:
        """Give the next picture; None at the end, and when closed."""
        began_s = time.monotonic()
        try:
            with self._guard.reading() as is_open:
                return next(pictures, None) if is_open else None
        except self._av.error.FFmpegError as error:
            problem = _problem(error, began_s, self._options.read_timeout_s)
        if self._guard.closed:
            return None
        raise SourceError(
            f"{self._name} gives no more pictures ({problem}): check the camera and the network"
        )

    def _read(self, pictures: Iterator[av.VideoFrame]) -> Iterator[Frame]:
        clock = StreamClock(RisingClock(1 / self._info.frame_rate))
        count = 0
        while (picture := self._take(pictures)) is not None:
            presented_s = picture.time if self._keeps_time else time.monotonic()
            image = np.ascontiguousarray(picture.to_ndarray(format="bgr24"), np.uint8)
            yield Frame(image, count, clock.advance(presented_s))
            count += 1
        if not self._guard.closed:
            raise SourceError(f"{self._name} ended after {count} frames: check the camera")


def _problem(error: av.error.FFmpegError, began_s: float, timeout_s: float) -> str:
    # What a timeout interrupts reports whatever it makes of the interruption.
    if time.monotonic() - began_s >= timeout_s:
        return f"nothing came for {timeout_s:g} s"
    return error.strerror or type(error).__name__


def _import_av() -> ModuleType:
    try:
        import av  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("av", "live", "to read network cameras") from error
    return av


def _chain(first: av.VideoFrame, rest: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield first
    yield from rest
