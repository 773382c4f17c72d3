"""Video files, read with PyAV, which is FFmpeg. PyAV is imported when a video is opened."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.base import FrameSource, SourceOptions
from edge_fairmot.sources.clock import LARGEST_STEP_BACK_S, StreamClock
from edge_fairmot.types import Frame, UInt8Array

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.error import FFmpegError
    from av.filter import Graph
    from av.video.stream import VideoStream

DEFAULT_FRAME_RATE = 25.0
"""Frame rate of a stream that states none."""

MAX_FRAME_RATE = 480.0
"""A higher rate is that of a clock, not of a camera: browsers write 1000 into WebM files."""

LARGEST_PIXEL_ASPECT = 8
"""A pixel shape further from square is a damaged header."""

SMALLEST_PIXEL_STRETCH = 0.01
"""Encoders round: a pixel shape closer to square, as 1280:1281, is square, and its image is not resampled."""

TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
"""Rotation by the angle of the display matrix, degrees counter-clockwise."""


class Decoder:
    """Decodes the largest video stream of a container to progressive frames, and skips damage.

    ``lost`` counts the packets and frames that cannot be decoded or are marked as damaged.
    """

    def __init__(self, container: InputContainer, name: str, threads: str) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter  # noqa: PLC0415

        self.stream = _choose_stream(container, name)
        self.stream.thread_type = threads
        self.lost = 0
        self._reformatter, self._interpolation = VideoReformatter(), Interpolation.BICUBIC
        self._deinterlacer: Graph | None = None
        self._deinterlaced: tuple[int, int, str] | None = None

    @property
    def frame_rate(self) -> float | None:
        """Frames per second that the stream states; None where it states none."""
        for rate in (self.stream.guessed_rate, self.stream.average_rate):
            if rate and 0 < rate <= MAX_FRAME_RATE:
                return float(rate)
        return None

    def decode(self, packet: Packet[Any]) -> Iterator[VideoFrame]:
        """Yield the frames that this packet completes. The empty packet at the end completes the last."""
        from av import VideoFrame  # noqa: PLC0415
        from av.error import FFmpegError  # noqa: PLC0415

        try:
            for frame in packet.decode():
                if isinstance(frame, VideoFrame):
                    if frame.is_corrupt:
                        self.lost += 1
                    else:
                        yield from self._deinterlace(frame)
        except FFmpegError:
            self.lost += 1
        if packet.size == 0:
            yield from self._finish()

    def _deinterlace(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Filter all frames from the first interlaced one on; the filter changes only interlaced frames."""
        shape = (frame.width, frame.height, frame.format.name)
        if self._deinterlacer is None and not frame.interlaced_frame:
            yield frame
            return
        if self._deinterlacer is None or self._deinterlaced != shape:
            yield from self._finish()
            self._deinterlacer, self._deinterlaced = _make_deinterlacer(frame), shape
        self._deinterlacer.vpush(frame)
        yield from _pull(self._deinterlacer)

    def _finish(self) -> Iterator[VideoFrame]:
        deinterlacer, self._deinterlacer = self._deinterlacer, None
        if deinterlacer is not None:
            deinterlacer.vpush(None)
            yield from _pull(deinterlacer)

    def restart(self) -> None:
        """Reset, to continue at another key frame."""
        self.stream.codec_context.flush_buffers()
        self._deinterlacer = self._deinterlaced = None

    def image(self, frame: VideoFrame, size: tuple[int, int] | None = None) -> UInt8Array:
        """BGR image of a frame, upright, with square pixels; scaled to (width, height) where given."""
        angle = frame.rotation % 360
        if size is None:
            size = (round(frame.width * self._pixel_aspect()), frame.height)
        elif angle in (90, 270):
            size = size[::-1]
        converted = self._reformatter.reformat(frame, *size, "bgr24", interpolation=self._interpolation)
        image = np.ascontiguousarray(converted.to_ndarray(), np.uint8)
        return np.asarray(cv2.rotate(image, TURNS[angle]), np.uint8) if angle in TURNS else image

    def _pixel_aspect(self) -> Fraction:
        aspect = self.stream.sample_aspect_ratio or Fraction(1)
        stretch = max(aspect, 1 / aspect) if aspect > 0 else Fraction(1)
        return aspect if 1 + SMALLEST_PIXEL_STRETCH < stretch <= LARGEST_PIXEL_ASPECT else Fraction(1)


def _choose_stream(container: InputContainer, name: str) -> VideoStream:
    """Choose the video stream with most pixels, of equal ones the default. A cover image does not count."""
    from av.stream import Disposition  # noqa: PLC0415

    streams = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not streams:
        raise SourceError(f"{name} has no video stream: check that it is a video")
    decodable = [one for one in streams if one.codec_context is not None]
    if not decodable:
        raise SourceError(f"{name} has a video codec that PyAV cannot decode: convert it to H.264")
    return max(
        decodable, key=lambda one: (one.width * one.height, bool(one.disposition & Disposition.default))
    )


def has_flag(container: InputContainer, name: str) -> bool:
    """Whether the container's format has one of FFmpeg's format flags."""
    from av.format import Flags  # noqa: PLC0415

    return bool(container.format.flags & int(getattr(Flags, name).value))


def _make_deinterlacer(frame: VideoFrame) -> Graph:
    from av.filter import Graph  # noqa: PLC0415

    graph = Graph()
    time_base = frame.time_base or Fraction(1, 1000)
    source = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=time_base)
    # One frame for each frame; frames that are not interlaced pass as they are.
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pull(graph: Graph) -> Iterator[VideoFrame]:
    from av.error import BlockingIOError, EOFError  # noqa: A004, PLC0415

    with suppress(BlockingIOError, EOFError):
        while True:
            yield graph.vpull()


FILE_OPTIONS = {  # of the container alone: PyAV 16 crashes on "options" where streams appear later
    # Otherwise a transport stream with a clock that goes back continues 26 hours later, at the overflow.
    "correct_ts_overflow": "0",
    # A playlist that is named as a video must not open other addresses.
    "protocol_whitelist": "file",
}

PACKET_SIZES = (188, 192, 204, 2048, 2324)
"""Bytes of the packets of transport and program streams. Recorders cut those anywhere between two packets."""

STATED_DURATIONS = ("matroska", "mov", "flv")
"""Formats with the duration in the header; FFmpeg estimates that of others."""

LONGEST_GROUP = 1000
"""Packets from one key frame to the next that are held while a part is looked for."""

LONGEST_GAP_FACTOR = 3.0
SHORTEST_LOSS_S, SHORTEST_LOSS_SHARE = 0.5, 0.05
"""The end of a file is missing if all streams end earlier than stated: by more than this time (or this share
of a short file), and by more than ``LONGEST_GAP_FACTOR`` times the longest time between two frames, because
the last frame may be shown for long."""


class VideoSource(FrameSource):
    """Frames of one video file, in order, with their presentation times.

    Interlaced frames are deinterlaced, pixels made square, and frames turned upright; a frame of another size
    is scaled to the size of the first. ``time_s`` counts from the first frame. A time stamp that is missing
    or goes back becomes one frame period after the last. Of several video streams the largest is read.

    A damaged file yields every frame that can be decoded, and then an error. After damage ``index`` follows
    the time. ``info.frame_count`` is an estimate where the file does not list its frames.

    Parameters
    ----------
    path : str or Path
        A file that FFmpeg can decode; the name may hold any bytes.
    options : SourceOptions, optional

    Raises
    ------
    SourceError
        If it is not there, empty, not a video, or holds no frame that can be decoded.
    """

    def __init__(self, path: str | Path, options: SourceOptions | None = None) -> None:
        import av  # noqa: PLC0415

        self._path, self._options = Path(path), options or SourceOptions()
        head = _read_head(self._path)
        try:
            self._container: InputContainer = av.open(
                f"file:{self._path}", container_options=FILE_OPTIONS, metadata_errors="replace"
            )
        except av.error.FFmpegError as error:
            raise SourceError(f"{path} {_why_unreadable(head, error)}; {_remedy(self._path)}") from error
        super().__init__(str(path))
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._decoder = Decoder(self._container, self._name, "AUTO")
        self._is_packetized = has_flag(self._container, "ts_discont")
        self._has_no_times = bool(self._options.frame_rate) or has_flag(self._container, "no_timestamps")
        self._seen, self._ends_damaged = 0, False
        self._video_end_s = self._file_end_s = 0.0
        self._packets = self._demux()
        self._decoded = self._decode()
        self._first = self._take()
        if self._first is None:
            raise SourceError(f"{self._path} holds no video that can be decoded; {_remedy(self._path)}")
        rate = self._options.frame_rate or self._decoder.frame_rate or DEFAULT_FRAME_RATE
        height, width = self._decoder.image(self._first).shape[:2]
        count = self._options.count(self._stated_count(), rate)
        self._info = SourceInfo(self._name, (width, height), rate, count)
        self._origin = presentation_time(self._first) or Fraction(0)
        self._clock = StreamClock(1 / rate)
        self._index, self._longest_gap_s, self._last_stamp_s = 0, 0.0, -math.inf
        # What comes before the first frame, as where a stream is cut in front of a key frame, is not lost.
        self._decoder.lost = self._lost = 0
        self._damaged_after: int | None = None

    def _stated_count(self) -> int | None:
        stream, container, rate = self._decoder.stream, self._container, self._decoder.frame_rate
        if stream.frames or rate is None or not container.duration:
            return stream.frames or None
        # The duration counts from the first stamp in transport streams, and from 0 elsewhere.
        end_s = (container.duration + (container.start_time or 0 if self._is_packetized else 0)) / 1e6
        start_s = float((stream.start_time or 0) * (stream.time_base or 0))
        return max(1, round((end_s - start_s if start_s < end_s else end_s) * rate))

    def _demux(self) -> Iterator[Packet[Any]]:
        """Packets of the video stream. Those of the others are looked at: all together end with the file."""
        from av.error import FFmpegError  # noqa: PLC0415

        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                self._ends_damaged = True
                return
            if packet is None:
                return
            is_video = packet.stream is self._decoder.stream
            if packet.size:
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is not None and packet.time_base:
                    end_s = float((stamp + (packet.duration or 0)) * packet.time_base)
                    self._file_end_s = max(self._file_end_s, end_s)
                    self._video_end_s = max(self._video_end_s, end_s if is_video else 0.0)
                if is_video or not self._is_packetized:
                    self._ends_damaged = packet.is_corrupt
            if is_video:
                self._seen += bool(packet.size) and not packet.is_discard
                yield packet

    def _decode(self) -> Iterator[VideoFrame]:
        while (packet := next(self._packets, None)) is not None:
            yield from self._decoder.decode(packet)

    def _take(self) -> VideoFrame | None:
        with self._guard.reading() as is_open:
            return next(self._decoded, None) if is_open else None

    def _release(self) -> None:
        self._container.close()

    def _frames(self) -> Iterator[Frame]:
        options, given = self._options, 0
        frame, self._first = self._first, None
        if options.start_s > 0 and self._skip():
            frame = self._take()
        while frame is not None:
            place = self._place(frame)
            if place is not None and not options.is_before(place[1]):
                if options.is_after(place[1]):
                    return
                yield Frame(self._decoder.image(frame, self._info.frame_size), *place)
                given += 1
                if given == options.max_frames:
                    return
            frame = self._take()
        if not self._guard.closed:
            self._check_end(given)

    def _place(self, frame: VideoFrame) -> tuple[int, float] | None:
        """Index and time of the next frame; None for one to be passed over."""
        if self._decoder.lost > self._lost and self._damaged_after is None:
            self._damaged_after = self._index
        self._lost = self._decoder.lost
        if self._has_no_times:
            time_s = self._index / self._info.frame_rate
        else:
            stamp = presentation_time(frame)
            stamp_s = None if stamp is None else float(stamp - self._origin)
            is_late = stamp_s is not None and -LARGEST_STEP_BACK_S <= stamp_s - self._last_stamp_s <= 0
            if is_late and self._damaged_after is not None:
                return None  # after damage the decoder brings up frames of before, made of guesses
            self._last_stamp_s = self._last_stamp_s if stamp_s is None else stamp_s
            last_s, time_s = self._clock.now_s, self._clock.advance(stamp_s)
            self._longest_gap_s = max(self._longest_gap_s, 0.0 if last_s == -math.inf else time_s - last_s)
            if self._damaged_after is not None:
                self._index = max(self._index, round(time_s * self._info.frame_rate))
        index, self._index = self._index, self._index + 1
        return index, time_s

    def _skip(self) -> bool:
        """Read up to the last key frame before the part, and count the frames passed; False if none."""
        base: int | None = None
        held: list[Packet[Any]] = []
        with self._guard.reading() as is_open:
            for packet in self._packets if is_open else ():
                held.append(packet)
                decoded_s, shown_s = self._packet_times(packet)
                if packet.is_keyframe and shown_s <= self._options.start_s:
                    held, base = [packet], self._seen - 1
                elif decoded_s > self._options.start_s or packet.size == 0 or len(held) > LONGEST_GROUP:
                    break
            if base is not None:
                # Frames that follow the key frame and are shown before it depend on the frames passed.
                _, key_s = self._packet_times(held[0])
                shown = [packet for packet in held if self._packet_times(packet)[1] >= key_s]
                self._index, held = base + len(held) - len(shown), shown
                self._decoded = self._decode()
                self._decoder.restart()
            self._packets = chain(held, self._packets)
        return base is not None

    def _packet_times(self, packet: Packet[Any]) -> tuple[float, float]:
        """When a packet of the video stream is decoded and shown, seconds from the first frame."""
        stamps = [stamp for stamp in (packet.dts, packet.pts) if stamp is not None]
        if self._has_no_times or not stamps or not packet.time_base:
            return ((self._seen - 1) / self._info.frame_rate,) * 2
        decoded, shown = (float(stamp * packet.time_base - self._origin) for stamp in (stamps[0], stamps[-1]))
        return decoded, shown

    def _check_end(self, given: int) -> None:
        """Raise where frames are missing."""
        rate = self._info.frame_rate
        end_s = self._index / rate if self._has_no_times else self._clock.now_s + 1 / rate
        if self._is_cut_off():
            count, duration_us = self._decoder.stream.frames, self._container.duration
            of_frames = f" of {count}" if count > self._index else ""
            of_s = f" of {duration_us / 1e6:.2f} s" if duration_us and duration_us / 1e6 > end_s else ""
            problem = f"is cut off: it ended after {self._index}{of_frames} frames, at {end_s:.2f} s{of_s}"
        elif self._damaged_after is not None:
            lost = self._decoder.lost
            problem = (
                f"is damaged: {lost} frames cannot be decoded, the first after frame {self._damaged_after}"
            )
        elif not given:
            raise SourceError(
                f"{self._path} ends at {end_s:.2f} s: start before that, not at {self._options.start_s:g} s"
            )
        else:
            return
        raise SourceError(f"{self._path} {problem}; copy it again, or {_remedy(self._path)}")

    def _is_cut_off(self) -> bool:
        if self._ends_damaged or self._decoder.lost > self._lost:
            size = self._container.size
            return not self._is_packetized or all(size % packet_size for packet_size in PACKET_SIZES)
        stream, container = self._decoder.stream, self._container
        if stream.frames and stream.duration and stream.time_base:
            stated_s = float(stream.duration * stream.time_base)
            if container.format.name == "avi" and stream.average_rate:
                stated_s = float(stream.frames / stream.average_rate)  # its duration shrinks with the file
            missing_s = stated_s + float((stream.start_time or 0) * stream.time_base) - self._video_end_s
        elif container.duration and container.format.name.split(",")[0] in STATED_DURATIONS:
            # Sound may end later than the video, but a file that is cut off ends early in all streams.
            stated_s = container.duration / 1e6
            missing_s = stated_s + min(0, (container.start_time or 0) / 1e6) - self._file_end_s
        else:
            return False
        shortest_s = min(SHORTEST_LOSS_S, SHORTEST_LOSS_SHARE * stated_s)
        return missing_s > max(shortest_s, LONGEST_GAP_FACTOR * self._longest_gap_s)


def presentation_time(frame: VideoFrame) -> Fraction | None:
    """Presentation time, seconds."""
    return None if frame.pts is None or not frame.time_base else frame.pts * frame.time_base


def _read_head(path: Path) -> bytes:
    """First bytes of a file; raises where FFmpeg would say less about the file."""
    if not path.is_file():
        raise SourceError(f"{path} is not a file: check the path")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not head:
        raise SourceError(f"{path} is empty (0 bytes): copy or record it again")
    # Every container but raw YUV4MPEG has control characters in its first bytes, and no text has.
    is_text = not head.startswith(b"YUV4MPEG2") and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)
    if is_text or head.startswith((b"#EXTM3U", b"ffconcat")):
        raise SourceError(f"{path} is a text file, not a video: check the path")
    return head


def _why_unreadable(head: bytes, error: FFmpegError) -> str:
    if head[4:8] in (b"ftyp", b"mdat"):
        return "has no index (moov box): the recording was interrupted, or the copy is incomplete"
    return f"holds no video that can be decoded ({error.strerror})"


def _remedy(path: Path) -> str:
    return f"re-encode what is readable with: ffmpeg -i {shlex.quote(f'file:{path}')} -c:v libx264 fixed.mp4"
