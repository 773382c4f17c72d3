"""Distillation without labels: a student learns what its teacher computes on the user's frames.

The backbone has no deformable layer. A student of the teacher's width shares it, frozen, and it is computed
once for both; neck and heads learn. Its batch norms keep the teacher's running statistics, in training as in
use: an exported file folds those, a batch of a few crops has none worth taking, and the trained scale and
shift correct what a plain convolution changes.

A narrower student starts from some of its teacher's channels and learns all weights, with statistics of its
own. 1x1 convolutions, which are not kept, widen its maps to the teacher's channels for the comparison.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_fairmot.convert.network import FairMOT, level_channels, normalise_images
from edge_fairmot.convert.offset_statistics import measure_offsets
from edge_fairmot.convert.replacement import make_student
from edge_fairmot.convert.training.crops import draw_crops
from edge_fairmot.convert.training.frames import UnlabelledFrames, letterbox_images
from edge_fairmot.convert.training.learner import Learner
from edge_fairmot.convert.training.options import DistillationOptions
from edge_fairmot.convert.training.teacher import LEVELS, Teacher, compare_heads, compare_maps

MOMENTUM = 0.1
"""Momentum of running statistics, as in PyTorch. The first batches weigh more: a narrow student starts with
those of its teacher, which are far from its own."""

MAP_LEVELS = (2, 3, 4, 2)
"""Backbone levels with as many channels as the neck's maps: strides 4, 8 and 16, and the features."""

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
        self._is_narrow = student.spec.base_channels != teacher.spec.base_channels
        student.train(self._is_narrow)
        student.base.requires_grad_(self._is_narrow)
        origin = {
            "teacher": teacher_sha256,
            "layers": sorted(student.spec.plain_layers),
            "width": student.spec.base_channels,
            "frames": frames.digest(),
        }
        self._widening = _make_widening(student, teacher)
        super().__init__(student, self._widening, options, origin)
        self._teacher, self._teach, self._frames = teacher, teach, frames

    def _losses(self, seed: tuple[int, int]) -> dict[str, Tensor]:
        options, student = self._options, self.network
        images = draw_crops(
            self._frames.train, options.input_size, options.crop_size, options.batch_size, seed
        )
        outputs = self._teach(images)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=options.bf16):
            if self._is_narrow:
                _set_momentum(student, max(MOMENTUM, 1 / (self.steps + 1)))
                inputs = normalise_images(torch.from_numpy(images).to(self._device))
                levels = student.base(inputs.contiguous(memory_format=torch.channels_last))[2:]
            else:
                levels = [level.to(memory_format=torch.channels_last) for level in outputs.levels]
            maps = student.neck(levels)
            widened = [widen(level) for widen, level in zip(self._widening, maps, strict=True)]
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


def _make_widening(student: FairMOT, teacher: FairMOT) -> nn.ModuleList:
    """Make what brings each of the neck's maps to the teacher's channels; nothing at the same width."""
    if student.spec.base_channels == teacher.spec.base_channels:
        return nn.ModuleList(nn.Identity() for _ in range(LEVELS))
    narrow, wide = (level_channels(spec.base_channels) for spec in (student.spec, teacher.spec))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.ModuleList(nn.Conv2d(narrow[i], wide[i], 1) for i in MAP_LEVELS)


def _set_momentum(network: FairMOT, momentum: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
