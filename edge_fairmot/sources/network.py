"""Network cameras (RTSP, HTTP), read with PyAV, which is FFmpeg."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.address import encode_userinfo, is_network_address, redact, take_option
from edge_fairmot.sources.av import DEFAULT_FRAME_RATE, Decoder, has_flag, presentation_time
from edge_fairmot.sources.base import FrameSource
from edge_fairmot.sources.clock import StreamClock
from edge_fairmot.types import Frame

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.error import FFmpegError

TRANSPORTS = ("tcp", "udp")

ANALYSIS_US = "1000000"
"""Time that FFmpeg analyses a stream before the first frame; its default is 5 s."""

LONGEST_STREAM_GAP_S = 10.0
"""A larger step forward means that the clock of the camera was set."""

SNAPSHOT_RATE = 5.0
"""Frames per second of an address that answers with one image."""

ENCODING_HINT = "in a password write % / ? # @ as %25 %2F %3F %23 %40"


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Settings of a network camera.

    Attributes
    ----------
    transport : str
        Transport of RTSP: ``tcp``, which works everywhere and loses nothing, or ``udp``, which is faster.
    open_timeout_s, read_timeout_s : float
        Maximum time of opening, and of each read, seconds.

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


class NetworkSource(FrameSource):
    """Frames of a network camera, with their presentation times, or their times of arrival if it has none.

    ``?transport=udp`` in the address is taken out of it before the camera sees it. Frames that cannot be
    decoded or are marked as damaged are passed over. An address that answers with one image is requested
    repeatedly. Name and messages contain no user, password or query.
    """

    def __init__(self, address: str, options: NetworkOptions | None = None) -> None:
        name = redact(address)
        if not is_network_address(address):
            raise InvalidInputError(f"{name} is no address: write rtsp://camera/stream, or http://")
        self._address, transport = take_option(encode_userinfo(address), "transport")
        options = options or NetworkOptions()
        self._options = options if transport is None else replace(options, transport=transport)
        super().__init__(name)
        self._container = self._open()
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def _open(self, form: str | None = None) -> InputContainer:
        import av  # noqa: PLC0415

        options = {"analyzeduration": ANALYSIS_US}
        if self._address.startswith("rtsp"):
            # Without audio: FFmpeg waits for every stream that is set up.
            options |= {"rtsp_transport": self._options.transport, "allowed_media_types": "video"}
        began_s = time.monotonic()
        timeouts = (self._options.open_timeout_s, self._options.read_timeout_s)
        try:
            return av.open(
                self._address,
                "r",
                form,
                container_options=options,
                timeout=timeouts,
                metadata_errors="replace",
            )
        except av.error.FFmpegError as error:
            # The message and the error itself hold the address with its password: neither goes further.
            problem = _problem(error, began_s, self._options.open_timeout_s)
            is_no_video = isinstance(error, av.error.InvalidDataError)
        if is_no_video and form is None and self._address.startswith("http"):
            return self._open("mjpeg")  # Motion JPEG without a boundary before its first image
        hint = f"; {ENCODING_HINT}" if "@" in self._address else ""
        raise SourceError(
            f"{self._name} cannot be opened ({problem}): check the address, and that the camera is on{hint}"
        )

    def _look(self) -> None:
        """Wait for the first frame: a camera that opens and shows nothing is not open."""
        container = self._container
        self._decoder = Decoder(container, self._name, "SLICE")  # threads by the frame hold back a frame each
        if container.duration and self._address.startswith("http"):
            raise InvalidInputError(
                f"{self._name} is a recording of {container.duration / 1e6:.0f} s, no camera: download it, "
                "and give the file"
            )
        self._is_snapshot = container.format.name.endswith("_pipe")
        self._keeps_time = not (self._is_snapshot or has_flag(container, "no_timestamps"))
        self._decoded = self._decode()
        self._first = self._take()
        if self._first is None:
            raise SourceError(f"{self._name} ended before its first frame: check the camera")
        height, width = self._decoder.image(self._first).shape[:2]
        rate = SNAPSHOT_RATE if self._is_snapshot else self._decoder.frame_rate or DEFAULT_FRAME_RATE
        self._info = SourceInfo(self._name, (width, height), rate, None, live=True)

    def _decode(self) -> Iterator[VideoFrame]:
        began_s = time.monotonic()
        patience_s = self._options.open_timeout_s + self._options.read_timeout_s
        for packet in self._packets():
            if self._guard.closed:  # while nothing could be decoded
                return
            if time.monotonic() - began_s > patience_s:
                raise SourceError(
                    f"{self._name} sends nothing that can be decoded: check the camera's codec settings"
                )
            for frame in self._decoder.decode(packet):
                patience_s = math.inf
                yield frame

    def _packets(self) -> Iterator[Packet[Any]]:
        if not self._is_snapshot:
            yield from self._container.demux(self._decoder.stream)
            return
        from av.error import FFmpegError  # noqa: PLC0415

        while not self._guard.closed:
            began_s = time.monotonic()
            with suppress(FFmpegError):  # an answer of unknown length ends with an error
                yield from self._container.demux(self._decoder.stream)
            self._container.close()
            time.sleep(max(0.0, 1 / SNAPSHOT_RATE - (time.monotonic() - began_s)))
            self._container = self._open()
            self._decoder = Decoder(self._container, self._name, "SLICE")

    def _take(self) -> VideoFrame | None:
        """Next frame; None at the end, and when closed."""
        from av.error import FFmpegError  # noqa: PLC0415

        began_s = time.monotonic()
        try:
            with self._guard.reading() as is_open:
                return next(self._decoded, None) if is_open else None
        except FFmpegError as error:
            problem = _problem(error, began_s, self._options.read_timeout_s)
        if self._guard.closed:
            return None
        raise SourceError(f"{self._name} gives no more frames ({problem}): check the camera and the network")

    def _release(self) -> None:
        self._container.close()

    def _frames(self) -> Iterator[Frame]:
        clock = StreamClock(1 / self._info.frame_rate, LONGEST_STREAM_GAP_S)
        count = 0
        frame, self._first = self._first, None
        while frame is not None:
            stamp = presentation_time(frame) if self._keeps_time else time.monotonic()
            time_s = clock.advance(None if stamp is None else float(stamp))
            yield Frame(self._decoder.image(frame), count, time_s)
            count += 1
            frame = self._take()
        if not self._guard.closed:
            raise SourceError(f"{self._name} ended after {count} frames: check the camera")


def _problem(error: FFmpegError, began_s: float, timeout_s: float) -> str:
    # A read that the timeout interrupts fails with any error.
    if time.monotonic() - began_s >= timeout_s:
        return f"nothing came for {timeout_s:g} s"
    return error.strerror or type(error).__name__
