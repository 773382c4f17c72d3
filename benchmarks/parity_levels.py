"""The levels of a parity check that need all frames: dense heads, association, tracks, ground truth.

The levels between them (peaks, boxes, embeddings) are in :mod:`edge_fairmot.benchmarks.peak_matching`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.accuracy import Accuracy, evaluate_many
from edge_fairmot.benchmarks.frame_counts import FrameCounts, Intervals, bootstrap, count_by_frame
from edge_fairmot.benchmarks.mot_text import MotRows, MotTruth
from edge_fairmot.benchmarks.observation import DenseHead
from edge_fairmot.benchmarks.peak_matching import match_boxes
from edge_fairmot.errors import EvaluationError
from edge_fairmot.types import Tracks


@dataclass(frozen=True, slots=True)
class HeadFigures:
    """Absolute errors of one dense head over all frames, as shares of the reference head's range."""

    largest_error: float
    mean_error: float
    low: float  # the range, over all frames
    high: float
    values: int  # compared


class HeadErrors:
    """Compares one dense head, frame after frame."""

    def __init__(self) -> None:
        self._largest = self._total = 0.0
        self._low, self._high = np.inf, -np.inf
        self._values = 0

    def add(self, reference: DenseHead, candidate: DenseHead) -> None:
        """Add one frame. The reference may be a selection, the candidate must be whole."""
        if reference.size != candidate.size:
            raise EvaluationError(
                f"a dense head has {candidate.size} values, the reference's {reference.size}: "
                "convert again from the same checkpoint with the same --size"
            )
        if reference.positions is not None:
            candidate = candidate.select(reference.positions)
        error = np.abs(candidate.values.astype(np.float64) - reference.values)
        # Python's max may drop a NaN; np.maximum keeps it, and the level fails.
        self._largest = float(np.maximum(self._largest, error.max(initial=0)))
        self._total += float(error.sum())
        self._values += error.size
        self._low, self._high = min(self._low, reference.low), max(self._high, reference.high)

    def figures(self) -> HeadFigures:
        """Return the errors over the frames so far."""
        span = max(self._high - self._low, float(np.finfo(np.float32).tiny))
        mean = self._total / max(self._values, 1)
        return HeadFigures(self._largest / span, mean / span, self._low, self._high, self._values)


@dataclass(frozen=True, slots=True)
class AssociationFigures:
    """Frames in which an identity changes; see :class:`SequenceTracks`."""

    share: float | None  # of all frames
    changed_frames: int
    frames: int
    unpaired: int  # boxes of tracks without a partner: found or lost a frame later, not renamed


@dataclass(frozen=True, slots=True)
class TrackFigures:
    """The candidate's tracks, with the reference's tracks as ground truth."""

    idf1: float | None  # None where neither side has tracks
    mota: float | None
    idsw: int
    fp: int
    fn: int
    reference_ids: int
    candidate_ids: int


@dataclass(frozen=True, slots=True)
class TruthFigures:
    """Both models against ground truth."""

    reference: Accuracy  # over all sequences
    candidate: Accuracy
    intervals: Mapping[str, Intervals]  # mota and idf1; empty for few frames
    by_sequence: Mapping[str, tuple[Accuracy, Accuracy]]  # reference and candidate


class SequenceTracks:
    """Tracks of reference and candidate in one sequence, frame after frame.

    The tracks of a frame are matched by their boxes. Two identities become partners in the frame of their
    first match. A frame is changed if a match in it separates partners: one of the two had another partner
    before. The new pair counts from then on, so that one exchange is one changed frame.
    """

    def __init__(self, name: str, frame_rate: float, truth: MotTruth | None = None) -> None:
        self.name = name
        self.frame_rate = frame_rate
        self.frames = self.changed_frames = self.unpaired = 0
        self._truth = truth
        self._partner: tuple[dict[int, int], dict[int, int]] = {}, {}
        self._tracks: tuple[list[Tracks], list[Tracks]] = [], []
        self._numbers: list[int] = []

    def add(self, reference: Tracks, candidate: Tracks, number: int | None = None) -> bool:
        """Add one frame; returns whether it is changed. Without ``number`` it counts by its position."""
        self.frames += 1
        self._numbers.append(self.frames if number is None else number)
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
                self._separate(ours, theirs)
            partner_of[ours], owner_of[theirs] = theirs, ours
        self.changed_frames += changed
        return changed

    def _separate(self, ours: int, theirs: int) -> None:
        """Remove the pairs of two identities."""
        partner_of, owner_of = self._partner
        if (partner := partner_of.pop(ours, None)) is not None:
            del owner_of[partner]
        if (owner := owner_of.pop(theirs, None)) is not None:
            del partner_of[owner]

    def rows(self) -> tuple[MotRows, MotRows]:
        """Return the tracks of the reference and of the candidate."""
        reference, candidate = self._tracks
        return MotRows.of_tracks(reference), MotRows.of_tracks(candidate)

    def truth(self) -> MotTruth | None:
        """Return the ground truth of the frames so far, by their position."""
        return None if self._truth is None else self._truth.at_frames(self._numbers)


def association_figures(sequences: Sequence[SequenceTracks]) -> AssociationFigures:
    """Return changed frames of all sequences."""
    frames = sum(sequence.frames for sequence in sequences)
    changed = sum(sequence.changed_frames for sequence in sequences)
    unpaired = sum(sequence.unpaired for sequence in sequences)
    return AssociationFigures(changed / frames if frames else None, changed, frames, unpaired)


def track_figures(sequences: Sequence[SequenceTracks]) -> TrackFigures:
    """Return the candidate's tracks against the reference's. An identity belongs to its sequence."""
    rows = [sequence.rows() for sequence in sequences]
    counts = FrameCounts.concat(
        [
            count_by_frame(candidate, reference, sequence.frames)
            for sequence, (reference, candidate) in zip(sequences, rows, strict=True)
        ]
    )
    return TrackFigures(
        idf1=counts.idf1 if counts.boxes else None,
        mota=counts.mota if counts.boxes else None,
        idsw=counts.idsw,
        fp=counts.fp,
        fn=counts.fn,
        reference_ids=sum(len(set(reference.track_id.tolist())) for reference, _ in rows),
        candidate_ids=sum(len(set(candidate.track_id.tolist())) for _, candidate in rows),
    )


def truth_figures(sequences: Sequence[SequenceTracks]) -> TruthFigures | None:
    """Return both sides against ground truth, by TrackEval; None where no sequence has ground truth."""
    known = [(sequence, truth) for sequence in sequences if (truth := sequence.truth()) is not None]
    if not known:
        return None
    rows = [tuple(map(truth.without_distractors, sequence.rows())) for sequence, truth in known]
    # A source may be given twice.
    names = [f"{number}: {sequence.name}" for number, (sequence, _) in enumerate(known, start=1)]
    reference, candidate = (
        evaluate_many(
            {name: (row[side], truth.rows) for name, row, (_, truth) in zip(names, rows, known, strict=True)}
        )
        for side in (0, 1)
    )
    counts = [
        [
            count_by_frame(row[side], truth.rows, sequence.frames)
            for row, (sequence, truth) in zip(rows, known, strict=True)
        ]
        for side in (0, 1)
    ]
    return TruthFigures(
        reference=reference.combined,
        candidate=candidate.combined,
        intervals=bootstrap(counts[0], counts[1], [sequence.frame_rate for sequence, _ in known]),
        by_sequence={name: (reference.sequences[name], candidate.sequences[name]) for name in names},
    )
