"""Looking into an ONNX file without any ONNX package: its manifest, inputs, outputs and operators.

A device has a runtime but rarely the ``onnx`` package. The few fields needed are read straight from the
protobuf wire format (field numbers from onnx.proto3); weights are skipped, not loaded.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import ModelManifest

_ELEMENT_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 16: "bfloat16"}

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
    if not path.is_file():
        raise ManifestError(
            f"no model at {path}: make one with edge-fairmot convert CHECKPOINT -o {path.name}"
        )
    try:
        with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
            return _parse(path, memoryview(data).toreadonly())
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path} is not an ONNX file, or is cut short: convert the checkpoint again"
        ) from error


def _parse(path: Path, data: memoryview) -> OnnxFile:
    ir_version, opset = 0, 0
    metadata: dict[str, str] = {}
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    operators: Counter[str] = Counter()
    with data:
        for number, value in _fields(data):
            if number == 1 and isinstance(value, int):
                ir_version = value
            elif number == 7 and not isinstance(value, int):
                for part, content in _fields(value):
                    if isinstance(content, int):
                        continue
                    if part == 1:
                        operators[_text(content, 4)] += 1
                    elif part in (11, 12):
                        (inputs if part == 11 else outputs)[_text(content, 1)] = _tensor_type(content)
            elif number == 8 and not isinstance(value, int) and not _text(value, 1):
                opset = _number(value, 2)
            elif number == 14 and not isinstance(value, int):
                metadata[_text(value, 1)] = _text(value, 2)
        if not ir_version or not operators:
            raise ValueError("no graph")
        return OnnxFile(
            path, len(data), ir_version, opset, metadata, inputs, outputs, dict(operators.most_common())
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
