"""What training starts from: a checkpoint, an ONNX file, or weights that nothing was learned by yet."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from edge_fairmot.convert.checkpoint import deformable_names
from edge_fairmot.convert.network import DCN, FairMOT, NetworkSpec, deformable_layers
from edge_fairmot.convert.networks import build_network
from edge_fairmot.convert.recovery import load_start

START_SCORE = 0.1
"""Score of every cell (focal loss, Lin et al., ICCV 2017). With more, background would dominate at first."""


def start_network(
    start: Path | None, *, plain: bool, seed: int, spec: NetworkSpec | None = None
) -> tuple[FairMOT, str]:
    """Load a file, or make a new network, of plain convolutions or not; return the file's SHA-256 too."""
    if start:
        return load_start(start)
    spec = spec or NetworkSpec()
    if plain:
        spec = replace(spec, plain_layers=deformable_names(spec))
    network = build_network(spec)
    initialise(network, seed)
    return network, ""


def initialise(network: FairMOT, seed: int = 0) -> None:
    """Set all weights as the original's training does, in place, except its ImageNet backbone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            match module:
                case nn.ConvTranspose2d():
                    _interpolate(module)
                case nn.Conv2d() | DCN():
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                    if isinstance(module, nn.Conv2d) and module.bias is not None:
                        nn.init.zeros_(module.bias)
                case nn.BatchNorm2d():
                    module.reset_parameters()
        for layer in deformable_layers(network).values():
            # No offsets, and every mask one half.
            nn.init.zeros_(layer.conv_offset_mask.weight)
        for head in (network.hm, network.wh, network.id, network.reg):
            last = head[-1]
            assert isinstance(last, nn.Conv2d)
            nn.init.normal_(last.weight, std=0.001 if head is network.hm else 0.01)
    bias = network.hm[-1].bias
    assert isinstance(bias, nn.Parameter)
    nn.init.constant_(bias, math.log(START_SCORE / (1 - START_SCORE)))


def _interpolate(layer: nn.ConvTranspose2d) -> None:
    """Set a transposed convolution to bilinear enlargement of each channel."""
    size = layer.weight.shape[2]
    line = 1 - (torch.arange(size) + 0.5 - size / 2).abs() / (size // 2)
    own = torch.eye(*layer.weight.shape[:2]) if layer.groups == 1 else torch.ones(layer.weight.shape[:2])
    with torch.no_grad():
        layer.weight.copy_(own[:, :, None, None] * line[:, None] * line[None])
