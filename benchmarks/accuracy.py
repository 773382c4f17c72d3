"""How right a tracker's output is: HOTA, MOTA and IDF1 by TrackEval's arithmetic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.mot_text import MotRows, read_mot_text
from edge_fairmot.errors import EvaluationError, MissingDependencyError
from edge_fairmot.types import Float64Array, Int64Array


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Agreement of results with ground truth. Ratios are fractions of 1, the rest are counts.

    Attributes
    ----------
    hota, deta, assa, loca : float
        Higher order tracking accuracy, its detection, association and localisation parts: means over
        the overlaps 0.05 to 0.95. Where nothing matches TrackEval gives a ``loca`` of 1.
    mota, motp : float
        CLEAR accuracy, which may be negative, and the mean overlap (IoU) of matched boxes.
    idf1, idp, idr : float
        Identity F1, precision and recall.
    recall, precision : float
        Of detection, at overlap 0.5.
    tp, fp, fn : int
        Boxes matched, false and missed, at overlap 0.5.
    idsw, frag : int
        Identity switches; interruptions of tracks.
    mt, pt, ml : int
        Ground-truth identities mostly tracked (more than 80 % of their boxes), partly, and mostly lost
        (less than 20 %).
    gt_ids, gt_boxes, track_ids, track_boxes : int
        Identities and boxes of the ground truth and of the results.
    frames : int
        Length of the sequence, or of all of them.
    """

    hota: float
    deta: float
    assa: float
    loca: float
    mota: float
    motp: float
    idf1: float
    idp: float
    idr: float
    recall: float
    precision: float
    tp: int
    fp: int
    fn: int
    idsw: int
    frag: int
    mt: int
    pt: int
    ml: int
    gt_ids: int
    gt_boxes: int
    track_ids: int
    track_boxes: int
    frames: int


@dataclass(frozen=True, slots=True)
class AccuracyTable:
    """Accuracy of several sequences.

    Attributes
    ----------
    sequences : mapping of str to Accuracy
    combined : Accuracy
        All sequences as TrackEval combines them: over boxes, not a mean over sequences. An identity
        belongs to its sequence.
    """

    sequences: Mapping[str, Accuracy]
    combined: Accuracy


def evaluate(results_path: str | os.PathLike[str], ground_truth_path: str | os.PathLike[str]) -> Accuracy:
    """Compare two files of MOTChallenge text by the rules of 2D MOT 2015.

    Parameters
    ----------
    results_path : path
    ground_truth_path : path

    Returns
    -------
    Accuracy

    Raises
    ------
    EvaluationError
        If either file cannot be used.
    MissingDependencyError
        If TrackEval is not installed.
    """
    return evaluate_tracks(read_mot_text(results_path), read_mot_text(ground_truth_path, ground_truth=True))


def evaluate_tracks(results: MotRows, truth: MotRows, num_frames: int | None = None) -> Accuracy:
    """Compare tracks with ground truth.

    Parameters
    ----------
    results : MotRows
    truth : MotRows
        Every row counts.
    num_frames : int, optional
        Length of the sequence. The last frame that holds a box, when not given.

    Returns
    -------
    Accuracy

    Raises
    ------
    EvaluationError
        If there is no ground truth, or a box lies after the last frame.
    MissingDependencyError
        If TrackEval is not installed.
    """
    metrics = _metrics()
    if not len(truth):
        raise EvaluationError("there is no ground truth: at least one box is needed to compare with")
    sequence = _align(results, truth, num_frames)
    return _summarise(_score(metrics, sequence), [sequence])


def evaluate_many(sequences: Mapping[str, tuple[MotRows, MotRows]]) -> AccuracyTable:
    """Compare tracks with ground truth, sequence by sequence and over all.

    Parameters
    ----------
    sequences : mapping of str to (MotRows, MotRows)
        Results and ground truth, by the sequence's name.

    Returns
    -------
    AccuracyTable

    Raises
    ------
    EvaluationError
        If a sequence has no ground truth, or there is no sequence.
    MissingDependencyError
        If TrackEval is not installed.
    """
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
        sequences={name: _summarise(scores[name], [aligned[name]]) for name in aligned},
        combined=_summarise(combined, list(aligned.values())),
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
    """Build what TrackEval's metrics take: ids and overlaps, frame by frame.

    Only frames that hold a box are listed. The metrics pass over the others unchanged, and a stray
    frame number of a thousand million would otherwise make as many lists.
    """
    last = int(max(results.frame.max(initial=0), truth.frame.max(initial=0)))
    if num_frames is not None and last > num_frames:
        raise EvaluationError(f"a box lies in frame {last} of a sequence of {num_frames} frames")
    result_ids, result_index = np.unique(results.track_id, return_inverse=True)
    truth_ids, truth_index = np.unique(truth.track_id, return_inverse=True)
    frames = np.union1d(results.frame, truth.frame)
    result_rows, truth_rows = _rows_by_frame(results.frame, frames), _rows_by_frame(truth.frame, frames)
    return {
        "num_timesteps": last if num_frames is None else num_frames,
        "num_gt_ids": len(truth_ids),
        "num_gt_dets": len(truth),
        "num_tracker_ids": len(result_ids),
        "num_tracker_dets": len(results),
        "gt_ids": [truth_index[rows] for rows in truth_rows],
        "tracker_ids": [result_index[rows] for rows in result_rows],
        "similarity_scores": [
            _iou(truth.xyxy[a], results.xyxy[b]) for a, b in zip(truth_rows, result_rows, strict=True)
        ],
    }


def _rows_by_frame(frame: Int64Array, frames: Int64Array) -> list[Int64Array]:
    """Find the rows of each of ``frames`` (ascending): indices, in the order of the rows."""
    order = np.argsort(frame, kind="stable")
    return np.split(order, np.searchsorted(frame[order], frames[1:]))


def _iou(a: Float64Array, b: Float64Array) -> Float64Array:
    """Overlap of every pair of boxes, float64 (M, 4) and (N, 4), xyxy edges; 0 for a box without area.

    TrackEval's convention, unlike the tracker's own, which counts pixels inclusively.
    """
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    overlap: Float64Array = np.prod(np.maximum(sides, 0), axis=-1)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    union: Float64Array = area_a[:, None] + area_b[None] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=overlap > 0)


def _score(metrics: Mapping[str, Any], sequence: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metric.eval_sequence(sequence) for name, metric in metrics.items()}


def _summarise(score: Mapping[str, Any], sequences: list[dict[str, Any]]) -> Accuracy:
    hota, clear, identity = score["HOTA"], score["CLEAR"], score["Identity"]

    def count(key: str) -> int:
        return sum(int(sequence[key]) for sequence in sequences)

    return Accuracy(
        hota=float(np.mean(hota["HOTA"])),
        deta=float(np.mean(hota["DetA"])),
        assa=float(np.mean(hota["AssA"])),
        loca=float(np.mean(hota["LocA"])),
        mota=float(clear["MOTA"]),
        motp=float(clear["MOTP"]),
        idf1=float(identity["IDF1"]),
        idp=float(identity["IDP"]),
        idr=float(identity["IDR"]),
        recall=float(clear["CLR_Re"]),
        precision=float(clear["CLR_Pr"]),
        tp=int(clear["CLR_TP"]),
        fp=int(clear["CLR_FP"]),
        fn=int(clear["CLR_FN"]),
        idsw=int(clear["IDSW"]),
        frag=int(clear["Frag"]),
        mt=int(clear["MT"]),
        pt=int(clear["PT"]),
        ml=int(clear["ML"]),
        gt_ids=count("num_gt_ids"),
        gt_boxes=count("num_gt_dets"),
        track_ids=count("num_tracker_ids"),
        track_boxes=count("num_tracker_dets"),
        frames=count("num_timesteps"),
    )
