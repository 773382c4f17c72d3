"""Half precision for GPUs: float16 where values are features, float32 where they are places or results.

A product (a convolution, or a multiplication by weights) separates the two. Walking back from each place
that is sampled or indexed, and from each output of the graph, as far as the nearest product, meets all the
arithmetic that float16 would spoil: it holds 11 bits, so whole numbers above 2048 are not exact, and a
coordinate near 1000 is a quarter of a pixel off. What the walk meets is float32, and so are the last products
of the heads: in float16 neighbouring cells of the heatmap tie, and each tie is one more peak (measured: 13 %
more above a score of 0.01, 4 % above 0.05). The first product is float32 as well: it is 2 % of the
multiply-adds, but with its weights rounded, boxes err three times as much and embeddings six times as much.
The rest is float16.

The converter of ``onnxruntime.transformers`` can keep nodes in float32 too, but rounds what passes from one
such node to the next to float16: the coordinates lose what they were to keep, three times the error in boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edge_fairmot.errors import ConversionError, InvalidInputError

Precision: TypeAlias = Literal["fp16", "fp32"]

_ELEMENT_TYPES: Mapping[Precision, int] = MappingProxyType(
    {"fp16": TensorProto.FLOAT16, "fp32": TensorProto.FLOAT}
)
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "DeformConv", "Gemm", "MatMul"})
_SOURCES = frozenset({"Constant", "ConstantOfShape"})

_PLACES: Mapping[str, int] = MappingProxyType(
    {"Gather": 1, "GatherElements": 1, "GatherND": 1, "GridSample": 1}
)
"""Which input of an operator says where another one is read."""

_LAYER_PREFIX = "network."
"""What the deploy graph puts before a layer's name in the checkpoint."""


def to_fp16(model: onnx.ModelProto, *, deform_conv: Precision = "fp32") -> onnx.ModelProto:
    """Make weights and activations float16; inputs and outputs of the graph keep their types.

    Parameters
    ----------
    model : onnx.ModelProto
        A deploy graph in float32, of any lowering. Left as it is.
    deform_conv : str
        ``DeformConv`` has one type for picture, offsets and mask: ``fp16`` for all of them, or ``fp32``.
        ONNX Runtime's CUDA kernel adds float16 offsets to float32 coordinates, which costs nothing, but
        TensorRT's rounds the sum to float16, which moves boxes by up to 0.8 px. ``fp32`` serves both.

    Returns
    -------
    onnx.ModelProto
        Of the same opset, IR version and metadata.

    Raises
    ------
    InvalidInputError
        If the model has float16 weights already.
    ConversionError
        If a weight is beyond the range of float16.
    """
    if deform_conv not in _ELEMENT_TYPES:
        raise InvalidInputError(f"deform_conv must be 'fp16' or 'fp32', not {deform_conv!r}")
    if any(weight.data_type == TensorProto.FLOAT16 for weight in model.graph.initializer):
        raise InvalidInputError("the model has float16 weights already: give the float32 one it was made of")
    half = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = half.graph
    float32 = _float32_nodes(graph, deform_conv)
    retyping = _Retyping(graph)
    for at, node in enumerate(graph.node):
        retyping.add(node, "fp32" if at in float32 else "fp16")
    retyping.finish()
    return half


def float32_layers(model: onnx.ModelProto) -> dict[str, str]:
    """List the layers that have float32 weights: the manifest's ``precision`` of a float16 file.

    Parameters
    ----------
    model : onnx.ModelProto
        From :func:`to_fp16`.

    Returns
    -------
    dict of str to str
        ``"fp32"`` by the layer's name in the checkpoint.
    """
    return {
        weight.name.removeprefix(_LAYER_PREFIX).rpartition(".")[0]: "fp32"
        for weight in model.graph.initializer
        if weight.name.startswith(_LAYER_PREFIX) and weight.data_type == TensorProto.FLOAT
    }


def _float32_nodes(graph: onnx.GraphProto, deform_conv: Precision) -> set[int]:
    """Find the nodes that compute places and results, by their position in the graph."""
    decoding, heads = _walk_back(graph, (value.name for value in graph.output))
    places, _ = _walk_back(
        graph, (node.input[_PLACES[node.op_type]] for node in graph.node if node.op_type in _PLACES)
    )
    # ONNX lets GridSample's picture be float16 beside a float32 grid; ONNX Runtime has no such kernel.
    whole = _SOURCES | {"GridSample", "DeformIm2col"} | ({"DeformConv"} if deform_conv == "fp32" else set())
    whole_nodes = {at for at, node in enumerate(graph.node) if node.op_type in whole}
    return decoding | heads | places | whole_nodes | _picture_nodes(graph)


def _picture_nodes(graph: onnx.GraphProto) -> set[int]:
    """Find the nodes from the graph's input to the first product, and that product."""
    pictures = {value.name for value in graph.input}
    found: set[int] = set()
    for at, node in enumerate(graph.node):
        if pictures.intersection(node.input):
            found.add(at)
            if node.op_type not in _PRODUCTS:
                pictures.update(node.output)
    return found


def _walk_back(graph: onnx.GraphProto, names: Iterable[str]) -> tuple[set[int], set[int]]:
    """Collect the nodes behind some tensors, and the products at which the walk ends."""
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


class _Retyping:
    """A graph whose nodes are taken over one by one, each in a precision of its own.

    Parameters
    ----------
    graph : onnx.GraphProto
        With the type of every tensor known. Changed in place.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._weights = {w.name: w for w in graph.initializer if w.data_type == TensorProto.FLOAT}
        self._precisions: dict[str, Precision] = {
            value.name: "fp32"
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.elem_type == TensorProto.FLOAT
        }
        self._outputs = {value.name for value in graph.output}
        self._nodes: list[NodeProto] = []
        self._read_names: dict[tuple[str, Precision], str] = {}
        self._read_weights = [w for w in graph.initializer if w.data_type != TensorProto.FLOAT]

    def add(self, node: NodeProto, precision: Precision) -> None:
        """Take a node over, with a Cast of each float that it reads in another precision."""
        for at, name in enumerate(node.input):
            node.input[at] = self._read(name, precision)
        self._nodes.append(node)
        if precision == "fp16":
            # Never an output of the graph: those are float32, by _float32_nodes.
            self._precisions |= {name: "fp16" for name in node.output if name in self._precisions}
            for attribute in node.attribute:
                if (node.op_type, attribute.name, attribute.i) == ("Cast", "to", TensorProto.FLOAT):
                    attribute.i = TensorProto.FLOAT16

    def finish(self) -> None:
        """Put what was taken over into the graph."""
        graph = self._graph
        for value in graph.value_info:
            if self._precisions.get(value.name) == "fp16":
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(self._read_weights)

    def _read(self, name: str, precision: Precision) -> str:
        """Name the variant of a value that a node of this precision reads; make it when it is new."""
        weight = self._weights.get(name)
        if weight is None and self._precisions.get(name, precision) == precision:
            return name
        if (name, precision) not in self._read_names:
            variant = f"{name}_{precision}"
            if weight is None:
                self._cast(name, variant, precision)
            elif precision == "fp16":
                self._read_weights.append(_half(weight, variant))
            else:
                variant = name  # the manifest's layers are told by the names of float32 weights
                self._read_weights.append(weight)
            self._read_names[name, precision] = variant
        return self._read_names[name, precision]

    def _cast(self, source: str, target: str, precision: Precision) -> None:
        self._nodes.append(
            helper.make_node("Cast", [source], [target], name=f"Cast_{target}", to=_ELEMENT_TYPES[precision])
        )


def _half(weight: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(weight)
    largest, end = np.abs(values).max(initial=0), np.finfo(np.float16).max
    if not largest <= end:
        raise ConversionError(
            f"{weight.name} holds {largest:.3g} and float16 ends at {end:.0f}: convert with --precision fp32"
        )
    return numpy_helper.from_array(values.astype(np.float16), name)
