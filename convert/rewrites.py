"""Rewrites of the network before its export. Each leaves the network's function as it is, up to rounding.

Batch norms, the normalisation of images and YOLO's Focus are folded into convolutions.

Shuffle upsampling: a ``ConvTranspose2d`` of kernel 2f, stride f and padding f/2 computes output f*i + p from
the inputs i - 1, i and i + 1 alone, with the kernel entry p + f/2 + f*(i - m) for input m. So each of the f*f
phases p is a 3x3 convolution, depthwise where the layer is. That is far cheaper in runtimes with slow
transposed convolutions. A layer of all channels has 2x2 phases: of each three inputs, a phase reads two.
The phases are interleaved with the channels last, so that whole pixels move. In ONNX Runtime a
``DepthToSpace`` takes longer than all of the convolutions, and one convolution with f*f outputs a channel
has no fast kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise, product

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from edge_fairmot.convert.network import DCN, DeformConv, FairMOT
from edge_fairmot.convert.networks.yolo import Focus

BLOCK_CONV = re.compile(r"conv\d?")
"""Names of the convolutions of a block."""


def fold_batch_norms(network: FairMOT) -> None:
    """Fold every batch norm into its convolution, in place; the state dict no longer fits a checkpoint.

    Exact up to rounding in evaluation mode: a deformable convolution is linear in weight and bias too.
    """
    network.double()
    for name, norm_name in convolutions_and_norms(network):
        conv, bn = network.get_submodule(name), network.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d | DCN)
        assert isinstance(bn, nn.BatchNorm2d)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight,
            conv.bias,
            bn.running_mean,
            bn.running_var,
            bn.eps,
            bn.weight,
            bn.bias,
            transpose=isinstance(conv, nn.ConvTranspose2d),
        )
        network.set_submodule(norm_name, nn.Identity())
    network.float()


def convolutions_and_norms(network: FairMOT) -> list[tuple[str, str]]:
    """List the names of each convolution that a batch norm follows, and of that batch norm.

    They are neighbours in a sequence, or ``conv1`` and ``bn1`` of a block.
    """
    pairs = []
    for name, module in network.named_modules():
        children = dict(module.named_children())
        if isinstance(module, DeformConv):
            found = [("conv", "actf.0")]
        elif isinstance(module, nn.Sequential):
            found = list(pairwise(children))
        else:
            found = [(one, one.replace("conv", "bn")) for one in children if BLOCK_CONV.fullmatch(one)]
        pairs += [
            (f"{name}.{conv}".lstrip("."), f"{name}.{norm}".lstrip("."))
            for conv, norm in found
            if isinstance(children[conv], nn.Conv2d | nn.ConvTranspose2d | DCN)
            and isinstance(module.get_submodule(norm), nn.BatchNorm2d)
        ]
    return pairs


def fold_normalisation(network: FairMOT) -> None:
    """Fold BGR to RGB and the division by 255 into the first convolution, in place.

    Its padding is zero on either scale, so the result is exact but for rounding.
    """
    first = network.get_submodule(network.first_convolution)
    assert isinstance(first, nn.Conv2d)
    first.weight.data = first.weight.data.flip(1) / 255


def fold_focus(network: FairMOT) -> bool:
    """Make one convolution of a Focus layer, in place; return whether there is one."""
    layers = [module for module in network.modules() if isinstance(module, Focus)]
    for layer in layers:
        layer.fold()
    return bool(layers)


def shuffle_upsampling(network: FairMOT) -> None:
    """Replace every transposed convolution, in place."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ConvTranspose2d):
                parent.add_module(name, ShuffleUpsampling(child))


class ShuffleUpsampling(nn.Module):
    """One upsampling layer, phase by phase: kernel 2f, stride f (even), depthwise or of all channels."""

    def __init__(self, up: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.factor = up.stride[0]
        kernels = split_phases(up.weight.detach(), self.factor)
        self.phases = nn.ModuleList(
            _depthwise(kernel) if up.groups > 1 else _Phase(kernel, index, up)
            for index, kernel in enumerate(kernels.unbind(1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, f H, f W)."""
        batch, _, height, width = x.shape
        factor = self.factor
        phases = [phase(x).permute(0, 2, 3, 1).unsqueeze(3) for phase in self.phases]
        channels = phases[0].shape[4]
        rows = [
            torch.cat(phases[row : row + factor], dim=3).reshape(batch, height, 1, width * factor, channels)
            for row in range(0, factor**2, factor)
        ]
        upsampled = torch.cat(rows, dim=2).reshape(batch, height * factor, width * factor, channels)
        return upsampled.permute(0, 3, 1, 2)


def _depthwise(kernel: Tensor) -> nn.Conv2d:
    """Make one phase of a depthwise layer from its kernels, (C, 1, 3, 3)."""
    channels = len(kernel)
    phase = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    phase.weight = nn.Parameter(kernel.contiguous(), requires_grad=False)
    return phase


class _Phase(nn.Conv2d):
    """One phase of a layer of all channels: 2x2, because it reads no more of its 3x3 inputs (C, O, 3, 3)."""

    def __init__(self, kernel: Tensor, index: int, up: nn.ConvTranspose2d) -> None:
        super().__init__(up.in_channels, up.out_channels, 2, bias=up.bias is not None)
        top, left = _first_taps(index, up.stride[0])
        taps = kernel.transpose(0, 1)[..., top : top + 2, left : left + 2]
        self.weight = nn.Parameter(taps.contiguous(), requires_grad=False)
        self.bias = up.bias
        self.border = (1 - left, left, 1 - top, top)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.border))


def _first_taps(index: int, factor: int) -> tuple[int, int]:
    """Row and column, in its 3x3 kernel, of the first tap that a phase has: half of them read backwards."""
    row, column = divmod(index, factor)
    return int(row >= factor // 2), int(column >= factor // 2)


def widen_phase(taps: Tensor, index: int, factor: int) -> Tensor:
    """Make the 3x3 kernel of a phase, (C, O, 3, 3), of its four taps, (O, C, 2, 2)."""
    top, left = _first_taps(index, factor)
    return F.pad(taps.transpose(0, 1), (left, 1 - left, top, 1 - top))


def split_phases(kernel: Tensor, factor: int) -> Tensor:
    """Split kernels (C, O, 2f, 2f) into those of the phases, (C, f * f, O, 3, 3), in row-major order."""
    channels, outputs = kernel.shape[:2]
    phases = kernel.new_zeros(channels, factor, factor, outputs, 3, 3)
    for (py, ty, y), (px, tx, x) in _entries(factor):
        phases[:, py, px, :, ty, tx] = kernel[:, :, y, x]
    return phases.reshape(channels, factor**2, outputs, 3, 3)


def merge_phases(phases: Tensor, factor: int) -> Tensor:
    """Merge the kernels of the phases, (C, f * f, O, 3, 3), into (C, O, 2f, 2f): undoes split_phases."""
    channels, _, outputs = phases.shape[:3]
    apart = phases.reshape(channels, factor, factor, outputs, 3, 3)
    kernel = phases.new_zeros(channels, outputs, 2 * factor, 2 * factor)
    for (py, ty, y), (px, tx, x) in _entries(factor):
        kernel[:, :, y, x] = apart[:, py, px, :, ty, tx]
    return kernel


def _entries(factor: int) -> Iterator[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Yield (phase, tap, kernel index) of the row and of the column for every kernel entry."""
    # Tap t of a phase reads input i + t - 1, so i - m = 1 - t.
    entry = torch.arange(factor)[:, None] + factor // 2 + factor * (1 - torch.arange(3))[None]
    inside = (entry >= 0) & (entry < 2 * factor)
    places = [(phase, tap, int(entry[phase, tap])) for phase, tap in inside.nonzero().tolist()]
    return product(places, places)
