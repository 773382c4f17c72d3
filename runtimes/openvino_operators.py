"""Rules for what OpenVINO's ONNX frontend does not know: ``DeformConv`` and ``DeformIm2col``."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from typing import Any

import numpy as np
from openvino import Op, PartialShape, Type, opset8
from openvino.frontend.onnx import ConversionExtension

from edge_fairmot.errors import MissingDependencyError

# FOLDED openvino_im2col.py: ``DeformIm2col`` as an operator of OpenVINO's CPU device, computed by a kernel that numba compiles.

try:
    from edge_fairmot.runtimes.im2col_kernel import TAPS, sample_taps
except ModuleNotFoundError as error:
    raise MissingDependencyError("numba", "fast", "to compile a kernel") from error


class DeformIm2colKernel(Op):  # type: ignore[misc]
    """OpenVINO operator: float32 (N, H, W, C), (N, 18, H, W), (N, 9, H, W) to (N, H, W, 9 C).

    Parameters
    ----------
    inputs : list of openvino.Output, optional
        Picture, offset and mask; none for an operator that OpenVINO fills in itself.
    threads : int
        How many it may use; 0 for all.
    """

    def __init__(self, inputs: Any = None, threads: int = 0) -> None:
        super().__init__(self)
        self._attributes = {"threads": threads}
        if inputs is not None:
            self.set_arguments(inputs)
            self.constructor_validate_and_infer_types()

    def validate_and_infer_types(self) -> None:
        """Tell type and shape of the output."""
        *outer, channels = (size.get_length() for size in self.get_input_partial_shape(0))
        self.set_output_type(0, Type.f32, PartialShape([*outer, TAPS * channels]))

    def clone_with_new_inputs(self, new_inputs: Any) -> DeformIm2colKernel:
        """Make another for other inputs."""
        return DeformIm2colKernel(new_inputs, self._attributes["threads"])

    def visit_attributes(self, visitor: Any) -> bool:
        """Give or take what a compiled model keeps of the operator."""
        visitor.on_attributes(self._attributes)
        return True

    def has_evaluate(self) -> bool:
        """Tell that it can be computed."""
        return True

    def evaluate(self, outputs: Any, inputs: Any) -> bool:
        """Compute it."""
        pictures, offsets, masks = (tensor.data for tensor in inputs)
        for picture, offset, mask, columns in zip(pictures, offsets, masks, outputs[0].data, strict=True):
            sample_taps(picture, offset, mask, columns, self._attributes["threads"])
        return True


TAPS = 9


def operator_extensions(device: str, lowerings: Collection[str], threads: int | None = None) -> list[Any]:
    """List what a Core must be given before it reads a file of ours.

    Parameters
    ----------
    device : str
        A compiled kernel is for ``CPU``, where numba is installed; elsewhere ``DeformIm2col`` is made of
        OpenVINO's own operators, which is as exact and slower.
    lowerings : collection of str
        Of the file's deformable convolutions: numba takes a while to load, and only ``im2col`` wants it.
    threads : int, optional
        For the compiled kernel; all when not given.
    """
    whole = ConversionExtension("DeformConv", _deformable_convolution)
    if "im2col" not in lowerings:
        return [whole]
    if device != "CPU" or find_spec("numba") is None:
        return [whole, ConversionExtension("DeformIm2col", "edge_fairmot", _deform_im2col)]
    from edge_fairmot.runtimes.openvino_operators import DeformIm2colKernel

    def translate(node: Any) -> list[Any]:
        picture, offset, mask = (node.get_input(i) for i in range(3))
        columns = DeformIm2colKernel([_channels_last(picture).output(0), offset, mask], threads or 0)
        return [_channels_first(columns).output(0)]

    # The class besides: a model from the cache is not translated again.
    return [whole, ConversionExtension("DeformIm2col", "edge_fairmot", translate), DeformIm2colKernel]


def _deformable_convolution(node: Any) -> list[Any]:
    """Translate ONNX DeformConv, as ``convert`` writes it: 3x3, stride 1, padding 1, one group."""
    picture, weight, offset, bias, mask = (node.get_input(i) for i in range(5))
    convolved = _deform(picture, offset, weight, mask, groups=1)
    channels = opset8.unsqueeze(bias, np.array([0, 2, 3], np.int64))
    return [opset8.add(convolved, channels).output(0)]


def _deform_im2col(node: Any) -> list[Any]:
    """Translate DeformIm2col: a deformable convolution channel by channel, whose kernels are single taps."""
    picture, offset, mask = (node.get_input(i) for i in range(3))
    batch, channels, height, width = (size.get_length() for size in picture.get_partial_shape())
    taps = np.tile(np.eye(TAPS, dtype=np.float32).reshape(TAPS, 1, 3, 3), (channels, 1, 1, 1))
    sampled = _deform(picture, offset, opset8.constant(taps), mask, groups=channels)
    apart = opset8.reshape(sampled, np.array([batch, channels, TAPS, height, width]), False)
    by_tap = opset8.transpose(apart, np.array([0, 2, 1, 3, 4]))
    together = np.array([batch, TAPS * channels, height, width])
    return [opset8.reshape(by_tap, together, False).output(0)]


def _deform(picture: Any, offset: Any, weight: Any, mask: Any, *, groups: int) -> Any:
    ones = [1, 1]
    return opset8.deformable_convolution(
        picture,
        offset,
        weight,
        strides=ones,
        pads_begin=ones,
        pads_end=ones,
        dilations=ones,
        mask=mask,
        group=groups,
        # Corners outside the picture count as zero one by one, as the original has it.
        bilinear_interpolation_pad=True,
    )


def _channels_last(picture: Any) -> Any:
    return opset8.transpose(picture, np.array([0, 2, 3, 1]))


def _channels_first(picture: Any) -> Any:
    return opset8.transpose(picture, np.array([0, 3, 1, 2]))
