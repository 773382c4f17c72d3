"""Presets of the tracker's settings: one documented TOML file each, beside this one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking.config import TrackerConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS = ("fairmot", "bytetrack", "low-fps", "crowded")
"""Names for :func:`preset`. ``crowded`` is another name of ``bytetrack``."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def preset(name: str, settings: Mapping[str, Any] = _NOTHING) -> TrackerConfig:
    """Return the settings of a preset.

    Parameters
    ----------
    name : str
        ``fairmot``: the original's rules, the default. ``bytetrack`` or ``crowded``: for people who hide one
        another. ``low-fps``: for 1 to 5 frames per second.
    settings : mapping, optional
        Settings of your own by name; they win over those of the preset.

    Raises
    ------
    InvalidInputError
        If there is no preset of this name, or a setting is outside its range.
    """
    return TrackerConfig(**preset_settings(name, settings) | dict(settings))


def preset_settings(name: str, settings: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
    """Return what a preset sets, which depends on the score threshold in the ``settings`` that were given."""
    if name not in PRESETS:
        raise InvalidInputError(f"preset must be one of {', '.join(PRESETS)}, not {name!r}")
    file = Path(__file__).with_name(f"{'bytetrack' if name == 'crowded' else name}.toml")
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    threshold = settings.get("score_threshold")
    if type(threshold) not in (int, float):  # whoever builds the settings refuses another type
        threshold = TrackerConfig().score_threshold
    if "new_track_margin" in values:
        values["new_track_thresh"] = min(1.0, threshold + values.pop("new_track_margin"))
    if "track_low_thresh" in values:
        values["track_low_thresh"] = min(values["track_low_thresh"], threshold)
    return values
