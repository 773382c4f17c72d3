"""The networks that FairMOT's authors published, by their names, and by the tensors of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge_fairmot.convert.network import FairMOT, NetworkSpec
from edge_fairmot.convert.networks import dla, hrnet, resnet, yolo
from edge_fairmot.errors import InvalidInputError

NETWORKS: Mapping[str, type[FairMOT]] = MappingProxyType(
    {
        "dla": dla.DLA,
        "dlav0": dla.PlainDLA,
        "resdcn": resnet.ResDCN,
        "resfpndcn": resnet.ResFPN,
        "hrnet": hrnet.HRNet,
        "hrnet2020": hrnet.HRNet2020,
        "yolo": yolo.YOLO,
    }
)
"""Classes by :attr:`NetworkSpec.arch`."""

NAMED: Mapping[str, NetworkSpec] = MappingProxyType(
    {
        "dla_34": NetworkSpec(),
        "dlav0_34": NetworkSpec(arch="dlav0"),
        **{
            f"{arch}_{depth}": NetworkSpec(arch=arch, base_channels=resnet.BASE_CHANNELS, depth=depth)
            for arch in ("resdcn", "resfpndcn")
            for depth in resnet.BLOCKS
        },
        **{
            f"{arch}_{width}": NetworkSpec(arch=arch, base_channels=width, depth=0)
            for arch in ("hrnet", "hrnet2020")
            for width in (18, 32)
        },
        **{
            f"yolov5{size}": NetworkSpec(arch="yolo", base_channels=width, depth=depth, embedding_dim=64)
            for size, width, depth in (("n", 16, 1), ("s", 32, 1), ("m", 48, 2), ("l", 64, 3), ("x", 80, 4))
        },
    }
)
"""The published networks, with the original's number of embeddings. ``hrnet2020`` has the head of 2020."""


def build_network(spec: NetworkSpec) -> FairMOT:
    """Build a network of a shape, with PyTorch's random weights.

    Parameters
    ----------
    spec : NetworkSpec

    Returns
    -------
    FairMOT
        float32, in training mode.

    Raises
    ------
    InvalidInputError
        If there is no such architecture, or ``plain_layers`` names a layer that is not deformable.
    """
    if spec.arch not in NETWORKS:
        raise InvalidInputError(f"unknown architecture {spec.arch!r}: choose from {', '.join(NETWORKS)}")
    return NETWORKS[spec.arch](spec)


def find_spec(name: str) -> NetworkSpec:
    """Find the shape of a published network by name; InvalidInputError for an unknown one."""
    if name not in NAMED:
        raise InvalidInputError(f"unknown network {name!r}: choose from {', '.join(NAMED)}")
    return NAMED[name]


def network_name(spec: NetworkSpec) -> str:
    """Name a network: that of the published one, with the share of its channels if it is a narrower one."""
    same = {
        name: known.base_channels
        for name, known in NAMED.items()
        if (known.arch, known.depth) == (spec.arch, spec.depth)
    }
    for name, channels in same.items():
        if channels == spec.base_channels:
            return name
    name, channels = max(same.items(), key=lambda item: item[1], default=(spec.arch, spec.base_channels))
    return f"{name} x {spec.base_channels / channels:g}"


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> NetworkSpec | None:
    """Read backbone and neck from the names and shapes of a checkpoint's tensors; None if it is none of ours.

    The heads are those of the default; a part that does not fit is not noticed here.
    """
    found = (network.recognise(shapes) for network in (dla, resnet, hrnet, yolo))
    return next(filter(None, found), None)
