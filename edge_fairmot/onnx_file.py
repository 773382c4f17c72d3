"""Looking into an ONNX file without any ONNX package: its manifest, inputs, outputs and operators.

A device has a runtime but rarely the ``onnx`` package. The few fields needed are read straight from the
protobuf wire format (field numbers from onnx.proto3); weights are skipped, not loaded.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import ModelManifest

_ELEMENT_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 16: "bfloat16"}

_IR_VERSION, _GRAPH, _OPSET_IMPORT, _METADATA = 1, 7, 8, 14  # fields of ModelProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BITS = 64


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
    if path.is_dir():
        raise ManifestError(f"{path} is a folder: give the ONNX file in it")
    if not path.is_file():
        raise ManifestError(
            f"no model at {path}: make one with edge-fairmot convert CHECKPOINT -o {path.name}"
        )
    try:
        # A mapping, so that weights are not read. It is closed when the last view of it is gone.
        with path.open("rb") as file:
            return _parse(path, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path} is not an ONNX file, or is cut short: convert the checkpoint again"
        ) from error


def _parse(path: Path, data: memoryview) -> OnnxFile:
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    operators: Counter[str] = Counter()
    for graph in _messages(data, _GRAPH):
        operators.update(_text(node, 4) for node in _messages(graph, 1))
        inputs = {_text(value, 1): _tensor_type(value) for value in _messages(graph, 11)}
        outputs = {_text(value, 1): _tensor_type(value) for value in _messages(graph, 12)}
    opsets = {_text(entry, 1): _number(entry, 2) for entry in _messages(data, _OPSET_IMPORT)}
    ir_version = _number(data, _IR_VERSION)
    if not ir_version or not operators:
        raise ValueError("no graph")
    return OnnxFile(
        path=path,
        size_bytes=len(data),
        ir_version=ir_version,
        opset=opsets.get("", 0),
        metadata={_text(entry, 1): _text(entry, 2) for entry in _messages(data, _METADATA)},
        inputs=inputs,
        outputs=outputs,
        operators=dict(operators.most_common()),
    )


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Split one protobuf message into (field number, value)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        value: int | memoryview
        if kind == _VARINT:
            value, at = _varint(data, at)
        else:
            if kind == _BYTES:
                length, at = _varint(data, at)
            elif kind in (_FIXED32, _FIXED64):
                length = 4 if kind == _FIXED32 else 8
            else:
                raise ValueError(f"wire type {kind}")
            if at + length > len(data):
                raise ValueError("cut short")
            value, at = data[at : at + length], at + length
        yield key >> 3, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _VARINT_BITS, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("varint too long")


def _messages(data: memoryview, number: int) -> Iterator[memoryview]:
    return (value for n, value in _fields(data) if n == number and not isinstance(value, int))


def _text(data: memoryview, number: int) -> str:
    return next((bytes(value).decode() for value in _messages(data, number)), "")


def _number(data: memoryview, number: int) -> int:
    return next((value for n, value in _fields(data) if n == number and isinstance(value, int)), 0)


def _tensor_type(value_info: memoryview) -> str:
    for type_proto in _messages(value_info, 2):
        for tensor in _messages(type_proto, 1):
            element = _ELEMENT_TYPES.get(_number(tensor, 1), "?")
            shape = [_number(dim, 1) for proto in _messages(tensor, 2) for dim in _messages(proto, 1)]
            return f"{element} ({', '.join(str(size) if size else '?' for size in shape)})"
    return "?"
