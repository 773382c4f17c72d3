"""FairMOT on YOLOv5 (the authors' light network): cross stage partial blocks with SiLU, anchor-free heads.

The layers are those of the tensors' names: CSP blocks (Wang et al., CVPR 2020), spatial pyramid pooling (He
et al., ECCV 2014), and a path from stride 32 to stride 4 (Lin et al., CVPR 2017). Layers are numbered; those
without weights (enlarging, concatenation) have a number too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.network import FairMOT, NetworkSpec

EPSILON = 1e-3
"""Of batch norms. It is in no checkpoint."""

POOLS = (5, 9, 13)
"""Kernels of the spatial pyramid pooling."""

LONG = 3
"""Repeats of the backbone's longer blocks, as a multiple of those of the shorter ones."""

LEVELS = (2, 4, 6, 9)
"""Numbers of the layers whose maps the neck takes: strides 4, 8, 16 and 32."""

NECK = (10, 14, 18)
"""Numbers of the convolutions before enlarging. The CSP block behind it is three numbers on."""

MAX_DEPTH = 4
"""That of the largest version, x."""

FIRST = "backbone.model.0.conv.conv.weight"


class ConvBlock(nn.Module):
    """Convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H / stride, W / stride)."""
        return F.silu(self.bn(self.conv(x)))


class Focus(nn.Module):
    """Blocks of 2x2 pixels become 12 channels, then a convolution: one 6x6 convolution of stride 2."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBlock(12, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, O, H / 2, W / 2)."""
        if self.conv.conv.in_channels == 12:
            # The pixels of a block, column by column; F.pixel_unshuffle has another order.
            x = torch.cat([x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=1)
        out: Tensor = self.conv(x)
        return out

    def fold(self) -> None:
        """Make the equal 6x6 convolution, in place. Its padding of 2 is that of one block."""
        old = self.conv.conv
        new = nn.Conv2d(3, old.out_channels, 6, 2, padding=2, bias=old.bias is not None)
        new.weight = nn.Parameter(merge_blocks(old.weight.detach()), requires_grad=False)
        new.bias = old.bias
        self.conv.conv = new


def merge_blocks(weight: Tensor) -> Tensor:
    """Turn kernels on blocks, (O, 12, 3, 3), into kernels on pixels, (O, 3, 6, 6)."""
    apart = weight.reshape(-1, 2, 2, 3, 3, 3)  # output, column, row, colour, y, x
    return apart.permute(0, 3, 4, 2, 5, 1).reshape(-1, 3, 6, 6)


def split_blocks(weight: Tensor) -> Tensor:
    """Turn kernels on pixels, (O, 3, 6, 6), into kernels on blocks, (O, 12, 3, 3): undoes merge_blocks."""
    apart = weight.reshape(-1, 3, 3, 2, 3, 2)  # output, colour, y, row, x, column
    return apart.permute(0, 5, 3, 1, 2, 4).reshape(-1, 12, 3, 3)


class Bottleneck(nn.Module):
    """A 1x1 and a 3x3 convolution, with a shortcut or without."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = ConvBlock(channels, channels)
        self.cv2 = ConvBlock(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.cv2(self.cv1(x))
        return x + out if self.shortcut else out


class CSP(nn.Module):
    """Cross stage partial block: bottlenecks on one half of the channels, none on the other."""

    def __init__(self, inputs: int, outputs: int, repeats: int, shortcut: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.cv1 = ConvBlock(inputs, half)
        self.cv2 = ConvBlock(inputs, half)
        self.cv3 = ConvBlock(2 * half, outputs)
        self.m = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H, W)."""
        out: Tensor = self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), dim=1))
        return out


class PyramidPooling(nn.Module):
    """Maxima over 5x5, 9x9 and 13x13 cells beside the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.cv1 = ConvBlock(channels, half)
        self.cv2 = ConvBlock((1 + len(POOLS)) * half, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        x = self.cv1(x)
        pooled = [F.max_pool2d(x, kernel, stride=1, padding=kernel // 2) for kernel in POOLS]
        out: Tensor = self.cv2(torch.cat((x, *pooled), dim=1))
        return out


class _Layers(nn.Module):
    """The numbered layers. The original has them in a module called ``backbone``, those of the neck too."""

    def __init__(self, layers: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleDict({str(number): layer for number, layer in layers.items()})


class YOLO(FairMOT):
    """FairMOT on YOLOv5; version s has 32 base channels and a depth of 1."""

    first_convolution = "backbone.model.0.conv.conv"
    backbone_names = tuple(f"backbone.model.{number}" for number in range(10))
    early_names = backbone_names[:2]
    activation = nn.SiLU

    backbone: _Layers

    def _add_layers(self, spec: NetworkSpec) -> tuple[int, ...]:
        base, short, long = spec.base_channels, spec.depth, LONG * spec.depth
        layers: dict[int, nn.Module] = {0: Focus(base)}
        for i, repeats in enumerate((short, long, long, short)):
            channels = base << i + 1
            number = 2 * i + 1 + (i == 3)
            layers[2 * i + 1] = ConvBlock(channels // 2, channels, 3, 2)
            layers[number + 1] = CSP(channels, channels, repeats, shortcut=i < 3)
        layers[8] = PyramidPooling(base << 4)
        for i, number in enumerate(NECK):
            channels = base << 3 - i
            layers[number] = ConvBlock(2 * channels, channels)
            layers[number + 3] = CSP(2 * channels, channels, short, shortcut=False)
        self.backbone = _Layers(dict(sorted(layers.items())))
        return (base << 3, base << 2, base << 1)

    @classmethod
    def usual_head_channels(cls, features: int) -> int:  # noqa: D102 as in the base class
        return features

    def levels(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of strides 4, 8, 16 and 32."""
        maps = []
        for number in range(10):
            x = self.backbone.model[str(number)](x)
            if number in LEVELS:
                maps.append(x)
        return maps

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Compute the merged maps of strides 16, 8 and 4; the last is the input of the heads."""
        merged = [levels[-1]]
        for number, level in zip(NECK, levels[-2::-1], strict=True):
            narrow, join = self.backbone.model[str(number)], self.backbone.model[str(number + 3)]
            enlarged = F.interpolate(narrow(merged[-1]), scale_factor=2.0, mode="nearest")
            merged.append(join(torch.cat((enlarged, level), dim=1)))
        return merged[1:]


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> NetworkSpec | None:
    """Read the shape of the network from its tensors' names and shapes; None for another network."""
    first = shapes.get(FIRST, ())
    if len(first) != 4:
        return None
    depth = sum(f"backbone.model.2.m.{i}.cv1.conv.weight" in shapes for i in range(MAX_DEPTH))
    return NetworkSpec(arch="yolo", base_channels=first[0], depth=depth)
