"""Residual blocks (He et al., CVPR 2016), which DLA, ResNet and HRNet are made of."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.network import conv_bn


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions. The caller passes the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Map (N, C, H, W) and its shortcut to (N, O, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + shortcut)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Make what fits a block's input to its output."""
    return nn.Identity() if inputs == outputs and stride == 1 else conv_bn(inputs, outputs, 1, stride)


class ResidualBlock(BasicBlock):
    """A basic block with its own shortcut."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int = 1) -> None:
        super().__init__(inputs, channels, stride)
        self.downsample = _shortcut(inputs, channels, stride)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map (N, C, H, W) to (N, O, H / stride, W / stride)."""
        return super().forward(x, self.downsample(x))


class Bottleneck(nn.Module):
    """A block of a 1x1, a 3x3 and a 1x1 convolution, four times as wide outside as inside."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        outputs = self.expansion * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 4 channels, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def stack(
    block: type[ResidualBlock | Bottleneck], count: int, inputs: int, channels: int, stride: int = 1
) -> nn.Sequential:
    """Make some blocks in a row; the first changes channels and stride."""
    rest = (block(block.expansion * channels, channels) for _ in range(count - 1))
    return nn.Sequential(block(inputs, channels, stride), *rest)
