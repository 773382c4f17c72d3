"""HOTA, MOTA and IDF1 of a tracker's output against ground truth, by TrackEval's arithmetic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.mot_text import MotRows, read_ground_truth, read_mot_text, rows_by_frame
from edge_fairmot.boxes import iou
from edge_fairmot.errors import EvaluationError, MissingDependencyError


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


_RATIOS = {
    **{name: ("HOTA", key) for name, key in (("hota", "HOTA"), ("deta", "DetA"), ("assa", "AssA"))},
    **{name: ("CLEAR", key) for name, key in (("mota", "MOTA"), ("motp", "MOTP"), ("recall", "CLR_Re"))},
    **{name: ("Identity", key) for name, key in (("idf1", "IDF1"), ("idp", "IDP"), ("idr", "IDR"))},
    "loca": ("HOTA", "LocA"),
    "precision": ("CLEAR", "CLR_Pr"),
}
_COUNTS = {
    **{"tp": "CLR_TP", "fp": "CLR_FP", "fn": "CLR_FN", "idsw": "IDSW", "frag": "Frag"},
    **{"mt": "MT", "pt": "PT", "ml": "ML"},
}
_TOTALS = {
    **{"gt_ids": "num_gt_ids", "gt_boxes": "num_gt_dets", "track_ids": "num_tracker_ids"},
    **{"track_boxes": "num_tracker_dets", "frames": "num_timesteps"},
}


def evaluate(results_path: str | os.PathLike[str], ground_truth_path: str | os.PathLike[str]) -> Accuracy:
    """Return the accuracy of MOTChallenge text against ground truth, as TrackEval's MotChallenge2DBox."""
    truth = read_ground_truth(ground_truth_path)
    results = read_mot_text(results_path, truth.class_id, truth.class_name)
    return evaluate_tracks(truth.without_distractors(results), truth.rows)


def evaluate_tracks(results: MotRows, truth: MotRows, num_frames: int | None = None) -> Accuracy:
    """Return the accuracy of one sequence; its length is that of the last frame with a box if not given."""
    metrics = _metrics()
    if not len(truth):
        raise EvaluationError("there is no ground truth: at least one box is needed to compare with")
    sequence = _align(results, truth, num_frames)
    return _accuracy(_score(metrics, sequence), [sequence])


def evaluate_many(sequences: Mapping[str, tuple[MotRows, MotRows]]) -> AccuracyTable:
    """Return the accuracy of (results, ground truth) by sequence name, for each and over all."""
    metrics = _metrics()
    for name, (_, truth) in sequences.items():
        if not len(truth):
            raise EvaluationError(f"{name} has no ground truth: at least one box is needed to compare with")
    if not sequences:
        raise EvaluationError("there is no sequence to evaluate: at least one is needed")
    aligned = {name: _align(results, truth, None) for name, (results, truth) in sequences.items()}
    scores = {name: _score(metrics, sequence) for name, sequence in aligned.items()}
    combined = {
        metric: scorer.combine_sequences({name: score[metric] for name, score in scores.items()})
        for metric, scorer in metrics.items()
    }
    return AccuracyTable(
        sequences={name: _accuracy(scores[name], [aligned[name]]) for name in aligned},
        combined=_accuracy(combined, list(aligned.values())),
    )


def _metrics() -> dict[str, Any]:
    try:
        from trackeval import metrics  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("trackeval", "eval", "to compute HOTA, MOTA and IDF1") from error
    settings = {"THRESHOLD": 0.5, "PRINT_CONFIG": False}
    return {
        "HOTA": metrics.HOTA(),
        "CLEAR": metrics.CLEAR(dict(settings)),
        "Identity": metrics.Identity(dict(settings)),
    }


def _align(results: MotRows, truth: MotRows, num_frames: int | None) -> dict[str, Any]:
    """Return the input of TrackEval's metrics: ids and overlaps, frame by frame.

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
    return {
        "num_timesteps": last if num_frames is None else num_frames,
        "num_gt_ids": len(truth_ids),
        "num_gt_dets": len(truth),
        "num_tracker_ids": len(result_ids),
        "num_tracker_dets": len(results),
        "gt_ids": [truth_index[rows] for rows in truth_rows],
        "tracker_ids": [result_index[rows] for rows in result_rows],
        "similarity_scores": [
            iou(truth.xyxy[a], results.xyxy[b]) for a, b in zip(truth_rows, result_rows, strict=True)
        ],
    }


def _score(metrics: Mapping[str, Any], sequence: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metric.eval_sequence(sequence) for name, metric in metrics.items()}


def _accuracy(score: Mapping[str, Any], sequences: list[dict[str, Any]]) -> Accuracy:
    figures: dict[str, Any] = {
        name: float(np.mean(score[metric][key])) for name, (metric, key) in _RATIOS.items()
    }
    figures |= {name: int(score["CLEAR"][key]) for name, key in _COUNTS.items()}
    figures |= {name: sum(int(part[key]) for part in sequences) for name, key in _TOTALS.items()}
    return Accuracy(**figures)
