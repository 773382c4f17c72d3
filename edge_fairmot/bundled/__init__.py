"""The model that comes with the package; ``MODEL_CARD.md`` beside this file describes it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from edge_fairmot.errors import InvalidInputError

NAME = "people.onnx"


def bundled_model() -> Path:
    """Find the model that is used where none is given.

    Raises
    ------
    InvalidInputError
        If this installation came without it.
    """
    path = Path(str(files("edge_fairmot.bundled") / NAME))
    if not path.is_file():
        raise InvalidInputError(f"this installation came without its model ({path}): give --model FILE.onnx")
    return path
