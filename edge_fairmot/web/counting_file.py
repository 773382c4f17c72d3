"""Lines and zones in a TOML file that people write as well."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from edge_fairmot.counting import CountingConfig, parse_counting
from edge_fairmot.errors import SinkError


class CountingFile:
    """Saves lines and zones; other settings and remarks in the file stay as they are.

    Parameters
    ----------
    path : Path
        Made with the first change where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, config: CountingConfig) -> None:
        """Put lines and zones in the place of the file's: all of them, or nothing is changed.

        Raises
        ------
        SinkError
            If the file is not TOML, or cannot be read or written.
        """
        try:
            present = self.path.read_text("utf-8") if self.path.exists() else ""
            content = _with_shapes(present, config)
            _write_atomically(self.path.resolve(), content)
        except OSError as error:
            raise SinkError(
                f"cannot save to {self.path}: {error.strerror}; free space or give another file"
            ) from error
        except (TOMLKitError, UnicodeDecodeError) as error:
            raise SinkError(f"{self.path} is not TOML ({error}): correct it, then draw again") from error


def _with_shapes(present: str, config: CountingConfig) -> str:
    document = tomlkit.parse(present)
    for key in ("line", "zone"):
        if key in document:
            del document[key]
    for line in config.lines:
        _append(document, "line", {"name": line.name, "start": list(line.start), "end": list(line.end)})
    for zone in config.zones:
        _append(document, "zone", {"name": zone.name, "polygon": [list(point) for point in zone.polygon]})
    content = tomlkit.dumps(document)
    # The order and the remarks of a file that nothing is known of are kept: what comes of it is read again
    # before it replaces that file.
    written = tomlkit.parse(content).unwrap()
    shapes = parse_counting({key: written[key] for key in ("line", "zone") if key in written})
    if (shapes.lines, shapes.zones) != (config.lines, config.zones):
        raise TOMLKitError("its lines and zones cannot be told from its other tables")
    return content


def _append(document: tomlkit.TOMLDocument, key: str, values: dict[str, object]) -> None:
    if key not in document:
        document.append(key, tomlkit.aot())
    table = tomlkit.table()
    table.update(values)
    document[key].append(table)  # type: ignore[union-attr]


def _write_atomically(path: Path, content: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
