"""Optional services around a run: a page, an MQTT publisher, recordings. Nothing else imports them."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from edge_fairmot.errors import InvalidInputError, SinkError

__all__ = ["slug", "state_folder"]


def slug(name: str) -> str:
    """Return a name of ASCII letters, digits, _ and -, for topics, folders and addresses.

    Parameters
    ----------
    name : str
        Any text.

    Returns
    -------
    str
        The same name if it has only these characters, else a similar one with a checksum: different names
        stay different.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if plain == name else f"{plain}_{zlib.crc32(name.encode()):08x}"


def state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder of what outlives a run: token of the page, drawn lines and zones, unsent events.

    Parameters
    ----------
    environment : mapping of str to str, optional
        ``os.environ`` when not given.

    Returns
    -------
    Path
        systemd's ``STATE_DIRECTORY``, else ``edge-fairmot`` in ``XDG_STATE_HOME`` or ``~/.local/state``.
        It may not exist yet.

    Raises
    ------
    SinkError
        If this user has no home folder.
    """
    environment = os.environ if environment is None else environment
    if environment.get("STATE_DIRECTORY"):
        return Path(environment["STATE_DIRECTORY"].partition(":")[0])
    try:
        parent = Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError as error:
        raise SinkError(
            "this user has no home folder to keep the state of a run in: set STATE_DIRECTORY to a folder"
        ) from error
    return parent / "edge-fairmot"


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise InvalidInputError if a setting is out of range; NaN is."""
    if not low <= value <= high:
        raise InvalidInputError(f"{name} must be between {low:g} and {high:g}, not {value:g}")
