"""Parity of a student with its teacher on validation frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edge_fairmot.benchmarks.observation import Observation
from edge_fairmot.benchmarks.parity_budget import STUDENT_BUDGET
from edge_fairmot.benchmarks.parity_check import FramePair, ParityCheck
from edge_fairmot.benchmarks.parity_report import ParityReport, Subject
from edge_fairmot.convert.deploy import decode
from edge_fairmot.convert.network import FairMOT, normalise_images
from edge_fairmot.convert.training.frames import ValidationSequence
from edge_fairmot.convert.training.teacher import make_teacher
from edge_fairmot.types import RawDetections

MAX_DETECTIONS = 200
"""Maximum per frame; far fewer are above the threshold."""


class Agreement:
    """The parity check of a teacher with its students; the teacher's detections are computed once."""

    def __init__(
        self, teacher: FairMOT, sequences: Sequence[ValidationSequence], score_threshold: float = 0.4
    ) -> None:
        self._sequences = sequences
        self._threshold = score_threshold
        width, height = sequences[0].letterbox.input_size
        teach = make_teacher(teacher, (1, height, width))
        self._references = [
            [_decode(teacher, teach(frame.image[None]).maps[-1]) for frame in sequence.frames]
            for sequence in sequences
        ]

    @property
    def people(self) -> int:
        """Number of the teacher's detections above the threshold."""
        return sum(
            int((raw.scores > self._threshold).sum()) for references in self._references for raw in references
        )

    def compare(self, student: FairMOT) -> ParityReport:
        """Check a student, in evaluation mode, against the teacher."""
        device = next(student.parameters()).device
        check = ParityCheck(STUDENT_BUDGET, self._threshold)
        for sequence, references in zip(self._sequences, self._references, strict=True):
            check.begin(sequence.name, sequence.frame_rate)
            for frame, reference in zip(sequence.frames, references, strict=True):
                with torch.inference_mode():
                    inputs = normalise_images(torch.from_numpy(frame.image[None]).to(device))
                    candidate = _decode(student, student.features(inputs))
                check.add(
                    FramePair(
                        image=frame.image,
                        index=frame.index,
                        time_s=frame.time_s,
                        letterbox=sequence.letterbox,
                        reference=Observation(reference),
                        candidate=Observation(candidate),
                    )
                )
        runtime = f"torch:{device.type}"
        return check.report(
            Subject("teacher", runtime, "", "fp32", {}), Subject("student", runtime, "", "fp32", {})
        )


def _decode(network: FairMOT, features: Tensor) -> RawDetections:
    with torch.inference_mode():
        heads = {name: network.get_submodule(name)(features) for name in ("hm", "wh", "id", "reg")}
        return RawDetections(*(output.cpu().numpy() for output in decode(heads, MAX_DETECTIONS)))
