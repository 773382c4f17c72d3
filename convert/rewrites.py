"""Rewrites of the network before its export. Each leaves the network's function as it is, up to rounding.

Batch norms and the normalisation of images are folded into convolutions.

Shuffle upsampling: a depthwise ``ConvTranspose2d`` of kernel 2f, stride f and padding f/2 computes output
f*i + p from the inputs i - 1, i and i + 1 alone, with the kernel entry p + f/2 + f*(i - m) for input m. So
each of the f*f phases p is a 3x3 depthwise convolution. That is far cheaper in runtimes with slow transposed
convolutions.
The phases are interleaved with the channels last, so that whole pixels move. In ONNX Runtime a
``DepthToSpace`` takes longer than all of the convolutions, and one convolution with f*f outputs a channel
has no fast kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from edge_fairmot.convert.network import DCN, BasicBlock, DeformConv, FairMOT, Root


def fold_batch_norms(network: FairMOT) -> None:
    """Fold every batch norm into its convolution, in place; the state dict no longer fits a checkpoint.

    Exact up to rounding in evaluation mode: a deformable convolution is linear in weight and bias too.
    """
    network.double()
    for name, norm_name in convolutions_and_norms(network):
        conv, bn = network.get_submodule(name), network.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d | DCN)
        assert isinstance(bn, nn.BatchNorm2d)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
        )
        network.set_submodule(norm_name, nn.Identity())
    network.float()


def convolutions_and_norms(network: FairMOT) -> list[tuple[str, str]]:
    """List the names of each convolution that a batch norm follows, and of that batch norm."""
    pairs = []
    for name, module in network.named_modules():
        match module:
            case BasicBlock():
                found = [("conv1", "bn1"), ("conv2", "bn2")]
            case Root():
                found = [("conv", "bn")]
            case DeformConv():
                found = [("conv", "actf.0")]
            case nn.Sequential():
                found = [
                    (str(i), str(i + 1))
                    for i in range(len(module) - 1)
                    if isinstance(module[i], nn.Conv2d) and isinstance(module[i + 1], nn.BatchNorm2d)
                ]
            case _:
                found = []
        pairs += [(f"{name}.{conv}", f"{name}.{norm}") for conv, norm in found]
    return pairs


def fold_normalisation(network: FairMOT) -> None:
    """Fold BGR to RGB and the division by 255 into the first convolution, in place.

    Its padding is zero on either scale, so the result is exact but for rounding.
    """
    first = network.base.base_layer[0]
    assert isinstance(first, nn.Conv2d)
    first.weight.data = first.weight.data.flip(1) / 255


def shuffle_upsampling(network: FairMOT) -> None:
    """Replace every transposed convolution, in place."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ConvTranspose2d):
                parent.add_module(name, ShuffleUpsampling(child))


class ShuffleUpsampling(nn.Module):
    """One upsampling layer, phase by phase: depthwise, kernel 2f, stride f (even), no bias."""

    def __init__(self, up: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.factor = up.stride[0]
        self.phases = nn.ModuleList()
        for kernel in split_phases(up.weight.detach(), self.factor).unbind(1):
            phase = nn.Conv2d(up.in_channels, up.in_channels, 3, padding=1, groups=up.in_channels, bias=False)
            phase.weight = nn.Parameter(kernel.contiguous(), requires_grad=False)
            self.phases.append(phase)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, f H, f W)."""
        batch, channels, height, width = x.shape
        factor = self.factor
        phases = [phase(x).permute(0, 2, 3, 1).unsqueeze(3) for phase in self.phases]
        rows = [
            torch.cat(phases[row : row + factor], dim=3).reshape(batch, height, 1, width * factor, channels)
            for row in range(0, factor**2, factor)
        ]
        upsampled = torch.cat(rows, dim=2).reshape(batch, height * factor, width * factor, channels)
        return upsampled.permute(0, 3, 1, 2)


def split_phases(kernel: Tensor, factor: int) -> Tensor:
    """Split kernels (C, 1, 2f, 2f) into those of the phases, (C, f * f, 1, 3, 3), in row-major order."""
    channels = kernel.shape[0]
    phases = kernel.new_zeros(channels, factor, factor, 3, 3)
    for (py, ty, y), (px, tx, x) in _entries(factor):
        phases[:, py, px, ty, tx] = kernel[:, 0, y, x]
    return phases.reshape(channels, factor**2, 1, 3, 3)


def merge_phases(phases: Tensor, factor: int) -> Tensor:
    """Merge the kernels of the phases, (C, f * f, 1, 3, 3), into (C, 1, 2f, 2f): undoes split_phases."""
    apart = phases.reshape(-1, factor, factor, 3, 3)
    kernel = phases.new_zeros(len(phases), 1, 2 * factor, 2 * factor)
    for (py, ty, y), (px, tx, x) in _entries(factor):
        kernel[:, 0, y, x] = apart[:, py, px, ty, tx]
    return kernel


def _entries(factor: int) -> Iterator[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Yield (phase, tap, kernel index) of the row and of the column for every kernel entry."""
    # Tap t of a phase reads input i + t - 1, so i - m = 1 - t.
    entry = torch.arange(factor)[:, None] + factor // 2 + factor * (1 - torch.arange(3))[None]
    inside = (entry >= 0) & (entry < 2 * factor)
    places = [(phase, tap, int(entry[phase, tap])) for phase, tap in inside.nonzero().tolist()]
    return product(places, places)
