"""How a network starts that nothing was taught yet."""

from __future__ import annotations

import math

import torch
from torch import nn

from edge_fairmot.convert.network import DCN, FairMOT

PEOPLE_SHARE = 0.1
"""Score of every cell at the start (focal loss, Lin et al., ICCV 2017): or the empty ones drown the rest."""


def initialise(network: FairMOT, seed: int = 0) -> None:
    """Set all weights as the original's training does at its start, in place; its ImageNet backbone aside.

    Parameters
    ----------
    network : FairMOT
    seed : int
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            match module:
                case nn.ConvTranspose2d():
                    _interpolate(module)
                case nn.Conv2d():
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
                case DCN():
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                case nn.BatchNorm2d():
                    module.reset_parameters()
        for layer in network.modules():
            if isinstance(layer, DCN):
                # No offsets, and every mask one half.
                nn.init.zeros_(layer.conv_offset_mask.weight)
        for head in (network.hm, network.wh, network.id, network.reg):
            last = head[-1]
            assert isinstance(last, nn.Conv2d)
            nn.init.normal_(last.weight, std=0.001 if head is network.hm else 0.01)
    bias = network.hm[-1].bias
    assert isinstance(bias, nn.Parameter)
    nn.init.constant_(bias, math.log(PEOPLE_SHARE / (1 - PEOPLE_SHARE)))


def _interpolate(layer: nn.ConvTranspose2d) -> None:
    """Start a transposed convolution as bilinear enlargement."""
    size = layer.weight.shape[2]
    factor = size // 2
    distance = (torch.arange(size) + 0.5 - size / 2).abs() / factor
    line = 1 - distance
    with torch.no_grad():
        layer.weight.copy_((line[:, None] * line[None]).expand_as(layer.weight))
