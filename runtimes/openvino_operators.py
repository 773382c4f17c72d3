"""Rules for OpenVINO's ONNX frontend to read ``DeformConv`` and ``DeformIm2col``."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from typing import Any

import numpy as np
from openvino import opset8
from openvino.frontend.onnx import ConversionExtension

DOMAIN = "edge_fairmot"

TAPS = 9
"""Samples of a 3x3 kernel."""


def operator_extensions(device: str, lowerings: Collection[str], threads: int | None = None) -> list[Any]:
    """List the extensions that an ``openvino.Core`` needs to read a file with these lowerings.

    On ``CPU``, with numba installed, ``DeformIm2col`` is a compiled kernel; it uses all threads by default.
    Elsewhere it is built of OpenVINO's own operators, which is as exact and slower.
    """
    deform_conv = ConversionExtension("DeformConv", _deform_conv)
    if "im2col" not in lowerings:  # numba takes a second to import
        return [deform_conv]
    if device != "CPU" or find_spec("numba") is None:
        return [
            deform_conv,
            ConversionExtension("DeformIm2col", DOMAIN, _deform_im2col),
            ConversionExtension("DeformIm2colRounded", DOMAIN, _deform_im2col_rounded),
        ]
    from edge_fairmot.runtimes.im2col_kernel import DeformIm2colKernel

    def translate(node: Any) -> list[Any]:
        inputs = [_to_channels_last(node.get_input(i)) for i in range(3)]
        return [_to_channels_first(DeformIm2colKernel(inputs, threads or 0))]

    def translate_rounded(node: Any) -> list[Any]:
        image, prediction = (_to_channels_last(node.get_input(i)) for i in range(2))
        scale = node.get_attribute("scale")
        # All 27 channels: this operator cuts and joins channels slowly.
        inputs = [image, prediction, opset8.sigmoid(prediction).output(0)]
        steps = opset8.convert(DeformIm2colKernel(inputs, threads or 0, scale), "f32")
        # OpenVINO keeps the convolution in int8 if the scale comes before the transposition.
        return [_to_channels_first(opset8.multiply(steps, np.float32(scale)))]

    # The class itself is for a compiled model from the cache, which is not translated again.
    return [
        deform_conv,
        ConversionExtension("DeformIm2col", DOMAIN, translate),
        ConversionExtension("DeformIm2colRounded", DOMAIN, translate_rounded),
        DeformIm2colKernel,
    ]


def _to_channels_last(tensor: Any) -> Any:
    return opset8.transpose(tensor, np.array([0, 2, 3, 1])).output(0)


def _to_channels_first(tensor: Any) -> Any:
    return opset8.transpose(tensor, np.array([0, 3, 1, 2])).output(0)


def _deform_conv(node: Any) -> list[Any]:
    """Translate ONNX DeformConv as ``convert`` writes it: 3x3, stride 1, padding 1, one group."""
    image, weight, offset, bias, mask = (node.get_input(i) for i in range(5))
    convolved = _deformable_convolution(image, offset, weight, mask, groups=1)
    bias_by_channel = opset8.unsqueeze(bias, np.array([0, 2, 3], np.int64))
    return [opset8.add(convolved, bias_by_channel).output(0)]


def _deform_im2col(node: Any) -> list[Any]:
    """Translate DeformIm2col: a deformable convolution of each channel with nine kernels of one tap each."""
    return [_sample(*(node.get_input(i) for i in range(3)))]


def _deform_im2col_rounded(node: Any) -> list[Any]:
    """Translate DeformIm2colRounded: the same, with offsets and mask out of one tensor, then rounded."""
    image, prediction = node.get_input(0), node.get_input(1)
    offset, logits = opset8.variadic_split(prediction, 1, [2 * TAPS, TAPS]).outputs()
    columns = _sample(image, offset, opset8.sigmoid(logits).output(0))
    ends = [np.float32(steps * node.get_attribute("scale")) for steps in (-128, 127)]
    return [opset8.fake_quantize(columns, *ends, *ends, 256).output(0)]


def _sample(image: Any, offset: Any, mask: Any) -> Any:
    batch, channels, height, width = (size.get_length() for size in image.get_partial_shape())
    kernels = np.tile(np.eye(TAPS, dtype=np.float32).reshape(TAPS, 1, 3, 3), (channels, 1, 1, 1))
    sampled = _deformable_convolution(image, offset, opset8.constant(kernels), mask, groups=channels)
    by_channel = opset8.reshape(sampled, np.array([batch, channels, TAPS, height, width]), False)
    by_tap = opset8.transpose(by_channel, np.array([0, 2, 1, 3, 4]))
    columns = opset8.reshape(by_tap, np.array([batch, TAPS * channels, height, width]), False)
    return columns.output(0)


def _deformable_convolution(image: Any, offset: Any, weight: Any, mask: Any, *, groups: int) -> Any:
    ones = [1, 1]
    return opset8.deformable_convolution(
        image,
        offset,
        weight,
        strides=ones,
        pads_begin=ones,
        pads_end=ones,
        dilations=ones,
        mask=mask,
        group=groups,
        # Each corner outside the image counts as zero, as in the original.
        bilinear_interpolation_pad=True,
    )
