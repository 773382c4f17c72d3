"""Annotated video: H.264 in a fragmented MP4, readable after a crash."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SinkError
from edge_fairmot.sinks.drawing import Annotator
from edge_fairmot.sinks.files import UnbufferedFile
from edge_fairmot.types import FrameResult, UInt8Array

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream


TIME_BASE = Fraction(1, 90_000)
"""MPEG's clock: whole ticks for 24, 25, 30 and 60 frames per second."""

FRAGMENT_S = 1.0
"""A fragment runs from key frame to key frame; a killed process loses the last one."""

TRAIL_S = 2.0
"""How long a trail stays visible."""

_MUXER = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}

_ENCODER = {
    # At 1280x720 on two cores 9 ms; ultrafast takes 5 and twice the size, veryfast 15 and 0.7 times.
    "preset": "superfast",
    "crf": "23",
    # Without B-frames the first frame is at time 0 and no frame waits for later ones.
    "bf": "0",
    # OpenCV converts by BT.601, which players would not assume for a video above standard definition.
    "colorspace": "smpte170m",
    "color_range": "tv",
}


class FragmentedMp4:
    """Encodes BGR images with their capture times as H.264 in a fragmented MP4; the first is at time 0.

    ``size`` is (width, height): H.264 takes even sizes only, so an odd one grows by a repeated row or column.
    ``frame_rate`` only spaces the key frames. Failures are InvalidInputError and SinkError.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], frame_rate: float) -> None:
        if min(size) < 1 or not 0 < frame_rate < float("inf"):
            raise InvalidInputError(f"size and frame_rate must be positive, not {size} and {frame_rate}")
        self._av = _import_av()
        self._size = size
        self._start_s: float | None = None
        self._last_pts = -1
        self._file = UnbufferedFile(path)
        self._drain = _Drain(self._file)
        self._container: OutputContainer = self._av.open(self._drain, "w", format="mp4", options=_MUXER)
        # PyAV before 18 crashes where a container that writes to an object is collected unclosed.
        self._finish = weakref.finalize(self, self._container.close)
        with self._closed_on_error():
            self._stream = self._add_stream(frame_rate)
            # The header goes to disk now, not with the first frame.
            self._container.start_encoding()

    def write(self, image: UInt8Array, time_s: float) -> None:
        """Encode one image, uint8 (H, W, 3), BGR. A time that does not rise becomes the next tick."""
        self._file.require_open()
        height, width = image.shape[:2]
        if (width, height) != self._size:
            raise SinkError(
                f"{self._file.path} takes {self._size[0]}x{self._size[1]} pixels, not {width}x{height}: "
                "open it with the size of the source"
            )
        if self._start_s is None:
            self._start_s = time_s
        self._last_pts = max(self._last_pts + 1, round((time_s - self._start_s) / TIME_BASE))
        frame = self._av.VideoFrame.from_ndarray(_to_yuv(image), "yuv420p")
        frame.pts, frame.time_base = self._last_pts, TIME_BASE
        with self._closed_on_error():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write the encoder's last frames and close the file. May be called twice."""
        if self._file.closed:
            return
        with self._closed_on_error():
            if self._start_s is not None:
                self._container.mux(self._stream.encode(None))
            self._finish()
        self._file.close()

    def _add_stream(self, frame_rate: float) -> VideoStream:
        rate = Fraction(frame_rate).limit_denominator(1001)
        options = _ENCODER | {"g": str(max(1, round(FRAGMENT_S * frame_rate)))}
        try:
            stream = self._container.add_stream("libx264", rate=rate, options=options)
        except ValueError as error:
            raise SinkError(
                f"{self._file.path} needs an H.264 encoder that this build of PyAV lacks ({error}): "
                "pip install --force-reinstall --only-binary :all: av"
            ) from error
        width, height = self._size
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        return stream

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """Raise the first error, close everything and suppress the errors of closing."""
        try:
            yield
            if self._drain.error is not None:
                raise self._drain.error
        except (self._av.FFmpegError, SinkError) as error:
            self._abandon()
            if isinstance(error, SinkError):
                raise
            raise SinkError(f"{self._file.path} cannot be encoded ({error}): try another size") from error

    def _abandon(self) -> None:
        with suppress(SinkError):  # the first error is raised
            self._file.close()
        with suppress(self._av.FFmpegError):
            self._finish()


class _Drain:
    """The file that FFmpeg writes to: accepts all data and keeps the first error.

    If FFmpeg opened the file itself, errors of closing would be lost: on a full disk an incomplete video
    would seem complete.
    """

    def __init__(self, file: UnbufferedFile) -> None:
        self._file = file
        self.error: SinkError | None = None

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self._file.write(data)
            except SinkError as error:
                self.error = error
        return len(data)


def _import_av() -> ModuleType:
    try:
        import av  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("av", "video", "to write video") from error
    return av


def _to_yuv(image: UInt8Array) -> UInt8Array:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)


class VideoSink(AbstractContextManager["VideoSink"]):
    """Draws tracks and counts on each frame and writes an H.264 MP4 that keeps the frames' times.

    The file plays in browsers. After a crash it is readable up to the last finished second.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; its folder is made if missing.
    size : (int, int)
        Width and height of the frames, pixels.
    frame_rate : float
        Nominal frames per second.

    Raises
    ------
    InvalidInputError
        If the size or the rate is not positive.
    SinkError
        If the file cannot be made.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], frame_rate: float) -> None:
        self._file = FragmentedMp4(path, size, frame_rate)
        self._annotator = Annotator(trail_length=max(1, round(TRAIL_S * frame_rate)))

    def write(self, result: FrameResult) -> None:
        """Draw and encode one frame; its image is not changed.

        Raises
        ------
        SinkError
            If the frame has another size, or the file cannot be written.
        """
        canvas = self._annotator.draw(result.frame.image, result.tracks, result.counts, result.class_names)
        self._file.write(canvas, result.frame.time_s)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the file. May be called twice.

        Raises
        ------
        SinkError
            If the last frames cannot be written.
        """
        self._file.close()
