"""Distillation without labels: a student learns what its teacher computes on the user's frames.

The backbone has no deformable layer. A student of the teacher's width shares it, frozen, and it is computed
once for both; neck and heads learn. Its batch norms keep the teacher's running statistics, in training as in
use: an exported file folds those, a batch of a few crops has none worth taking, and the trained scale and
shift correct what a plain convolution changes.

Any other student learns all weights, with statistics of its own. A narrower one starts from some of its
teacher's channels; another network starts from random weights, and only its features are compared. 1x1
convolutions, which are not kept, bring its maps to the teacher's channels for the comparison.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from edge_fairmot.convert.checkpoint import deformable_names
from edge_fairmot.convert.network import FairMOT, NetworkSpec, normalise_images
from edge_fairmot.convert.networks import build_network, find_spec, network_name
from edge_fairmot.convert.offset_statistics import measure_offsets
from edge_fairmot.convert.replacement import make_student
from edge_fairmot.convert.training.crops import draw_crops
from edge_fairmot.convert.training.frames import UnlabelledFrames, letterbox_images
from edge_fairmot.convert.training.learner import Learner
from edge_fairmot.convert.training.options import DistillationOptions
from edge_fairmot.convert.training.start import initialise
from edge_fairmot.convert.training.teacher import Teacher, compare_heads, compare_maps
from edge_fairmot.errors import InvalidInputError

MOMENTUM = 0.1
"""Momentum of running statistics, as in PyTorch. The first batches weigh more: a narrow student starts with
those of its teacher, which are far from its own."""

START_IMAGES = 4
"""Images on which offsets are measured: enough for a start that is then trained."""


class Distillation(Learner):
    """Trains a student on a teacher's features and heads. ``teacher`` computes heads, ``teach`` the rest."""

    warm_up_steps = 20

    def __init__(
        self,
        student: FairMOT,
        teacher: FairMOT,
        teach: Teacher,
        frames: UnlabelledFrames,
        options: DistillationOptions,
        *,
        teacher_sha256: str,
    ) -> None:
        self._learns_all = _without_plain(student.spec) != _without_plain(teacher.spec)
        student.train(self._learns_all)
        if not self._learns_all:
            student.freeze(student.backbone_names)
        is_other = (student.spec.arch, student.spec.depth) != (teacher.spec.arch, teacher.spec.depth)
        origin = {
            "teacher": teacher_sha256,
            "layers": sorted(student.spec.plain_layers),
            "width": student.spec.base_channels,
            "frames": frames.digest(),
            **({"network": network_name(student.spec)} if is_other else {}),
        }
        # Maps of two networks mean the same only where their heads read them.
        self._widening = _make_widening(student, teacher, 1 if is_other else len(student.map_channels))
        super().__init__(student, self._widening, options, origin)
        self._teacher, self._teach, self._frames = teacher, teach, frames

    def _losses(self, seed: tuple[int, int]) -> dict[str, Tensor]:
        options, student = self._options, self.network
        images = draw_crops(
            self._frames.train, options.input_size, options.crop_size, options.batch_size, seed
        )
        outputs = self._teach(images)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=options.bf16):
            if self._learns_all:
                _set_momentum(student, max(MOMENTUM, 1 / (self.steps + 1)))
                inputs = normalise_images(torch.from_numpy(images).to(self._device))
                levels = student.levels(inputs.contiguous(memory_format=torch.channels_last))
            else:
                levels = [level.to(memory_format=torch.channels_last) for level in outputs.levels]
            maps = student.neck(levels)
            compared = maps[-len(self._widening) :]
            widened = [widen(level) for widen, level in zip(self._widening, compared, strict=True)]
        heads = compare_heads(student, self._teacher, maps[-1], outputs)
        parts = {"features": compare_maps(widened, outputs), **heads}
        # Unweighted: at the start of a plain student, no part drowns the others.
        return {**parts, "total": sum(parts.values(), torch.zeros((), device=self._device))}


def start_student(
    teacher: FairMOT, layers: frozenset[str], frames: UnlabelledFrames, input_size: tuple[int, int]
) -> FairMOT:
    """Make a student of the teacher's width, with plain layers that fit the offsets on some frames."""
    images = letterbox_images(frames, input_size, START_IMAGES)
    return make_student(teacher, measure_offsets(teacher, images), layers)


def start_other(teacher: FairMOT, name: str, seed: int) -> FairMOT:
    """Make a student of another network, of random weights and plain layers, with the teacher's outputs.

    In evaluation mode, on the teacher's device. Raises InvalidInputError for an unknown name, and for the
    teacher's own network.
    """
    outputs = teacher.spec
    if name == network_name(outputs):
        raise InvalidInputError(
            f"the teacher is {name} itself: leave --network out for a student with its backbone, "
            "or give --width 0.5 for a narrower one"
        )
    spec = replace(
        find_spec(name),
        num_classes=outputs.num_classes,
        box_channels=outputs.box_channels,
        embedding_dim=outputs.embedding_dim,
    )
    student = build_network(replace(spec, plain_layers=deformable_names(spec)))
    initialise(student, seed)
    return student.to(next(teacher.parameters()).device).eval()


def _without_plain(spec: NetworkSpec) -> NetworkSpec:
    return replace(spec, plain_layers=frozenset())


def _make_widening(student: FairMOT, teacher: FairMOT, count: int) -> nn.ModuleList:
    """Make what brings the neck's last maps to the teacher's channels; nothing for the same network."""
    if _without_plain(student.spec) == _without_plain(teacher.spec):
        return nn.ModuleList(nn.Identity() for _ in range(count))
    channels = zip(student.map_channels[-count:], teacher.map_channels[-count:], strict=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.ModuleList(nn.Conv2d(ours, theirs, 1) for ours, theirs in channels)


def _set_momentum(network: FairMOT, momentum: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
