"""FairMOT (Zhang et al., IJCV 2021) on DLA-34: backbone, deformable neck, four heads.

Attribute names are those of the original checkpoints, so that their tensors load by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_fairmot.convert.deform_conv import LOWERINGS, TAPS
from edge_fairmot.convert.dla import BASE_CHANNELS, DLA34, level_channels
from edge_fairmot.errors import InvalidInputError

STRIDE = 4
"""Input pixels per heatmap cell."""

SIZE_MULTIPLE = 32
"""Input width and height must divide by the backbone's largest stride."""

HEAD_FACTOR = 4
"""Channels of a head's first convolution, by those of the features."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What differs between FairMOT DLA-34 checkpoints.

    Attributes
    ----------
    num_classes : int
    box_channels : int
        4 for left, top, right, bottom; 2 for width, height.
    embedding_dim : int
    plain_layers : frozenset of str
        Layers that are plain 3x3 convolutions here and deformable in the original: a student's.
    base_channels : int
        Of the backbone's first level; all others are multiples. A narrow student has fewer.
    """

    num_classes: int = 1
    box_channels: int = 4
    embedding_dim: int = 128
    plain_layers: frozenset[str] = frozenset()
    base_channels: int = BASE_CHANNELS


class DCN(nn.Module):
    """Deformable convolution that predicts its own offsets and mask."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        self.conv_offset_mask = nn.Conv2d(inputs, 3 * TAPS, 3, padding=1)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)  # type: ignore[arg-type]
        self.lowering = "gridsample"

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H, W)."""
        offset_mask = self.conv_offset_mask(x)
        offset, mask = offset_mask[:, : 2 * TAPS], torch.sigmoid(offset_mask[:, 2 * TAPS :])
        return LOWERINGS[self.lowering](x, offset, mask, self.weight, self.bias)


class DeformConv(nn.Module):
    """Deformable convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv: DCN | nn.Conv2d = DCN(inputs, outputs)
        self.actf = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H, W)."""
        out: Tensor = self.actf(self.conv(x))
        return out


class IDAUp(nn.Module):
    """Iterative deep aggregation: bring each deeper map to the shallowest one's size, and merge in turn.

    Parameters
    ----------
    outputs : int
        Channels of every merged map.
    inputs : tuple of int
        Channels of the maps, the shallowest first.
    factors : tuple of int
        By how much each map is to be enlarged; the first is 1.
    """

    def __init__(self, outputs: int, inputs: tuple[int, ...], factors: tuple[int, ...]) -> None:
        super().__init__()
        self.merges = len(inputs) - 1
        for i in range(1, len(inputs)):
            f = factors[i]
            up = nn.ConvTranspose2d(outputs, outputs, 2 * f, f, f // 2, groups=outputs, bias=False)
            self.add_module(f"proj_{i}", DeformConv(inputs[i], outputs))
            self.add_module(f"up_{i}", up)
            self.add_module(f"node_{i}", DeformConv(outputs, outputs))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Merge maps, the shallowest first, into as many of the shallowest one's size."""
        merged = [maps[0]]
        for i in range(1, self.merges + 1):
            proj, up, node = (self.get_submodule(f"{name}_{i}") for name in ("proj", "up", "node"))
            merged.append(node(up(proj(maps[i])) + merged[-1]))
        return merged


class DLAUp(nn.Module):
    """The neck: aggregates levels 2 to 5 step by step into maps of strides 4, 8 and 16, and 32.

    Parameters
    ----------
    c : tuple of int
        Channels of the four levels.
    """

    def __init__(self, c: tuple[int, ...]) -> None:
        super().__init__()
        self.ida_0 = IDAUp(c[2], (c[2], c[3]), (1, 2))
        self.ida_1 = IDAUp(c[1], (c[1], c[2], c[2]), (1, 2, 2))
        self.ida_2 = IDAUp(c[0], (c[0], c[1], c[1], c[1]), (1, 2, 2, 2))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Four maps of levels 2 to 5 to three merged maps of strides 4, 8, 16."""
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
    """The whole network.

    Parameters
    ----------
    spec : NetworkSpec
    """

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
            self.set_submodule(name, plain_layer(_known_layer(layers, name)))

    def features(self, x: Tensor) -> Tensor:
        """Compute what all heads look at.

        Parameters
        ----------
        x : float32 (N, 3, H, W)
            RGB in [0, 1]; H and W divide by 32.

        Returns
        -------
        float32 (N, 64, H / 4, W / 4)
        """
        return self.neck(self.base(x)[2:])[-1]

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Aggregate the backbone's levels 2 to 5, where all deformable layers are.

        Parameters
        ----------
        levels : list of float32 (N, 64 to 512, H / 4 to H / 32, W / 4 to W / 32)

        Returns
        -------
        list of float32
            Merged maps of strides 4, 8 and 16, and last what all heads look at.
        """
        maps: list[Tensor] = self.dla_up(levels)
        return [*maps, self.ida_up(maps)[-1]]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the dense heads.

        Parameters
        ----------
        x : float32 (N, 3, H, W)
            RGB in [0, 1]; H and W divide by 32.

        Returns
        -------
        dict of str to float32 (N, C, H / 4, W / 4)
            ``hm`` before the sigmoid, ``wh`` and ``reg`` in cells, ``id`` before normalisation.
        """
        features = self.features(x)
        return {
            "hm": self.hm(features),
            "wh": self.wh(features),
            "id": self.id(features),
            "reg": self.reg(features),
        }


def deformable_layers(network: nn.Module) -> dict[str, DCN]:
    """List the deformable convolutions by their names in the checkpoint."""
    return {name: module for name, module in network.named_modules() if isinstance(module, DCN)}


def plain_layer(layer: DCN) -> nn.Conv2d:
    """Make the plain convolution that takes the place of a deformable one; weights are left to the caller.

    Its two tensors have the names and shapes of the deformable layer's own.
    """
    outputs, inputs = layer.weight.shape[:2]
    return nn.Conv2d(inputs, outputs, 3, padding=1, device=layer.weight.device)


def set_lowering(network: nn.Module, lowering: str | Mapping[str, str]) -> None:
    """Choose how deformable convolutions are computed.

    Parameters
    ----------
    network : nn.Module
        Changed in place.
    lowering : str or dict of str to str
        One for all layers, or by layer name; layers not named keep theirs.

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
    """Refuse sides of pictures, in pixels, that the network cannot take.

    Raises
    ------
    InvalidInputError
        If one is not a multiple of 32; names it.
    """
    for name, side in sides.items():
        if side < SIZE_MULTIPLE or side % SIZE_MULTIPLE:
            raise InvalidInputError(
                f"{name.replace('_', ' ')} must be a multiple of {SIZE_MULTIPLE}, not {side}"
            )


def normalise_images(images: Tensor) -> Tensor:
    """Turn uint8 (N, H, W, 3) BGR into float32 (N, 3, H, W) RGB in [0, 1]."""
    return images.flip(-1).permute(0, 3, 1, 2).float() / 255
