"""Students: networks with plain convolutions in place of deformable ones, or with fewer channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from edge_fairmot.convert.network import FairMOT, deformable_layers
from edge_fairmot.convert.networks import build_network
from edge_fairmot.convert.offset_statistics import OffsetStatistics, plain_weights
from edge_fairmot.errors import InvalidInputError

ALL = "all"


def choose_layers(network: FairMOT, wanted: Sequence[str]) -> frozenset[str]:
    """Find deformable layers by ``all``, by name, or by the first parts of a name, as in ``dla_up.ida_2``.

    Raises InvalidInputError if no layer has such a name.
    """
    layers = deformable_layers(network)
    chosen: set[str] = set()
    for name in wanted or (ALL,):
        found = {layer for layer in layers if name == ALL or f"{layer}.".startswith(f"{name}.")}
        if not found:
            raise InvalidInputError(
                f"no deformable layer is called {name!r}: choose {ALL} or from {', '.join(layers) or 'none'}"
            )
        chosen |= found
    return frozenset(chosen)


def copy_plain(teacher: FairMOT, layers: frozenset[str]) -> FairMOT:
    """Copy a network with plain 3x3 convolutions of the same weights in place of some deformable ones.

    The copy is in evaluation mode, on the teacher's device.
    """
    spec = replace(teacher.spec, plain_layers=teacher.spec.plain_layers | layers)
    student = build_network(spec).to(next(teacher.parameters()).device)
    kept = student.state_dict().keys()
    student.load_state_dict({name: value for name, value in teacher.state_dict().items() if name in kept})
    return student.eval()


def make_student(
    teacher: FairMOT, statistics: Mapping[str, OffsetStatistics], layers: frozenset[str]
) -> FairMOT:
    """Copy a network like copy_plain, with the weights that are nearest by its offset statistics."""
    student = copy_plain(teacher, layers)
    deformable = deformable_layers(teacher)
    with torch.no_grad():
        for name in layers:
            weight = student.get_parameter(f"{name}.weight")
            weight.copy_(plain_weights(deformable[name], statistics[name]))
    return student


def make_narrow(teacher: FairMOT, width: float, layers: frozenset[str]) -> FairMOT:
    """Make a network with a share of the teacher's channels, and plain convolutions in some layers.

    Its output is far from the teacher's, but nearer than chance. Every tensor keeps the same evenly spaced
    channels, so sums and concatenations still fit. Weights grow by the factor by which inputs become fewer:
    the copy of half the width computes the same if the teacher's channels are equal in pairs. The network is
    in evaluation mode, on the teacher's device. Raises InvalidInputError for a width that does not fit.
    """
    channels = width * teacher.spec.base_channels
    if not 0 < width < 1 or channels != int(channels):
        raise InvalidInputError(
            f"a width of {width:g} leaves {channels:g} of {teacher.spec.base_channels} channels in the first "
            "level: choose 0.5, 0.25 or 0.75"
        )
    plain = teacher.spec.plain_layers | layers
    student = build_network(replace(teacher.spec, plain_layers=plain, base_channels=int(channels)))
    all_channels = teacher.state_dict()
    student.load_state_dict(
        {name: _thin_out(all_channels[name], value.shape) for name, value in student.state_dict().items()}
    )
    return student.to(next(teacher.parameters()).device).eval()


def _thin_out(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Keep evenly spaced outputs and inputs, and scale up the weights where inputs become fewer."""
    for axis, (many, few) in enumerate(zip(tensor.shape, shape, strict=True)):
        if few < many:
            kept = torch.arange(few, device=tensor.device) * many // few
            tensor = tensor.index_select(axis, kept) * (many / few if axis == 1 else 1.0)
    return tensor
