"""HOTA, MOTA and IDF1 of a tracker's output against ground truth, as TrackEval computes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.mot_metrics import AlignedSequence, Counts, count
from edge_fairmot.benchmarks.mot_text import MotRows, read_ground_truth, read_mot_text, rows_by_frame
from edge_fairmot.boxes import iou
from edge_fairmot.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Agreement of results with ground truth. Ratios are fractions of 1, the rest are counts.

    HOTA and its parts are means over the overlaps 0.05 to 0.95; everything else is at overlap 0.5.
    """

    hota: float
    deta: float  # detection, association and localisation parts of HOTA
    assa: float
    loca: float  # 1 where nothing matches, as in TrackEval
    mota: float  # may be negative
    motp: float  # mean IoU of matched boxes
    idf1: float
    idp: float
    idr: float
    recall: float
    precision: float
    tp: int
    fp: int
    fn: int
    idsw: int  # identity switches
    frag: int  # interruptions of tracks
    mt: int  # ground-truth identities mostly tracked (more than 80 % of their boxes)
    pt: int
    ml: int  # mostly lost (less than 20 %)
    gt_ids: int
    gt_boxes: int
    track_ids: int
    track_boxes: int
    frames: int


@dataclass(frozen=True, slots=True)
class AccuracyTable:
    """Accuracy of several sequences, and of all: combined over boxes, an identity belongs to its sequence."""

    sequences: Mapping[str, Accuracy]
    combined: Accuracy


def evaluate(results_path: str | os.PathLike[str], ground_truth_path: str | os.PathLike[str]) -> Accuracy:
    """Return the accuracy of MOTChallenge text against ground truth, as TrackEval's MotChallenge2DBox."""
    truth = read_ground_truth(ground_truth_path)
    results = read_mot_text(results_path, truth.class_id, truth.class_name)
    return evaluate_tracks(truth.without_distractors(results), truth.rows)


def evaluate_tracks(results: MotRows, truth: MotRows, num_frames: int | None = None) -> Accuracy:
    """Return the accuracy of one sequence; its length is that of the last frame with a box if not given."""
    if not len(truth):
        raise EvaluationError("there is no ground truth: at least one box is needed to compare with")
    sequence = _align(results, truth, num_frames)
    return _accuracy(count(sequence), [sequence])


def evaluate_many(sequences: Mapping[str, tuple[MotRows, MotRows]]) -> AccuracyTable:
    """Return the accuracy of (results, ground truth) by sequence name, for each and over all."""
    for name, (_, truth) in sequences.items():
        if not len(truth):
            raise EvaluationError(f"{name} has no ground truth: at least one box is needed to compare with")
    if not sequences:
        raise EvaluationError("there is no sequence to evaluate: at least one is needed")
    aligned = {name: _align(results, truth, None) for name, (results, truth) in sequences.items()}
    counts = {name: count(sequence) for name, sequence in aligned.items()}
    return AccuracyTable(
        sequences={name: _accuracy(counts[name], [aligned[name]]) for name in aligned},
        combined=_accuracy(reduce(add, counts.values()), list(aligned.values())),
    )


def _align(results: MotRows, truth: MotRows, num_frames: int | None) -> AlignedSequence:
    """Return ids and overlaps, frame by frame.

    Only frames with a box are listed. The metrics ignore the others, and one stray frame number of a thousand
    million would make as many lists.
    """
    last = int(max(results.frame.max(initial=0), truth.frame.max(initial=0)))
    if num_frames is not None and last > num_frames:
        raise EvaluationError(f"a box lies in frame {last} of a sequence of {num_frames} frames")
    result_ids, result_index = np.unique(results.track_id, return_inverse=True)
    truth_ids, truth_index = np.unique(truth.track_id, return_inverse=True)
    frames = np.union1d(results.frame, truth.frame)
    result_rows, truth_rows = rows_by_frame(results.frame, frames), rows_by_frame(truth.frame, frames)
    return AlignedSequence(
        last if num_frames is None else num_frames,
        len(truth_ids),
        len(result_ids),
        [truth_index[rows] for rows in truth_rows],
        [result_index[rows] for rows in result_rows],
        [iou(truth.xyxy[a], results.xyxy[b]) for a, b in zip(truth_rows, result_rows, strict=True)],
    )


def _accuracy(counts: Counts, sequences: list[AlignedSequence]) -> Accuracy:
    figures: dict[str, Any] = dict(counts.figures())
    return Accuracy(
        **figures,
        gt_ids=sum(one.num_truth_ids for one in sequences),
        gt_boxes=counts.truth_boxes,
        track_ids=sum(one.num_track_ids for one in sequences),
        track_boxes=counts.track_boxes,
        frames=sum(one.num_frames for one in sequences),
    )
