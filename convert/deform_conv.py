"""Modulated deformable convolution (DCNv2), 3x3, stride 1, padding 1, and its exact lowerings.

Every lowering is a function ``(x, offset, mask, weight, bias) -> y`` of the same arithmetic:

    y[n, o, p] = bias[o] + sum over taps k and channels c of
                 weight[o, c, k] * mask[n, k, p] * x[n, c] sampled bilinearly at p + tap(k) + offset[n, k, p]

(Zhu et al., Deformable ConvNets v2, CVPR 2019, eq. 1). A corner of the bilinear sample that lies outside
the picture counts as zero. Offsets are interleaved (dy, dx) per tap, taps in row-major order, in cells.

They differ in the ONNX operators they become:

=============  =====================================================  ==============
``native``     one ``DeformConv``                                     opset 19
``gridsample`` nine ``GridSample`` (one a tap) and a 1x1 convolution  opset 16
``gather``     four ``Gather`` of rows and one matrix product         any
``im2col``     one ``DeformIm2col``, and a 1x1 convolution            19
=============  =====================================================  ==============

``DeformIm2col`` is a function in the file, of standard operators, which a runtime may replace by a faster
kernel; the convolution behind it quantizes like any other. See :mod:`edge_fairmot.convert.im2col`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

TAPS = 9

DeformConvFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def deform_conv2d_gridsample(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sample each tap with ``grid_sample``, then convolve 1x1. Differentiable: the eager default.

    Parameters
    ----------
    x : float (N, C, H, W)
    offset : float (N, 18, H, W)
        In cells, (dy, dx) per tap.
    mask : float (N, 9, H, W)
        After the sigmoid.
    weight : float (O, C, 3, 3)
    bias : float (O,)

    Returns
    -------
    float (N, O, H, W)
    """
    return _convolve_columns(_sample_taps(x, offset, mask), weight, bias)


def _sample_taps(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """Sample (N, C, H, W) at nine moving taps: (N, 9 C, H, W), tap by tap."""
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

    Whole and fractional parts of an offset are kept apart, so that precision does not depend on the place
    in the picture. Parameters and result as in :func:`deform_conv2d_gridsample`.
    """
    batch, channels, height, width = x.shape
    # One zero cell all round: a corner outside the picture is clipped onto it.
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


def fold_taps(weight: Tensor, tap_offset: Tensor, tap_mask: Tensor) -> Tensor:
    """Make the plain 3x3 weights that do what a deformable convolution of constant offsets and masks does.

    A bilinear sample at a place between cells is a weighted sum of the four cells around it, so a tap's
    weight is spread over them. Exact as long as they are among the nine; what falls outside is dropped.

    Parameters
    ----------
    weight : float (O, C, 3, 3)
    tap_offset : float (9, 2)
        In cells, (dy, dx) of each tap.
    tap_mask : float (9,)

    Returns
    -------
    float (O, C, 3, 3)
    """
    tap = torch.arange(TAPS, device=weight.device)
    place = torch.stack((tap // 3, tap % 3), dim=1).to(weight.dtype)
    distance = (place + tap_offset)[:, None] - place  # (from, to, 2)
    share = (1 - distance.abs()).clamp_min(0).prod(dim=2) * tap_mask[:, None]
    return (weight.flatten(2) @ share).view_as(weight)


@torch.library.custom_op("edge_fairmot::deform_conv2d", mutates_args=())
def deform_conv2d_native(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One opaque operator, which the exporter turns into ONNX ``DeformConv``.

    Parameters and result as in :func:`deform_conv2d_gridsample`, which computes it outside of an export.
    """
    return deform_conv2d_gridsample(x, offset, mask, weight, bias)


@deform_conv2d_native.register_fake
def _(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0], x.shape[2], x.shape[3])


@torch.library.custom_op("edge_fairmot::deform_im2col", mutates_args=())
def deform_im2col(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """One opaque operator, which the exporter turns into ``DeformIm2col``: (N, 9 C, H, W), tap by tap."""
    return _sample_taps(x, offset, mask)


@deform_im2col.register_fake
def _(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], TAPS * x.shape[1], x.shape[2], x.shape[3])


def deform_conv2d_im2col(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sample each tap in one opaque operator, then convolve 1x1.

    Parameters and result as in :func:`deform_conv2d_gridsample`, which it is outside of an export.
    """
    return _convolve_columns(deform_im2col(x, offset, mask), weight, bias)


LOWERINGS: Mapping[str, DeformConvFunction] = MappingProxyType(
    {
        "native": deform_conv2d_native,
        "gridsample": deform_conv2d_gridsample,
        "gather": deform_conv2d_gather,
        "im2col": deform_conv2d_im2col,
    }
)
