"""Addresses of cameras: what is asked for in them, and how they are shown, which is without passwords."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from edge_fairmot.errors import InvalidInputError

NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https")

HIDDEN = "***"

_SECRET_WORD = re.compile(r"(?i)(?:user|login|pass|pwd|secret|token|auth|key)[^/=]*=.*")


def is_network_address(spec: str) -> bool:
    """Whether it is an address that a network camera is read from."""
    scheme, separator, _ = spec.partition("://")
    return bool(separator) and scheme.lower() in NETWORK_SCHEMES


def without_secrets(text: str) -> str:
    """Give an address as it may be shown, logged and written to files.

    Goes are user and password, all of the query, and the rest of a path from a word such as ``password=`` on,
    where some cameras have it. A password with a stray ``@``, ``/`` or ``?`` in it goes too, if need be with
    more than itself.

    Examples
    --------
    >>> without_secrets("rtsp://admin:pa/ss@cam:554/live?token=5")
    'rtsp://***@cam:554/live?***'
    >>> without_secrets("street.mp4")
    'street.mp4'
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    userinfo, at, rest = rest.rpartition("@")
    rest, query, _ = rest.partition("?")
    shown = _SECRET_WORD.sub(HIDDEN, rest)
    return f"{scheme}://{HIDDEN + at if userinfo or at else ''}{shown}{query + HIDDEN if query else ''}"


def take_option(address: str, name: str) -> tuple[str, str | None]:
    """Take a ``name=value`` pair of ours out of an address's query; the camera gets the rest as it was."""
    bare, _, query = address.partition("?")
    kept, value = [], None
    for pair in query.split("&"):
        if pair.startswith(f"{name}="):
            value = pair.removeprefix(f"{name}=")
        elif pair:
            kept.append(pair)
    return bare + ("?" + "&".join(kept) if kept else ""), value


def read_options(
    spec: str, pairs: list[str], readers: Mapping[str, Callable[[str], Any]], example: str
) -> dict[str, Any]:
    """Read ``name=value`` pairs.

    Parameters
    ----------
    spec : str
        What the user wrote, for messages.
    pairs : list of str
    readers : mapping
        What reads each value; it raises ValueError where it cannot.
    example : str
        Pairs as they should be.

    Raises
    ------
    InvalidInputError
        If a name is unknown or given twice, or a value cannot be read.
    """
    values: dict[str, Any] = {}
    for pair in filter(None, (pair.strip() for pair in pairs)):
        name, equals, text = (part.strip() for part in pair.partition("="))
        if name not in readers or not equals:
            raise InvalidInputError(
                f"{spec}: {pair!r} is no option: write name=value with one of {', '.join(readers)}"
            )
        if name in values:
            raise InvalidInputError(f"{spec}: {name} is given twice: give it once")
        try:
            values[name] = readers[name](text)
        except ValueError:
            raise InvalidInputError(f"{spec}: {name}={text} cannot be read: write {example}") from None
    return values


def read_size(text: str) -> tuple[int, int]:
    """Read ``1280x720``; ValueError where it is something else."""
    sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if sides is None or not (int(sides[1]) and int(sides[2])):
        raise ValueError(text)
    return int(sides[1]), int(sides[2])


def read_rate(text: str) -> float:
    """Read a number above zero; ValueError where it is something else."""
    rate = float(text)
    if not 0 < rate < math.inf:
        raise ValueError(text)
    return rate


redact = without_secrets

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


def redact_text(text: str) -> str:
    """Redact every address in a text."""
    return _ADDRESS.sub(lambda found: redact(found[0]), text)
