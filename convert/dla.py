"""The DLA-34 backbone: deep layer aggregation (Yu et al., CVPR 2018), as FairMOT uses it.

Attribute names are those of the original checkpoints, so that their tensors load by name.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

BASE_CHANNELS = 16
"""Of level 0 in the original; level i has stride 2**i and 2**i times as many."""


def level_channels(base: int) -> tuple[int, ...]:
    """List the channels of levels 0 to 5."""
    return tuple(base * 2**level for level in range(6))


def conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut that is handed in."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """(N, C, H, W) and its shortcut to (N, O, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + shortcut)


class Root(nn.Module):
    """Aggregation node: concatenate the children, 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, *children: Tensor) -> Tensor:
        """Any number of (N, C_i, H, W) to (N, O, H, W)."""
        return F.relu(self.bn(self.conv(torch.cat(children, dim=1))))


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class Tree(nn.Module):
    """One block pair and its root: the leaf of the aggregation."""

    def __init__(self, inputs: int, outputs: int, stride: int, carried: int = 0) -> None:
        super().__init__()
        self.tree1 = BasicBlock(inputs, outputs, stride)
        self.tree2 = BasicBlock(outputs, outputs)
        self.root = Root(2 * outputs + carried, outputs)
        self.downsample = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        self.project = _projection(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, carried: tuple[Tensor, ...] = ()) -> Tensor:
        """(N, C, H, W) and the maps carried to the root, to (N, O, H / stride, W / stride)."""
        first = self.tree1(x, self.project(self.downsample(x)))
        out: Tensor = self.root(self.tree2(first, first), first, *carried)
        return out


class RootedTree(Tree):
    """A leaf whose input, downsampled, is carried to the root as well (level 5)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, stride=2, carried=inputs)

    def forward(self, x: Tensor, carried: tuple[Tensor, ...] = ()) -> Tensor:
        """(N, C, H, W) to (N, O, H / 2, W / 2)."""
        return super().forward(x, (self.downsample(x), *carried))


class DeepTree(nn.Module):
    """Two leaves in a row; the second one's root gathers both and the input (levels 3 and 4)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.tree1 = Tree(inputs, outputs, stride=2)
        self.tree2 = Tree(outputs, outputs, stride=1, carried=inputs + outputs)
        self.downsample = nn.MaxPool2d(2)
        # In every checkpoint and used by nothing: the original computes it and throws it away.
        self.project = _projection(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / 2, W / 2)."""
        first = self.tree1(x)
        out: Tensor = self.tree2(first, (self.downsample(x), first))
        return out


class DLA34(nn.Module):
    """The backbone: a picture to feature maps of strides 1 to 32.

    Parameters
    ----------
    channels : int
        Of level 0.
    """

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
        """(N, 3, H, W) to six maps, level i of (N, channels * 2**i, H / 2**i, W / 2**i)."""
        x = self.base_layer(x)
        levels = []
        for level in (self.level0, self.level1, self.level2, self.level3, self.level4, self.level5):
            x = level(x)
            levels.append(x)
        return levels
