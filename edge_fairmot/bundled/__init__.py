"""The models and the clip that come with the package; ``MODEL_CARD.md`` beside this file describes them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from edge_fairmot.errors import InvalidInputError

PEOPLE, LIGHT = "people", "people-light"

MODELS = (PEOPLE, LIGHT)
"""Names of the models. The first is used where none is given; the other is for slow devices."""


def bundled_model(name: str = PEOPLE) -> Path:
    """Find a model of this package, by default the one that is used where none is given.

    Raises
    ------
    InvalidInputError
        If this installation came without it.
    """
    return _find(f"{name}.onnx", "give --model FILE.onnx")


def choose_model(model: str | Path | None) -> Path:
    """Find the model that is meant: a file, one of ``MODELS`` by name, or the default.

    Raises
    ------
    InvalidInputError
        If this installation came without it.
    """
    if model is None:
        return bundled_model()
    return bundled_model(str(model)) if str(model) in MODELS and not Path(model).exists() else Path(model)


def bundled_clip() -> Path:
    """Find the short video of people that ``demo`` tracks.

    Raises
    ------
    InvalidInputError
        If this installation came without it.
    """
    return _find("people.mp4", "give a video of your own")


def _find(name: str, fix: str) -> Path:
    path = Path(str(files("edge_fairmot.bundled") / name))
    if not path.is_file():
        raise InvalidInputError(f"this installation came without {name} ({path}): {fix}")
    return path
