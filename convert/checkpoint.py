"""FairMOT checkpoints: strict reading, atomic writing."""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_fairmot.convert.network import BASE_CHANNELS, FairMOT, NetworkSpec, deformable_layers
from edge_fairmot.convert.networks import NAMED, NETWORKS, build_network, network_name, recognise
from edge_fairmot.convert.networks.foreign import name_foreign
from edge_fairmot.errors import CheckpointError
from edge_fairmot.system import atomic_write

UNUSED_TENSORS = frozenset({"base.fc.weight", "base.fc.bias"})
"""The backbone's ImageNet classifier, in files of the original training code. The network does not use it."""

TEACHER_KEY = "teacher_sha256"
"""Beside ``state_dict`` in a student's file. The original code ignores keys that it does not know."""

SIZE_KEY = "input_size"
"""Width and height that a network was trained for, likewise."""

WRAPPERS = "state_dict", "model_state_dict", "model"
"""Keys under which training code keeps the tensors; the first one that holds a dict counts."""

PREFIX = re.compile(r"(?:module\.|_orig_mod\.|model\.)+")
"""Prefixes of ``DataParallel``, ``torch.compile`` and wrapping modules, in any order and number."""

TRAINING_ONLY = re.compile(r"loss\..+|s_det|s_id|classifier\..+")
"""Parameters of FairMOT's loss, which some training codes save beside the network."""

OFFSETS, MMCV_OFFSETS = ".conv_offset_mask.", ".conv_offset."
"""One layer by two names: mmcv's has the channels in the same order."""

NO_BIAS = ("last_layer.0",)
"""Layers that may be without a bias."""

NO_OFFSET = 0.5
"""Cells. The original decoder places a box in the centre of its cell where there is no ``reg`` head."""

FLOAT_DTYPES = torch.float16, torch.bfloat16, torch.float32, torch.float64
BATCH_COUNT = ".num_batches_tracked"

MOST_CHANNELS = 1024
"""Largest width of the first layer. A wider network is a damaged file."""

NAMES_SHOWN = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The contents of a checkpoint file.

    Attributes
    ----------
    spec : NetworkSpec
        Read from the shapes of the tensors.
    state_dict : dict of str to Tensor
        By the network's own names, whatever prefix or variant the file has; without unused tensors.
    sha256 : str
        Of the file.
    parameters : int
        Number of the network's weights, without the statistics of batch norms.
    teacher_sha256 : str
        Of the teacher's checkpoint, if the network is a student; else empty.
    input_size : tuple of int, optional
        Width and height that it was trained for, where the file says so.
    """

    spec: NetworkSpec
    state_dict: dict[str, Tensor]
    sha256: str
    parameters: int
    teacher_sha256: str = ""
    input_size: tuple[int, int] | None = None


def load_network(path: str | Path) -> tuple[FairMOT, Checkpoint]:
    """Load a checkpoint into a network in evaluation mode.

    Parameters
    ----------
    path : str or Path
        ``.pth`` file: a bare state dict, or a dict that holds one as ``state_dict``, ``model_state_dict`` or
        ``model``.

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
    network = build_network(checkpoint.spec)
    network.load_state_dict(checkpoint.state_dict)
    return network.eval(), checkpoint


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read and check a checkpoint; see :func:`load_network`."""
    path = Path(path)
    content = _load(path)
    state = _find_state(content)
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path} holds no state_dict of tensors: give a .pth file written by FairMOT's training code"
        )
    _check_kinds(path, state)
    tensors = _rename(path, state)
    _fill(path, tensors)
    spec = _read_spec(path, tensors)
    _fill_biases(tensors, spec)
    _check_tensors(path, tensors, spec)
    teacher = str(content[TEACHER_KEY]) if "state_dict" in content and TEACHER_KEY in content else ""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Checkpoint(spec, tensors, sha256, _count_parameters(spec), teacher, _read_size(content))


def _read_size(content: dict[Any, Any]) -> tuple[int, int] | None:
    match content.get(SIZE_KEY):
        case [int(width), int(height)] if width > 0 and height > 0:
            return width, height
    return None


def _load(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give the path of a FairMOT .pth file")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                # torch.save does not compress: a small file then cannot need much memory.
                if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                    raise ValueError("compressed")
        with torch.serialization.safe_globals(_NUMPY_NUMBERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged pickle: any error whatsoever
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


class _NumpyType:
    """Stands for ``numpy.dtype`` in a pickle."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def _numpy_number(*_: object) -> None:
    """Replace a numpy scalar in a pickle, such as an epoch or a learning rate, which is not read."""


_NUMPY_NUMBERS: list[Any] = [
    (_NumpyType, "numpy.dtype"),
    (_numpy_number, "numpy.core.multiarray.scalar"),
    (_numpy_number, "numpy._core.multiarray.scalar"),
]


def _find_state(content: Any) -> dict[Any, Any]:
    """Return the dict of tensors in the content of a file; empty if there is none."""
    for _ in WRAPPERS:
        if not isinstance(content, dict):
            return {}
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        content = inner
    return content if isinstance(content, dict) else {}


def _check_kinds(path: Path, state: dict[Any, Tensor]) -> None:
    """Refuse tensors that are no weights before a value is read: a small file may state any size."""
    wrong = [f"{name} ({reason})" for name, value in state.items() if (reason := _why_no_weight(name, value))]
    if wrong:
        raise CheckpointError(
            f"{path} is not a FairMOT checkpoint; {len(wrong)} tensors are no weights: {_shorten(wrong)}: "
            "give one that the original training code wrote"
        )


def _why_no_weight(name: Any, value: Tensor) -> str:
    if value.layout != torch.strided or value.is_quantized or value.is_nested:
        return "sparse, quantized or nested"
    if value.is_meta:
        return "without values"
    if value.dtype not in FLOAT_DTYPES and not (
        str(name).endswith(BATCH_COUNT) and value.dtype == torch.int64
    ):
        return str(value.dtype).removeprefix("torch.")
    if value.numel() == 0 or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"{tuple(value.shape)}, and the file has fewer values"
    return ""


def _rename(path: Path, state: dict[Any, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by the network's names; CheckpointError where two of them have one name."""
    tensors: dict[str, Tensor] = {}
    passed_over = []
    for given, value in state.items():
        name = PREFIX.sub("", str(given), count=1) if PREFIX.match(str(given)) else str(given)
        name = name.replace(MMCV_OFFSETS, OFFSETS)
        if TRAINING_ONLY.fullmatch(name):
            passed_over.append(name)
        elif name in tensors:
            raise CheckpointError(
                f"{path} holds two tensors {_shorten([name])}, with and without a prefix: "
                "save one network alone"
            )
        elif name not in UNUSED_TENSORS:
            tensors[name] = value
    if passed_over:
        _log.warning(
            "%s: %d tensors of training are not used: %s", path, len(passed_over), _shorten(passed_over)
        )
    return tensors


def _fill(path: Path, tensors: dict[str, Tensor]) -> None:
    """Add tensors that a file may lack: the counters of batches, and a ``reg`` head."""
    for name in [name for name in tensors if name.endswith(".running_var")]:
        tensors.setdefault(name.removesuffix(".running_var") + BATCH_COUNT, torch.tensor(0))
    hidden, last = tensors.get("wh.0.weight"), tensors.get("wh.2.weight")
    if any(name.startswith("reg.") for name in tensors) or hidden is None or last is None:
        return
    if hidden.ndim != 4 or last.ndim != 4:
        return
    _log.warning(
        "%s has no reg head, so it was trained with --not_reg_offset: "
        "boxes are in the centres of their cells, as the original decodes them",
        path,
    )
    tensors["reg.0.weight"], tensors["reg.0.bias"] = torch.zeros_like(hidden), torch.zeros(len(hidden))
    tensors["reg.2.weight"] = torch.zeros(2, *last.shape[1:])
    tensors["reg.2.bias"] = torch.full((2,), NO_OFFSET)


def _read_spec(path: Path, tensors: dict[str, Tensor]) -> NetworkSpec:
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    foreign = name_foreign(shapes)
    if foreign:
        raise CheckpointError(f"{path} is {foreign}: give a checkpoint of FairMOT")
    sizes = {}
    for head in ("hm", "wh", "id"):
        weight = tensors.get(f"{head}.2.weight")
        if weight is None:
            raise CheckpointError(
                f"{path} has no tensor {head}.2.weight, so it is none of FairMOT's networks "
                f"({', '.join(NAMED)}): give a checkpoint of one of them"
            )
        sizes[head] = weight.shape[0] if weight.ndim else 0
    # With two classes 4 channels are left, top, right, bottom, as in FairMOT, and not two pairs.
    if sizes["wh"] not in (2, 4, 2 * sizes["hm"]):
        raise CheckpointError(
            f"{path}: wh.2.weight gives {sizes['wh']} box channels, allowed are 4, 2, and 2 for each class: "
            "give a checkpoint of the original FairMOT"
        )
    found = recognise(shapes)
    if found is None:
        raise CheckpointError(
            f"{path} has FairMOT's heads on another network than {', '.join(NAMED)}: "
            "give a checkpoint of one of them"
        )
    spec = replace(
        found,
        base_channels=found.base_channels if found.base_channels <= MOST_CHANNELS else BASE_CHANNELS,
        num_classes=sizes["hm"],
        box_channels=sizes["wh"],
        embedding_dim=sizes["id"],
        head_channels=head_channels(found, shapes.get("hm.0.weight", ())),
    )
    return replace(spec, plain_layers=_find_plain_layers(tensors, spec))


def head_channels(spec: NetworkSpec, shape: tuple[int, ...]) -> int:
    """Read the channels of the heads' first convolution; 0 if they are the usual ones."""
    if len(shape) != 4 or shape[0] == NETWORKS[spec.arch].usual_head_channels(shape[1]):
        return 0
    return shape[0]


def deformable_names(spec: NetworkSpec | None = None) -> frozenset[str]:
    """Names of the deformable layers of a network; of the original without a spec."""
    with torch.device("meta"):
        return frozenset(deformable_layers(build_network(spec or NetworkSpec())))


def _find_plain_layers(tensors: dict[str, Tensor], spec: NetworkSpec) -> frozenset[str]:
    """Find layers that have a weight and predict no offsets: the plain convolutions of a student."""
    return frozenset(
        name
        for name in deformable_names(spec)
        if f"{name}.weight" in tensors
        and not any(key.startswith(f"{name}.conv_offset_mask") for key in tensors)
    )


def _fill_biases(tensors: dict[str, Tensor], spec: NetworkSpec) -> None:
    """Add the biases that plain layers of some training codes (``dlaconv``) do without."""
    for name in (*spec.plain_layers, *NO_BIAS):
        weight = tensors.get(f"{name}.weight")
        if weight is not None:
            tensors.setdefault(f"{name}.bias", torch.zeros(len(weight)))


def _check_tensors(path: Path, tensors: dict[str, Tensor], spec: NetworkSpec) -> None:
    with torch.device("meta"):
        expected = {name: value.shape for name, value in build_network(spec).state_dict().items()}
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
            f"{path} is not a FairMOT {network_name(spec)} checkpoint; tensors {'; '.join(found)}: "
            "give one that the original training code wrote"
        )


def _count_parameters(spec: NetworkSpec) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_network(spec).parameters())


def _shorten(names: Iterable[str]) -> str:
    names = [ascii(name)[1:-1] for name in names]  # a name is of the file: it may hold control characters
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def write_checkpoint(
    path: Path,
    network: FairMOT,
    epoch: int,
    teacher_sha256: str = "",
    input_size: tuple[int, int] | None = None,
) -> None:
    """Write a network in the original's format, with what else is known of it; see write_atomically."""
    tensors = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    known = {TEACHER_KEY: teacher_sha256, SIZE_KEY: input_size and list(input_size)}
    content = {"epoch": epoch, "state_dict": tensors}
    write_atomically(path, content | {key: value for key, value in known.items() if value})


def write_atomically(path: Path, content: dict[str, Any]) -> None:
    """Save with ``torch.save``; a crash leaves the old file or the new one. May raise CheckpointError."""
    try:
        with atomic_write(path) as partial:
            torch.save(content, partial)
    except (OSError, RuntimeError) as error:  # torch.save turns a full disk into a RuntimeError
        raise CheckpointError(f"cannot write {path} ({error}): choose another place with -o") from error
