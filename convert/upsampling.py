"""Shuffle upsampling: a depthwise transposed convolution as a 3x3 convolution and a pixel shuffle.

A depthwise ``ConvTranspose2d`` of kernel 2f, stride f and padding f/2 gives output f*i + p from the inputs
i - 1, i and i + 1 alone, through the kernel entries p + f/2 + f*(i - m). So each of the f*f phases p is a
3x3 depthwise convolution, and ``PixelShuffle`` puts the phases in their places. Exact, and far cheaper
where transposed convolutions are slow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_fairmot.convert.network import FairMOT


def shuffle_upsampling(up: nn.ConvTranspose2d) -> nn.Sequential:
    """Rewrite one upsampling layer.

    Parameters
    ----------
    up : nn.ConvTranspose2d
        Depthwise, kernel 2f, stride f, padding f // 2 with f even, no bias.

    Returns
    -------
    nn.Sequential
        3x3 depthwise convolution to f*f phases per channel, and ``PixelShuffle(f)``.
    """
    factor, channels = up.stride[0], up.in_channels
    conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1, groups=channels, bias=False)
    conv.weight = nn.Parameter(_phase_kernels(up.weight.detach(), factor), requires_grad=False)
    return nn.Sequential(conv, nn.PixelShuffle(factor))


def _phase_kernels(kernel: Tensor, factor: int) -> Tensor:
    """(C, 1, 2f, 2f) to (C * f * f, 1, 3, 3), phases in the order of ``PixelShuffle``."""
    channels = kernel.shape[0]
    phases = kernel.new_zeros(channels, factor, factor, 3, 3)
    # Tap t of a phase looks at input i + t - 1, so i - m = 1 - t.
    entry = torch.arange(factor)[:, None] + factor // 2 + factor * (1 - torch.arange(3))[None]
    inside = (entry >= 0) & (entry < 2 * factor)
    for py, ty in inside.nonzero().tolist():
        for px, tx in inside.nonzero().tolist():
            phases[:, py, px, ty, tx] = kernel[:, 0, entry[py, ty], entry[px, tx]]
    return phases.reshape(channels * factor**2, 1, 3, 3)


def rewrite_upsampling(network: FairMOT) -> None:
    """Rewrite every upsampling layer of the network, in place."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ConvTranspose2d):
                parent.add_module(name, shuffle_upsampling(child))
