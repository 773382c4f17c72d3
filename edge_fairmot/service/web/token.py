"""The secret that opens the page to other devices."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from edge_fairmot.errors import SinkError

SHORTEST = 16
"""Characters: less could be guessed over a network."""

_OTHERS = 0o077


def default_token_file() -> Path:
    """``web-token`` in the folder that systemd gives a service, or in the user's for configuration.

    Raises
    ------
    SinkError
        If this user has no home.
    """
    if os.environ.get("STATE_DIRECTORY"):  # a service's user has no home, or one that cannot be written
        return Path(os.environ["STATE_DIRECTORY"].partition(":")[0]) / "web-token"
    try:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError as error:
        raise SinkError("this user has no home for the page's token: give a token file") from error
    return folder / "edge-fairmot" / "web-token"


def take_token(path: Path) -> tuple[str, bool]:
    """Read the token, or make it and its file, which nobody else can read.

    Returns
    -------
    (str, bool)
        The token, and whether it was made now.

    Raises
    ------
    SinkError
        If the file cannot be made or read, can be read by other users, or holds no token.
    """
    try:
        made = _make(path)
        if not made and path.stat().st_mode & _OTHERS:
            raise SinkError(f"{path} holds the page's token and others can read it: chmod 600 {path}")
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SinkError(
            f"cannot use {path} for the page's token ({reason}): give another token file"
        ) from error
    if len(token) < SHORTEST or not token.isprintable():
        raise SinkError(
            f"{path} holds no token of {SHORTEST} characters or more: delete it, and it is made anew"
        )
    return token, made


def _make(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(24) + "\n")
    return True
