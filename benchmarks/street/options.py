"""What a street can be asked for, and the text that asks: ``synthetic:seed=3,frames=600,size=1280x720``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from edge_fairmot.errors import InvalidInputError

SPEC_PREFIX = "synthetic:"

ENDLESS = "endless"

LARGEST_SIDE, SMALLEST_SIDE = 4096, 64

_RANGES = {
    "fps": (1.0, 480.0),
    "people": (1, 100),
    "shake": (0.0, 5.0),
    "light": (0.0, 1.0),
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
        How many are under way at any moment. A few of them are hidden or just outside the picture.
    shake : float
        How far wind moves the camera from its place, in percent of the picture's height.
    light : float
        How much daylight changes, clouds before the sun included: 0 not at all, 1 strongly.

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

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InvalidInputError(f"seed must be 0 or more, not {self.seed}")
        if self.frames is not None and self.frames < 1:
            raise InvalidInputError(f"frames must be 1 or more, or {ENDLESS}, not {self.frames}")
        if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in self.size):
            raise InvalidInputError(
                f"size must be between {SMALLEST_SIDE} and {LARGEST_SIDE} pixels each way, not "
                f"{self.size[0]}x{self.size[1]}"
            )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInputError(f"{name} must be between {low:g} and {high:g}, not {value:g}")


def parse_street(spec: str) -> StreetOptions:
    """Read ``synthetic:`` and what follows it: ``name=value`` pairs between commas, any or none.

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
    values: dict[str, Any] = {}
    for pair in filter(None, spec.removeprefix(SPEC_PREFIX).split(",")):
        name, separator, text = (part.strip() for part in pair.partition("="))
        if name not in _READERS or not separator:
            known = ", ".join(_READERS)
            raise InvalidInputError(
                f"{spec}: {pair!r} is no option of the street: write name=value with one of {known}"
            )
        if name in values:
            raise InvalidInputError(f"{spec}: {name} is given twice: give it once")
        try:
            values[name] = _READERS[name](text)
        except ValueError:
            example = _written(getattr(StreetOptions(), name))
            raise InvalidInputError(f"{spec}: {name}={text} cannot be read: write {name}={example}") from None
    try:
        return StreetOptions(**values)
    except InvalidInputError as error:
        raise InvalidInputError(f"{spec}: {error}") from None


def format_street(options: StreetOptions) -> str:
    """Write options as :func:`parse_street` reads them; what is as usual is left out."""
    usual = StreetOptions()
    changed = (
        f"{field.name}={_written(getattr(options, field.name))}"
        for field in fields(options)
        if getattr(options, field.name) != getattr(usual, field.name)
    )
    return SPEC_PREFIX + ",".join(changed)


def _written(value: float | tuple[int, int] | None) -> str:
    if value is None:
        return ENDLESS
    return "x".join(map(str, value)) if isinstance(value, tuple) else repr(value).removesuffix(".0")


def _read_length(text: str) -> int | None:
    return None if text == ENDLESS else int(text)


def _read_size(text: str) -> tuple[int, int]:
    sides = re.fullmatch(r"(\d+)x(\d+)", text)
    if sides is None:
        raise ValueError(text)
    return int(sides[1]), int(sides[2])


def _read_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_READERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "seed": int,
        "frames": _read_length,
        "size": _read_size,
        "fps": _read_number,
        "people": int,
        "shake": _read_number,
        "light": _read_number,
    }
)
