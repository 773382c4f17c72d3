"""Half precision for GPUs: float16 features; float32 coordinates, first layer and results.

float16 has 11 significant bits: integers above 2048 are not exact, and a coordinate near 1000 is off by up to
a quarter of a pixel. Convolutions and multiplications by weights ("products") separate features from
coordinates and results. A walk back from every sampled or indexed position, and from every output of the
graph, up to the nearest product, meets all the arithmetic that float16 would spoil. These nodes are float32.

Two more kinds of products are float32. The last products of the heads: in float16 neighbouring cells of the
heatmap tie, and each tie is one more peak (13 % more above a score of 0.01, 4 % above 0.05). The first
product: it is 2 % of the multiply-adds, but with float16 weights the error of boxes is three times as large
and that of embeddings six times.

The converter of ``onnxruntime.transformers`` can keep nodes in float32 too, but it rounds the values between
two such nodes to float16: coordinates lose their precision, and the error of boxes is three times as large.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edge_fairmot.convert.deform_conv import IM2COL
from edge_fairmot.convert.quantization import NAME_PREFIX
from edge_fairmot.errors import ConversionError, InvalidInputError

Precision: TypeAlias = Literal["fp16", "fp32"]

_ELEMENT_TYPES: Mapping[Precision, int] = MappingProxyType(
    {"fp16": TensorProto.FLOAT16, "fp32": TensorProto.FLOAT}
)
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "DeformConv", "Gemm", "MatMul"})

_POSITIONS: Mapping[str, int] = MappingProxyType(
    {"Gather": 1, "GatherElements": 1, "GatherND": 1, "GridSample": 1}
)
"""Operators that sample or index, and which of their inputs holds the positions."""

_FLOAT32 = frozenset({"Constant", "ConstantOfShape", "GridSample", IM2COL})
"""Operators that are always float32. The map of GridSample could be float16 beside a float32 grid, but ONNX
Runtime has no such kernel."""


def to_fp16(model: onnx.ModelProto, *, deform_conv: Precision = "fp32") -> onnx.ModelProto:
    """Make weights and activations of a float32 deploy graph float16; inputs and outputs keep their types.

    ``DeformConv`` has one type for map, offsets and mask, which ``deform_conv`` chooses. ONNX Runtime's CUDA
    kernel adds float16 offsets to float32 coordinates without loss, but TensorRT rounds the sum to float16,
    which moves boxes by up to 0.8 px; ``fp32`` serves both. Raises InvalidInputError if the model has float16
    weights, and ConversionError if a weight is beyond the range of float16.
    """
    if deform_conv not in _ELEMENT_TYPES:
        raise InvalidInputError(f"deform_conv must be 'fp16' or 'fp32', not {deform_conv!r}")
    if any(weight.data_type == TensorProto.FLOAT16 for weight in model.graph.initializer):
        raise InvalidInputError("the model has float16 weights already: give the float32 one it was made of")
    half = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = half.graph
    float32 = _float32_nodes(graph, deform_conv)
    writer = _MixedGraphWriter(graph)
    for at, node in enumerate(graph.node):
        writer.add(node, "fp32" if at in float32 else "fp16")
    writer.finish()
    return half


def float32_layers(model: onnx.ModelProto) -> dict[str, str]:
    """List the layers with float32 weights, as the manifest's ``precision``: ``"fp32"`` by layer name."""
    return {
        weight.name.removeprefix(NAME_PREFIX).rpartition(".")[0]: "fp32"
        for weight in model.graph.initializer
        if weight.name.startswith(NAME_PREFIX) and weight.data_type == TensorProto.FLOAT
    }


def _float32_nodes(graph: onnx.GraphProto, deform_conv: Precision) -> set[int]:
    """Find the nodes of positions, of results and of the first layer, as indices into the graph's nodes."""
    decoding, heads = _walk_back(graph, (value.name for value in graph.output))
    positions, _ = _walk_back(
        graph, (node.input[_POSITIONS[node.op_type]] for node in graph.node if node.op_type in _POSITIONS)
    )
    always = _FLOAT32 | ({"DeformConv"} if deform_conv == "fp32" else set())
    kept = {at for at, node in enumerate(graph.node) if node.op_type in always}
    return decoding | heads | positions | kept | _first_nodes(graph)


def _first_nodes(graph: onnx.GraphProto) -> set[int]:
    """Find the nodes from the graph's input to the first product, and that product."""
    images = {value.name for value in graph.input}
    found: set[int] = set()
    for at, node in enumerate(graph.node):
        if images.intersection(node.input):
            found.add(at)
            if node.op_type not in _PRODUCTS:
                images.update(node.output)
    return found


def _walk_back(graph: onnx.GraphProto, names: Iterable[str]) -> tuple[set[int], set[int]]:
    """Find the nodes between some tensors and the nearest products before them, and these products."""
    producers = {name: at for at, node in enumerate(graph.node) for name in node.output}
    passed: set[int] = set()
    products: set[int] = set()
    waiting = list(names)
    while waiting:
        at = producers.get(waiting.pop())
        if at is None or at in passed:
            continue
        if graph.node[at].op_type in _PRODUCTS:
            products.add(at)
        else:
            passed.add(at)
            waiting.extend(graph.node[at].input)
    return passed, products


class _MixedGraphWriter:
    """Rewrites a graph, whose tensor types are known, node by node, each in its own precision."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._weights = {w.name: w for w in graph.initializer if w.data_type == TensorProto.FLOAT}
        self._precisions: dict[str, Precision] = {
            value.name: "fp32"
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.elem_type == TensorProto.FLOAT
        }
        self._nodes: list[NodeProto] = []
        self._read_names: dict[tuple[str, Precision], str] = {}
        self._read_weights = [w for w in graph.initializer if w.data_type != TensorProto.FLOAT]

    def add(self, node: NodeProto, precision: Precision) -> None:
        """Add a node, and a Cast before each float input that has another precision."""
        for at, name in enumerate(node.input):
            # Region and scales of a Resize are float32 in any precision.
            fixed = node.op_type == "Resize" and at > 0
            node.input[at] = self._read(name, "fp32" if fixed else precision)
        self._nodes.append(node)
        if precision == "fp16":
            # Outputs of the graph are never among them: _float32_nodes finds those.
            self._precisions |= {name: "fp16" for name in node.output if name in self._precisions}
            for attribute in node.attribute:
                if (node.op_type, attribute.name, attribute.i) == ("Cast", "to", TensorProto.FLOAT):
                    attribute.i = TensorProto.FLOAT16

    def finish(self) -> None:
        """Replace the nodes and weights of the graph."""
        graph = self._graph
        for value in graph.value_info:
            if self._precisions.get(value.name) == "fp16":
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(self._read_weights)

    def _read(self, name: str, precision: Precision) -> str:
        """Name of a value in a precision. Adds the Cast or the weight at the first use."""
        weight = self._weights.get(name)
        if weight is None and self._precisions.get(name, precision) == precision:
            return name
        if (name, precision) not in self._read_names:
            variant = f"{name}_{precision}"
            if weight is None:
                self._nodes.append(
                    helper.make_node(
                        "Cast", [name], [variant], name=f"Cast_{variant}", to=_ELEMENT_TYPES[precision]
                    )
                )
            elif precision == "fp16":
                self._read_weights.append(_half(weight, variant))
            else:
                variant = name  # float32_layers finds the layers by the names of float32 weights
                self._read_weights.append(weight)
            self._read_names[name, precision] = variant
        return self._read_names[name, precision]


def _half(weight: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(weight)
    largest, end = np.abs(values).max(initial=0), np.finfo(np.float16).max
    if not largest <= end:
        raise ConversionError(
            f"{weight.name} holds {largest:.3g} and float16 ends at {end:.0f}: convert with --precision fp32"
        )
    return numpy_helper.from_array(values.astype(np.float16), name)
