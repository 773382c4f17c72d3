"""What all FairMOT networks (Zhang et al., IJCV 2021) have in common: backbone, neck and four heads.

The networks themselves are in :mod:`edge_fairmot.convert.networks`. Attribute names are those of the original
checkpoints, so that their tensors load by name. Feature maps are float32 (N, C, H, W).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edge_fairmot.convert.deform_conv import LOWERINGS, TAPS
from edge_fairmot.errors import InvalidInputError

STRIDE = 4
"""Input pixels per cell of the heads."""

SIZE_MULTIPLE = 32
"""Input width and height are multiples of the backbone's largest stride."""

BASE_CHANNELS = 16
"""Channels of level 0 in the original DLA-34."""

LEVELS = 4
"""Maps of the backbone that the neck takes: strides 4, 8, 16 and 32."""

HEAD_FACTOR = 4
"""Channels of a head's 3x3 convolution, as a multiple of its input's."""

DLA = "dla"
"""The architecture of the paper, and of files that name none."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The shape of a FairMOT network; the default is the paper's.

    Attributes
    ----------
    num_classes : int
    box_channels : int
        4 for left, top, right, bottom; 2 for width, height; 2 for each of three or more classes
        (``cat_spec_wh``).
    embedding_dim : int
    plain_layers : frozenset of str
        Layers that are deformable in the original network and plain 3x3 convolutions in this one (a student).
    base_channels : int
        Channels of the network's thinnest layer, of which every other layer has a multiple: level 0 of DLA,
        the first layer of ResNet and YOLO, the highest resolution of HRNet.
    arch : str
        A key of :data:`~edge_fairmot.convert.networks.NETWORKS`.
    depth : int
        Layers of DLA (34) and ResNet (18, 34, 50, 101), repeats of YOLO's shortest blocks; 0 for HRNet.
    head_channels : int
        Channels of the heads' 3x3 convolutions; 0 for the architecture's usual number.
    """

    num_classes: int = 1
    box_channels: int = 4
    embedding_dim: int = 128
    plain_layers: frozenset[str] = frozenset()
    base_channels: int = BASE_CHANNELS
    arch: str = DLA
    depth: int = 34
    head_channels: int = 0


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


def conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Make a convolution without bias, a batch norm and a ReLU."""
    return nn.Sequential(*conv_bn(inputs, outputs, kernel, stride), nn.ReLU(inplace=True))


def conv_bn(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Make a convolution without bias and a batch norm; a projection by default."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class FairMOT(nn.Module):
    """A FairMOT network: backbone and neck, which a subclass adds, and four heads on stride 4.

    Made by :func:`~edge_fairmot.convert.networks.build_network`.

    Parameters
    ----------
    spec : NetworkSpec

    Attributes
    ----------
    map_channels : tuple of int
        Channels of the maps that :meth:`neck` returns.
    """

    stride = STRIDE

    first_convolution: ClassVar[str]
    """Name of the layer that reads the image."""

    backbone_names: ClassVar[tuple[str, ...]]
    """Names of the modules that are shared with an image classifier."""

    early_names: ClassVar[tuple[str, ...]]
    """Names of the first of these, with the most pixels."""

    activation: ClassVar[type[nn.Module]] = nn.ReLU
    """The nonlinearity in the heads."""

    hm: nn.Sequential
    wh: nn.Sequential
    id: nn.Sequential
    reg: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.map_channels = self._add_layers(spec)
        features = self.map_channels[-1]
        hidden = spec.head_channels or self.usual_head_channels(features)
        outputs = {"hm": spec.num_classes, "wh": spec.box_channels, "id": spec.embedding_dim, "reg": 2}
        for name, channels in outputs.items():
            layers = nn.Conv2d(features, hidden, 3, padding=1), self.activation(inplace=True)
            self.add_module(name, nn.Sequential(*layers, nn.Conv2d(hidden, channels, 1)))
        deformable = deformable_layers(self)
        for name in sorted(spec.plain_layers):
            # Its two tensors have the names and shapes of the deformable layer's weight and bias.
            channels, inputs = _known_layer(deformable, name).weight.shape[:2]
            self.set_submodule(name, nn.Conv2d(inputs, channels, 3, padding=1))

    @abstractmethod
    def _add_layers(self, spec: NetworkSpec) -> tuple[int, ...]:
        """Add backbone and neck; return the channels of the neck's maps, the features last."""

    @abstractmethod
    def levels(self, x: Tensor) -> list[Tensor]:
        """Compute the backbone's ``LEVELS`` maps from float32 (N, 3, H, W), RGB in [0, 1]."""

    @abstractmethod
    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """Aggregate the backbone's maps; the last map is the heads' input. Has all deformable layers."""

    @classmethod
    def usual_head_channels(cls, features: int) -> int:
        """Channels of the heads' 3x3 convolutions on maps of so many channels."""
        return HEAD_FACTOR * features

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
        float32 (N, C, H / 4, W / 4)
        """
        return self.neck(self.levels(x))[-1]

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

    def freeze(self, names: Iterable[str]) -> None:
        """Train no weights of these modules, those of batch norms included."""
        for name in names:
            self.get_submodule(name).requires_grad_(False)


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
