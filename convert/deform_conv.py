"""Modulated deformable convolution (DCNv2), 3x3, stride 1, padding 1, and its exact lowerings.

Every lowering is a function ``(x, offset, mask, weight, bias) -> y`` of the same arithmetic:

    y[n, o, p] = bias[o] + sum over taps k and channels c of
                 weight[o, c, k] * mask[n, k, p] * x[n, c] sampled bilinearly at p + tap(k) + offset[n, k, p]

(Zhu et al., Deformable ConvNets v2, CVPR 2019, eq. 1). A corner of the bilinear sample that lies outside
the map counts as zero. Offsets are in cells, interleaved (dy, dx) per tap, taps in row-major order.

=============  =====================================================  ==============
lowering       ONNX operators                                         opset
=============  =====================================================  ==============
``native``     one ``DeformConv``                                     19
``gridsample`` nine ``GridSample`` (one a tap) and a 1x1 convolution  16
``gather``     four ``Gather`` of rows and one matrix product         any
``im2col``     one ``DeformIm2col`` and a 1x1 convolution             19
=============  =====================================================  ==============

``DeformIm2col`` is a function in the ONNX file: the sampling without the convolution,

    columns[n, k C + c, p] = mask[n, k, p] * x[n, c] sampled bilinearly at p + tap(k) + offset[n, k, p]

Its body has standard operators only, so every runtime can inline it. A runtime may replace it by a faster
kernel. The 1x1 convolution behind it quantizes like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import FunctionProto, ModelProto, NodeProto, helper, numpy_helper
from onnx.defs import OpSchema
from onnxscript import opset19
from onnxscript.values import Op, Opset
from torch import Tensor

TAPS = 9

NATIVE_OPSET = 19
"""The first opset with DeformConv."""

IM2COL_DOMAIN, IM2COL, IM2COL_VERSION = "edge_fairmot", "DeformIm2col", 1
ROUNDED_IM2COL = "DeformIm2colRounded"

DeformConvFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def deform_conv2d_gridsample(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sample each tap with ``grid_sample``, then convolve 1x1. Differentiable: the default in eager PyTorch.

    Maps x (N, C, H, W), offset (N, 18, H, W), mask after the sigmoid (N, 9, H, W), weight (O, C, 3, 3) and
    bias (O,) to (N, O, H, W). The other lowerings take and return the same.
    """
    return _convolve_columns(_sample_taps(x, offset, mask), weight, bias)


def _sample_taps(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """Sample (N, C, H, W) at the nine moved taps: (N, 9 C, H, W), tap by tap."""
    height, width = x.shape[2:]
    # grid_sample without align_corners puts cell i of L at (2 i + 1) / L - 1.
    rows = torch.arange(height, device=x.device).view(1, 1, height, 1)
    cols = torch.arange(width, device=x.device).view(1, 1, 1, width)
    tap = torch.arange(TAPS, device=x.device).view(1, TAPS, 1, 1)
    base_y = (2.0 * (rows + tap // 3 - 1) + 1) / height - 1
    base_x = (2.0 * (cols + tap % 3 - 1) + 1) / width - 1
    grid_y = offset[:, 0::2] * (2.0 / height) + base_y.to(x.dtype)
    grid_x = offset[:, 1::2] * (2.0 / width) + base_x.to(x.dtype)
    grids = torch.stack((grid_x, grid_y), dim=-1)  # (N, 9, H, W, 2)
    samples = [
        F.grid_sample(x, grids[:, k], mode="bilinear", padding_mode="zeros", align_corners=False)
        * mask[:, k : k + 1]
        for k in range(TAPS)
    ]
    return torch.cat(samples, dim=1)


def _convolve_columns(columns: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    kernel = weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1, 1, 1)
    return F.conv2d(columns, kernel, bias)


def deform_conv2d_gather(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gather the four corners of each tap as rows of channels, then multiply by the tap's matrix.

    Integer and fractional parts of an offset stay apart, so the precision is the same everywhere in the map.
    """
    batch, channels, height, width = x.shape
    # A border of zero cells: a corner outside the map is clipped onto it.
    padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, channels)
    stride = width + 2
    first = torch.arange(batch, device=x.device).view(batch, 1, 1, 1) * (stride * (height + 2))
    tap = torch.arange(TAPS, device=x.device)
    rows = torch.arange(height, device=x.device).view(1, height, 1, 1) + tap // 3
    cols = torch.arange(width, device=x.device).view(1, 1, width, 1) + tap % 3

    offset, mask = offset.permute(0, 2, 3, 1), mask.permute(0, 2, 3, 1)
    dy, dx = offset[..., 0::2], offset[..., 1::2]  # (N, H, W, 9)
    whole_y, whole_x = torch.floor(dy), torch.floor(dx)
    part_y, part_x = dy - whole_y, dx - whole_x
    low_y, low_x = whole_y + rows.to(x.dtype), whole_x + cols.to(x.dtype)
    top = torch.clamp(low_y, 0, height + 1).long() * stride + first
    bottom = torch.clamp(low_y + 1, 0, height + 1).long() * stride + first
    left = torch.clamp(low_x, 0, width + 1).long()
    right = torch.clamp(low_x + 1, 0, width + 1).long()
    upper, lower = mask * (1 - part_y), mask * part_y

    def corner(index: Tensor, share: Tensor) -> Tensor:
        return padded.index_select(0, index.flatten()) * share.reshape(-1, 1)

    samples = (
        corner(top + left, upper * (1 - part_x))
        + corner(top + right, upper * part_x)
        + corner(bottom + left, lower * (1 - part_x))
        + corner(bottom + right, lower * part_x)
    )
    columns = samples.view(batch * height * width, TAPS * channels)
    kernel = weight.permute(2, 3, 1, 0).reshape(TAPS * channels, -1)
    return (columns @ kernel + bias).view(batch, height, width, -1).permute(0, 3, 1, 2)


@torch.library.custom_op("edge_fairmot::deform_conv2d", mutates_args=())
def deform_conv2d_native(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One opaque operator, exported as ONNX ``DeformConv``; in eager PyTorch the same as gridsample."""
    return deform_conv2d_gridsample(x, offset, mask, weight, bias)


@deform_conv2d_native.register_fake
def _(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0], x.shape[2], x.shape[3])


@torch.library.custom_op("edge_fairmot::deform_im2col", mutates_args=())
def deform_im2col(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """One opaque operator, exported as ``DeformIm2col``: (N, 9 C, H, W), tap by tap."""
    return _sample_taps(x, offset, mask)


@deform_im2col.register_fake
def _(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], TAPS * x.shape[1], x.shape[2], x.shape[3])


def deform_conv2d_im2col(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sample each tap in one opaque operator, then convolve 1x1."""
    return _convolve_columns(deform_im2col(x, offset, mask), weight, bias)


LOWERINGS: Mapping[str, DeformConvFunction] = MappingProxyType(
    {
        "native": deform_conv2d_native,
        "gridsample": deform_conv2d_gridsample,
        "gather": deform_conv2d_gather,
        "im2col": deform_conv2d_im2col,
    }
)


def _native_to_onnx(x: Any, offset: Any, mask: Any, weight: Any, bias: Any) -> Any:
    return opset19.DeformConv(x, weight, offset, bias, mask, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def _im2col_to_onnx(x: Any, offset: Any, mask: Any) -> Any:
    operator = Op(Opset(IM2COL_DOMAIN, IM2COL_VERSION), IM2COL, _im2col_schema())
    return operator(x, offset, mask, channels=x.shape[1])


TRANSLATIONS: Mapping[str, dict[Callable[..., Any], Any]] = MappingProxyType(
    {
        "native": {torch.ops.edge_fairmot.deform_conv2d.default: _native_to_onnx},
        "im2col": {torch.ops.edge_fairmot.deform_im2col.default: _im2col_to_onnx},
    }
)
"""Translations of the opaque operators for torch's exporter, by lowering."""


def _im2col_schema() -> OpSchema:
    parameter = OpSchema.FormalParameter
    return OpSchema(
        IM2COL,
        IM2COL_DOMAIN,
        IM2COL_VERSION,
        inputs=[parameter(name, "T") for name in ("x", "offset", "mask")],
        outputs=[parameter("columns", "T")],
        type_constraints=[("T", ["tensor(float)"], "")],
        attributes=[OpSchema.Attribute("channels", OpSchema.AttrType.INT)],
    )


def add_im2col_function(model: ModelProto) -> None:
    """Add the definition of ``DeformIm2col`` to a model that calls it."""
    model.functions.append(_im2col_function())
    if all(entry.domain != IM2COL_DOMAIN for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(IM2COL_DOMAIN, IM2COL_VERSION))


def _im2col_function() -> FunctionProto:
    """Write the function's body: a grouped DeformConv whose kernels are single taps, then a transposition."""
    taps = np.eye(TAPS, dtype=np.float32).reshape(TAPS, 1, 3, 3)
    deform = helper.make_node(
        "DeformConv",
        ["x", "kernels", "offset", "", "mask"],
        ["channel_by_channel"],
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
    )
    _refer(deform, "group", "channels", onnx.AttributeProto.INT)
    nodes = [
        helper.make_node("Constant", [], ["taps"], value=numpy_helper.from_array(taps)),
        helper.make_node("Constant", [], ["ones"], value_ints=[1, 1, 1]),
        helper.make_node("Constant", [], ["nine"], value_ints=[TAPS]),
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Shape", ["x"], ["channel_count"], start=1, end=2),
        helper.make_node("Shape", ["x"], ["size"], start=2, end=4),
        helper.make_node("Concat", ["channel_count", "ones"], ["copies"], axis=0),
        helper.make_node("Tile", ["taps", "copies"], ["kernels"]),
        deform,
        helper.make_node("Concat", ["batch", "channel_count", "nine", "size"], ["apart"], axis=0),
        helper.make_node("Reshape", ["channel_by_channel", "apart"], ["by_channel_and_tap"]),
        helper.make_node("Transpose", ["by_channel_and_tap"], ["by_tap_and_channel"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Shape", ["channel_by_channel"], ["together"]),
        helper.make_node("Reshape", ["by_tap_and_channel", "together"], ["columns"]),
    ]
    opset = [helper.make_opsetid("", NATIVE_OPSET)]
    return helper.make_function(
        IM2COL_DOMAIN, IM2COL, ["x", "offset", "mask"], ["columns"], nodes, opset, ["channels"]
    )


def rounded_im2col_function() -> FunctionProto:
    """Write ``DeformIm2colRounded``: sampling by the 27 predicted channels, in int8 steps of ``scale``.

    It gives float values. A runtime with a kernel of its own samples into int8 at once.
    """
    sample = helper.make_node(IM2COL, ["x", "offset", "mask"], ["columns"], domain=IM2COL_DOMAIN)
    _refer(sample, "channels", "channels", onnx.AttributeProto.INT)
    scale = helper.make_node("Constant", [], ["step"])
    _refer(scale, "value_float", "scale", onnx.AttributeProto.FLOAT)
    zero = numpy_helper.from_array(np.array(0, np.int8))
    nodes = [
        helper.make_node("Constant", [], ["parts"], value_ints=[2 * TAPS, TAPS]),
        helper.make_node("Split", ["prediction", "parts"], ["offset", "logits"], axis=1),
        helper.make_node("Sigmoid", ["logits"], ["mask"]),
        sample,
        scale,
        helper.make_node("Constant", [], ["zero"], value=zero),
        helper.make_node("QuantizeLinear", ["columns", "step", "zero"], ["steps"]),
        helper.make_node("DequantizeLinear", ["steps", "step", "zero"], ["rounded"]),
    ]
    opsets = [helper.make_opsetid("", NATIVE_OPSET), helper.make_opsetid(IM2COL_DOMAIN, IM2COL_VERSION)]
    names = ["channels", "scale"]
    return helper.make_function(
        IM2COL_DOMAIN, ROUNDED_IM2COL, ["x", "prediction"], ["rounded"], nodes, opsets, names
    )


def _refer(node: NodeProto, name: str, source: str, kind: int) -> None:
    """Let an attribute of a node be one of its function."""
    attribute = node.attribute.add()
    attribute.name, attribute.type, attribute.ref_attr_name = name, kind, source
