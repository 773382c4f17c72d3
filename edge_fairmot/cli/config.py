"""``edge-fairmot config``: a TOML file with every key of ``track`` and ``live``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from edge_fairmot.cli.config_file import field_types, help_of
from edge_fairmot.cli.console import stdout
from edge_fairmot.cli.run_config import RunConfig, TrackerTable

SHAPES = """\
# [[line]]                    # repeat; looking from start to end, in is from left to right
# name = "door"
# start = [0.2, 0.8]          # shares of the image's width and height
# end = [0.8, 0.8]
# classes = ["car", "bus"]    # only these, by the names in the model; all when left out

# [[zone]]
# name = "queue"
# polygon = [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]
# classes = ["person"]

# [[ignore]]                  # nobody who stands in it is tracked
# name = "mirror"
# polygon = [[0.8, 0.1], [1.0, 0.1], [1.0, 0.6]]

## Several cameras: in place of [camera], a table [[camera]] for each, with name, source, target_fps, and what
## differs from the rest of this file: keys of [camera], and tracker, schedule, counting, line, zone, ignore.
"""


def config() -> None:
    """Print a configuration file with every key.

    Save it, remove the # before a key, and give the file to track or live with --config.
    """
    stdout.print(config_text(), highlight=False, soft_wrap=True, end="")


def config_text() -> str:
    """Return a TOML file in which every key stands commented out with its default and its description."""
    parts = []
    for name, hint in field_types(RunConfig).items():
        table = next(
            (kind for kind in (hint, *getattr(hint, "__args__", ())) if dataclasses.is_dataclass(kind)), None
        )
        if name in ("line", "zone", "ignore"):
            continue
        if table is None:
            parts.append(_key(name, None, help_of(RunConfig).get(name, "")))
        else:
            optional = "# " if hint is not table else ""
            parts.append(f"\n{optional}[{name}]\n{_keys(table)}")
    return "".join(parts) + "\n" + SHAPES


def _keys(table: Any, skipped: tuple[str, ...] = ("lines", "zones", "ignore")) -> str:
    """Return the keys of a table, with the descriptions of its class and the classes it extends."""
    described = {name: text for cls in reversed(table.__mro__) for name, text in help_of(cls).items()}
    lines = []
    for field in dataclasses.fields(table):
        if field.name not in skipped and (table, field.name) != (TrackerTable, "frame_rate"):
            default = None if field.default is dataclasses.MISSING else field.default
            lines.append(_key(field.name, default, described.get(field.name, "")))
    return "".join(lines)


def _key(name: str, default: Any, text: str) -> str:
    if isinstance(default, bool) or not isinstance(default, str | int | float | Path):
        shown = "..." if default is None or not isinstance(default, bool) else str(default).lower()
    else:
        shown = json.dumps(str(default)) if isinstance(default, str | Path) else str(default)
    return f"# {f'{name} = {shown}':<27} {'# ' + text if text else ''}".rstrip() + "\n"
