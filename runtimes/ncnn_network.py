"""A core graph as an ncnn network: the text of its layers, and their weights.

ncnn has every operator of a core graph with native deformable convolutions; their parameters are numbered
(the documentation of its operators). A blob of ncnn has one reader, so a value with several is split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from edge_fairmot.errors import InferenceError
from edge_fairmot.runtimes.onnx_graph import Node, OnnxGraph, Tensor

MAGIC = 7767517
"""First line of the text."""

FLOAT32 = bytes(4)
"""Tag before a layer's weights; no tag is before its bias."""

TO_THE_END = -233
"""The end of a Crop that keeps everything behind its start."""

RELU = 1
"""Type of the activation in a convolution."""

ACTIVATED = ("Conv", "ConvTranspose", "DeformConv")
"""Operators whose layers compute the ReLU behind them too."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its kind, the values that it reads, its parameters by number, and its weights."""

    kind: str
    inputs: tuple[str, ...]
    parameters: Mapping[int, float | tuple[int, ...]]
    weights: tuple[bytes, ...] = ()


def translate(graph: OnnxGraph, outputs: Sequence[str]) -> tuple[str, bytes]:
    """Return the text and the weights of an ncnn network.

    The input is ``images``; the outputs are those named. InferenceError if ncnn has no layer for an operator.
    """
    nodes = _without_relu(graph.nodes)
    layers = [(node.name or node.outputs[0], _layer(node, graph.tensors), node.outputs[0]) for node in nodes]
    readers = Counter(name for _, layer, _ in layers for name in layer.inputs) + Counter(outputs)
    split = {name: [f"{name}#{i}" for i in range(count)] for name, count in readers.items() if count > 1}
    for name in split.keys() & set(outputs):
        split[name][-1] = name  # the last copy is the output
    copies = {name: iter(names) for name, names in split.items()}
    lines: list[str] = []
    weights: list[bytes] = []
    blobs = 0

    def write(kind: str, name: str, inputs: Sequence[str], made: Sequence[str], parameters: str = "") -> None:
        nonlocal blobs
        blobs += len(made)
        words = [kind, name.replace(" ", "_"), str(len(inputs)), str(len(made)), *inputs, *made, parameters]
        lines.append(" ".join(words).rstrip())

    def write_made(kind: str, name: str, inputs: Sequence[str], made: str, parameters: str) -> None:
        if made not in split:
            write(kind, name, inputs, [made], parameters)
            return
        write(kind, name, inputs, [f"{made}#"], parameters)
        write("Split", f"{name}#", [f"{made}#"], split[made])

    write_made("Input", "images", [], "images", "")
    for name, layer, made in layers:
        inputs = [next(copies[value]) if value in copies else value for value in layer.inputs]
        write_made(layer.kind, name, inputs, made, _numbered(layer.parameters))
        weights += layer.weights
    return "\n".join([str(MAGIC), f"{len(lines)} {blobs}", *lines, ""]), b"".join(weights)


def _numbered(parameters: Mapping[int, float | tuple[int, ...]]) -> str:
    """Write parameters as ``0=64 1=3``; an array's number is -23300 less its own."""
    return " ".join(
        f"{-23300 - number}={','.join(map(str, (len(value), *value)))}"
        if isinstance(value, tuple)
        else f"{number}={value}"
        for number, value in parameters.items()
    )


def _without_relu(nodes: Sequence[Node]) -> Iterator[Node]:
    """Let convolutions make the output of the ReLU that alone reads theirs, and leave that ReLU out."""
    readers = Counter(name for node in nodes for name in node.inputs)
    activations = {node.inputs[0]: node.outputs for node in nodes if node.operator == "Relu"}
    merged = set()
    for node in nodes:
        made = node.outputs[0]
        if node.operator in ACTIVATED and readers[made] == 1 and made in activations:
            merged.add(made)
            attributes = {**node.attributes, "activation": RELU}
            yield Node(node.operator, node.name, node.inputs, activations[made], attributes)
        elif not (node.operator == "Relu" and node.inputs[0] in merged):
            yield node


def _layer(node: Node, tensors: Mapping[str, Tensor]) -> Layer:
    make = _RULES.get(node.operator)
    if make is None:
        raise InferenceError(
            f"ncnn has no layer for {node.operator} in this file: "
            "convert the checkpoint again with --for ncnn"
        )
    return make(node, tensors)


def _convolution(node: Node, tensors: Mapping[str, Tensor], *, transposed: bool = False) -> Layer:
    attributes, weight = node.attributes, tensors[node.inputs[1]]
    group = attributes.get("group", 1)
    outputs = weight.shape[1] * group if transposed else len(weight)
    if transposed and group == 1:
        weight = weight.swapaxes(0, 1)
    elif transposed and weight.shape[1] != 1:
        raise InferenceError("ncnn runs no transposed convolution in groups of several channels")
    bias = [tensors[name] for name in node.inputs[2:3]]
    parameters = _window(node, weight, outputs, bias=bool(bias))
    kind = "Deconvolution" if transposed else "Convolution"
    if group > 1:
        kind += "DepthWise"
        parameters[7] = group
    return Layer(kind, node.inputs[:1], parameters, _packed(weight, *bias))


def _deformable(node: Node, tensors: Mapping[str, Tensor]) -> Layer:
    image, weight_name, offset, bias, mask = node.inputs
    weight = tensors[weight_name]
    parameters = _window(node, weight, len(weight), bias=True)
    return Layer("DeformableConv2D", (image, offset, mask), parameters, _packed(weight, tensors[bias]))


def _window(node: Node, weight: Tensor, outputs: int, *, bias: bool) -> dict[int, float | tuple[int, ...]]:
    """Return the parameters that all convolutions have."""
    attributes = node.attributes
    height, width = weight.shape[2:]
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    down, along = attributes.get("strides", (1, 1))
    return {
        **{0: outputs, 1: width, 11: height, 3: along, 13: down},
        **{4: left, 15: right, 14: top, 16: bottom},
        **{5: int(bias), 6: weight.size, 9: attributes.get("activation", 0)},
    }


def _packed(weight: Tensor, *bias: Tensor) -> tuple[bytes, ...]:
    return FLOAT32, *(np.ascontiguousarray(values, "<f4").tobytes() for values in (weight, *bias))


def _pooling(node: Node, _: Mapping[str, Tensor]) -> Layer:
    height, width = node.attributes["kernel_shape"]
    top, left, bottom, right = node.attributes.get("pads", (0, 0, 0, 0))
    down, along = node.attributes["strides"]
    window = {1: width, 11: height, 2: along, 12: down}
    explicit_padding = {3: left, 14: right, 13: top, 15: bottom, 5: 1}
    return Layer("Pooling", node.inputs, {0: 0, **window, **explicit_padding})


def _resize(node: Node, tensors: Mapping[str, Tensor]) -> Layer:
    kind = {"nearest": 1, "linear": 2}[node.attributes["mode"]]
    if len(node.inputs) == 4:
        height, width = map(int, tensors[node.inputs[3]][2:])
        return Layer("Interp", node.inputs[:1], {0: kind, 3: height, 4: width})
    down, along = map(float, tensors[node.inputs[2]][2:])
    return Layer("Interp", node.inputs[:1], {0: kind, 1: down, 2: along})


def _slice(node: Node, tensors: Mapping[str, Tensor]) -> Layer:
    start, end, axis = (int(tensors[name][0]) for name in node.inputs[1:4])
    kept = end if end < 2**31 else TO_THE_END
    return Layer("Crop", node.inputs[:1], {9: (start,), 10: (kept,), 11: (axis - 1,)})


def _concat(node: Node, _: Mapping[str, Tensor]) -> Layer:
    return Layer("Concat", node.inputs, {0: node.attributes["axis"] - 1})  # ncnn has no batch axis


def _plain(kind: str, parameters: Mapping[int, float], node: Node, _: Mapping[str, Tensor]) -> Layer:
    return Layer(kind, node.inputs, parameters)


_RULES: Mapping[str, Callable[[Node, Mapping[str, Tensor]], Layer]] = MappingProxyType(
    {
        "Add": partial(_plain, "BinaryOp", {0: 0}),
        "Concat": _concat,
        "Conv": _convolution,
        "ConvTranspose": partial(_convolution, transposed=True),
        "DeformConv": _deformable,
        "MaxPool": _pooling,
        "Mul": partial(_plain, "BinaryOp", {0: 2}),
        "Relu": partial(_plain, "ReLU", {}),
        "Resize": _resize,
        "Sigmoid": partial(_plain, "Sigmoid", {}),
        "Slice": _slice,
    }
)
"""Layers by operator of ONNX."""
