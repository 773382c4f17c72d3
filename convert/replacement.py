"""Plain convolutions in the place of deformable ones: how a student starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from edge_fairmot.convert.atlas import LayerDeformation, plain_weights
from edge_fairmot.convert.network import FairMOT, deformable_layers
from edge_fairmot.errors import InvalidInputError

ALL = "all"


def choose_layers(network: FairMOT, wanted: Sequence[str]) -> frozenset[str]:
    """Find the deformable layers that are meant.

    Parameters
    ----------
    network : FairMOT
    wanted : sequence of str
        ``all``, names in the checkpoint, or beginnings of them, as in ``dla_up.ida_2``.

    Raises
    ------
    InvalidInputError
        If nothing is called so.
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
    """Copy a network, leaving out what predicts the offsets and masks of some layers.

    Parameters
    ----------
    teacher : FairMOT
        Left as it is.
    layers : frozenset of str
        To be plain 3x3 convolutions, of the same weights. The batch norms behind them stay.

    Returns
    -------
    FairMOT
        In evaluation mode, on the teacher's device.
    """
    spec = replace(teacher.spec, plain_layers=teacher.spec.plain_layers | layers)
    student = FairMOT(spec).to(next(teacher.parameters()).device)
    kept = student.state_dict().keys()
    student.load_state_dict({name: value for name, value in teacher.state_dict().items() if name in kept})
    return student.eval()


def make_narrow(teacher: FairMOT, width: float, layers: frozenset[str]) -> FairMOT:
    """Make a network with fewer channels, evenly taken from its teacher's.

    What it computes is far from its teacher's, but nearer than chance. The same places are taken of every
    tensor, so that what is added or concatenated fits, and the weights are raised by as much as there are
    fewer to add up: of a teacher whose channels are equal in pairs, one of half the width computes the same.

    Parameters
    ----------
    teacher : FairMOT
        Left as it is.
    width : float
        Share of the teacher's channels.
    layers : frozenset of str
        To be plain 3x3 convolutions.

    Returns
    -------
    FairMOT
        In evaluation mode, on the teacher's device.

    Raises
    ------
    InvalidInputError
        If the width leaves no whole number of channels, or none or all of them.
    """
    channels = width * teacher.spec.base_channels
    if not 0 < width < 1 or channels != int(channels):
        raise InvalidInputError(
            f"a width of {width:g} leaves {channels:g} of {teacher.spec.base_channels} channels in the first "
            "level: choose 0.5, 0.25 or 0.75"
        )
    plain = teacher.spec.plain_layers | layers
    student = FairMOT(replace(teacher.spec, plain_layers=plain, base_channels=int(channels)))
    all_channels = teacher.state_dict()
    student.load_state_dict(
        {name: _thin_out(all_channels[name], value.shape) for name, value in student.state_dict().items()}
    )
    return student.to(next(teacher.parameters()).device).eval()


def _thin_out(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Take evenly spaced outputs and inputs; of fewer inputs each weighs more."""
    for axis, (many, few) in enumerate(zip(tensor.shape, shape, strict=True)):
        if few < many:
            kept = torch.arange(few, device=tensor.device) * many // few
            tensor = tensor.index_select(axis, kept) * (many / few if axis == 1 else 1.0)
    return tensor


def make_student(teacher: FairMOT, atlas: Mapping[str, LayerDeformation], layers: frozenset[str]) -> FairMOT:
    """Copy a network, with plain convolutions in the place of some deformable ones, as near as they come.

    Parameters
    ----------
    teacher : FairMOT
        Left as it is.
    atlas : dict of str to LayerDeformation
        Of the teacher.
    layers : frozenset of str

    Returns
    -------
    FairMOT
        In evaluation mode, on the teacher's device.
    """
    student = copy_plain(teacher, layers)
    deformable = deformable_layers(teacher)
    with torch.no_grad():
        for name in layers:
            weight = student.get_parameter(f"{name}.weight")
            weight.copy_(plain_weights(deformable[name], atlas[name]))
    return student
