"""Options of a street and their text: ``synthetic:seed=3,frames=600,size=1280x720``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources.address import parse_size, read_options, redact

SPEC_PREFIX = "synthetic:"
ENDLESS = "endless"

SMALLEST_SIDE, LARGEST_SIDE = 64, 4096
_RANGES = {
    **{"fps": (1.0, 480.0), "people": (1, 100), "light": (0.0, 1.0)},
    **{"shake": (0.0, 5.0), "handheld": (0.0, 5.0), "pan": (0.0, 200.0), "zoom": (1.0, 4.0)},
}


@dataclass(frozen=True, slots=True)
class StreetOptions:
    """One street. The same options give the same people in the same places, whatever the size.

    Attributes
    ----------
    seed : int
        From 0. Another seed is another street with other people.
    frames : int or None
        Length; None never ends.
    size : (int, int)
        Width and height, pixels.
    fps : float
        Frames per second.
    people : int
        Number of people at any moment. A few of them are hidden or just outside the image.
    shake : float
        Largest shift of the camera by wind, percent of the image height.
    light : float
        How much daylight changes, as by clouds: from 0, not at all, to 1, strongly.
    handheld : float
        Largest shift of a camera held by hand, percent of the image height. It jumps from frame to frame.
    pan : float
        Speed of a camera that pans to and fro, percent of the image width per second. It sees one half of a
        street of twice the width.
    zoom : float
        Largest magnification of a camera that zooms in and out every eight seconds; 1 is no zoom.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    seed: int = 0
    frames: int | None = 500
    size: tuple[int, int] = (960, 540)
    fps: float = 25.0
    people: int = 34
    shake: float = 0.0
    light: float = 0.0
    handheld: float = 0.0
    pan: float = 0.0
    zoom: float = 1.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InvalidInputError(f"seed must be 0 or more, not {self.seed}")
        if self.frames is not None and self.frames < 1:
            raise InvalidInputError(f"frames must be 1 or more, or {ENDLESS}, not {self.frames}")
        if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in self.size):
            raise InvalidInputError(
                f"size must be between {SMALLEST_SIDE} and {LARGEST_SIDE} pixels each way, not "
                f"{_text(self.size)}"
            )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInputError(f"{name} must be between {low:g} and {high:g}, not {value:g}")


def parse_street(spec: str) -> StreetOptions:
    """Read the options in ``synthetic:NAME=VALUE,...``.

    Parameters
    ----------
    spec : str

    Returns
    -------
    StreetOptions

    Raises
    ------
    InvalidInputError
        If a name is unknown or given twice, or a value cannot be read or is out of range.
    """
    if not spec.startswith(SPEC_PREFIX):
        raise InvalidInputError(f"{redact(spec)} is no street: write {SPEC_PREFIX}seed=3,frames=500")
    readers: dict[str, Callable[[str], Any]] = {
        "seed": int,
        "frames": _read_length,
        "size": parse_size,
        "fps": _read_number,
        "people": int,
        "shake": _read_number,
        "light": _read_number,
        "handheld": _read_number,
        "pan": _read_number,
        "zoom": _read_number,
    }
    pairs = spec.removeprefix(SPEC_PREFIX).split(",")
    values = read_options(spec, pairs, readers, _written(asdict(StreetOptions())))
    try:
        return StreetOptions(**values)
    except InvalidInputError as error:
        raise InvalidInputError(f"{spec}: {error}") from None


def format_street(options: StreetOptions) -> str:
    """Return the shortest text that :func:`parse_street` reads as these options."""
    usual = asdict(StreetOptions())
    changed = {name: value for name, value in asdict(options).items() if value != usual[name]}
    return SPEC_PREFIX + _written(changed)


def _written(options: Mapping[str, Any]) -> str:
    """Options as ``name=value`` pairs between commas."""
    return ",".join(f"{name}={_text(value)}" for name, value in options.items())


def _text(value: float | tuple[int, int] | None) -> str:
    if value is None:
        return ENDLESS
    return "x".join(map(str, value)) if isinstance(value, tuple) else repr(value).removesuffix(".0")


def _read_length(text: str) -> int | None:
    return None if text == ENDLESS else int(text)


def _read_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
