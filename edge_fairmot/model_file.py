"""Looking into an ONNX file without any ONNX package: its manifest, inputs, outputs and operators.

A device has a runtime but rarely the ``onnx`` package. The few fields needed are read straight from the
protobuf wire format (field numbers from onnx.proto3); weights are skipped, not loaded.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest
from edge_fairmot.system import replaced_whole

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BITS = 64


class Field(NamedTuple):
    """One field of a message.

    Attributes
    ----------
    number : int
    value : int or memoryview
        What it holds.
    raw : memoryview
        The field as it stands in the message, with its number and length.
    """

    number: int
    value: int | memoryview
    raw: memoryview


def fields(message: memoryview) -> Iterator[Field]:
    """Split a message into its fields.

    Raises
    ------
    ValueError, IndexError
        If it is no message, or is cut short.
    """
    at = 0
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        kind = key & 7
        value: int | memoryview
        if kind == _VARINT:
            value, at = _varint(message, at)
        else:
            if kind == _BYTES:
                length, at = _varint(message, at)
            elif kind in (_FIXED32, _FIXED64):
                length = 4 if kind == _FIXED32 else 8
            else:
                raise ValueError(f"wire type {kind}")
            if at + length > len(message):
                raise ValueError("cut short")
            value, at = message[at : at + length], at + length
        yield Field(key >> 3, value, message[start:at])


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Give the messages, texts or bytes in a field."""
    for field in fields(message):
        if field.number == number and isinstance(field.value, memoryview):
            yield field.value


def read_text(message: memoryview, number: int) -> str:
    """Read a text; empty where the field is absent."""
    return next((bytes(value).decode() for value in messages(message, number)), "")


def read_number(message: memoryview, number: int) -> int:
    """Read a whole number; 0 where the field is absent."""
    return next((f.value for f in fields(message) if f.number == number and isinstance(f.value, int)), 0)


def bytes_field(number: int, content: bytes) -> bytes:
    """Write a field of bytes, a text or a message."""
    return _write_varint(number << 3 | _BYTES) + _write_varint(len(content)) + content


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _VARINT_BITS, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("varint too long")


def _write_varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


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


def hash_graph(path: str | Path) -> str:
    """Compute the SHA-256 of the graph in an ONNX file: nodes and weights, not the metadata.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str
        Hexadecimal.

    Raises
    ------
    ManifestError
        If the file cannot be read, or is not ONNX.
    """
    digest = hashlib.sha256()
    with map_onnx_file(Path(path)) as data:
        for graph in messages(data, GRAPH):
            digest.update(graph)
    return digest.hexdigest()


def certificate_fault(path: str | Path, manifest: ModelManifest) -> str:
    """Tell what is wrong with the certificate of a file.

    Parameters
    ----------
    path : str or Path
    manifest : ModelManifest
        The one in the file.

    Returns
    -------
    str
        Empty if the certificate is of the graph in the file.

    Raises
    ------
    ManifestError
        If the file cannot be read, or is not ONNX.
    """
    if not manifest.graph_sha256:
        return f"{path} has no certificate: convert the checkpoint again, or edge-fairmot verify --certify"
    found = hash_graph(path)
    if found == manifest.graph_sha256:
        return ""
    return (
        f"the certificate of {path} is of another graph (sha256 {manifest.graph_sha256[:12]}, the file's is "
        f"{found[:12]}), so the file was changed after it was checked: edge-fairmot verify --certify"
    )


def certify(path: str | Path, manifest: ModelManifest) -> ModelManifest:
    """Make a manifest that of the graph in a file, and write it there.

    Parameters
    ----------
    path : str or Path
        An ONNX file. Replaced at once: whoever reads it meanwhile sees the old one.
    manifest : ModelManifest
        Takes the place of the one in the file, if there is one.

    Returns
    -------
    ModelManifest
        With the graph's hash.

    Raises
    ------
    ManifestError
        If the file cannot be read or written, or is not ONNX.
    """
    path = Path(path)
    manifest = replace(manifest, graph_sha256=hash_graph(path))
    entry = bytes_field(1, MANIFEST_KEY.encode()) + bytes_field(2, manifest.to_json().encode())
    try:
        with replaced_whole(path) as partial, map_onnx_file(path) as data, partial.open("wb") as file:
            for field in fields(data):
                is_manifest = (
                    field.number == METADATA
                    and isinstance(field.value, memoryview)
                    and read_text(field.value, 1) == MANIFEST_KEY
                )
                if not is_manifest:
                    file.write(field.raw)
            file.write(bytes_field(METADATA, entry))
    except OSError as error:
        raise ManifestError(f"cannot write the certificate into {path}: {error.strerror}") from error
    return manifest
