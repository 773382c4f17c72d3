"""FairMOT checkpoints: strict reading, atomic writing."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_fairmot.convert.network import BASE_CHANNELS, FairMOT, NetworkSpec, deformable_layers
from edge_fairmot.errors import CheckpointError
from edge_fairmot.system import atomic_write

UNUSED_TENSORS = frozenset({"base.fc.weight", "base.fc.bias"})
"""The backbone's ImageNet classifier, in files of the original training code. The network does not use it."""

FIRST_WEIGHT = "base.base_layer.0.weight"
"""Its shape gives the width of the network."""

TEACHER_KEY = "teacher_sha256"
"""Beside ``state_dict`` in a student's file. The original code ignores keys that it does not know."""

NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The contents of a checkpoint file.

    Attributes
    ----------
    spec : NetworkSpec
        Read from the shapes of the tensors.
    state_dict : dict of str to Tensor
        By name without ``module.``; without unused tensors.
    sha256 : str
        Of the file.
    teacher_sha256 : str
        Of the teacher's checkpoint, if the network is a student; else empty.
    """

    spec: NetworkSpec
    state_dict: dict[str, Tensor]
    sha256: str
    teacher_sha256: str = ""


def load_network(path: str | Path) -> tuple[FairMOT, Checkpoint]:
    """Load a checkpoint into a network in evaluation mode.

    Parameters
    ----------
    path : str or Path
        ``.pth`` file of the original code: a dict with ``state_dict``, or a bare state dict.

    Returns
    -------
    FairMOT
        float32, on the CPU.
    Checkpoint

    Raises
    ------
    CheckpointError
        If the file cannot be read safely, or a tensor is missing, extra or misshapen.
    """
    checkpoint = read_checkpoint(path)
    network = FairMOT(checkpoint.spec)
    network.load_state_dict(checkpoint.state_dict)
    return network.eval(), checkpoint


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read and check a checkpoint; see :func:`load_network`."""
    path = Path(path)
    content = _load(path)
    state: Any = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path} holds no state_dict of tensors: give a .pth file written by FairMOT's training code"
        )
    state = {str(name).removeprefix("module."): value for name, value in state.items()}
    tensors = {name: value for name, value in state.items() if name not in UNUSED_TENSORS}
    spec = _read_spec(path, tensors)
    _check_tensors(path, tensors, spec)
    teacher = str(content[TEACHER_KEY]) if "state_dict" in content and TEACHER_KEY in content else ""
    return Checkpoint(spec, tensors, hashlib.sha256(path.read_bytes()).hexdigest(), teacher)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give the path of a FairMOT .pth file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, LookupError) as error:
        if isinstance(error, pickle.UnpicklingError) and (
            "GLOBAL" in str(error) or "Unsupported class" in str(error)
        ):
            raise CheckpointError(
                f"{path} holds pickled code beside its tensors and is refused, because loading would run it: "
                "if you trust its origin, save its state_dict alone with torch.save and convert that"
            ) from error
        raise CheckpointError(
            f"{path} is not a PyTorch checkpoint, or is cut short: give a .pth file written by torch.save"
        ) from error


def _read_spec(path: Path, tensors: dict[str, Tensor]) -> NetworkSpec:
    sizes = {}
    for head in ("hm", "wh", "id"):
        weight = tensors.get(f"{head}.2.weight")
        if weight is None:
            raise CheckpointError(
                f"{path} has no tensor {head}.2.weight, so it is not FairMOT with a DLA-34 backbone "
                "(HRNet and YOLO variants are not supported)"
            )
        sizes[head] = weight.shape[0] if weight.ndim else 0
    if sizes["wh"] not in (2, 4):
        raise CheckpointError(
            f"{path}: wh.2.weight gives {sizes['wh']} box channels, allowed are 2 and 4: "
            "give a checkpoint of the original FairMOT"
        )
    first = tensors.get(FIRST_WEIGHT)
    return NetworkSpec(
        base_channels=len(first) if first is not None and first.ndim == 4 and len(first) else BASE_CHANNELS,
        num_classes=sizes["hm"],
        box_channels=sizes["wh"],
        embedding_dim=sizes["id"],
        plain_layers=_find_plain_layers(tensors),
    )


def deformable_names() -> frozenset[str]:
    """Names of the deformable layers of the original network."""
    with torch.device("meta"):
        return frozenset(deformable_layers(FairMOT(NetworkSpec())))


def _find_plain_layers(tensors: dict[str, Tensor]) -> frozenset[str]:
    """Find layers that have a weight and predict no offsets: the plain convolutions of a student."""
    return frozenset(
        name
        for name in deformable_names()
        if f"{name}.weight" in tensors
        and not any(key.startswith(f"{name}.conv_offset_mask") for key in tensors)
    )


def _check_tensors(path: Path, tensors: dict[str, Tensor], spec: NetworkSpec) -> None:
    with torch.device("meta"):
        expected = {name: value.shape for name, value in FairMOT(spec).state_dict().items()}
    problems = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "not known": sorted(tensors.keys() - expected.keys()),
        "of the wrong shape": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(shape)}"
            for name, shape in expected.items()
            if name in tensors and tensors[name].shape != shape
        ],
        "not finite": [
            name
            for name, value in tensors.items()
            if value.is_floating_point() and not bool(torch.isfinite(value).all())
        ],
    }
    found = [f"{len(names)} {what}: {_shorten(names)}" for what, names in problems.items() if names]
    if found:
        raise CheckpointError(
            f"{path} is not a FairMOT DLA-34 checkpoint; tensors {'; '.join(found)}: "
            "give one that the original training code wrote"
        )


def _shorten(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def write_checkpoint(path: Path, network: FairMOT, epoch: int, teacher_sha256: str = "") -> None:
    """Write a network in the original's format, with its teacher if it is a student; see write_atomically."""
    tensors = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    teacher = {TEACHER_KEY: teacher_sha256} if teacher_sha256 else {}
    write_atomically(path, {"epoch": epoch, "state_dict": tensors, **teacher})


def write_atomically(path: Path, content: dict[str, Any]) -> None:
    """Save with ``torch.save``; a crash leaves the old file or the new one. May raise CheckpointError."""
    try:
        with atomic_write(path) as partial:
            torch.save(content, partial)
    except (OSError, RuntimeError) as error:  # torch.save turns a full disk into a RuntimeError
        raise CheckpointError(f"cannot write {path} ({error}): choose another place with -o") from error
