"""Lines and zones in a TOML file that people write as well."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_fairmot.counting import CountingConfig, Line, Zone, parse_counting
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.system import atomic_write

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHAPES = ("line", "zone")

_HEADER = re.compile(r"\s*\[{1,2}\s*(?P<key>[\w.\"' -]+?)\s*\]{1,2}\s*(#.*)?")


class CountingFile:
    """Saves lines and zones as tables at the end of a file; everything else in it stays as it is.

    Libraries that edit TOML were tried: they take a remark after a table for a part of it, and lose it.

    Parameters
    ----------
    path : Path
        Made with the first change where it does not exist, and its folder too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> CountingConfig | None:
        """Give the file's lines and zones; None where there is no file.

        Raises
        ------
        InvalidInputError
            If it cannot be read, or something in it is not right.
        """
        try:
            document = tomllib.loads(self.path.read_text("utf-8"))
            return parse_counting({key: document.get(key, []) for key in SHAPES})
        except FileNotFoundError:
            return None
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, InvalidInputError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InvalidInputError(
                f"{self.path}, the drawing of a run before, cannot be read ({reason}): correct or delete it"
            ) from error

    def save(self, lines: Sequence[Line], zones: Sequence[Zone]) -> None:
        """Put lines and zones in the place of the file's: all of them, or nothing is changed.

        Raises
        ------
        SinkError
            If the file is not TOML, or cannot be read or written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            present = self.path.read_text("utf-8") if self.path.exists() else ""
            before = tomllib.loads(present)
            _write_atomically(self.path.resolve(), self._replaced(present, before, lines, zones))
        except OSError as error:
            raise SinkError(
                f"cannot save to {self.path}: {error.strerror}; free space or give another file"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SinkError(f"{self.path} is not TOML ({error}): correct it, then draw again") from error

    def _replaced(
        self, present: str, before: dict[str, Any], lines: Sequence[Line], zones: Sequence[Zone]
    ) -> str:
        """Write the new content, and read it: tables are told by their headers, which not all TOML has."""
        parts = [_without_shapes(present).strip(), *map(_write_line, lines), *map(_write_zone, zones)]
        content = "\n\n".join(filter(None, parts)) + "\n"
        others = {key: value for key, value in before.items() if key not in SHAPES}
        with suppress(tomllib.TOMLDecodeError, InvalidInputError):
            written = tomllib.loads(content)
            found = parse_counting({key: written.pop(key, []) for key in SHAPES})
            if written == others and (found.lines, found.zones) == (tuple(lines), tuple(zones)):
                return content
        raise SinkError(
            f"{self.path} has lines or zones in an unusual form: write them as [[line]] and [[zone]]"
        )


def shapes_document(config: CountingConfig) -> dict[str, list[dict[str, Any]]]:
    """Lines and zones as :func:`edge_fairmot.counting.parse_counting` reads them."""
    return {
        "line": [
            {"name": line.name, "start": list(line.start), "end": list(line.end)} for line in config.lines
        ],
        "zone": [
            {"name": zone.name, "polygon": [list(point) for point in zone.polygon]} for zone in config.zones
        ],
    }


def _without_shapes(text: str) -> str:
    """Take the tables of shapes out; a remark after the last value of one is kept."""
    kept: list[str] = []
    remarks: list[str] = []
    inside = False
    for row in text.splitlines():
        header = _HEADER.fullmatch(row)
        if header is not None:
            kept += remarks if inside else []
            inside, remarks = header["key"] in SHAPES, []
        if not inside:
            kept.append(row)
        elif row.strip() and not row.lstrip().startswith("#"):
            remarks = []
        else:
            remarks.append(row)
    kept += remarks if inside else []
    return "\n".join(kept)


def _write_line(line: Line) -> str:
    name = json.dumps(line.name, ensure_ascii=False)
    return f"[[line]]\nname = {name}\nstart = {list(line.start)}\nend = {list(line.end)}"


def _write_zone(zone: Zone) -> str:
    name = json.dumps(zone.name, ensure_ascii=False)
    return f"[[zone]]\nname = {name}\npolygon = {[list(point) for point in zone.polygon]}"


def _write_atomically(path: Path, content: str) -> None:
    present = path.stat() if path.exists() else None
    with atomic_write(path) as partial:
        partial.unlink(missing_ok=True)  # a killed run's, which somebody may have open
        # The file may hold a camera's password: for its owner alone until it is as the one before.
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            if present is not None:
                _open_to_the_same(descriptor, present)


def _open_to_the_same(descriptor: int, present: os.stat_result) -> None:
    mode = present.st_mode & 0o777
    try:
        os.fchown(descriptor, present.st_uid, present.st_gid)
    except PermissionError:  # it has a group of ours now, which may do what everybody may
        mode = mode & 0o707 | (mode & 0o007) << 3
    os.fchmod(descriptor, mode)
