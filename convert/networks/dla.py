"""DLA-34 (Yu et al., CVPR 2018): FairMOT's own backbone, with a deformable or a plain neck.

Level i of the backbone has stride 2**i.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.network import (
    BASE_CHANNELS,
    DeformConv,
    FairMOT,
    NetworkSpec,
    conv_bn,
    conv_bn_relu,
)
from edge_fairmot.convert.networks.residual import BasicBlock

FIRST = "base.base_layer.0.weight"


def level_channels(base: int) -> tuple[int, ...]:
    """Channels of the backbone's levels 0 to 5."""
    return tuple(base * 2**level for level in range(6))


class Root(nn.Module):
    """Aggregation node: concatenation of the children, then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, *children: Tensor) -> Tensor:
        """Map any number of (N, C_i, H, W) to (N, O, H, W)."""
        return F.relu(self.bn(self.conv(torch.cat(children, dim=1))))


class Tree(nn.Module):
    """Two residual blocks and a root. ``carried`` counts the channels of the root's further inputs."""

    def __init__(self, inputs: int, outputs: int, stride: int, carried: int = 0) -> None:
        super().__init__()
        self.tree1 = BasicBlock(inputs, outputs, stride)
        self.tree2 = BasicBlock(outputs, outputs)
        self.root = Root(2 * outputs + carried, outputs)
        self.downsample = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        self.project = conv_bn(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, carried: tuple[Tensor, ...] = ()) -> Tensor:
        """Map (N, C, H, W) and the root's further inputs to (N, O, H / stride, W / stride)."""
        first = self.tree1(x, self.project(self.downsample(x)))
        out: Tensor = self.root(self.tree2(first, first), first, *carried)
        return out


class RootedTree(Tree):
    """A tree with the downsampled input as a further input of the root (level 5)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, stride=2, carried=inputs)

    def forward(self, x: Tensor, carried: tuple[Tensor, ...] = ()) -> Tensor:
        """Map (N, C, H, W) to (N, O, H / 2, W / 2)."""
        return super().forward(x, (self.downsample(x), *carried))


class DeepTree(nn.Module):
    """Two trees in a row (levels 3 and 4). The second root also takes the first output and the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.tree1 = Tree(inputs, outputs, stride=2)
        self.tree2 = Tree(outputs, outputs, stride=1, carried=inputs + outputs)
        self.downsample = nn.MaxPool2d(2)
        # Every checkpoint has these tensors, and the network's output does not depend on them.
        self.project = conv_bn(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H / 2, W / 2)."""
        first = self.tree1(x)
        out: Tensor = self.tree2(first, (self.downsample(x), first))
        return out


class DLA34(nn.Module):
    """The backbone. ``channels`` counts the channels of level 0."""

    def __init__(self, channels: int = BASE_CHANNELS) -> None:
        super().__init__()
        c = level_channels(channels)
        self.base_layer = conv_bn_relu(3, c[0], 7)
        self.level0 = conv_bn_relu(c[0], c[0], 3)
        self.level1 = conv_bn_relu(c[0], c[1], 3, stride=2)
        self.level2 = Tree(c[1], c[2], stride=2)
        self.level3 = DeepTree(c[2], c[3])
        self.level4 = DeepTree(c[3], c[4])
        self.level5 = RootedTree(c[4], c[5])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) to six levels; level i is (N, channels * 2**i, H / 2**i, W / 2**i)."""
        x = self.base_layer(x)
        levels = []
        for level in (self.level0, self.level1, self.level2, self.level3, self.level4, self.level5):
            x = level(x)
            levels.append(x)
        return levels


class Upsampling(nn.ConvTranspose2d):
    """Transposed convolution of each channel.

    It stays float32 under autocast: PyTorch's bfloat16 kernels for it are five times slower on a CPU.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map (N, C, H, W) to (N, C, factor * H, factor * W)."""
        kind = x.device.type
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):  # never on "meta"
            return super().forward(x)
        with torch.autocast(kind, enabled=False):
            return super().forward(x.float())


class IDAUp(nn.Module):
    """Iterative deep aggregation: merges maps of several strides into the map of the least stride.

    ``inputs`` lists the channels of the maps, the least stride first, and ``factors`` their upsampling.
    """

    def __init__(self, outputs: int, inputs: tuple[int, ...], factors: tuple[int, ...]) -> None:
        super().__init__()
        self.merges = len(inputs) - 1
        for i in range(1, len(inputs)):
            self.add_module(f"proj_{i}", DeformConv(inputs[i], outputs))
            self.add_module(f"up_{i}", Upsampling(outputs, factors[i]))
            self.add_module(f"node_{i}", DeformConv(outputs, outputs))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Upsample each map, the least stride first, and add it to the merged map; return all merged maps."""
        merged = [maps[0]]
        for i in range(1, self.merges + 1):
            proj, up, node = (self.get_submodule(f"{name}_{i}") for name in ("proj", "up", "node"))
            merged.append(node(up(proj(maps[i])) + merged[-1]))
        return merged


class PlainIDAUp(nn.Module):
    """The aggregation of ``dlav0``: 1x1 projections, and nodes that take both maps side by side."""

    def __init__(self, outputs: int, inputs: tuple[int, ...], factors: tuple[int, ...]) -> None:
        super().__init__()
        self.merges = len(inputs) - 1
        for i in range(1, len(inputs)):
            self.add_module(f"proj_{i}", conv_bn_relu(inputs[i], outputs, 1))
            self.add_module(f"up_{i}", Upsampling(outputs, factors[i]))
        for i in range(1, len(inputs)):
            self.add_module(f"node_{i}", conv_bn_relu(2 * outputs, outputs, 3))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Upsample each map, the least stride first, and join it to the merged map; return all of these."""
        merged = [maps[0]]
        for i in range(1, self.merges + 1):
            proj, up, node = (self.get_submodule(f"{name}_{i}") for name in ("proj", "up", "node"))
            merged.append(node(torch.cat((merged[-1], up(proj(maps[i]))), dim=1)))
        return merged


class DLAUp(nn.Module):
    """Aggregates levels 2 to 5, of ``c`` channels, into maps of strides 4, 8 and 16."""

    def __init__(self, c: tuple[int, ...], aggregation: type[IDAUp | PlainIDAUp] = IDAUp) -> None:
        super().__init__()
        self.ida_0 = aggregation(c[2], (c[2], c[3]), (1, 2))
        self.ida_1 = aggregation(c[1], (c[1], c[2], c[2]), (1, 2, 2))
        self.ida_2 = aggregation(c[0], (c[0], c[1], c[1], c[1]), (1, 2, 2, 2))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Map levels 2 to 5 to three merged maps, of strides 4, 8 and 16."""
        level2, level3, level4, level5 = levels
        stride16 = self.ida_0([level4, level5])
        stride8 = self.ida_1([level3, *stride16])
        stride4 = self.ida_2([level2, *stride8])
        return [stride4[-1], stride8[-1], stride16[-1]]


class DLA(FairMOT):
    """FairMOT on DLA-34 with the deformable neck. ``dlaconv`` is the same with plain layers."""

    first_convolution = "base.base_layer.0"
    backbone_names = ("base",)
    early_names = ("base.base_layer", "base.level0", "base.level1")

    base: DLA34
    dla_up: DLAUp

    def _add_layers(self, spec: NetworkSpec) -> tuple[int, ...]:
        channels = level_channels(spec.base_channels)[2:]
        self.base = DLA34(spec.base_channels)
        self.dla_up = DLAUp(channels)
        self.ida_up = IDAUp(channels[0], channels[:3], (1, 2, 4))
        return (*channels[:3], channels[0])

    def levels(self, x: Tensor) -> list[Tensor]:
        """Compute levels 2 to 5, of strides 4 to 32."""
        levels: list[Tensor] = self.base(x)[2:]
        return levels

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Compute the merged maps of strides 4, 8 and 16, then the input of the heads (stride 4)."""
        maps: list[Tensor] = self.dla_up(levels)
        return [*maps, self.ida_up(maps)[-1]]


class PlainDLA(FairMOT):
    """FairMOT on DLA-34 with the neck of ``dlav0``, which has no deformable layer."""

    first_convolution = "base.base_layer.0"
    backbone_names = ("base",)
    early_names = ("base.base_layer", "base.level0", "base.level1")

    base: DLA34

    def _add_layers(self, spec: NetworkSpec) -> tuple[int, ...]:
        channels = level_channels(spec.base_channels)[2:]
        self.base = DLA34(spec.base_channels)
        self.dla_up = DLAUp(channels, PlainIDAUp)
        return channels[2::-1]

    levels = DLA.levels

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Compute the merged maps of strides 16, 8 and 4; the last is the input of the heads."""
        maps: list[Tensor] = self.dla_up(levels)
        return maps[::-1]


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> NetworkSpec | None:
    """Read the shape of the network from its tensors' names and shapes; None for another network."""
    first = shapes.get(FIRST)
    if first is None or len(first) != 4:
        return None
    arch = "dlav0" if "dla_up.ida_0.node_1.0.weight" in shapes else "dla"
    return NetworkSpec(arch=arch, base_channels=first[0])
