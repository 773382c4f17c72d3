"""Whether a student sees what its teacher sees, on frames that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from edge_fairmot.benchmarks.observation import Observation
from edge_fairmot.benchmarks.parity_budget import STUDENT_BUDGET
from edge_fairmot.benchmarks.parity_check import FramePair, ParityCheck
from edge_fairmot.benchmarks.parity_report import ParityReport, Subject
from edge_fairmot.convert.deploy import decode
from edge_fairmot.convert.footage import HeldOutSequence
from edge_fairmot.convert.network import FairMOT, normalise_images
from edge_fairmot.convert.teacher import make_teacher
from edge_fairmot.types import RawDetections

MAX_DETECTIONS = 200
"""Of a frame; those above the threshold are far fewer."""


class Agreement:
    """The parity check of a teacher and its students. The teacher looks once, when this is made.

    Parameters
    ----------
    teacher : FairMOT
    held_out : sequence of HeldOutSequence
    score_threshold : float
        Peaks and tracks must score more.
    on_frame : callable, optional
        Called after each frame that the teacher has looked at.
    """

    def __init__(
        self,
        teacher: FairMOT,
        held_out: Sequence[HeldOutSequence],
        score_threshold: float = 0.4,
        on_frame: Callable[[], None] = lambda: None,
    ) -> None:
        self._held_out = held_out
        self._threshold = score_threshold
        self._seen: list[list[RawDetections]] = []
        width, height = held_out[0].letterbox.input_size
        look = make_teacher(teacher, (1, height, width))
        for sequence in held_out:
            seen = []
            for frame in sequence.frames:
                features = look(frame.image[None]).maps[-1]
                seen.append(_decode(teacher, features))
                on_frame()
            self._seen.append(seen)

    @property
    def people(self) -> int:
        """How many detections of the teacher are above the threshold."""
        return sum(int((raw.scores > self._threshold).sum()) for seen in self._seen for raw in seen)

    def judge(self, student: FairMOT) -> ParityReport:
        """Compare a student with its teacher.

        Raises
        ------
        EvaluationError
            If no frame holds a person for either.
        """
        device = next(student.parameters()).device
        check = ParityCheck(STUDENT_BUDGET, self._threshold)
        for sequence, seen in zip(self._held_out, self._seen, strict=True):
            check.begin(sequence.name, sequence.frame_rate)
            for frame, theirs in zip(sequence.frames, seen, strict=True):
                with torch.inference_mode():
                    picture = normalise_images(torch.from_numpy(frame.image[None]).to(device))
                    ours = _decode(student, student.features(picture))
                check.add(
                    FramePair(
                        image=frame.image,
                        index=frame.index,
                        time_s=frame.time_s,
                        letterbox=sequence.letterbox,
                        reference=Observation(theirs),
                        candidate=Observation(ours),
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
