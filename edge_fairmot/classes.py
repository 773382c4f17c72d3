"""Class names of a model, by the ids that its detections and tracks carry.

``class_names[class_id]`` is the name. A model of one class needs no names in its outputs: those of several
classes say them. Tracking and counting choose classes by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Int64Array


def class_ids(
    chosen: Iterable[str], class_names: Sequence[str], where: str, tracked: Iterable[str] = ()
) -> tuple[int, ...]:
    """Return the ids of chosen classes, ascending; all ids of a name that several classes have.

    ``tracked`` limits the choice where it is not empty. InvalidInputError if there is no such class: it
    begins with ``where``, as in ``classes names``, and lists the names to choose from.
    """
    known = tuple(tracked) or tuple(class_names)
    wanted = tuple(chosen)
    for name in wanted:
        if name not in known:
            problem = "is not tracked" if name in class_names else "the model does not have"
            raise InvalidInputError(f"{where} {name!r}, which {problem}: use {', '.join(map(repr, known))}")
    return tuple(number for number, name in enumerate(class_names) if name in wanted)


def class_name(class_id: int, class_names: Sequence[str]) -> str:
    """Return the name of a class; ``class 7`` for an id without one."""
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"


def count_by_class(class_id: Int64Array, class_names: Sequence[str]) -> Mapping[str, int]:
    """Return how many of the ids, int64 (N,), are of each named class; empty for a model of one class."""
    if len(class_names) < 2:
        return MappingProxyType({})
    counts = {name: int((class_id == number).sum()) for number, name in enumerate(class_names)}
    return MappingProxyType(counts)
