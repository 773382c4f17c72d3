"""What a Raspberry Pi camera can be asked for, and the text that asks: ``picamera2:size=1280x720,fps=30``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources.address import read_options, read_rate, read_size

PICAMERA_PREFIX = "picamera2:"

FLIPS = {"none": (False, False), "h": (True, False), "v": (False, True), "hv": (True, True)}
"""Horizontal and vertical, by name; ``hv`` is a camera that hangs upside down."""


@dataclass(frozen=True, slots=True)
class PicameraOptions:
    """What a Raspberry Pi camera is asked for.

    Attributes
    ----------
    camera : int
        Which one, where there are several: as ``rpicam-hello --list-cameras`` counts them.
    size : (int, int)
        Width and height, pixels, even. The camera's processor scales to it.
    fps : float
        Frames per second.
    lores : (int, int) or None
        Size of a second, smaller picture from the camera's processor, for the network's input. Of the same
        shape as ``size``, and as the model's input to save all of the resizing: ``size=1152x640`` with
        ``lores=576x320``. None makes the network's input of the large picture.
    flip : str
        ``none``, ``h``, ``v`` or ``hv``.
    lens : float or None
        Where the lens is held, in dioptres: 0 is far away, 2 is half a metre. None lets it focus by itself,
        where it can.

    Raises
    ------
    InvalidInputError
        If a value is out of range.
    """

    camera: int = 0
    size: tuple[int, int] = (1280, 720)
    fps: float = 30.0
    lores: tuple[int, int] | None = None
    flip: str = "none"
    lens: float | None = None

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
                raise InvalidInputError(f"{name} must be even and at least 64x64, not {size[0]}x{size[1]}")
        if self.lores is not None and (self.lores[0] > self.size[0] or self.lores[1] > self.size[1]):
            raise InvalidInputError(
                f"lores must not be larger than size, {self.size[0]}x{self.size[1]}, "
                f"but is {self.lores[0]}x{self.lores[1]}"
            )


def parse_picamera(spec: str) -> PicameraOptions:
    """Read ``picamera2:`` and what follows: ``name=value`` pairs between commas, any or none.

    Raises
    ------
    InvalidInputError
        If a name is unknown or given twice, or a value cannot be read or is out of range.

    Examples
    --------
    >>> parse_picamera("picamera2:size=1152x640,lores=576x320,flip=hv").lores
    (576, 320)
    """
    readers: dict[str, Callable[[str], Any]] = {
        "camera": int,
        "size": read_size,
        "fps": read_rate,
        "lores": read_size,
        "flip": str,
        "lens": lambda text: None if text == "auto" else float(text),
    }
    pairs = spec.removeprefix(PICAMERA_PREFIX).split(",")
    values = read_options(spec, pairs, readers, "picamera2:size=1280x720,fps=30,flip=hv,lens=auto")
    try:
        return PicameraOptions(**values)
    except InvalidInputError as error:
        raise InvalidInputError(f"{spec}: {error}") from None
