"""``DeformIm2col`` as an operator of OpenVINO's CPU device, computed by a kernel that numba compiles."""

from __future__ import annotations

from typing import Any

from openvino import Op, PartialShape, Type

from edge_fairmot.errors import MissingDependencyError

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
