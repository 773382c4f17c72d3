"""Settings of the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service import check_range, state_folder


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Settings of the page.

    Attributes
    ----------
    host : str
        Address to listen on: 127.0.0.1 is this device only, 0.0.0.0 all its networks.
    port : int
        Port to listen on; 0 takes any free port.
    token_file : Path or None
        File of the token that opens the page, made if missing; ``web-token`` in the state folder by default.
    open_access : bool
        Serve the page without a token, to everyone who can reach the address.
    quality : int
        JPEG quality of the images, 1 to 100.
    max_width : int
        Images are scaled down to this width, pixels.
    drawing_file : Path or None
        JSON file of the lines and zones that are drawn on the page, for each source; ``drawing.json`` in the
        state folder by default.
    heat_map : bool
        Show where people stand, decaying; in memory only.

    Raises
    ------
    InvalidInputError
        If a value is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token_file: Path | None = None
    open_access: bool = False
    quality: int = 75
    max_width: int = 960
    drawing_file: Path | None = None
    heat_map: bool = False

    def __post_init__(self) -> None:
        if not self.host:
            raise InvalidInputError("host must not be empty: 127.0.0.1 is this device, 0.0.0.0 all networks")
        check_range("port", self.port, 0, 65_535)
        check_range("quality", self.quality, 1, 100)
        check_range("max_width", self.max_width, 64, 8_192)

    @property
    def token_path(self) -> Path | None:
        """Token file in use; None with open access. SinkError if this user has no home folder."""
        if self.open_access:
            return None
        return self.token_file or state_folder() / "web-token"

    @property
    def drawing_path(self) -> Path:
        """Drawing file in use. SinkError if this user has no home folder."""
        return self.drawing_file or state_folder() / "drawing.json"
