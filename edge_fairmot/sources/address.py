"""Addresses of sources: their options, their passwords, and how they are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from edge_fairmot.errors import InvalidInputError

NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https")

HIDDEN = "***"

_SECRET_WORD = re.compile(r"(?i)(?:user|login|pass|pwd|secret|token|auth|key)[^/=]*=.*")
_SLASHLESS = re.compile(r"(?i)(?:rtsps?|https?|rtmps?|ftp|mqtts?|wss?):/?(?=[^/])")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d+)?")


def is_network_address(spec: str) -> bool:
    """Return whether this is the address of a network camera."""
    scheme, separator, _ = spec.partition("://")
    return bool(separator) and scheme.lower() in NETWORK_SCHEMES


def redact(text: str) -> str:
    """Return an address without secrets, to be shown, logged and written to files.

    User, password and query are hidden, and the rest of a path from a word such as ``password=`` on. Around
    a stray ``@``, ``/`` or ``?`` more than the password may be hidden.

    Examples
    --------
    >>> redact("rtsp://admin:pa/ss@cam:554/live?token=5")
    'rtsp://***@cam:554/live?***'
    >>> redact("street.mp4")
    'street.mp4'
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        slashless = _SLASHLESS.match(text)
        if slashless is None:
            return text
        scheme, separator, rest = "", slashless[0], text[slashless.end() :]
    userinfo, at, rest = rest.rpartition("@")
    rest, query, _ = rest.partition("?")
    shown = _SECRET_WORD.sub(HIDDEN, rest)
    return (
        f"{scheme}{separator}{HIDDEN + at if userinfo or at else ''}{shown}{query + HIDDEN if query else ''}"
    )


def encode_userinfo(address: str) -> str:
    """Return an address with a lower-case scheme and a percent-encoded user and password, for FFmpeg.

    A password may contain ``@ / ? # %`` unencoded, if the address is not ambiguous.

    Examples
    --------
    >>> encode_userinfo("RTSP://admin:pa/ss#1@cam:554/live")
    'rtsp://admin:pa%2Fss%231@cam:554/live'
    """
    scheme, _, rest = address.partition("://")
    end = _userinfo_end(rest)
    if end < 0:
        return f"{scheme.lower()}://{rest}"
    user, colon, password = rest[:end].partition(":")
    return f"{scheme.lower()}://{_encoded(user)}{colon}{_encoded(password)}@{rest[end + 1 :]}"


def _userinfo_end(rest: str) -> int:
    """Return the position of the ``@`` after user and password in the text after ``://``; -1 without one."""
    match = re.match(r"[^/?#]*", rest)
    authority = match[0] if match else ""
    query = re.search(r"\?[\w-]+=", rest)
    last = rest.rfind("@", 0, query.start() if query else None)
    # RFC 3986 ends the authority at the first of "/?#". Where no host stands before it, or a fragment
    # follows, which no camera has, the character belongs to the password.
    if last > len(authority) and (not _HOST.fullmatch(authority.rpartition("@")[2]) or "#" in rest[:last]):
        return last
    return authority.rfind("@")


def _encoded(text: str) -> str:
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text), safe="%!$&'()*+,;=")


def take_option(address: str, name: str) -> tuple[str, str | None]:
    """Take a ``name=value`` pair of ours out of an address's query; the rest of the query stays as it was."""
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
    """Read ``name=value`` pairs; a reader raises ValueError for a value that it cannot read.

    Raises InvalidInputError for a name that is unknown or given twice, and for a value that cannot be read.
    """
    values: dict[str, Any] = {}
    spec = redact(spec)
    for pair in filter(None, (pair.strip() for pair in pairs)):
        name, equals, text = (part.strip() for part in pair.partition("="))
        if name not in readers or not equals:
            raise InvalidInputError(
                f"{spec}: {redact(pair)!r} is no option: write name=value with one of {', '.join(readers)}"
            )
        if name in values:
            raise InvalidInputError(f"{spec}: {name} is given twice: give it once")
        try:
            values[name] = readers[name](text)
        except ValueError:
            raise InvalidInputError(f"{spec}: {name}={text} cannot be read: write {example}") from None
    return values


def parse_size(text: str) -> tuple[int, int]:
    """Read ``1280x720``: width and height, pixels.

    Raises
    ------
    InvalidInputError
        If it is something else.
    """
    sides = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if sides is None or not (int(sides[1]) and int(sides[2])):
        raise InvalidInputError(f"{text!r} is no size: write WIDTHxHEIGHT, as in 1280x720")
    return int(sides[1]), int(sides[2])


def format_size(size: tuple[int, int]) -> str:
    """Write a size as :func:`parse_size` reads it."""
    return f"{size[0]}x{size[1]}"


def parse_rate(text: str) -> float:
    """Read a number above zero; ValueError where it is something else."""
    rate = float(text)
    if not 0 < rate < math.inf:
        raise ValueError(text)
    return rate


_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


def redact_text(text: str) -> str:
    """Redact every address in a text."""
    return _ADDRESS.sub(lambda found: redact(found[0]), text)
