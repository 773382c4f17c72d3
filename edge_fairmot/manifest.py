"""The manifest: what an exported ONNX file knows about itself, one JSON string in ``metadata_props``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edge_fairmot.errors import ManifestError

MANIFEST_KEY = "edge_fairmot.manifest"
SCHEMA_VERSION = 1

PRECISIONS = ("fp32", "fp16", "int8")
"""What ``default_precision`` may be."""


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """What a file is, where it comes from and how it was made.

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
        4 for left, top, right, bottom; 2 for width, height.
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
        Of the checkpoint that this one was distilled from; empty where it was not.
    plain_layers : tuple of str
        Layers that are deformable in the original and plain 3x3 convolutions in this checkpoint.
    calibration : str
        Where calibration frames came from; empty for a file that needed none.
    calibration_sha256 : str
        Of those frames, letterboxed, in order.
    parity : dict of str to float
        Figures of the comparison with a reference, by name.
    parity_basis : str
        With what, and on what, the figures were measured.
    graph_sha256 : str
        Of the graph that they are of, see :mod:`edge_fairmot.model_file`.
    versions : dict of str to str
        Of the packages that made and measured the file.
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
    versions: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Serialise; :meth:`from_json` gives the same manifest back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelManifest:
        """Parse a manifest.

        Raises
        ------
        ManifestError
            If the text is not a manifest, or is of a newer schema than this version reads.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            version = values["schema_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(
                "the manifest in this file is damaged: convert the checkpoint again with edge-fairmot convert"
            ) from error
        if version != SCHEMA_VERSION:
            raise ManifestError(
                f"the file has manifest schema {version}, this edge-fairmot reads {SCHEMA_VERSION}: "
                "pip install -U edge-fairmot, or convert the checkpoint again"
            )
        known = {f.name for f in fields(cls)}
        try:
            for name in ("input_size", "class_names", "rewrites", "plain_layers"):
                if name in values:
                    values[name] = _tuple_of_list(name, values[name])
            return cls(**{name: value for name, value in values.items() if name in known})
        except TypeError as error:
            raise ManifestError(
                f"the manifest in this file is incomplete ({error}): "
                "convert the checkpoint again with edge-fairmot convert"
            ) from error

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], path: str) -> ModelManifest:
        """Read the manifest out of an ONNX file's ``metadata_props``.

        Parameters
        ----------
        metadata : dict of str to str
        path : str
            The file's name, for the error.

        Raises
        ------
        ManifestError
            If there is none.
        """
        if MANIFEST_KEY not in metadata:
            raise ManifestError(
                f"{path} has no edge-fairmot manifest, so its outputs cannot be interpreted: "
                f"make the file with 'edge-fairmot convert CHECKPOINT -o {path}'"
            )
        return cls.from_json(metadata[MANIFEST_KEY])


def _tuple_of_list(name: str, value: object) -> tuple[Any, ...]:
    if not isinstance(value, list) or (name == "input_size" and len(value) != 2):
        raise TypeError(f"{name} is {value!r}")
    return tuple(value)
