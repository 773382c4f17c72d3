"""What ``edge-fairmot track`` is told to count: by a TOML file, by flags, or by both."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edge_fairmot.counting import Counter, CountingConfig, parse_counting, parse_line, parse_zone
from edge_fairmot.errors import InvalidInputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DECIMALS = 3
"""Of times in the summary: milliseconds."""


def read_counting(path: Path | None, lines: Sequence[str], zones: Sequence[str]) -> CountingConfig:
    """Put together what a file and the flags ask for.

    Parameters
    ----------
    path : Path or None
        A TOML file, see :func:`edge_fairmot.counting.parse_counting`.
    lines, zones : sequence of str
        As :func:`edge_fairmot.counting.parse_line` and :func:`edge_fairmot.counting.parse_zone` take them;
        they are added to the file's.

    Returns
    -------
    CountingConfig

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or something in it or in a flag is not right.
    """
    config = CountingConfig() if path is None else _read_file(path)
    return replace(
        config,
        lines=(*config.lines, *map(parse_line, lines)),
        zones=(*config.zones, *map(parse_zone, zones)),
    )


def totals_for_summary(counter: Counter) -> dict[str, Any]:
    """Totals as ``summary.json`` holds them."""
    return {
        "lines": {name: {"in": line.inwards, "out": line.outwards} for name, line in counter.lines.items()},
        "zones": {
            name: {key: round(value, DECIMALS) for key, value in asdict(zone).items()}
            for name, zone in counter.zones.items()
        },
    }


def totals_for_reading(counter: Counter) -> list[tuple[str, str]]:
    """Totals as rows of names and values."""
    rows = [(name, f"in {line.inwards}, out {line.outwards}") for name, line in counter.lines.items()]
    for name, zone in counter.zones.items():
        dwell = f", stayed {zone.mean_dwell_s:.1f} s on average, {zone.longest_dwell_s:.1f} s at most"
        rows.append((name, f"{zone.occupancy} in it, {zone.entries} entries{dwell if zone.stays else ''}"))
    return rows


def _read_file(path: Path) -> CountingConfig:
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({error.strerror}): check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} is not TOML ({error}): correct it there") from error
    try:
        return parse_counting(document)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from None
