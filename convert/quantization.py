"""Static int8 in QDQ form: one file for ONNX Runtime, OpenVINO and TensorRT.

Activations are signed and symmetric (TensorRT takes no other), weights symmetric per output channel.

The placement of the quantizers decides the error. Only the inputs and outputs of convolutions are rounded;
shortcuts, concatenations and pooling read the float values, so rounding errors do not add up along the
residual stream. On the trained checkpoint, plain quantization of every tensor costs ten times as much. The
output of a convolution that a ReLU follows is scaled by the ReLU's range, because nothing below zero counts.

Offsets and masks of deformable convolutions, the first convolution, upsampling, the heatmap's logits and
the late heads stay float: they are a small share of the multiply-adds. The weights of the late heads and the
deformable kernels are stored as int8 too, behind DequantizeLinear.

A file with ``im2col`` lowering is for OpenVINO, where more int8 pays. There the first convolution and the
layers that predict offsets and masks run in int8, the sampling rounds what it samples, and no output of a
convolution is rounded.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edge_fairmot.convert.calibration import Ranges
from edge_fairmot.convert.deform_conv import IM2COL, IM2COL_DOMAIN, ROUNDED_IM2COL, rounded_im2col_function
from edge_fairmot.errors import ConversionError
from edge_fairmot.types import Float32Array, UInt8Array

LEVELS = 127
"""Largest value of a signed symmetric byte. -128 is not used, so that negation is exact."""

PIXEL_SCALE = np.float32(1.0)
"""Step of a byte of the image."""

SMALLEST_SCALE = 1e-12
"""Scale of a channel or tensor of zeros."""

NAME_PREFIX = "network."
"""The deploy graph's prefix of a layer's name in the checkpoint."""

OFFSET_LAYER = "conv_offset_mask"

FIRST_LAYERS = frozenset({"base.base_layer.0", "conv1", "backbone.model.0.conv.conv"})
"""3 channels fill no integer kernel of ONNX Runtime, which takes twice its float time, and an error here is
in the input of every later layer. OpenVINO takes half, and there the input is exact: bytes of the image."""

ALWAYS_FLOAT = frozenset({"hm.2"})
"""The heatmap's logits: one step moves a score by 0.01."""

HEADROOM = MappingProxyType({"hm.0": 2.0})
"""Factor on the calibrated range of a layer's input. The heatmap reads the strongest activations, those at
people, and a scene with clearer people saturates them: on an unseen video one score in twenty fell by 0.04.
With a factor of two it was 0.006, and 0.006 instead of 0.004 on a similar video."""

COMPRESSED = frozenset({"DeformConv", "Gemm", "MatMul"})
"""Float operators whose weights are stored as int8: deformable kernels and late heads."""

SILU_END = 6.0
"""Below minus this, SiLU is nearly 0 (-0.015), so the range of its input ends there."""

EQUALIZED = frozenset({"hm.0"})
"""The heatmap's first convolution: most of the error of int8 scores is the rounding of its input, in which
the strongest of 64 channels reaches four times as far as the median channel."""

EQUALIZATION_POWER = 0.5
"""Exponent of a channel's scale. At 1, weak channels saturate in another scene: on an unseen video the error
of scores was twice that without equalization."""

LEAST_EQUALIZATION = 1 / 16
"""Lower limit, for channels that are almost zero in the calibration frames."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution: its name in the checkpoint, its multiply-adds, and whether it can run in int8."""

    name: str
    macs: int
    quantizable: bool


def convolution_layers(model: onnx.ModelProto) -> list[Layer]:
    """List the plain convolutions of a float model, in order of execution; the phases of one are one."""
    shapes, quantizable = _shapes(model), _quantizable(model.graph)
    layers: dict[str, Layer] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            name = layer_name(node)
            macs = int(np.prod(shapes[node.output[0]]) * np.prod(shapes[node.input[1]][1:]))
            macs += layers[name].macs if name in layers else 0
            layers[name] = Layer(name, macs, node.output[0] in quantizable)
    return list(layers.values())


def int8_share(layers: list[Layer], float_layers: Collection[str] = ()) -> float:
    """Share of the plain convolutions' multiply-adds that run in int8."""
    total = sum(layer.macs for layer in layers)
    quantized = sum(layer.macs for layer in layers if layer.quantizable and layer.name not in float_layers)
    return quantized / total


def layer_name(node: onnx.NodeProto) -> str:
    """Name of a convolution in the checkpoint, without ``.weight``."""
    weight, bias = str(node.input[1]), str(node.input[2]) if len(node.input) > 2 else ""
    # The kernel of an unrolled deformable convolution is rearranged and has another name; its bias has not.
    name = weight if weight.startswith(NAME_PREFIX) or not bias.startswith(NAME_PREFIX) else bias
    name = name.partition("/of/")[0].removeprefix(NAME_PREFIX)
    name = name.removesuffix(".weight").removesuffix(".bias")
    return re.sub(r"\.phases\.\d+$", "", name)  # the phases of one upsampling layer


def equalize(model: onnx.ModelProto, images: UInt8Array) -> onnx.ModelProto:
    """Bring the channels that ``EQUALIZED`` convolutions read nearer to one range; the function is the same.

    All channels of an activation share one scale, so a channel that reaches a quarter of the largest value
    has a quarter of the levels. The channel is divided by its scale and its weights are multiplied by it
    (Nagel et al. 2019, arXiv:1906.04721; scales from calibration and half of the spread, as here: Xiao
    et al. 2023, "SmoothQuant", arXiv:2211.10438). Costs one multiplication before each of these convolutions.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type == "Conv" and layer_name(node) in EQUALIZED:
            source, weight = node.input[:2]
            largest = _channel_maxima(model, source, images)
            share = largest / max(float(largest.max()), 1e-12)
            scale = np.maximum(share**EQUALIZATION_POWER, LEAST_EQUALIZATION)
            scale = scale.astype(np.float32).reshape(1, -1, 1, 1)
            graph.initializer.append(numpy_helper.from_array(1 / scale, f"{source}/inverse_scale"))
            multiply = [source, f"{source}/inverse_scale"]
            graph.node.append(helper.make_node("Mul", multiply, [f"{source}/equal"], f"{source}/equalize"))
            values = numpy_helper.to_array(weights[weight]) * scale
            weights[weight].CopyFrom(numpy_helper.from_array(values, weight))
            node.input[0] = f"{source}/equal"
        graph.node.append(node)
    return result


def _channel_maxima(model: onnx.ModelProto, name: str, images: UInt8Array) -> Float32Array:
    """Largest absolute value of each channel of a tensor over the images, float32 (C,)."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    batch = session.get_inputs()[0].shape[0]
    largest = np.float32(0.0)
    for first in range(0, len(images) - batch + 1, batch):
        (values,) = session.run([name], {"images": images[first : first + batch]})
        largest = np.maximum(largest, np.abs(values).max(axis=(0, 2, 3)))
    return np.asarray(largest, np.float32)


def quantize(
    model: onnx.ModelProto,
    ranges: Ranges,
    *,
    float_layers: Collection[str] = (),
    compress_weights: bool = True,
) -> onnx.ModelProto:
    """Quantize a simplified float32 model of the graph contract.

    ``float_layers`` names layers that stay float. With ``compress_weights`` the large weights of float
    operators are stored as int8. Raises ConversionError for a layer that does not exist.
    """
    known = {layer.name for layer in convolution_layers(model)}
    unknown = set(float_layers) - known
    if unknown:
        raise ConversionError(
            f"no convolution is called {', '.join(sorted(unknown))}: see edge-fairmot inspect"
        )
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _unshare_weights(result.graph)
    writer = _QdqWriter(result.graph, ranges)
    quantizable = _quantizable(result.graph)
    nodes = list(result.graph.node)
    del result.graph.node[:]
    for node in nodes:
        if node.output[0] in quantizable and layer_name(node) not in float_layers:
            result.graph.node.extend(writer.quantized(node))
        elif writer.is_im2col and _reads_pixels(node):
            result.graph.node.append(writer.dequantized_pixels(node))
        else:
            if compress_weights:
                result.graph.node.extend(writer.compressed_weights(node))
            result.graph.node.append(node)
    _drop_unread(result.graph)
    if any(node.op_type == ROUNDED_IM2COL for node in result.graph.node):
        result.functions.append(rounded_im2col_function())
    return result


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove nodes that none reads any more, because their result is rounded before or in another."""
    read = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _unshare_weights(graph: onnx.GraphProto) -> None:
    """Copy weights that nodes share, so that each node has its own: dense and late heads share theirs."""
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        for place, name in enumerate(node.input):
            if node.op_type in {"Conv", *COMPRESSED} and name in initializers and uses[name] > 1:
                uses[name] -= 1
                copy = graph.initializer.add()
                copy.CopyFrom(initializers[name])
                copy.name = node.input[place] = f"{name}/of/{node.output[0]}"


def _has_im2col(graph: onnx.GraphProto) -> bool:
    return any(node.op_type == IM2COL for node in graph.node)


def _quantizable(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the outputs of the convolutions that can run in int8."""
    is_im2col, producers = _has_im2col(graph), {name: node for node in graph.node for name in node.output}

    def fits(node: onnx.NodeProto) -> bool:
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        # Depthwise upsampling is a hundredth of the multiply-adds and no faster in int8.
        if groups != 1 or layer_name(node) in ALWAYS_FLOAT:
            return False
        if layer_name(node) in FIRST_LAYERS:
            return is_im2col and _sees_pixels(node, producers)
        return is_im2col or not _predicts_offsets(node)

    return frozenset(node.output[0] for node in graph.node if node.op_type == "Conv" and fits(node))


def _reads_pixels(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and node.input[0] == "images"


def _sees_pixels(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]) -> bool:
    """Whether a convolution reads the bytes of the image, only with their axes in another order."""
    transpose = producers.get(node.input[0])
    if transpose is None or transpose.op_type != "Transpose":
        return False
    cast = producers.get(transpose.input[0])
    return cast is not None and _reads_pixels(cast)


def _predicts_offsets(node: onnx.NodeProto) -> bool:
    return OFFSET_LAYER in node.input[1]


def _output_axis(node: onnx.NodeProto) -> int:
    """Axis of the weight that counts output channels."""
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if node.op_type == "DeformConv" or transposed else 1


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
    }
    return shapes | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


class _QdqWriter:
    """Writes QuantizeLinear and DequantizeLinear around convolutions."""

    def __init__(self, graph: onnx.GraphProto, ranges: Ranges) -> None:
        self._graph = graph
        self._ranges = ranges
        self.is_im2col = _has_im2col(graph)
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._times_rounded: dict[str, int] = defaultdict(int)
        self._producers = {name: node for node in graph.node for name in node.output}
        self._consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._consumers[name].append(node)

    def quantized(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield the convolution with its input, weight, bias and output rounded."""
        source, weight, *bias = node.input
        exact = _sees_pixels(node, self._producers)
        largest = self._ranges.largest(source) * HEADROOM.get(layer_name(node), 1.0)
        scale = PIXEL_SCALE if exact else _scale(largest)
        # One QuantizeLinear for each convolution: ONNX Runtime has fast kernels for signed activations only
        # behind a QuantizeLinear with a single reader.
        if not exact:
            node.input[0] = f"{source}/int8/{self._times_rounded[source]}"
            self._times_rounded[source] += 1
        producer = self._producers.get(source)
        if producer is not None and producer.op_type == IM2COL:
            yield self._rounded_sampling(producer, node.input[0], scale)
        elif not exact:
            yield from self._round_trip(source, node.input[0], node.input[0], scale)
        weight_scale = self._channel_scale(weight)
        yield self._store_int8(weight, weight_scale)
        node.input[1] = f"{weight}/float"
        if bias:
            yield self._store_bias(bias[0], weight_scale * scale)
            node.input[2] = f"{bias[0]}/float"
        if self.is_im2col:
            # Only ONNX Runtime's fast kernel needs a rounded output. OpenVINO is faster without one where
            # several nodes read it, and rounding behind the sampling costs boxes 0.03 of IoU.
            yield node
            return
        output = node.output[0]
        node.output[0] = f"{output}/exact"
        yield node
        out_scale = _scale(self._largest_output(output))
        yield from self._round_trip(f"{output}/exact", f"{output}/out", output, out_scale)

    def compressed_weights(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Store the weight of a deformable convolution or a late head as int8."""
        weight = node.input[1] if len(node.input) > 1 else ""
        if node.op_type in COMPRESSED and weight in self._initializers:
            axis = _output_axis(node)
            yield self._store_int8(weight, self._channel_scale(weight, axis), axis)
            node.input[1] = f"{weight}/float"

    def _largest_output(self, name: str) -> float:
        """Largest absolute value of a convolution's output that the activation behind it lets through."""
        operators = sorted(consumer.op_type for consumer in self._consumers[name])
        if operators == ["Relu"]:
            return self._ranges.largest(self._consumers[name][0].output[0])
        if operators == ["Mul", "Sigmoid"]:
            low, high = self._ranges.of[name]
            return max(high, min(-low, SILU_END))
        return self._ranges.largest(name)

    def _round_trip(self, source: str, stem: str, target: str, scale: np.float32) -> Iterator[onnx.NodeProto]:
        parameters = [f"{stem}/scale", f"{stem}/zero"]
        self._add(parameters[0], np.asarray(scale))
        self._add(parameters[1], np.asarray(0, np.int8))
        rounded = f"{stem}/quantized"
        yield from self._rounded(source, parameters, rounded, f"{stem}/quantize")
        yield helper.make_node("DequantizeLinear", [rounded, *parameters], [target], f"{stem}/dequantize")

    def dequantized_pixels(self, cast: onnx.NodeProto) -> onnx.NodeProto:
        """Say of the image that its bytes are whole steps, so that the first convolution can read them."""
        parts = ["images/scale", "images/zero"]
        for part, value in zip(parts, (PIXEL_SCALE, np.uint8(0)), strict=True):
            self._add(part, np.asarray(value))
        return helper.make_node("DequantizeLinear", ["images", *parts], cast.output, "images/dequantize")

    def _rounded_sampling(self, sampling: onnx.NodeProto, target: str, scale: np.float32) -> onnx.NodeProto:
        """Sample and round in one operator, which reads the predicted offsets and masks as they come."""
        image, offset, _ = sampling.input
        prediction = self._producers[offset].input[0]  # of which the offsets are a slice
        for value in [value for value in self._graph.value_info if value.name == sampling.output[0]]:
            self._graph.value_info.add().CopyFrom(value)  # no shape is inferred through this operator
            self._graph.value_info[-1].name = target
        return helper.make_node(
            ROUNDED_IM2COL,
            [image, prediction],
            [target],
            f"{target}/sample",
            domain=IM2COL_DOMAIN,
            channels=sampling.attribute[0].i,
            scale=float(scale),
        )

    def _rounded(
        self, source: str, parameters: list[str], target: str, name: str
    ) -> Iterator[onnx.NodeProto]:
        """Round a tensor. For a concatenation, round the parts and concatenate after, which is the same.

        OpenVINO 2026.4 moves the rounding of a concatenation before it and loses the scale.
        """
        concat = self._producers.get(source)
        if concat is None or concat.op_type != "Concat":
            yield helper.make_node("QuantizeLinear", [source, *parameters], [target], name)
            return
        parts = [f"{target}/part{index}" for index in range(len(concat.input))]
        for part, whole in zip(parts, concat.input, strict=True):
            yield helper.make_node("QuantizeLinear", [whole, *parameters], [part], part)
        yield helper.make_node("Concat", parts, [target], name, axis=concat.attribute[0].i)

    def _channel_scale(self, weight: str, axis: int = 0) -> NDArray[np.float32]:
        values = np.moveaxis(numpy_helper.to_array(self._initializers[weight]), axis, 0)
        largest = np.abs(values).reshape(len(values), -1).max(axis=1)
        return np.asarray(np.maximum(largest / LEVELS, SMALLEST_SCALE), np.float32)

    def _store_int8(self, weight: str, scale: NDArray[np.float32], axis: int = 0) -> onnx.NodeProto:
        values = numpy_helper.to_array(self._initializers[weight])
        steps = np.rint(values / np.expand_dims(scale, [d for d in range(values.ndim) if d != axis]))
        return self._store(weight, np.clip(steps, -LEVELS, LEVELS).astype(np.int8), scale, axis)

    def _store_bias(self, bias: str, scale: NDArray[np.float32]) -> onnx.NodeProto:
        values = numpy_helper.to_array(self._initializers[bias]).astype(np.float64)
        limit = np.iinfo(np.int32).max
        return self._store(bias, np.clip(np.rint(values / scale), -limit, limit).astype(np.int32), scale)

    def _store(
        self,
        name: str,
        steps: NDArray[np.int8] | NDArray[np.int32],
        scale: NDArray[np.float32],
        axis: int = 0,
    ) -> onnx.NodeProto:
        """Replace a float initializer by integers and the node that dequantizes them."""
        self._graph.initializer.remove(self._initializers.pop(name))
        parts = [f"{name}/quantized", f"{name}/scale", f"{name}/zero"]
        for part, values in zip(parts, (steps, scale, np.zeros(len(scale), steps.dtype)), strict=True):
            self._add(part, values)
        return helper.make_node("DequantizeLinear", parts, [f"{name}/float"], f"{name}/dequantize", axis=axis)

    def _add(self, name: str, values: NDArray[np.generic]) -> None:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))


def _scale(largest: float) -> np.float32:
    return np.float32(max(largest / LEVELS, SMALLEST_SCALE))
