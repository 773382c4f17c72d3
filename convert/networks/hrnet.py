"""FairMOT on HRNetV2 (Wang et al., TPAMI 2020): maps of four strides side by side, exchanged again and again.

All maps are enlarged to stride 4 and concatenated; the heads read that. In files of April to September 2020 a
1x1 convolution makes 64 channels of it first.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.network import FairMOT, NetworkSpec, conv_bn, conv_bn_relu
from edge_fairmot.convert.networks.residual import Bottleneck, ResidualBlock, stack

STEM_CHANNELS = 64
"""Of the two convolutions before the first stage, at any width."""

MODULES = {2: 1, 3: 4, 4: 3}
"""Number of exchanges in each stage. Stage n has n maps."""

BLOCKS = 4
"""Residual blocks of a map between two exchanges."""

HEAD_CHANNELS = 256

LAST_CHANNELS = 64
"""Input of the heads in files of 2020."""

FIRST_BRANCH = "stage4.0.branches.0.0.conv1.weight"
"""Its shape gives the width of the network."""


class Exchange(nn.Module):
    """Residual blocks on each map, then every new map is the sum of all maps, enlarged or made smaller."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(stack(ResidualBlock, BLOCKS, c, c) for c in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleDict({str(j): _fit(channels, j, i) for j in range(len(channels)) if j != i})
            for i in range(len(channels))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Map (N, C_i, H / 2**i, W / 2**i) to the same shapes."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for i, layers in enumerate(self.fuse_layers):
            assert isinstance(layers, nn.ModuleDict)
            parts = [x if j == i else layers[str(j)](x) for j, x in enumerate(maps)]
            fused.append(F.relu(sum(parts[1:], parts[0])))
        return fused


def _fit(channels: tuple[int, ...], source: int, target: int) -> nn.Sequential:
    """Make the layers from one map to another: by 1x1 and nearest pixel, or by 3x3 of stride 2."""
    if source > target:
        enlarge = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return conv_bn(channels[source], channels[target]).append(enlarge)
    between = [conv_bn_relu(channels[source], channels[source], 3, 2) for _ in range(target - source - 1)]
    return nn.Sequential(*between, conv_bn(channels[source], channels[target], 3, 2))


class HRNet(FairMOT):
    """FairMOT on HRNetV2-W18 or -W32: heads on the concatenated maps."""

    first_convolution = "conv1"
    backbone_names = (
        *("conv1", "bn1", "conv2", "bn2", "layer1"),
        *("transition1", "transition2", "transition3", "stage2", "stage3", "stage4"),
    )
    early_names = backbone_names[:5]

    def _add_layers(self, spec: NetworkSpec) -> tuple[int, ...]:
        channels = tuple(spec.base_channels << i for i in range(4))
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = nn.Conv2d(STEM_CHANNELS, STEM_CHANNELS, 3, 2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.layer1 = stack(Bottleneck, BLOCKS, STEM_CHANNELS, STEM_CHANNELS)
        stem = Bottleneck.expansion * STEM_CHANNELS
        first, second = conv_bn_relu(stem, channels[0], 3), conv_bn_relu(stem, channels[1], 3, 2)
        self.transition1 = nn.ModuleList([first, nn.Sequential(second)])
        for stage, count in MODULES.items():
            if stage > 2:
                smaller = nn.Sequential(conv_bn_relu(channels[stage - 2], channels[stage - 1], 3, 2))
                self.add_module(f"transition{stage - 1}", nn.ModuleDict({str(stage - 1): smaller}))
            modules = (Exchange(channels[:stage]) for _ in range(count))
            self.add_module(f"stage{stage}", nn.Sequential(*modules))
        return (sum(channels),)

    @classmethod
    def usual_head_channels(cls, features: int) -> int:  # noqa: D102 as in the base class
        return HEAD_CHANNELS

    def levels(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of strides 4, 8, 16 and 32."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer1(F.relu(self.bn2(self.conv2(x))))
        maps: list[Tensor] = [transition(x) for transition in self.transition1]
        for stage in MODULES:
            if stage > 2:
                maps.append(self.get_submodule(f"transition{stage - 1}.{stage - 1}")(maps[-1]))
            maps = self.get_submodule(f"stage{stage}")(maps)
        return maps

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Enlarge all maps to stride 4 and concatenate them."""
        size = levels[0].shape[2:]
        enlarged = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in levels[1:]]
        return [torch.cat((levels[0], *enlarged), dim=1)]


class HRNet2020(HRNet):
    """FairMOT on HRNetV2 as in 2020: heads on 64 channels."""

    def _add_layers(self, spec: NetworkSpec) -> tuple[int, ...]:
        (inputs,) = super()._add_layers(spec)
        self.last_layer = nn.Sequential(
            nn.Conv2d(inputs, LAST_CHANNELS, 1), nn.BatchNorm2d(LAST_CHANNELS), nn.ReLU(inplace=True)
        )
        return (LAST_CHANNELS,)

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Make 64 channels of the concatenated maps."""
        return [self.last_layer(super().neck(levels)[0])]


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> NetworkSpec | None:
    """Read the shape of the network from its tensors' names and shapes; None for another network."""
    branch = shapes.get(FIRST_BRANCH, ())
    if len(branch) != 4:
        return None
    arch = "hrnet2020" if "last_layer.0.weight" in shapes else "hrnet"
    return NetworkSpec(arch=arch, base_channels=branch[0], depth=0)
