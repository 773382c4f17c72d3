"""The rungs that look at identities over time: association, tracks, and both against ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.accuracy import Accuracy, evaluate_many
from edge_fairmot.benchmarks.bootstrap import Intervals, bootstrap
from edge_fairmot.benchmarks.frame_counts import FrameCounts, count_by_frame, joined
from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.benchmarks.peak_matching import match_boxes
from edge_fairmot.types import Tracks


@dataclass(frozen=True, slots=True)
class AssociationFigures:
    """Whether both give the same names.

    The tracks of a frame are matched by their boxes. A pair of identities, one of the reference and one of
    the candidate, is made when both are matched for the first time. The assignment of a frame differs if a
    match in it breaks a pair: one of the two had another partner so far. The new pair counts from then on,
    so that one exchange is one frame, not all that follow.

    Attributes
    ----------
    share : float or None
        Frames whose assignment differs, of all.
    changed_frames : int
    frames : int
    unpaired : int
        Boxes of tracks of either side without a partner: what is lost or found a frame later, not misnamed.
    """

    share: float | None
    changed_frames: int
    frames: int
    unpaired: int


@dataclass(frozen=True, slots=True)
class TrackFigures:
    """The candidate's tracks, with the reference's in the place of ground truth.

    Attributes
    ----------
    idf1, mota : float or None
        None where neither side has tracks.
    idsw, fp, fn : int
    reference_ids, candidate_ids : int
        Identities given out.
    """

    idf1: float | None
    mota: float | None
    idsw: int
    fp: int
    fn: int
    reference_ids: int
    candidate_ids: int


@dataclass(frozen=True, slots=True)
class TruthFigures:
    """Both models against ground truth.

    Attributes
    ----------
    reference, candidate : Accuracy
        Over all sequences.
    intervals : dict of str to Intervals
        ``mota`` and ``idf1``, see :mod:`edge_fairmot.benchmarks.bootstrap`; empty for short footage.
    by_sequence : dict of str to (Accuracy, Accuracy)
        Reference and candidate.
    """

    reference: Accuracy
    candidate: Accuracy
    intervals: Mapping[str, Intervals]
    by_sequence: Mapping[str, tuple[Accuracy, Accuracy]]


class SequenceRungs:
    """Takes the tracks of one sequence, frame after frame.

    Parameters
    ----------
    name : str
    frame_rate : float
    truth : MotRows, optional
        Rows after the last frame taken are passed over.
    """

    def __init__(self, name: str, frame_rate: float, truth: MotRows | None = None) -> None:
        self.name = name
        self.frame_rate = frame_rate
        self.frames = self.changed_frames = self.unpaired = 0
        self._truth = truth
        self._partner: tuple[dict[int, int], dict[int, int]] = {}, {}
        self._tracks: tuple[list[Tracks], list[Tracks]] = [], []

    def add(self, reference: Tracks, candidate: Tracks) -> bool:
        """Take one frame; tells whether its assignment differs."""
        self.frames += 1
        for kept, tracks in zip(self._tracks, (reference, candidate), strict=True):
            kept.append(tracks)
        pairs, _ = match_boxes(
            reference.xyxy.astype(np.float64),
            reference.class_id,
            candidate.xyxy.astype(np.float64),
            candidate.class_id,
        )
        self.unpaired += len(reference) + len(candidate) - 2 * len(pairs)
        partner_of, owner_of = self._partner
        changed = False
        for row, column in pairs:
            ours, theirs = int(reference.track_id[row]), int(candidate.track_id[column])
            if partner_of.get(ours, theirs) != theirs or owner_of.get(theirs, ours) != ours:
                changed = True
                self._part(ours, theirs)
            partner_of[ours], owner_of[theirs] = theirs, ours
        self.changed_frames += changed
        return changed

    def _part(self, ours: int, theirs: int) -> None:
        """Undo the pairs that two identities are in."""
        partner_of, owner_of = self._partner
        if (partner := partner_of.pop(ours, None)) is not None:
            del owner_of[partner]
        if (owner := owner_of.pop(theirs, None)) is not None:
            del partner_of[owner]

    def rows(self) -> tuple[MotRows, MotRows]:
        """Tracks of the reference and of the candidate."""
        reference, candidate = self._tracks
        return MotRows.of_tracks(reference), MotRows.of_tracks(candidate)

    def truth(self) -> MotRows | None:
        """Ground truth of the frames that were taken."""
        return None if self._truth is None else self._truth.select(self._truth.frame <= self.frames)


def association_figures(sequences: list[SequenceRungs]) -> AssociationFigures:
    """Sum up how often names differ."""
    frames = sum(sequence.frames for sequence in sequences)
    changed = sum(sequence.changed_frames for sequence in sequences)
    unpaired = sum(sequence.unpaired for sequence in sequences)
    return AssociationFigures(changed / frames if frames else None, changed, frames, unpaired)


def track_figures(sequences: list[SequenceRungs]) -> TrackFigures:
    """Compare the candidate's tracks with the reference's. An identity belongs to its sequence."""
    rows = [sequence.rows() for sequence in sequences]
    counts = joined(
        [
            count_by_frame(candidate, reference, sequence.frames)
            for sequence, (reference, candidate) in zip(sequences, rows, strict=True)
        ]
    )
    truth, results, matched = (int(values.sum()) for values in (counts.truth, counts.results, counts.matched))
    return TrackFigures(
        idf1=counts.idf1 if truth + results else None,
        mota=counts.mota if truth + results else None,
        idsw=int(counts.switches.sum()),
        fp=results - matched,
        fn=truth - matched,
        reference_ids=sum(len(set(reference.track_id.tolist())) for reference, _ in rows),
        candidate_ids=sum(len(set(candidate.track_id.tolist())) for _, candidate in rows),
    )


def truth_figures(sequences: list[SequenceRungs]) -> TruthFigures | None:
    """Compare both with ground truth; None where no sequence has one.

    Raises
    ------
    MissingDependencyError
        If TrackEval is not installed.
    EvaluationError
        If the ground truth has no box in the frames that were taken.
    """
    known = [(sequence, truth) for sequence in sequences if (truth := sequence.truth()) is not None]
    if not known:
        return None
    rows = [sequence.rows() for sequence, _ in known]
    # A source may be given twice.
    names = [f"{number}: {sequence.name}" for number, (sequence, _) in enumerate(known, start=1)]
    tables = [
        evaluate_many(
            {name: (row[side], truth) for name, row, (_, truth) in zip(names, rows, known, strict=True)}
        )
        for side in (0, 1)
    ]
    counts: list[list[FrameCounts]] = [
        [
            count_by_frame(row[side], truth, sequence.frames)
            for row, (sequence, truth) in zip(rows, known, strict=True)
        ]
        for side in (0, 1)
    ]
    reference, candidate = tables
    return TruthFigures(
        reference=reference.combined,
        candidate=candidate.combined,
        intervals=bootstrap(counts[0], counts[1], [sequence.frame_rate for sequence, _ in known]),
        by_sequence={name: (reference.sequences[name], candidate.sequences[name]) for name in names},
    )
