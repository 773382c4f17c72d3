"""Settings that a command takes as flags and from a TOML file: a frozen dataclass is the one table of them.

A field's name, type and default, and the :class:`Setting` that :func:`setting` puts beside them, make the
flag, the key, the help and the check. A flag goes before the file, and the file before the default.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import typer
from rich.markup import escape

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources.address import without_secrets

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_KINDS = (bool, int, float, Path, str)


@dataclass(frozen=True, slots=True)
class Setting:
    """What there is to know of a setting beside its field.

    Attributes
    ----------
    table : str
        Of the TOML file; empty for its top.
    key : str
        In that table; the field's name when empty.
    help : str
    choices : tuple of str
        What is allowed; anything where empty.
    low, high : float
        For numbers.
    above : bool
        True where ``low`` itself is too low.
    short : str
        A short flag, as in ``-m``.
    metavar : str
    """

    table: str
    key: str
    help: str
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    short: str = ""
    metavar: str = ""


def setting(default: Any, table: str, help_text: str, *, key: str = "", **more: Any) -> Any:
    """Declare a field of a settings class; see :class:`Setting`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(table, key, help_text, **more)})


@dataclass(frozen=True, slots=True)
class Entry:
    """A field with its setting: a row of the table.

    Attributes
    ----------
    name : str
        Of the field.
    kind : type
        bool, int, float, Path or str; of the parts, where ``repeats``.
    repeats : bool
        True for a tuple: the flag is given once for each part.
    default : object
    setting : Setting
    """

    name: str
    kind: type
    repeats: bool
    default: Any
    setting: Setting

    @property
    def key(self) -> str:
        """Name in the file, with its table."""
        key = self.setting.key or self.name
        return f"{self.setting.table}.{key}" if self.setting.table else key

    @property
    def flag(self) -> str:
        """The long flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """What a value must be, in words."""
        low, high = self.setting.low, self.setting.high
        if self.setting.choices:
            return f"one of {', '.join(self.setting.choices)}"
        if self.kind is bool:
            return "true or false"
        if self.kind in (int, float):
            what = "a whole number" if self.kind is int else "a number"
            bounds = [f"{'above' if self.setting.above else 'from'} {low:g}"] if low > -math.inf else []
            bounds += [f"up to {high:g}"] if high < math.inf else []
            return " ".join((what, *bounds))
        return "a list of texts" if self.repeats else "a text"


def entries(settings_class: type) -> tuple[Entry, ...]:
    """Give the table that a settings class is."""
    hints = get_type_hints(settings_class)
    return tuple(_entry(field, hints[field.name]) for field in dataclasses.fields(settings_class))


def flags(settings_class: type, argument: str) -> list[inspect.Parameter]:
    """Give the parameters of a command, for its ``__signature__``: a flag for each setting.

    Parameters
    ----------
    settings_class : type
    argument : str
        The setting that is given without a flag.
    """
    return [_parameter(entry, is_argument=entry.name == argument) for entry in entries(settings_class)]


def read_settings(
    settings_class: type[T], path: Path | None, given: Mapping[str, Any], others: frozenset[str] = frozenset()
) -> tuple[T, dict[str, Any]]:
    """Put together what a file and the flags say.

    Parameters
    ----------
    settings_class : type
    path : Path or None
        A TOML file.
    given : mapping
        Value of each field's flag; None or empty where it was not given.
    others : frozenset of str
        Keys at the top of the file that are none of the settings'.

    Returns
    -------
    settings : object
        Of the class.
    rest : dict
        What the file has under the other keys.

    Raises
    ------
    InvalidInputError
        With key or flag, value, and what is allowed.
    """
    table = entries(settings_class)
    document = {} if path is None else _read_toml(path)
    rest = {key: document.pop(key) for key in sorted(others & document.keys())}
    values = {} if path is None else _read_document(table, document, path, others)
    for entry in table:
        value = given.get(entry.name)
        if value is not None and value != []:
            values[entry.name] = _checked(entry, value, entry.flag)
    return settings_class(**values), rest


def _entry(field: Field[Any], hint: Any) -> Entry:
    origin = get_origin(hint)
    parts = get_args(hint) if origin in (Union, UnionType, tuple) else (hint,)
    kinds = [kind for kind in parts if kind in _KINDS]
    if not kinds or field.default is MISSING:
        raise TypeError(f"{field.name}: a setting is of a plain type and has a default")
    return Entry(
        field.name,
        kinds[0],
        origin is tuple,
        field.default,
        field.metadata["setting"],
    )


def _parameter(entry: Entry, *, is_argument: bool) -> inspect.Parameter:
    about = entry.setting
    kind: Any = list[str] if entry.repeats else entry.kind
    usual = "" if entry.default in (None, "", ()) else f"; usually {_written(entry.default)}"
    text = escape(f"{about.help} ({entry.key}{usual})")
    metavar = about.metavar or ("|".join(about.choices) if about.choices else None)
    if is_argument:
        info: Any = typer.Argument(help=text, metavar=entry.name.upper(), show_default=False)
    else:
        names = [entry.flag, *filter(None, [about.short])]
        info = typer.Option(
            *names if kind is not bool else [f"{entry.flag}/--no-{entry.flag[2:]}"],
            help=text, metavar=metavar, show_default=False, rich_help_panel=about.table or "what runs",
        )  # fmt: skip
    return inspect.Parameter(
        entry.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({error.strerror}): check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} is not TOML ({error}): correct it there") from error


def _read_document(
    table: tuple[Entry, ...], document: Mapping[str, Any], path: Path, others: frozenset[str]
) -> dict[str, Any]:
    by_key = {entry.key: entry for entry in table if entry.key not in others}
    top = {entry.setting.table or entry.key for entry in by_key.values()}
    values = {}
    for name, value in document.items():
        if name not in top:
            raise InvalidInputError(
                f"{path}: {name} = {_written(value)} is not known: use {', '.join(sorted(top | others))}"
            )
        is_table = name not in by_key
        if is_table and not isinstance(value, dict):
            raise InvalidInputError(f"{path}: {name} = {_written(value)} must be a table: write [{name}]")
        for key, inner in value.items() if is_table else [("", value)]:
            full = f"{name}.{key}" if is_table else name
            if full not in by_key:
                known = sorted(other.partition(".")[2] for other in by_key if other.startswith(f"{name}."))
                raise InvalidInputError(
                    f"{path}: {full} = {_written(inner)} is not known: [{name}] has {', '.join(known)}"
                )
            entry = by_key[full]
            values[entry.name] = _checked(entry, inner, f"{path}: {full}")
    return values


def _checked(entry: Entry, value: Any, where: str) -> Any:
    parts = value if entry.repeats and isinstance(value, list) else [value]
    read = [_read(entry, part) for part in parts]
    if None in read or (entry.repeats and not isinstance(value, list)):
        raise InvalidInputError(f"{where} = {_written(value)} must be {entry.allowed}")
    return tuple(read) if entry.repeats else read[0]


def _read(entry: Entry, value: Any) -> Any:
    """Give the value as the field has it; None where it is not allowed."""
    kind, about = entry.kind, entry.setting
    if kind is Path:
        return Path(value) if isinstance(value, str | Path) and str(value) else None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (about.choices and value not in about.choices):
        return None
    if isinstance(value, int | float) and kind is not bool:
        too_low = value <= about.low if about.above else value < about.low
        return None if too_low or value > about.high or not math.isfinite(value) else value
    return value


def _written(value: Any) -> str:
    """Write a value as TOML does, near enough to be found in the file, and without a camera's password."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{without_secrets(str(value))}"' if isinstance(value, str | Path) else str(value)
