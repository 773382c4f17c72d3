"""ONNX files, read and certified without the ``onnx`` package.

A device has a runtime but rarely the ``onnx`` package. The few fields needed are read straight from the
protobuf wire format (field numbers from onnx.proto3). Weights are skipped, not loaded.

The certificate of a file is the SHA-256 of what it computes, kept in its manifest beside the parity figures:
a file that was changed after it was checked, or that is damaged, no longer fits its certificate.
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
from edge_fairmot.manifest import CORE, MANIFEST_KEY, ModelManifest
from edge_fairmot.system import atomic_write

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf."""

_IR_VERSION, _GRAPH, _OPSET_IMPORT, _METADATA, _FUNCTIONS = 1, 7, 8, 14, 25
"""Fields of ModelProto."""

_TENSORS = {
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Protobuf messages that contain tensors: the kind of each field, by kind of message."""

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
        """The manifest in the file; ManifestError if there is none, or it does not fit the graph."""
        manifest = ModelManifest.from_metadata(self.metadata, str(self.path))
        (width, height), count = manifest.input_size, manifest.batch_size
        rows = (count, manifest.max_detections)
        shapes = {
            "images": (count, 3, height, width) if manifest.graph == CORE else (count, height, width, 3),
            "boxes": (*rows, 4),
            "scores": rows,
            "class_ids": rows,
            "embeddings": (*rows, manifest.embedding_dim),
        }
        for name, shape in shapes.items():
            found = (self.inputs | self.outputs).get(name, "?").partition(" ")[2]
            expected = f"({', '.join(map(str, shape))})"
            if found and "?" not in found and found != expected:
                raise ManifestError(
                    f"the manifest of {self.path} says that {name} has the shape {expected}, and the graph "
                    f"says {found}: convert the checkpoint again with edge-fairmot convert"
                )
        return manifest


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


def _hash_model(path: Path, graph_sha256: str) -> str:
    """Return the SHA-256 of all that a file computes with: graph, functions, operator sets, external data."""
    digest = hashlib.sha256(graph_sha256.encode())
    with _open_model(path) as model:
        locations: set[str] = set()
        for field in read_fields(model):
            if field.number in (_OPSET_IMPORT, _FUNCTIONS):
                digest.update(field.raw)
            if field.number in (_GRAPH, _FUNCTIONS) and isinstance(field.value, memoryview):
                kind = "graph" if field.number == _GRAPH else "function"
                locations |= _external_locations(field.value, kind)
    for location in sorted(locations):
        data = (path.parent / location).resolve()
        if not (data.is_file() and data.is_relative_to(path.parent.resolve())):
            raise ManifestError(
                f"{path} keeps weights in {location!r}, which is not a file in its folder: "
                "put it there, or convert the checkpoint again"
            )
        digest.update(location.encode())
        with data.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def with_unsigned_activations(path: str | Path) -> bytes | None:
    """Return an int8 model whose activations are 0 to 255 with zero 128, not -128 to 127 with zero 0.

    It is the same function: two bytes change in the zero of each QuantizeLinear. None if no zero can be
    changed so, because none is int8, weights share it, or weights lie in other files.
    """
    with _open_model(Path(path)) as mapped:
        nodes = (node for graph in _submessages(mapped, _GRAPH) for node in _submessages(graph, 1))
        if not any(_text(node, 4) == "QuantizeLinear" for node in nodes):
            return None  # a float file, the largest kind, is not copied
        model, changed = bytearray(mapped), False
        for graph in _submessages(memoryview(model), _GRAPH):
            if _external_locations(graph, "graph"):
                return None
            tensors = {_text(tensor, 8): tensor for tensor in _submessages(graph, 5)}
            readers: dict[str, set[str]] = {}
            for node in _submessages(graph, 1):
                source, *others = (bytes(name).decode() for name in (*_submessages(node, 1), b""))
                for name in others:
                    readers.setdefault(name, set()).add("weights" if source in tensors else _text(node, 4))
            for name, operators in readers.items():
                if name in tensors and operators == {"QuantizeLinear", "DequantizeLinear"}:
                    fields = {field.number: field.raw for field in read_fields(tensors[name])}
                    parts = [bytes(fields.get(number, b"")) for number in (2, 9)]  # data_type and raw_data
                    if parts == [b"\x10\x03", b"\x4a\x01\x00"]:  # int8, and one byte: 0
                        fields[2][-1], fields[9][-1], changed = 2, 128, True
        return bytes(model) if changed else None


def certificate_fault(path: str | Path, manifest: ModelManifest) -> str:
    """Return what is wrong with the certificate in the manifest of a file; empty if it fits the file.

    The certificates of earlier releases have no ``model_sha256``: of those only the graph is compared.
    """
    if not manifest.graph_sha256:
        return f"{path} has no certificate: convert the checkpoint again, or edge-fairmot verify --certify"
    graph_sha256 = hash_graph(path)
    kind, expected, found = "graph", manifest.graph_sha256, graph_sha256
    if found == expected and manifest.model_sha256:
        kind, expected, found = "model", manifest.model_sha256, _hash_model(Path(path), graph_sha256)
    if found == expected:
        return ""
    return (
        f"the certificate of {path} is of another {kind} (sha256 {expected[:12]}, the file's is "
        f"{found[:12]}), so the file was changed after it was checked, or is damaged: copy it again, "
        "or edge-fairmot verify --certify"
    )


def require_intact(path: str | Path) -> None:
    """Raise ManifestError if a file no longer fits its certificate; a file without one passes."""
    try:
        manifest = read_onnx_file(path).manifest
    except ManifestError:
        return  # the runtime reports errors; it may read other kinds of files
    if manifest.graph_sha256 and (fault := certificate_fault(path, manifest)):
        raise ManifestError(f"{fault}; --no-integrity-check runs it as it is")


def certify(path: str | Path, manifest: ModelManifest) -> ModelManifest:
    """Write a manifest into an ONNX file, in place of the old one, with the file's hashes; returns it.

    The file is replaced at once: a process that reads it meanwhile sees the old one. ManifestError if it
    cannot be read or written, or is not ONNX.
    """
    path = Path(path)
    graph_sha256 = hash_graph(path)
    model_sha256 = _hash_model(path, graph_sha256)
    manifest = replace(manifest, graph_sha256=graph_sha256, model_sha256=model_sha256)
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
        if file.read(2) in (b"PK", b"\x80\x02"):  # files of torch.save, since and before 1.6
            raise ManifestError(
                f"{path} is not an ONNX file but a PyTorch checkpoint: "
                f"convert it: edge-fairmot convert {path} -o {path.stem}.onnx"
            )
    try:
        # The mapping is closed when its last view is gone.
        with path.open("rb") as file:
            yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (ValueError, IndexError, RecursionError) as error:
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


def _external_locations(message: memoryview, kind: str) -> set[str]:
    """Return the names of the files that hold tensors of a message, a kind of ``_TENSORS``."""
    if kind == "tensor":
        entries = [(_text(entry, 1), _text(entry, 2)) for entry in _submessages(message, 13)]
        return {value for key, value in entries if key == "location"}
    found: set[str] = set()
    for field in read_fields(message):
        inner = _TENSORS[kind].get(field.number)
        if inner is not None and isinstance(field.value, memoryview):
            found |= _external_locations(field.value, inner)
    return found


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
