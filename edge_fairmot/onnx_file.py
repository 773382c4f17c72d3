"""Looking into an ONNX file without any ONNX package: its manifest, inputs, outputs and operators.

A device has a runtime but rarely the ``onnx`` package. The few fields needed are read straight from the
protobuf wire format (field numbers from onnx.proto3); weights are skipped, not loaded.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.protobuf import messages, read_number, read_text

_ELEMENT_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 16: "bfloat16"}

IR_VERSION, GRAPH, OPSET_IMPORT, METADATA = 1, 7, 8, 14
"""Fields of ModelProto."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What an ONNX file says of itself.

    Attributes
    ----------
    path : Path
    size_bytes : int
    ir_version : int
    opset : int
        Of the default domain.
    metadata : dict of str to str
    inputs, outputs : dict of str to str
        ``"float32 (1, 500, 4)"`` by name.
    operators : dict of str to int
        How many nodes of each type the graph has.
    """

    path: Path
    size_bytes: int
    ir_version: int
    opset: int
    metadata: dict[str, str]
    inputs: dict[str, str]
    outputs: dict[str, str]
    operators: dict[str, int]

    @property
    def manifest(self) -> ModelManifest:
        """The manifest in the file; ManifestError if there is none."""
        return ModelManifest.from_metadata(self.metadata, str(self.path))


def read_onnx_file(path: str | Path) -> OnnxFile:
    """Read the description of an ONNX file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    OnnxFile

    Raises
    ------
    ManifestError
        If there is no file, or it is not ONNX.
    """
    path = Path(path)
    with map_onnx_file(path) as model:
        return _parse(path, model)


@contextmanager
def map_onnx_file(path: Path) -> Iterator[memoryview]:
    """Map a file into memory, a serialised ModelProto; what is not looked at is not read.

    Raises
    ------
    ManifestError
        If there is no file, or what is done with it finds that it is not ONNX.
    """
    if path.is_dir():
        raise ManifestError(f"{path} is a folder: give the ONNX file in it")
    if not path.is_file():
        raise ManifestError(
            f"no model at {path}: make one with edge-fairmot convert CHECKPOINT -o {path.name}"
        )
    try:
        # The mapping is closed when the last view of it is gone.
        with path.open("rb") as file:
            yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path} is not an ONNX file, or is cut short: convert the checkpoint again"
        ) from error


def _parse(path: Path, data: memoryview) -> OnnxFile:
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    operators: Counter[str] = Counter()
    for graph in messages(data, GRAPH):
        operators.update(read_text(node, 4) for node in messages(graph, 1))
        inputs = {read_text(value, 1): _tensor_type(value) for value in messages(graph, 11)}
        outputs = {read_text(value, 1): _tensor_type(value) for value in messages(graph, 12)}
    opsets = {read_text(entry, 1): read_number(entry, 2) for entry in messages(data, OPSET_IMPORT)}
    ir_version = read_number(data, IR_VERSION)
    if not ir_version or not operators:
        raise ValueError("no graph")
    return OnnxFile(
        path=path,
        size_bytes=len(data),
        ir_version=ir_version,
        opset=opsets.get("", 0),
        metadata={read_text(entry, 1): read_text(entry, 2) for entry in messages(data, METADATA)},
        inputs=inputs,
        outputs=outputs,
        operators=dict(operators.most_common()),
    )


def _tensor_type(value_info: memoryview) -> str:
    for type_proto in messages(value_info, 2):
        for tensor in messages(type_proto, 1):
            element = _ELEMENT_TYPES.get(read_number(tensor, 1), "?")
            shape = [read_number(dim, 1) for proto in messages(tensor, 2) for dim in messages(proto, 1)]
            return f"{element} ({', '.join(str(size) if size else '?' for size in shape)})"
    return "?"
