"""Lines, zones and ignored zones drawn on the page: checked, saved in a JSON file, passed to the run."""

from __future__ import annotations

import json
import logging
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from edge_fairmot.counting import Counter, CountingConfig, IgnoredZones, Line, Zone, parse_counting
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.sources.address import redact
from edge_fairmot.system import atomic_write

MAX_SHAPES, MAX_CORNERS, MAX_NAME_LENGTH = 32, 64, 60
"""Limits of a drawing: every shape is tested in every frame."""

_log = logging.getLogger(__name__)


def saved_drawing(
    config: WebConfig, source: str, usual: CountingConfig | None = None
) -> CountingConfig | None:
    """Return the settings of a run with the shapes that an earlier run saved for its source.

    They replace all shapes of a kind in the run's settings: some may have been deleted on the page.

    Parameters
    ----------
    config : WebConfig
    source : str
        Name of the source, as in ``SourceInfo``.
    usual : CountingConfig, optional
        What the settings of the run say; the defaults when not given.

    Returns
    -------
    CountingConfig or None
        None if there are none.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or its content is not a drawing.
    SinkError
        If this user has no home folder.
    """
    path = config.drawing_path
    try:
        drawn = _read_drawings(path).get(redact(source))
        if drawn is None:
            return None
        saved, usual = parse_counting(drawn), usual or CountingConfig()
        ignore = saved.ignore if "ignore" in drawn else usual.ignore  # older files have none
        return replace(usual, lines=saved.lines, zones=saved.zones, ignore=ignore)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInputError(
            f"{path}, drawn on the page of an earlier run, cannot be read ({reason}): correct it or delete it"
        ) from error


class ShapeEditor:
    """The lines and zones of a counter and the ignored zones, with a revision that rises with every change.

    Shapes that an earlier run saved for the source are used again.
    """

    def __init__(
        self, counter: Counter, config: WebConfig, source: str, ignored: IgnoredZones | None = None
    ) -> None:
        self._counter, self._source = counter, redact(source)
        self._ignored = ignored or IgnoredZones()
        self._path = config.drawing_path
        self._not_saved: str | None = None
        self._revision = 1
        drawn = saved_drawing(config, source, counter.config)
        if drawn is not None:
            _log.info("lines and zones are those drawn on the page, kept in %s", self._path)
            self._redraw(drawn)
        self._shapes = _shapes_document(drawn or counter.config)

    def document(self) -> dict[str, Any]:
        """Return the shapes, their revision, their file, and why the file does not hold them, or None."""
        return {
            "revision": self._revision,
            "saved_to": str(self._path),
            "not_saved": self._not_saved,
            **self._shapes,
        }

    def replace(self, document: dict[str, Any]) -> bool:
        """Take ``line``, ``zone``, ``ignore`` and the ``revision`` changed; False if that is not the newest.

        Shapes that cannot be saved are still counted. InvalidInputError if they are not shapes, too many, or
        of a class that is not tracked.
        """
        _check_size(document)
        shapes = {"ignore": self._shapes["ignore"], **document}  # a program may know lines and zones only
        shapes |= {kind: _with_ids(named) for kind, named in shapes.items() if isinstance(named, list)}
        config = parse_counting({key: value for key, value in shapes.items() if key != "revision"})
        _check_names(config)
        if document.get("revision") != self._revision:
            return False
        shapes = _shapes_document(config)
        self._redraw(config)  # first: it refuses classes that are not tracked
        self._not_saved = self._save(shapes)
        self._shapes = shapes
        self._revision += 1
        return True

    def _redraw(self, config: CountingConfig) -> None:
        self._counter.redraw(config.lines, config.zones)
        self._ignored.redraw(config.ignore)

    def _save(self, shapes: dict[str, Any]) -> str | None:
        path = self._path.resolve()  # a link stays a link
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({**_read_drawings(path), self._source: shapes}, indent=1, ensure_ascii=False)
            with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            failure = (
                f"{self._path} cannot be written ({reason}): free space there or choose another drawing_file"
            )
            _log.warning("drawn lines and zones count only until the run ends: %s", failure)
            return failure
        return None


def _read_drawings(path: Path) -> dict[str, Any]:
    """Return shapes by source; OSError or ValueError if there is a file and it cannot be read."""
    try:
        return _parse_object(path.read_bytes())
    except FileNotFoundError:
        return {}


def parse_request(body: bytes) -> dict[str, Any]:
    """Parse a request body; InvalidInputError if it is not a JSON object, or holds NaN or infinity."""
    try:
        return _parse_object(body)
    except ValueError as error:
        raise InvalidInputError(
            f'{error}: send an object such as {{"revision": 1, "line": [], "zone": []}}'
        ) from None


def _parse_object(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"that is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ValueError(f"that is JSON, but {type(document).__name__} and not an object")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _shapes_document(config: CountingConfig) -> dict[str, Any]:
    """Return the shapes as :func:`edge_fairmot.counting.parse_counting` reads them."""
    return {
        "line": [
            {"name": line.name, "start": list(line.start), "end": list(line.end), **_optional(line)}
            for line in config.lines
        ],
        **{
            kind: [
                {"name": zone.name, "polygon": [list(point) for point in zone.polygon], **_optional(zone)}
                for zone in zones
            ]
            for kind, zones in (("zone", config.zones), ("ignore", config.ignore))
        },
    }


def _with_ids(shapes: list[Any]) -> list[Any]:
    """Give a shape without an id one of its own, if its name is the id of another that was renamed."""
    taken = {shape.get("id") for shape in shapes if isinstance(shape, dict)}
    return [
        {**shape, "id": secrets.token_hex(4)}
        if isinstance(shape, dict) and "id" not in shape and shape.get("name") in taken
        else shape
        for shape in shapes
    ]


def _optional(shape: Line | Zone) -> dict[str, Any]:
    return {
        **({"classes": list(shape.classes)} if shape.classes else {}),
        **({"id": shape.id} if shape.id else {}),
    }


def _check_size(document: dict[str, Any]) -> None:
    """Refuse too many shapes or corners before they are parsed: parsing compares all sides of a zone."""
    shapes = [shape for kind in ("line", "zone", "ignore") for shape in _list(document.get(kind))]
    if len(shapes) > MAX_SHAPES:
        raise InvalidInputError(f"{len(shapes)} lines and zones are too many: draw {MAX_SHAPES} at most")
    for shape in shapes:
        count = len(_list(shape.get("polygon"))) if isinstance(shape, dict) else 0
        if count > MAX_CORNERS:
            raise InvalidInputError(f"a zone has {count} corners: draw it with {MAX_CORNERS} at most")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _check_names(config: CountingConfig) -> None:
    if config != CountingConfig(config.lines, config.zones, ignore=config.ignore):
        raise InvalidInputError("only lines and zones can be drawn: set the rest when the run is started")
    shapes: tuple[Line | Zone, ...] = (*config.lines, *config.zones, *config.ignore)
    for shape in shapes:
        if len(shape.name) > MAX_NAME_LENGTH or not shape.name.isprintable():
            raise InvalidInputError(
                f"{shape.name[: MAX_NAME_LENGTH + 1]!r} is not a name: give {MAX_NAME_LENGTH} printable "
                "characters at most"
            )
