"""FairMOT (Zhang et al., IJCV 2021) on DLA-34 (Yu et al., CVPR 2018): backbone, deformable neck, four heads.

Attribute names are those of the original checkpoints, so that their tensors load by name. Feature maps are
float32 (N, C, H, W); level i of the backbone has stride 2**i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.deform_conv import LOWERINGS, TAPS
from edge_fairmot.errors import InvalidInputError

STRIDE = 4
"""Input pixels per cell of the heads."""

SIZE_MULTIPLE = 32
"""Input width and height are multiples of the backbone's largest stride."""

BASE_CHANNELS = 16
"""Channels of level 0 in the original network."""

HEAD_FACTOR = 4
"""Channels of a head's 3x3 convolution, as a multiple of its input's."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The shape of a FairMOT DLA-34 network.

    Attributes
    ----------
    num_classes : int
    box_channels : int
        4 for left, top, right, bottom; 2 for width, height.
    embedding_dim : int
    plain_layers : frozenset of str
        Layers that are deformable in the original network and plain 3x3 convolutions in this one (a student).
    base_channels : int
        Channels of the backbone's level 0. Every other layer has a multiple of it.
    """

    num_classes: int = 1
    box_channels: int = 4
    embedding_dim: int = 128
    plain_layers: frozenset[str] = frozenset()
    base_channels: int = BASE_CHANNELS


def level_channels(base: int) -> tuple[int, ...]:
    """Channels of the backbone's levels 0 to 5."""
    return tuple(base * 2**level for level in range(6))


def _conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


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
        self.project = _projection(inputs, outputs) if inputs != outputs else nn.Identity()

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
        self.project = _projection(inputs, outputs)

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
        self.base_layer = _conv_bn_relu(3, c[0], 7)
        self.level0 = _conv_bn_relu(c[0], c[0], 3)
        self.level1 = _conv_bn_relu(c[0], c[1], 3, stride=2)
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


class DCN(nn.Module):
    """Deformable convolution (DCNv2) that predicts its own offsets and masks."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        self.conv_offset_mask = nn.Conv2d(inputs, 3 * TAPS, 3, padding=1)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)  # type: ignore[arg-type]
        self.lowering = "gridsample"

    def offset_and_mask(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predict offsets, (N, 18, H, W), and masks after the sigmoid, (N, 9, H, W)."""
        offset_mask = self.conv_offset_mask(x)
        return offset_mask[:, : 2 * TAPS], torch.sigmoid(offset_mask[:, 2 * TAPS :])

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H, W)."""
        offset, mask = self.offset_and_mask(x)
        return LOWERINGS[self.lowering](x, offset, mask, self.weight, self.bias)


class DeformConv(nn.Module):
    """Deformable convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv: DCN | nn.Conv2d = DCN(inputs, outputs)
        self.actf = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H, W)."""
        out: Tensor = self.actf(self.conv(x))
        return out


class Upsampling(nn.ConvTranspose2d):
    """Transposed convolution of each channel.

    It stays float32 under autocast: PyTorch's bfloat16 kernels for it are five times slower on a CPU.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map (N, C, H, W) to (N, C, factor * H, factor * W)."""
        if not torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class IDAUp(nn.Module):
    """Iterative deep aggregation: merges maps of several strides into the map of the least stride.

    ``inputs`` lists the channels of the maps, the least stride first, and ``factors`` their upsampling.
    """

    def __init__(self, outputs: int, inputs: tuple[int, ...], factors: tuple[int, ...]) -> None:
        super().__init__()
        self.merges = len(inputs) - 1
        for i in range(1, len(inputs)):
            f = factors[i]
            self.add_module(f"proj_{i}", DeformConv(inputs[i], outputs))
            self.add_module(f"up_{i}", Upsampling(outputs, f))
            self.add_module(f"node_{i}", DeformConv(outputs, outputs))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Upsample each map, the least stride first, and add it to the merged map; return all merged maps."""
        merged = [maps[0]]
        for i in range(1, self.merges + 1):
            proj, up, node = (self.get_submodule(f"{name}_{i}") for name in ("proj", "up", "node"))
            merged.append(node(up(proj(maps[i])) + merged[-1]))
        return merged


class DLAUp(nn.Module):
    """Aggregates levels 2 to 5, of ``c`` channels, into maps of strides 4, 8 and 16."""

    def __init__(self, c: tuple[int, ...]) -> None:
        super().__init__()
        self.ida_0 = IDAUp(c[2], (c[2], c[3]), (1, 2))
        self.ida_1 = IDAUp(c[1], (c[1], c[2], c[2]), (1, 2, 2))
        self.ida_2 = IDAUp(c[0], (c[0], c[1], c[1], c[1]), (1, 2, 2, 2))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Map levels 2 to 5 to three merged maps, of strides 4, 8 and 16."""
        level2, level3, level4, level5 = levels
        stride16 = self.ida_0([level4, level5])
        stride8 = self.ida_1([level3, *stride16])
        stride4 = self.ida_2([level2, *stride8])
        return [stride4[-1], stride8[-1], stride16[-1]]


def _head(inputs: int, outputs: int) -> nn.Sequential:
    hidden = HEAD_FACTOR * inputs
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, outputs, 1),
    )


class FairMOT(nn.Module):
    """FairMOT with a DLA-34 backbone.

    Parameters
    ----------
    spec : NetworkSpec
    """

    stride = STRIDE

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        channels = level_channels(spec.base_channels)[2:]
        self.base = DLA34(spec.base_channels)
        self.dla_up = DLAUp(channels)
        self.ida_up = IDAUp(channels[0], channels[:3], (1, 2, 4))
        self.hm = _head(channels[0], spec.num_classes)
        self.wh = _head(channels[0], spec.box_channels)
        self.id = _head(channels[0], spec.embedding_dim)
        self.reg = _head(channels[0], 2)
        layers = deformable_layers(self)
        for name in sorted(spec.plain_layers):
            # Its two tensors have the names and shapes of the deformable layer's weight and bias.
            outputs, inputs = _known_layer(layers, name).weight.shape[:2]
            self.set_submodule(name, nn.Conv2d(inputs, outputs, 3, padding=1))

    @property
    def heads(self) -> dict[str, nn.Sequential]:
        """The four heads by name."""
        return {"hm": self.hm, "wh": self.wh, "id": self.id, "reg": self.reg}

    def features(self, x: Tensor) -> Tensor:
        """Compute the input of the heads.

        Parameters
        ----------
        x : float32 (N, 3, H, W)
            RGB in [0, 1]; H and W are multiples of 32.

        Returns
        -------
        float32 (N, 64, H / 4, W / 4)
        """
        return self.neck(self.base(x)[2:])[-1]

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Aggregate the backbone's levels 2 to 5; all deformable layers are here.

        Parameters
        ----------
        levels : list of float32 (N, 64 to 512, H / 4 to H / 32, W / 4 to W / 32)

        Returns
        -------
        list of float32
            The merged maps of strides 4, 8 and 16, then the input of the heads (stride 4).
        """
        maps: list[Tensor] = self.dla_up(levels)
        return [*maps, self.ida_up(maps)[-1]]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the dense heads.

        Parameters
        ----------
        x : float32 (N, 3, H, W)
            RGB in [0, 1]; H and W are multiples of 32.

        Returns
        -------
        dict of str to float32 (N, C, H / 4, W / 4)
            ``hm`` before the sigmoid, ``wh`` and ``reg`` in cells, ``id`` before normalisation.
        """
        features = self.features(x)
        return {name: head(features) for name, head in self.heads.items()}


def deformable_layers(network: nn.Module) -> dict[str, DCN]:
    """List the deformable convolutions by their names in the checkpoint."""
    return {name: module for name, module in network.named_modules() if isinstance(module, DCN)}


def set_lowering(network: nn.Module, lowering: str | Mapping[str, str]) -> None:
    """Choose how deformable convolutions are computed.

    Parameters
    ----------
    network : nn.Module
        Changed in place.
    lowering : str or dict of str to str
        One lowering for all layers, or a lowering by layer name. The other layers keep theirs.

    Raises
    ------
    InvalidInputError
        If a lowering or a layer does not exist.
    """
    layers = deformable_layers(network)
    wanted = dict.fromkeys(layers, lowering) if isinstance(lowering, str) else lowering
    for name, value in wanted.items():
        layer = _known_layer(layers, name)
        if value not in LOWERINGS:
            raise InvalidInputError(f"unknown lowering {value!r}: choose from {', '.join(LOWERINGS)}")
        layer.lowering = value


def _known_layer(layers: Mapping[str, DCN], name: str) -> DCN:
    if name not in layers:
        raise InvalidInputError(
            f"no deformable layer is called {name!r}: there are {', '.join(layers) or 'none'}"
        )
    return layers[name]


def check_sides(**sides: int) -> None:
    """Raise InvalidInputError, naming the side, if a side in pixels is not a multiple of 32."""
    for name, side in sides.items():
        if side < SIZE_MULTIPLE or side % SIZE_MULTIPLE:
            raise InvalidInputError(
                f"{name.replace('_', ' ')} must be a multiple of {SIZE_MULTIPLE}, not {side}"
            )


def normalise_images(images: Tensor) -> Tensor:
    """Turn uint8 (N, H, W, 3) BGR into float32 (N, 3, H, W) RGB in [0, 1]."""
    return images.flip(-1).permute(0, 3, 1, 2).float() / 255
