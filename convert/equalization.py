"""Equalization: channels of an activation brought nearer to one range before it is quantized.

One scale serves all channels of an activation, so a channel whose values reach a quarter of the largest has a
quarter of the levels. Dividing channel c by s[c], and multiplying the weights that read it by s[c], changes
nothing but for rounding in a float graph, and spreads the levels in an int8 one (Nagel et al. 2019,
"Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv:1906.04721; with ranges from
calibration and half of the spread taken, as here: Xiao et al. 2023, "SmoothQuant", arXiv:2211.10438).
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edge_fairmot.convert.quantization import layer_name
from edge_fairmot.types import Float32Array, UInt8Array

EQUALIZED = frozenset({"hm.0"})
"""The heatmap's first convolution: most of the error of int8 scores is the rounding of its input, in which
the strongest of 64 channels reaches four times as far as the median one."""

STRENGTH = 0.5
"""Share of the spread, in powers, that is taken out. All of it leaves weak channels no room to be stronger in
another scene: on an unseen video scores were then twice as far off as without any."""

LEAST_SCALE = 1 / 16
"""For channels that hardly speak in the calibration frames."""


def equalize(model: onnx.ModelProto, images: UInt8Array) -> onnx.ModelProto:
    """Equalize the inputs of ``EQUALIZED`` convolutions.

    Parameters
    ----------
    model : onnx.ModelProto
        Of the graph contract, float32. Left as it is.
    images : uint8 (N, H, W, 3)
        BGR, letterboxed; a multiple of the model's batch.

    Returns
    -------
    onnx.ModelProto
        Computes the same, with one multiplication more before each of these convolutions.
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
            scale = np.maximum((largest / max(float(largest.max()), 1e-12)) ** STRENGTH, LEAST_SCALE)
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
    """Largest absolute value of each channel of a tensor, float32 (C,)."""
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
