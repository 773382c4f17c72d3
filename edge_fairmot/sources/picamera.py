"""Raspberry Pi cameras through picamera2, which is libcamera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.address import format_size, parse_rate, parse_size, read_options
from edge_fairmot.sources.base import FrameSource
from edge_fairmot.types import Frame, UInt8Array

PICAMERA_PREFIX = "picamera2:"

FLIPS = {"none": (False, False), "h": (True, False), "v": (False, True), "hv": (True, True)}
"""Horizontal and vertical, by name; ``hv`` is for a camera that hangs upside down."""


@dataclass(frozen=True, slots=True)
class PicameraOptions:
    """Settings of a Raspberry Pi camera. InvalidInputError if a value is out of range."""

    camera: int = 0  # number, as rpicam-hello --list-cameras counts
    size: tuple[int, int] = (1280, 720)  # width and height, pixels, even
    fps: float = 30.0
    lores: tuple[int, int] | None = None
    """Size of a second, smaller image that the camera's processor makes for the network's input. With the
    aspect of ``size`` and the model's input size no resizing is left: ``size=1152x640,lores=576x320``."""
    flip: str = "none"  # one of FLIPS
    lens: float | None = None  # dioptres: 0 is far away, 2 is half a metre; None focuses by itself

    def __post_init__(self) -> None:
        if self.flip not in FLIPS:
            raise InvalidInputError(f"flip must be one of {', '.join(FLIPS)}, not {self.flip!r}")
        if self.camera < 0:
            raise InvalidInputError(f"camera must be 0 or more, not {self.camera}")
        if not 0 < self.fps <= 1000:
            raise InvalidInputError(f"fps must be above 0 and at most 1000, not {self.fps:g}")
        if self.lens is not None and not 0 <= self.lens <= 32:
            raise InvalidInputError(f"lens must be between 0 and 32 dioptres, or auto, not {self.lens:g}")
        for name, size in (("size", self.size), ("lores", self.lores)):
            if size is not None and (min(size) < 64 or size[0] % 2 or size[1] % 2):
                raise InvalidInputError(f"{name} must be even and at least 64x64, not {format_size(size)}")
        if self.lores is not None and (self.lores[0] > self.size[0] or self.lores[1] > self.size[1]):
            raise InvalidInputError(
                f"lores must not be larger than size, {format_size(self.size)}, "
                f"but is {format_size(self.lores)}"
            )


def parse_picamera(spec: str) -> PicameraOptions:
    """Read ``picamera2:`` with any ``name=value`` options, separated by commas.

    >>> parse_picamera("picamera2:size=1152x640,lores=576x320,flip=hv").lores
    (576, 320)
    """
    readers: dict[str, Callable[[str], Any]] = {
        "camera": int,
        "size": parse_size,
        "fps": parse_rate,
        "lores": parse_size,
        "flip": str,
        "lens": lambda text: None if text == "auto" else float(text),
    }
    pairs = spec.removeprefix(PICAMERA_PREFIX).split(",")
    values = read_options(spec, pairs, readers, "picamera2:size=1280x720,fps=30,flip=hv,lens=auto")
    try:
        return PicameraOptions(**values)
    except InvalidInputError as error:
        raise InvalidInputError(f"{spec}: {error}") from None


LONGEST_WAIT_S = 5.0
"""Maximum wait for one frame. With a loose cable, libcamera itself only writes to stderr."""

BGR_IN_MEMORY = "RGB888"
"""picamera2 names the bytes of a pixel from the highest down."""

APT_REMEDY = (
    "sudo apt install -y python3-picamera2, and let the virtual environment see it: "
    "python3 -m venv --system-site-packages .venv"
)


class PicameraSource(FrameSource):
    """Frames of a Raspberry Pi camera, at the times when the sensor began to read them out."""

    def __init__(self, options: PicameraOptions) -> None:
        self._options = options
        super().__init__(f"{PICAMERA_PREFIX}camera={options.camera}")
        picamera2, libcamera = _import_picamera()
        try:
            self._camera: Any = picamera2.Picamera2(options.camera)
        except (RuntimeError, IndexError) as error:
            raise SourceError(
                f"{self._name} cannot be opened ({error}): check the cable, and rpicam-hello --list-cameras"
            ) from error
        try:
            self._start(libcamera)
            self._first = self._take()
        except BaseException:
            super().close()
            raise
        assert self._first is not None
        _, metadata = self._first
        duration_us = metadata.get("FrameDuration", 0)
        main = self._camera.stream_configuration("main")
        rate = 1e6 / duration_us if duration_us else options.fps
        self._info = SourceInfo(self._name, tuple(main["size"]), rate, None, live=True)

    def close(self) -> None:
        """End the iteration and release the camera. May be called twice."""
        if not self._guard.closed:
            self._camera.cancel_all_and_flush()  # ends the wait for a frame
        super().close()

    def _release(self) -> None:
        self._camera.close()

    def _start(self, libcamera: Any) -> None:
        options, camera = self._options, self._camera
        horizontal, vertical = FLIPS[options.flip]
        configuration = camera.create_video_configuration(
            main={"size": options.size, "format": BGR_IN_MEMORY},
            lores=None if options.lores is None else {"size": options.lores, "format": "YUV420"},
            transform=libcamera.Transform(hflip=horizontal, vflip=vertical),
            controls={"FrameRate": options.fps},
            display=None,
            encode=None,
        )
        try:
            camera.configure(configuration)
            if "AfMode" in camera.camera_controls:
                modes = libcamera.controls.AfModeEnum
                held = {"AfMode": modes.Manual, "LensPosition": options.lens}
                camera.set_controls({"AfMode": modes.Continuous} if options.lens is None else held)
            elif options.lens is not None:
                raise InvalidInputError(f"{self._name} has a fixed lens: leave lens={options.lens:g} out")
            camera.start()
        except RuntimeError as error:
            raise SourceError(
                f"{self._name} cannot be started with this size and rate ({error}): "
                "rpicam-hello --list-cameras shows its modes"
            ) from error

    def _take(self) -> tuple[Frame, dict[str, Any]] | None:
        with self._guard.reading() as is_open:
            if not is_open:
                return None
            try:
                request = self._camera.capture_request(wait=LONGEST_WAIT_S)
            except CancelledError:
                return None
            except FutureTimeoutError:
                self._camera.cancel_all_and_flush()
                raise SourceError(
                    f"{self._name} gives no frame for {LONGEST_WAIT_S:g} s: check its ribbon cable"
                ) from None
            except (RuntimeError, OSError) as error:
                raise SourceError(f"{self._name} gives no more frames ({error}): check its cable") from error
            try:
                metadata = request.get_metadata()
                image = request.make_array("main")
                reduced = None if self._options.lores is None else self._reduced(request)
            finally:
                request.release()
        return Frame(np.asarray(image, np.uint8), 0, metadata["SensorTimestamp"] / 1e9, reduced), metadata

    def _reduced(self, request: Any) -> UInt8Array:
        assert self._options.lores is not None
        planes = request.make_array("lores")
        width, height = self._camera.stream_configuration("lores")["size"]
        # Rows are padded; the padding goes after the conversion.
        bgr = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
        return np.ascontiguousarray(bgr[:height, :width], np.uint8)

    def _frames(self) -> Iterator[Frame]:
        taken, self._first = self._first, None
        count = 0
        while taken is not None:
            yield replace(taken[0], index=count)
            count += 1
            taken = self._take()


def _import_picamera() -> tuple[Any, Any]:
    try:
        import libcamera  # noqa: PLC0415
        import picamera2  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            error.name or "picamera2", "", "for the camera of a Raspberry Pi", APT_REMEDY
        ) from error
    except ValueError as error:  # compiled for another numpy
        raise MissingDependencyError(
            "a numpy that the system's picamera2 was built for",
            "",
            f"({error})",
            "pip install 'numpy<2' in this environment, or use Raspberry Pi OS Trixie",
        ) from error
    return picamera2, libcamera
