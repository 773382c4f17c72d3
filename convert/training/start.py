"""What training starts from: a checkpoint, an ONNX file, or weights that nothing was learned by yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from edge_fairmot.benchmarks.mot_text import PEOPLE
from edge_fairmot.convert.checkpoint import deformable_names
from edge_fairmot.convert.network import DCN, FairMOT, NetworkSpec, deformable_layers
from edge_fairmot.convert.networks import build_network
from edge_fairmot.convert.recovery import load_start
from edge_fairmot.errors import InvalidInputError

START_SCORE = 0.1
"""Score of every cell (focal loss, Lin et al., ICCV 2017). With more, background would dominate at first."""

START_BIAS = math.log(START_SCORE / (1 - START_SCORE))

HEATMAP_STD = 0.001


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


def learn_classes(network: FairMOT, class_names: Sequence[str], seed: int = 0) -> None:
    """Give a network of one class a heatmap for each of several, in place.

    People keep the heatmap that was trained; the other classes start as a new network's. InvalidInputError if
    the network has another number of classes.
    """
    found = network.spec.num_classes
    if found == len(class_names):
        return
    if found != 1:
        raise InvalidInputError(
            f"the network has {found} classes, and --classes names {len(class_names)}: name all of them, in "
            "the order of its heatmaps, or start from a network of one class"
        )
    old = network.hm[-1]
    assert isinstance(old, nn.Conv2d)
    assert old.bias is not None
    new = nn.Conv2d(old.in_channels, len(class_names), old.kernel_size, padding=old.padding)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        nn.init.normal_(new.weight, std=HEATMAP_STD)
        nn.init.constant_(cast(Tensor, new.bias), START_BIAS)
        for number, name in enumerate(class_names):
            if name.lower() in PEOPLE:
                new.weight[number], cast(Tensor, new.bias)[number] = old.weight[0], old.bias[0]
    network.hm[-1] = new.to(old.weight)
    network.spec = replace(network.spec, num_classes=len(class_names))


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
            nn.init.normal_(last.weight, std=HEATMAP_STD if head is network.hm else 0.01)
    bias = network.hm[-1].bias
    assert isinstance(bias, nn.Parameter)
    nn.init.constant_(bias, START_BIAS)


def _interpolate(layer: nn.ConvTranspose2d) -> None:
    """Set a transposed convolution to bilinear enlargement of each channel."""
    size = layer.weight.shape[2]
    line = 1 - (torch.arange(size) + 0.5 - size / 2).abs() / (size // 2)
    own = torch.eye(*layer.weight.shape[:2]) if layer.groups == 1 else torch.ones(layer.weight.shape[:2])
    with torch.no_grad():
        layer.weight.copy_(own[:, :, None, None] * line[:, None] * line[None])
