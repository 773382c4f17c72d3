"""The cameras of ``live``: ``NAME=SOURCE`` on the command line, and ``[[camera]]`` in a file.

Each camera has the settings of a run of its own: those of the file, and over them its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edge_fairmot.cli.config_file import Document
from edge_fairmot.cli.run_config import CameraTable, RunConfig, build_run, read_run_document
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service import slug
from edge_fairmot.sources.address import redact
from edge_fairmot.sources.v4l2 import DEVICE_PREFIX

MAX_CAMERAS, MAX_NAME_LENGTH = 64, 60

OF_THE_RUN = frozenset(
    {
        "model",
        "stall_after_s",
        "output",
        "runtime",
        "input",
        "camera",
        "web",
        "history",
        "mqtt",
        "record",
        "log",
    }
)
"""Keys of a file that all cameras share."""

OF_A_CAMERA = tuple(one.name for one in fields(RunConfig) if one.name not in OF_THE_RUN)

_CONNECTION = tuple(one.name for one in fields(CameraTable))

_NAMED = re.compile(r"([^=:/?]+)=(.+)", re.DOTALL)


def read_live_configs(
    path: Path | None,
    overrides: Sequence[str],
    flags: Mapping[str, Any],
    sources: Sequence[str] = (),
    lines: Sequence[str] = (),
    zones: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> dict[str, RunConfig]:
    """Build the settings of each camera, by its name; one camera without a name has the name "".

    ``sources`` are those of the command line, which go before those of the file. The rest is as for
    :func:`edge_fairmot.cli.run_config.read_run_config`.
    """
    document, shapes = read_run_document(path, overrides, flags), (lines, zones, ignored)
    tables = _take_tables(document)
    if len(sources) == 1 and not split_name(sources[0])[0]:
        document["source"], tables = sources[0], []
    elif sources:
        known = {table["name"]: table for table in tables}
        named = [split_name(source) for source in sources]
        tables = [
            {**known.get(name, {}), "name": name or _made_name(source, number), "source": source}
            for number, (name, source) in enumerate(named, 1)
        ]
    if not tables:
        return {"": build_run(document, path, *shapes)}
    _check_names([table["name"] for table in tables])
    document.pop("source", None)
    return {table["name"]: _build_camera(document, table, path, *shapes) for table in tables}


def split_name(text: str) -> tuple[str, str]:
    """Split ``NAME=SOURCE``; the name is "" where there is none, as in ``synthetic:seed=3``.

    Examples
    --------
    >>> split_name("door=rtsp://camera/stream?channel=2")
    ('door', 'rtsp://camera/stream?channel=2')
    """
    found = _NAMED.fullmatch(text)
    if found is None or Path(text).exists():
        return "", text
    return found[1].strip(), found[2].strip()


def _made_name(source: str, number: int) -> str:
    """Return a name for a camera without one: that of its device, or its number."""
    if source.startswith(DEVICE_PREFIX):
        return source.partition("?")[0].rpartition("/")[2]
    return f"camera{number}"


def _take_tables(document: Document) -> list[dict[str, Any]]:
    """Take the ``[[camera]]`` tables out of a document; one table ``[camera]`` stays."""
    tables = document.get("camera")
    if not isinstance(tables, list):
        return []
    del document["camera"]
    for number, table in enumerate(tables, 1):
        name = table.get("name") if isinstance(table, dict) else None
        if not isinstance(name, str):
            raise InvalidInputError(f'camera {number} has no name: write name = "door" in each [[camera]]')
    return tables


def _check_names(names: Sequence[str]) -> None:
    """Refuse names that cannot be shown, and those that would share a topic, a folder or an address."""
    if len(names) > MAX_CAMERAS:
        raise InvalidInputError(f"{len(names)} cameras are too many: give {MAX_CAMERAS} at most to one run")
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise InvalidInputError(
                f"camera name {name[: MAX_NAME_LENGTH + 1]!r} is not allowed: give 1 to {MAX_NAME_LENGTH} "
                "printable characters"
            )
        other = seen.setdefault(slug(name).lower(), name)  # some disks do not tell upper from lower case
        if other is not name or names.count(name) > 1:
            raise InvalidInputError(f"cameras {other!r} and {name!r} have one name: give each its own")


def _build_camera(
    document: Document,
    table: Mapping[str, Any],
    path: Path | None,
    *shapes: Sequence[str],
) -> RunConfig:
    """Build the settings of one camera: a table of its own is merged into the file's, a list replaces it."""
    name = table["name"]
    merged = dict(document)
    for key, value in table.items():
        if key == "target_fps":
            merged["schedule"] = _merge(merged.get("schedule"), {key: value})
        elif key in OF_A_CAMERA:
            merged[key] = _merge(merged.get(key), value)
        elif key in _CONNECTION:
            merged["camera"] = _merge(merged.get("camera"), {key: value})
        elif key != "name":
            known = ", ".join(sorted(("name", "target_fps", *OF_A_CAMERA, *_CONNECTION)))
            raise InvalidInputError(
                f"camera {name}: {key} = {redact(str(value))!r} is not known: use {known}"
            )
    try:
        config = build_run(merged, path, *shapes)
    except InvalidInputError as error:
        raise InvalidInputError(f"camera {name}: {error}") from None
    return replace(
        config,
        mqtt=config.mqtt and replace(config.mqtt, camera=name),
        record=config.record and config.record.of_camera(name),
    )


def _merge(shared: Any, own: Any) -> Any:
    return {**shared, **own} if isinstance(shared, dict) and isinstance(own, dict) else own
