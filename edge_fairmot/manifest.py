"""The manifest of an exported ONNX file: one JSON string in its ``metadata_props``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from edge_fairmot.errors import ManifestError

MANIFEST_KEY = "edge_fairmot.manifest"
SCHEMA_VERSION = 1

PRECISIONS = ("fp32", "fp16", "int8")
"""Values of ``default_precision``."""

FULL, CORE = GRAPHS = ("full", "core")
"""Values of ``graph``: a full graph detects; a core graph ends before the decoding (``convert --graph``)."""

ACTIVATIONS = ("relu", "silu")
"""Values of ``head_activation``."""

LARGEST = 65536
"""Largest size or count: more than any network has."""


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """What an exported file is, what it was made of, and how.

    Attributes
    ----------
    input_size : (int, int)
        Width and height of the input, pixels.
    batch_size : int
        N of the graph contract.
    stride : int
        Input pixels per heatmap cell.
    max_detections : int
        K of the graph contract.
    embedding_dim : int
        D of the graph contract.
    class_names : tuple of str
    box_channels : int
        4 for left, top, right, bottom; 2 for width, height; 2 for each of three or more classes.
    graph : str
        One of ``GRAPHS``.
    head_activation : str
        One of ``ACTIVATIONS``: the nonlinearity in the heads.
    network : str
        Backbone and neck, for example ``yolov5s``; empty in files of earlier releases, which are DLA-34.
    parameters : int
        Number of the network's weights; 0 in files of earlier releases.
    macs : int
        Multiply-adds of an image in convolutions and matrix products; 0 in files of earlier releases.
    deform_conv : dict of str to str
        Lowering of each deformable layer, by the layer's name in the checkpoint.
    precision : dict of str to str
        Precision of each layer that is not in ``default_precision``.
    default_precision : str
        One of ``PRECISIONS``.
    opset : int
    int8_share : float
        Share of the plain convolutions' multiply-adds that run in int8.
    rewrites : tuple of str
        Exact graph rewrites applied, for example ``late-heads``.
    checkpoint_sha256 : str
    teacher_sha256 : str
        Hash of the checkpoint that this one was distilled from; empty without distillation.
    plain_layers : tuple of str
        Layers that are deformable in the original and plain 3x3 convolutions in this checkpoint.
    calibration : str
        Source of the calibration frames; empty for a file without calibration.
    calibration_sha256 : str
        Hash of those frames, letterboxed, in order.
    parity : dict of str to float
        Figures of the comparison with a reference, by name.
    parity_basis : str
        The reference and the frames of that comparison.
    graph_sha256 : str
        Hash of the graph that was compared, see :mod:`edge_fairmot.model_file`.
    model_sha256 : str
        Hash of the graph and of all else that the file computes with; empty in files of earlier releases.
    versions : dict of str to str
        Versions of the packages that made and compared the file.
    toolkit_version : str
    schema_version : int
    """

    input_size: tuple[int, int]
    max_detections: int
    embedding_dim: int
    class_names: tuple[str, ...]
    opset: int
    checkpoint_sha256: str
    toolkit_version: str
    box_channels: int = 4
    batch_size: int = 1
    stride: int = 4
    graph: str = FULL
    head_activation: str = "relu"
    network: str = ""
    parameters: int = 0
    macs: int = 0
    deform_conv: Mapping[str, str] = field(default_factory=dict)
    precision: Mapping[str, str] = field(default_factory=dict)
    default_precision: str = "fp32"
    int8_share: float = 0.0
    rewrites: tuple[str, ...] = ()
    teacher_sha256: str = ""
    plain_layers: tuple[str, ...] = ()
    calibration: str = ""
    calibration_sha256: str = ""
    parity: Mapping[str, float] = field(default_factory=dict)
    parity_basis: str = ""
    graph_sha256: str = ""
    model_sha256: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Serialise the manifest for :meth:`from_json`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelManifest:
        """Parse a manifest; ManifestError if the text is none, has another schema, or wrong values."""
        try:
            values: dict[str, Any] = json.loads(text)
            version = values["schema_version"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ManifestError(
                "the manifest in this file is damaged: convert the checkpoint again with edge-fairmot convert"
            ) from error
        if version != SCHEMA_VERSION:
            raise ManifestError(
                f"the file has manifest schema {_shown(version)}, this edge-fairmot reads {SCHEMA_VERSION}: "
                "pip install -U edge-fairmot, or convert the checkpoint again"
            )
        known = {one.name: str(one.type) for one in fields(cls)}
        values = {name: value for name, value in values.items() if name in known}
        for name, value in values.items():
            kind = _KINDS[_RANGED.get(name, known[name])]
            if not kind.accepts(value):
                raise ManifestError(
                    f"the manifest in this file is damaged ({name} is {_shown(value)} and must be "
                    f"{kind.words}): convert the checkpoint again with edge-fairmot convert"
                )
            if isinstance(value, list):
                values[name] = tuple(value)
        try:
            return cls(**values)
        except TypeError as error:
            raise ManifestError(
                f"the manifest in this file is incomplete ({error}): "
                "convert the checkpoint again with edge-fairmot convert"
            ) from error

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], path: str) -> ModelManifest:
        """Read the manifest from an ONNX file's ``metadata_props``; ManifestError if there is none.

        ``path`` is the file's name, for the error.
        """
        if MANIFEST_KEY not in metadata:
            raise ManifestError(
                f"{path} has no edge-fairmot manifest, so its outputs cannot be interpreted: "
                f"make the file with 'edge-fairmot convert CHECKPOINT -o {path}'"
            )
        return cls.from_json(metadata[MANIFEST_KEY])


class _Kind(NamedTuple):
    accepts: Callable[[Any], bool]
    words: str


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value <= LARGEST


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**53)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _table_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(accepts, value.values()))


_KINDS: Mapping[str, _Kind] = {
    "int": _Kind(lambda value: type(value) is int and 0 <= value <= LARGEST, f"between 0 and {LARGEST}"),
    "str": _Kind(_is_text, "a text"),
    "tuple[str, ...]": _Kind(_texts, "a list of texts"),
    "Mapping[str, str]": _Kind(_table_of(_is_text), "a table of texts"),
    "Mapping[str, float]": _Kind(_table_of(_is_number), "a table of numbers"),
    "tuple[int, int]": _Kind(
        lambda value: isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)),
        f"a list of two numbers between 1 and {LARGEST}",
    ),
    "count": _Kind(_is_count, f"between 1 and {LARGEST}"),
    "amount": _Kind(lambda value: type(value) is int and 0 <= value < 2**53, f"between 0 and {2**53 - 1}"),
    "share": _Kind(lambda value: _is_number(value) and 0 <= value <= 1, "between 0 and 1"),
    "names": _Kind(lambda value: _texts(value) and value != [], "a list of at least one text"),
    "precision": _Kind(lambda value: value in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
    "graph": _Kind(lambda value: value in GRAPHS, f"one of {', '.join(GRAPHS)}"),
    "activation": _Kind(lambda value: value in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}"),
}
"""Allowed values, by the type of the field or its entry in ``_RANGED``."""

_RANGED: Mapping[str, str] = {
    "max_detections": "count",
    "embedding_dim": "count",
    "batch_size": "count",
    "stride": "count",
    "parameters": "amount",
    "macs": "amount",
    "box_channels": "count",
    "int8_share": "share",
    "class_names": "names",
    "default_precision": "precision",
    "graph": "graph",
    "head_activation": "activation",
}


def _shown(value: object) -> str:
    """Write a value in a few characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
