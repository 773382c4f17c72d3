"""Nodes and tensors of an ONNX file, read without the ``onnx`` package (field numbers from onnx.proto3).

For runtimes that build their own form of a network from the file, and for the heads in a core file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fairmot.errors import ManifestError
from edge_fairmot.model_file import read_fields

Tensor: TypeAlias = npt.NDArray[Any]

_DTYPES: Mapping[int, str] = {
    1: "<f4", 2: "u1", 3: "i1", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"
}  # fmt: skip
"""NumPy's names of the element types of tensors."""

_TYPED_DATA = {4: "<f4", 5: "varint", 7: "varint", 10: "<f8"}
"""Fields of TensorProto that hold the values of tensors without raw data."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: names of its inputs and outputs, and its attributes by name."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """The graph of a file: nodes in the order of computation, weights by name."""

    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]


def read_graph(path: str | Path) -> OnnxGraph:
    """Read nodes and weights of an ONNX file; ManifestError if it cannot be read."""
    try:
        model = memoryview(Path(path).read_bytes())
        nodes, tensors = [], {}
        for graph in (_message(field.value) for field in read_fields(model) if field.number == 7):
            for field in read_fields(graph):
                if field.number == 1:
                    nodes.append(_read_node(_message(field.value)))
                elif field.number == 5:
                    name, array = _read_tensor(_message(field.value))
                    tensors[name] = array
        return OnnxGraph(tuple(nodes), tensors)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ManifestError(
            f"cannot read the weights in {path} ({error}): convert the checkpoint again"
        ) from error


def _read_node(message: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    attributes = {}
    for field in read_fields(message):
        if field.number in texts:
            texts[field.number].append(bytes(_message(field.value)).decode())
        elif field.number == 5:
            name, value = _read_attribute(_message(field.value))
            attributes[name] = value
    return Node(texts[4][0], "".join(texts[3]), tuple(texts[1]), tuple(texts[2]), attributes)


def _read_attribute(message: memoryview) -> tuple[str, Any]:
    name, many = "", []
    value: Any = None
    for field in read_fields(message):
        if field.number == 1:
            name = bytes(_message(field.value)).decode()
        elif field.number == 2:
            value = float(np.frombuffer(_message(field.value), "<f4")[0])
        elif field.number == 3:
            value = _signed(field.value)
        elif field.number == 4:
            value = bytes(_message(field.value)).decode()
        elif field.number == 5:
            value = _read_tensor(_message(field.value))[1]
        elif field.number == 7:
            many += np.frombuffer(_message(field.value), "<f4").tolist()
        elif field.number == 8:
            many += _integers(field.value)
    return name, many or value


def _read_tensor(message: memoryview) -> tuple[str, Tensor]:
    """Read name and values of a TensorProto."""
    name, dims, dtype = "", [], ""
    values: list[Tensor] = []
    for field in read_fields(message):
        if field.number == 1:
            dims += _integers(field.value)
        elif field.number == 2:
            dtype = _DTYPES[_signed(field.value)]
        elif field.number == 8:
            name = bytes(_message(field.value)).decode()
        elif field.number == 9:
            values = [np.frombuffer(_message(field.value), dtype or "u1")]
        elif field.number == 14 and _signed(field.value):
            raise ValueError(f"the weights of {name or 'a tensor'} are in another file")
        elif field.number in _TYPED_DATA:
            kind = _TYPED_DATA[field.number]
            values.append(
                np.array(_integers(field.value))
                if kind == "varint"
                else np.frombuffer(_message(field.value), kind)
            )
    array = np.concatenate(values) if values else np.empty(0)
    if array.dtype == np.uint8 and dtype != "u1":
        array = array.view(dtype)  # raw data came before the element type
    return name, array.astype(dtype, copy=False).reshape(dims)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _signed(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a message where a number belongs")
    return value - (1 << 64) if value >> 63 else value


def _integers(value: int | memoryview) -> list[int]:
    """Read one integer, or many that are packed."""
    return [_signed(value)] if isinstance(value, int) else list(_packed(value))


def _packed(message: memoryview) -> Iterator[int]:
    number = shift = 0
    for byte in message:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield _signed(number)
            number = shift = 0
