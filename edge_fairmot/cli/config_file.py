"""A TOML file and ``--set table.key=value`` make the frozen dataclasses that the library takes.

The dataclass is the only table of names, types, ranges and documentation: unknown keys and wrong types are
reported here, ranges by the dataclass itself.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources.address import redact, redact_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
Document = dict[str, Any]

MOST = 1 << 63
"""Largest whole number of a setting."""

_SECRET = re.compile(r"password|secret|token|credential|key", re.IGNORECASE)


def read_document(path: Path | None, overrides: Sequence[str] = ()) -> Document:
    """Read a TOML file, if there is one, and apply ``table.key=value`` overrides.

    The value of an override is TOML where it parses as TOML, and else a string.
    """
    document = {} if path is None else _read_toml(path)
    for pair in overrides:
        name, equals, text = pair.partition("=")
        *tables, key = name.strip().split(".")
        if not equals or not all((*tables, key)):
            raise InvalidInputError(f"--set {_shown(name, pair)}: write table.key=value, as in web.port=8081")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text
        target = document
        for table in tables:
            target = target.setdefault(table, {})
            if not isinstance(target, dict):
                raise InvalidInputError(f"--set {name}: {table} is not a table")
        target[key] = value
    return document


def build(cls: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Make a dataclass from a TOML table; ``where`` is the table's name, "" for the top of the file."""
    hints = field_types(cls)
    prefix = f"{where}." if where else ""
    for key, value in table.items():
        if key not in hints:
            known = f"[{where}] has" if where else "use"
            raise InvalidInputError(
                f"{prefix}{key} = {_shown(key, value)} is not known: {known} {', '.join(sorted(hints))}"
            )
    values = {key: _value(hints[key], value, f"{prefix}{key}") for key, value in table.items()}
    missing = [
        one.name
        for one in dataclasses.fields(cls)  # type: ignore[arg-type]
        if one.name not in values
        and one.default is dataclasses.MISSING
        and one.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InvalidInputError(f"{where} lacks {', '.join(missing)}")
    try:
        return cls(**values)
    except InvalidInputError as error:
        raise InvalidInputError(redact_text(f"{prefix}{error}")) from None


def field_types(cls: type) -> dict[str, Any]:
    """Return the type hint of each field of a dataclass, by name."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def help_of(cls: type) -> dict[str, str]:
    """Return the description of each field, by name, from the numpydoc ``Attributes`` of a class."""
    text = (cls.__doc__ or "").partition("Attributes\n    ----------\n")[2].partition("\n    Raises\n")[0]
    found = re.findall(r"^    (\w[\w, ]*) : .*\n((?:        .*\n?|\n(?=        ))*)", text, re.MULTILINE)
    return {name: " ".join(body.split()) for names, body in found for name in names.split(", ")}


def _read_toml(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({error.strerror}): check --config") from error
    except RecursionError as error:
        raise InvalidInputError(f"{path} has too many brackets in one another: correct it there") from error
    except ValueError as error:  # the syntax, an integer of thousands of digits, or bytes that are not UTF-8
        reason = str(error).partition(";")[0]
        raise InvalidInputError(f"{path} is not TOML ({reason}): correct it there") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    """Return a TOML value as the field's type; raises InvalidInputError if it is another type."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] if _is_union(hint) else [hint]
    for kind in kinds:
        if get_origin(kind) is tuple:
            return _tuple(get_args(kind), value, where)
        if get_origin(kind) is Mapping:
            return _mapping(get_args(kind)[1], value, where)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            if not isinstance(value, dict):
                raise InvalidInputError(f"{where} = {_shown(where, value)} must be a table: write [{where}]")
            return build(kind, value, where)
    if float in kinds and type(value) is int and abs(value) < MOST:
        return float(value)
    if Path in kinds and isinstance(value, str) and value:
        return Path(value)
    if type(value) not in kinds or (type(value) is int and abs(value) >= MOST):
        names = " or ".join(_TYPE_NAMES.get(kind, getattr(kind, "__name__", str(kind))) for kind in kinds)
        raise InvalidInputError(f"{where} = {_shown(where, value)} must be {names}")
    return value


_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    repeated = len(kinds) == 2 and kinds[1] is Ellipsis
    if not isinstance(value, list) or not (repeated or len(value) == len(kinds)):
        raise InvalidInputError(
            f"{where} = {_shown(where, value)} must be a list{'' if repeated else f' of {len(kinds)}'}"
        )
    each = kinds[:1] * len(value) if repeated else kinds
    return tuple(_value(kind, part, where) for kind, part in zip(each, value, strict=True))


def _mapping(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInputError(f"{where} = {_shown(where, value)} must be a table: write [{where}]")
    return {key: _value(kind, one, f"{where}.{key}") for key, one in value.items()}


def _shown(name: str, value: Any) -> str:
    """Write a value as TOML does, near enough to be found in the file, and without secrets."""
    if _SECRET.search(name.rpartition(".")[2]):
        return "..."
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{redact(str(value))}"' if isinstance(value, str | Path) else redact_text(str(value))
