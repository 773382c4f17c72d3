"""What ``edge-fairmot train`` may learn from, by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_fairmot.benchmarks.street import SPEC_PREFIX
from edge_fairmot.benchmarks.street.ground_truth import LEAST_VISIBILITY
from edge_fairmot.cli.console import stderr
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources import SyntheticSource, open_source
from edge_fairmot.sources.images import SEQINFO_NAME

if TYPE_CHECKING:
    from edge_fairmot.convert.training import LabelledSet
    from edge_fairmot.convert.training.sequences import FrameLabels


DETECTORS = re.compile(r"-(DPM|FRCNN|SDP)$")
"""MOT17 holds each sequence once for each of these detectors, with the same pictures and people."""


def read_labelled(spec: str, input_size: tuple[int, int], pictures: int, held_out: int) -> LabelledSet:
    """Read labelled pictures.

    Parameters
    ----------
    spec : str
        A table of boxes (``.tsv``), a MOTChallenge sequence with ground truth, a folder of such sequences (of
        those that differ only by MOT17's detector, one is taken), or ``synthetic:``.
    input_size : (int, int)
        Width and height of the network's input, pixels.
    pictures, held_out : int
        How many are taken of a sequence at most, at equal distances. Tables are learnt from as a whole.

    Raises
    ------
    InvalidInputError
        If it is something else, or its boxes cannot be read.
    SourceError, EvaluationError
        If a sequence or its ground truth cannot be read.
    """
    from edge_fairmot.convert.training import LabelledSet
    from edge_fairmot.convert.training.sequences import read_sequence
    from edge_fairmot.convert.training.table import TABLE_SUFFIX, read_table

    if spec.endswith(TABLE_SUFFIX):
        return read_table(Path(spec), held_out)
    found = LabelledSet()
    for sequence in _find_sequences(spec):
        with open_source(sequence) as source:
            labels = (
                _labels_of_street(source)
                if isinstance(source, SyntheticSource)
                else _labels_of_file(sequence)
            )
            found = found.join(read_sequence(source, labels, input_size, pictures, held_out))
    return found


def _find_sequences(spec: str) -> list[str]:
    folder = Path(spec)
    if spec.startswith(SPEC_PREFIX) or (folder / SEQINFO_NAME).is_file():
        return [spec]
    found = sorted(str(path.parent) for path in folder.glob(f"*/{SEQINFO_NAME}"))
    if not found:
        raise InvalidInputError(
            f"{spec} has no boxes to learn from: give a table of them (.tsv), a MOTChallenge sequence "
            f"({SEQINFO_NAME} and gt/gt.txt), a folder of such, or {SPEC_PREFIX}"
        )
    kept: dict[str, str] = {}
    for sequence in found:
        kept.setdefault(DETECTORS.sub("", sequence), sequence)
    passed_over = [Path(sequence).name for sequence in found if sequence not in kept.values()]
    if passed_over:
        stderr.print(
            f"passed over, as they hold pictures that are learnt from already: {', '.join(passed_over)}",
            highlight=False,
            soft_wrap=True,
        )
    return list(kept.values())


def _labels_of_street(source: SyntheticSource) -> Callable[[int], FrameLabels]:
    from edge_fairmot.convert.training.sequences import FrameLabels

    def labels(index: int) -> FrameLabels:
        truth = source.truth(index)
        return FrameLabels(truth.xyxy, truth.ids, truth.visibility >= LEAST_VISIBILITY)

    return labels


def _labels_of_file(sequence: str) -> Callable[[int], FrameLabels]:
    from edge_fairmot.benchmarks.mot_text import read_mot_text
    from edge_fairmot.convert.training.sequences import FrameLabels

    rows = read_mot_text(Path(sequence) / "gt" / "gt.txt")

    def labels(index: int) -> FrameLabels:
        here = rows[rows.frame == index + 1]
        # Its confidence is a mark, read as an integer: 0 is not to be scored.
        return FrameLabels(here.xyxy.astype(np.float32), here.track_id, np.trunc(here.confidence) != 0)

    return labels
