"""Lines and zones that are drawn on the page: checked, saved, and handed to the counter."""

from __future__ import annotations

import json
import logging
from typing import Any, NoReturn

from edge_fairmot.counting import Counter, CountingConfig, parse_counting
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.service.web.counting_file import CountingFile, shapes_document

MOST_SHAPES, MOST_CORNERS, LONGEST_NAME = 32, 64, 60
"""More than anybody draws by hand, and little enough to be tried in every frame."""

_log = logging.getLogger(__name__)


class Drawing:
    """What is drawn now, with a number that rises with every change.

    Parameters
    ----------
    counter : Counter
    file : CountingFile or None
        None keeps changes until the run ends.
    """

    def __init__(self, counter: Counter, file: CountingFile | None) -> None:
        self._counter = counter
        self._file = file
        self._config: CountingConfig = counter.config
        self._not_saved: str | None = None
        self._revision = 1

    def document(self) -> dict[str, Any]:
        """Give what is drawn, as TOML holds it, with ``revision`` and the file's name as ``saved_to``.

        ``not_saved`` is why the file does not hold it, or None.
        """
        return {
            "revision": self._revision,
            "saved_to": None if self._file is None else str(self._file.path),
            "not_saved": self._not_saved,
            **shapes_document(self._config),
        }

    def replace(self, document: dict[str, Any]) -> bool:
        """Take another drawing over: into the file, and also where that fails to the counter.

        Parameters
        ----------
        document : dict
            ``line`` and ``zone`` as :meth:`document` gives them, and the ``revision`` that was changed.

        Returns
        -------
        bool
            False, and nothing is changed, where that is no longer the present revision.

        Raises
        ------
        InvalidInputError
            If it is not a drawing, or one of too much.
        """
        config = parse_counting({key: value for key, value in document.items() if key != "revision"})
        _check_extent(config)
        if document.get("revision") != self._revision:
            return False
        self._not_saved = self._save(config)
        self._counter.redraw(config.lines, config.zones)
        self._config = config
        self._revision += 1
        return True

    def _save(self, config: CountingConfig) -> str | None:
        """Give the reason where that fails: who stands before the door and draws wants it counted."""
        if self._file is not None:
            try:
                self._file.save(config.lines, config.zones)
            except SinkError as error:
                _log.warning("what was drawn counts until the run ends: %s", error)
                return str(error)
        return None


def read_document(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InvalidInputError
        If it is something else, or holds NaN or infinity.
    """
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"that is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise InvalidInputError('an object is needed: {"revision": 1, "line": [], "zone": []}')
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _check_extent(config: CountingConfig) -> None:
    if config != CountingConfig(config.lines, config.zones):
        raise InvalidInputError("only lines and zones are drawn: counting is set where the run is started")
    count = len(config.lines) + len(config.zones)
    if count > MOST_SHAPES:
        raise InvalidInputError(f"{count} lines and zones are too many: draw {MOST_SHAPES} at most")
    names = [line.name for line in config.lines] + [zone.name for zone in config.zones]
    for name in names:
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise InvalidInputError(
                f"{name[: LONGEST_NAME + 1]!r} is no name: give {LONGEST_NAME} printable characters at most"
            )
    for zone in config.zones:
        if len(zone.polygon) > MOST_CORNERS:
            raise InvalidInputError(
                f"zone {zone.name!r} has {len(zone.polygon)} corners: draw it with {MOST_CORNERS} at most"
            )
