"""FairMOT on ResNet (He et al., CVPR 2016), with deformable layers before learned upsampling.

``resdcn`` (Simple Baselines, Xiao et al., ECCV 2018, as in CenterNet) upsamples the last map alone.
``resfpndcn`` adds the maps of the other strides, as a feature pyramid does (Lin et al., CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.network import DCN, DeformConv, FairMOT, NetworkSpec
from edge_fairmot.convert.networks.residual import Bottleneck, ResidualBlock, stack

BLOCKS: Mapping[int, tuple[type[ResidualBlock | Bottleneck], tuple[int, ...]]] = {
    18: (ResidualBlock, (2, 2, 2, 2)),
    34: (ResidualBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}
"""Kind and numbers of blocks, by depth."""

BASE_CHANNELS = 64

FIRST = "conv1.weight"


class ResNet(FairMOT):
    """The backbone, and the upsampling that both necks are made of."""

    first_convolution = "conv1"
    backbone_names = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
    early_names = ("conv1", "bn1", "layer1")

    def _add_backbone(self, spec: NetworkSpec) -> tuple[int, ...]:
        """Add the backbone; return the channels of its four maps."""
        block, counts = BLOCKS[spec.depth]
        base = spec.base_channels
        self.conv1 = nn.Conv2d(3, base, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        inputs = base
        for i, count in enumerate(counts):
            self.add_module(f"layer{i + 1}", stack(block, count, inputs, base << i, stride=min(i, 1) + 1))
            inputs = block.expansion * (base << i)
        return tuple(block.expansion * (base << i) for i in range(4))

    def levels(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of strides 4, 8, 16 and 32."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        maps = []
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
            maps.append(x)
        return maps


def _double(inputs: int, outputs: int) -> list[nn.Module]:
    """Make the layers that double a map's sides: deformable convolution, then transposed convolution."""
    return [
        DCN(inputs, outputs),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(outputs, outputs, 4, 2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class ResDCN(ResNet):
    """``resdcn``: three doublings of the last map."""

    def _add_layers(self, spec: NetworkSpec) -> tuple[int, ...]:
        last = self._add_backbone(spec)[-1]
        wide, middle, thin = (spec.base_channels * factor for factor in (4, 2, 1))
        layers = _double(last, wide) + _double(wide, middle) + _double(middle, thin)
        self.deconv_layers = nn.Sequential(*layers)
        return (thin,)

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Compute the input of the heads from the last map."""
        return [self.deconv_layers(levels[-1])]


class ResFPN(ResNet):
    """``resfpndcn``: three doublings, each followed by the sum with the backbone's map of that stride."""

    def _add_layers(self, spec: NetworkSpec) -> tuple[int, ...]:
        level4, level8, level16, inputs = self._add_backbone(spec)
        merged = []
        for i, level in enumerate((level16, level8, level4), 1):
            outputs = spec.base_channels * 8 >> i
            self.add_module(f"deconv_layer{i}", nn.Sequential(*_double(inputs, outputs)))
            self.add_module(f"smooth_layer{i}", DeformConv(outputs, outputs))
            self.add_module(f"project_layer{i}", DeformConv(level, outputs))
            inputs = outputs
            merged.append(outputs)
        return tuple(merged)

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Compute the merged maps of strides 16, 8 and 4; the last is the input of the heads."""
        merged = [levels[-1]]
        for i, level in enumerate(levels[-2::-1], 1):
            double, smooth, project = (
                self.get_submodule(f"{name}_layer{i}") for name in ("deconv", "smooth", "project")
            )
            merged.append(smooth(double(merged[-1]) + project(level)))
        return merged[1:]


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> NetworkSpec | None:
    """Read the shape of the network from its tensors' names and shapes; None for another network."""
    archs = {"deconv_layers.0.weight": "resdcn", "deconv_layer1.0.weight": "resfpndcn"}
    arch = next((arch for name, arch in archs.items() if name in shapes), None)
    first = shapes.get(FIRST, ())
    if arch is None or len(first) != 4:
        return None
    if "layer1.0.conv3.weight" in shapes:
        depth = 101 if "layer3.22.conv1.weight" in shapes else 50
    else:
        depth = 34 if "layer3.2.conv1.weight" in shapes else 18
    return NetworkSpec(arch=arch, base_channels=first[0], depth=depth)
