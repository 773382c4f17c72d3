"""ONNX files, read and certified without the ``onnx`` package.

A device has a runtime but rarely the ``onnx`` package. The few fields needed are read straight from the
protobuf wire format (field numbers from onnx.proto3). Weights are skipped, not loaded.

The certificate of a file is the SHA-256 of its graph, kept in its manifest beside the parity figures: a file
whose graph was changed after it was checked no longer fits its certificate.
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
from edge_fairmot.system import atomic_write

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf."""

_IR_VERSION, _GRAPH, _OPSET_IMPORT, _METADATA = 1, 7, 8, 14
"""Fields of ModelProto."""

_ELEMENT_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 16: "bfloat16"}


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """Description of an ONNX file; ``opset`` is that of the default domain."""

    path: Path
    size_bytes: int
    ir_version: int
    opset: int
    metadata: dict[str, str]
    inputs: dict[str, str]  # "float32 (1, 500, 4)" by name
    outputs: dict[str, str]
    operators: dict[str, int]  # number of nodes by operator

    @property
    def manifest(self) -> ModelManifest:
        """The manifest in the file; ManifestError if there is none."""
        return ModelManifest.from_metadata(self.metadata, str(self.path))


def read_onnx_file(path: str | Path) -> OnnxFile:
    """Read the description of an ONNX file; ManifestError if the file is missing, or is not ONNX."""
    path = Path(path)
    with _open_model(path) as model:
        inputs: dict[str, str] = {}
        outputs: dict[str, str] = {}
        operators: Counter[str] = Counter()
        for graph in _submessages(model, _GRAPH):
            operators.update(_text(node, 4) for node in _submessages(graph, 1))
            inputs = {_text(value, 1): _tensor_type(value) for value in _submessages(graph, 11)}
            outputs = {_text(value, 1): _tensor_type(value) for value in _submessages(graph, 12)}
        opsets = {_text(entry, 1): _number(entry, 2) for entry in _submessages(model, _OPSET_IMPORT)}
        ir_version = _number(model, _IR_VERSION)
        if not ir_version or not operators:
            raise ValueError("no graph")
        return OnnxFile(
            path=path,
            size_bytes=len(model),
            ir_version=ir_version,
            opset=opsets.get("", 0),
            metadata={_text(entry, 1): _text(entry, 2) for entry in _submessages(model, _METADATA)},
            inputs=inputs,
            outputs=outputs,
            operators=dict(operators.most_common()),
        )


def hash_graph(path: str | Path) -> str:
    """Return the SHA-256 of the graph in an ONNX file: nodes and weights, not the metadata."""
    digest = hashlib.sha256()
    with _open_model(Path(path)) as model:
        for graph in _submessages(model, _GRAPH):
            digest.update(graph)
    return digest.hexdigest()


def certificate_fault(path: str | Path, manifest: ModelManifest) -> str:
    """Return what is wrong with the certificate in the manifest of a file; empty if it fits the graph."""
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
    """Write a manifest into an ONNX file, in place of the old one, with the graph's hash; returns it.

    The file is replaced at once: a process that reads it meanwhile sees the old one. ManifestError if it
    cannot be read or written, or is not ONNX.
    """
    path = Path(path)
    manifest = replace(manifest, graph_sha256=hash_graph(path))
    entry = write_field(1, MANIFEST_KEY.encode()) + write_field(2, manifest.to_json().encode())
    try:
        with atomic_write(path) as partial, _open_model(path) as model, partial.open("wb") as file:
            for field in read_fields(model):
                if not _is_manifest(field):
                    file.write(field.raw)
            file.write(write_field(_METADATA, entry))
    except OSError as error:
        raise ManifestError(f"cannot write the certificate into {path}: {error.strerror}") from error
    return manifest


@contextmanager
def _open_model(path: Path) -> Iterator[memoryview]:
    """Map a file into memory, a serialised ModelProto; bytes that are not used are not read from disk."""
    if path.is_dir():
        raise ManifestError(f"{path} is a folder: give the ONNX file in it")
    if not path.is_file():
        raise ManifestError(
            f"no model at {path}: make one with edge-fairmot convert CHECKPOINT -o {path.name}"
        )
    with path.open("rb") as file:
        if file.read(2) in (b"PK", b"\x80\x02"):  # what torch.save writes, now and before 1.6
            raise ManifestError(
                f"{path} is not an ONNX file but a PyTorch checkpoint: "
                f"convert it: edge-fairmot convert {path} -o {path.stem}.onnx"
            )
    try:
        # The mapping is closed when its last view is gone.
        with path.open("rb") as file:
            yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path} is not an ONNX file, or is cut short: convert the checkpoint again"
        ) from error


def _tensor_type(value_info: memoryview) -> str:
    for type_proto in _submessages(value_info, 2):
        for tensor in _submessages(type_proto, 1):
            element = _ELEMENT_TYPES.get(_number(tensor, 1), "?")
            shape = [_number(dim, 1) for proto in _submessages(tensor, 2) for dim in _submessages(proto, 1)]
            return f"{element} ({', '.join(str(size) if size else '?' for size in shape)})"
    return "?"


class Field(NamedTuple):
    """One field of a protobuf message; ``raw`` holds its bytes in the message, with number and length."""

    number: int
    value: int | memoryview
    raw: memoryview


def read_fields(message: memoryview) -> Iterator[Field]:
    """Split a protobuf message into its fields; ValueError or IndexError if it is damaged or cut short."""
    at = 0
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        wire_type = key & 7
        value: int | memoryview
        if wire_type == _VARINT:
            value, at = _varint(message, at)
        else:
            if wire_type == _BYTES:
                length, at = _varint(message, at)
            elif wire_type in (_FIXED32, _FIXED64):
                length = 4 if wire_type == _FIXED32 else 8
            else:
                raise ValueError(f"wire type {wire_type}")
            if at + length > len(message):
                raise ValueError("cut short")
            value, at = message[at : at + length], at + length
        yield Field(key >> 3, value, message[start:at])


def write_field(number: int, content: bytes) -> bytes:
    """Return a field that holds bytes, a text or a message."""
    return _write_varint(number << 3 | _BYTES) + _write_varint(len(content)) + content


def _is_manifest(field: Field) -> bool:
    return (
        field.number == _METADATA
        and isinstance(field.value, memoryview)
        and _text(field.value, 1) == MANIFEST_KEY
    )


def _submessages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the messages, texts or bytes of every field with a number."""
    for field in read_fields(message):
        if field.number == number and isinstance(field.value, memoryview):
            yield field.value


def _text(message: memoryview, number: int) -> str:
    """Return the text in a field; empty if the field is absent."""
    return next((bytes(value).decode() for value in _submessages(message, number)), "")


def _number(message: memoryview, number: int) -> int:
    """Return the integer in a field; 0 if the field is absent."""
    return next((f.value for f in read_fields(message) if f.number == number and isinstance(f.value, int)), 0)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the variable-length integer that begins at an offset, and the offset behind it."""
    value = 0
    for shift in range(0, 64, 7):
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
