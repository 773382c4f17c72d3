"""Where the page is served, to whom, and what it costs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Settings of the page.

    Attributes
    ----------
    host : str
        Name or address to listen at. ``0.0.0.0`` is every network of this device.
    port : int
        0 takes any that is free.
    token_file : Path or None
        Holds the secret that visitors must know; made where it does not exist. None is none on this device's
        own addresses, and else :func:`edge_fairmot.service.web.token.default_token_file`.
    jpeg_quality : int
        1 to 100.
    widest : int
        Wider pictures are made so wide for the page, pixels.
    counting_file : Path or None
        TOML file in which lines and zones are saved that are drawn on the page; what else it holds stays.
        None keeps them until the run ends.

    Raises
    ------
    InvalidInputError
        If a value is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token_file: Path | None = None
    jpeg_quality: int = 75
    widest: int = 960
    counting_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.host:
            raise InvalidInputError("the page needs a host: 127.0.0.1 for this device alone, 0.0.0.0 for all")
        for name, low, high in (("port", 0, 65_535), ("jpeg_quality", 1, 100), ("widest", 64, 8_192)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInputError(f"{name} must be between {low} and {high}, not {value}")

    @property
    def is_local(self) -> bool:
        """Whether only programs on this device can reach the page."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a name or address means this device itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
