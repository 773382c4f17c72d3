"""The parity ladder: a candidate against its reference on real frames, from dense heads up to tracks."""

from __future__ import annotations

from dataclasses import dataclass

from edge_fairmot.benchmarks.disagreement import Disagreement, WorstFrames
from edge_fairmot.benchmarks.head_rung import HeadRung
from edge_fairmot.benchmarks.ladder_report import (
    LadderFigures,
    LadderReport,
    ListedPeak,
    Subject,
    judge,
)
from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.benchmarks.observation import Observation
from edge_fairmot.benchmarks.parity_budget import ParityBudget
from edge_fairmot.benchmarks.peak_matching import match_peaks, settle_ties
from edge_fairmot.benchmarks.peak_rungs import PeakRungs
from edge_fairmot.benchmarks.track_rungs import (
    SequenceRungs,
    association_figures,
    track_figures,
    truth_figures,
)
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.pipeline import select_detections
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Tracks, UInt8Array

LISTED = 100
"""So many are named in the report; all are counted."""


@dataclass(frozen=True, slots=True)
class FramePair:
    """One picture, as reference and candidate see it.

    Attributes
    ----------
    image : uint8 (H, W, 3)
        BGR, letterboxed.
    index : int
        Position in the source, from 0.
    time_s : float
    letterbox : Letterbox
        The one the picture went through.
    reference, candidate : Observation
    """

    image: UInt8Array
    index: int
    time_s: float
    letterbox: Letterbox
    reference: Observation
    candidate: Observation


class ParityLadder:
    """Takes frame after frame, keeps figures only (and a few pictures, where asked).

    Parameters
    ----------
    budget : ParityBudget
    score_threshold : float
        Peaks and tracks must score more.
    pictures : int
        How many of the frames that differ most are kept.

    Raises
    ------
    InvalidInputError
        If the threshold is not farther from 0 and 1 than the budget's margin.
    """

    def __init__(self, budget: ParityBudget, score_threshold: float = 0.4, pictures: int = 0) -> None:
        if not budget.score_margin < score_threshold < 1 - budget.score_margin:
            raise InvalidInputError(
                f"score threshold must be between {budget.score_margin} and {1 - budget.score_margin}, "
                f"not {score_threshold}"
            )
        self._budget = budget
        self._threshold = score_threshold
        self._heads: dict[str, HeadRung] = {}
        self._peaks = PeakRungs()
        self._sequences: list[SequenceRungs] = []
        self._trackers: tuple[Tracker, Tracker] | None = None
        self._undecided: list[ListedPeak] = []
        self._tied: list[ListedPeak] = []
        self._worst = WorstFrames(pictures)

    def begin(self, name: str, frame_rate: float, truth: MotRows | None = None) -> None:
        """Start a sequence: both trackers forget.

        Parameters
        ----------
        name : str
        frame_rate : float
        truth : MotRows, optional
            Ground truth of the frames that follow; the first is frame 1.
        """
        config = TrackerConfig(score_threshold=self._threshold, frame_rate=frame_rate)
        self._trackers = Tracker(config), Tracker(config)
        self._sequences.append(SequenceRungs(name, frame_rate, truth))

    def add(self, pair: FramePair) -> None:
        """Take the next frame of the sequence.

        Raises
        ------
        EvaluationError
            If no sequence was begun, or the reference was recorded with too few detections.
        """
        if self._trackers is None:
            raise EvaluationError("a frame belongs to a sequence: call begin first")
        self._add_heads(pair)
        ours, theirs = pair.reference.detections, pair.candidate.detections
        margin = self._budget.score_margin
        cut = ours.scores.shape[1] < theirs.scores.shape[1] and ours.scores[0, -1] > self._threshold - margin
        if cut:
            raise EvaluationError(
                f"the reference holds {ours.scores.shape[1]} detections a frame, and all of frame "
                f"{pair.index} score more than {self._threshold - margin:g}: record it with more "
                "--max-detections"
            )
        match = match_peaks(ours, theirs, self._threshold, margin)
        if pair.reference.tied is not None:
            match = settle_ties(match, pair.reference.tied)
        self._peaks.add(match)
        reference_tracks, candidate_tracks = self._track(pair)
        sequence = self._sequences[-1]
        changed = sequence.add(reference_tracks, candidate_tracks)
        for listed, peaks in ((self._undecided, match.undecided()), (self._tied, match.tied_scores())):
            room = LISTED - len(listed)
            listed += [ListedPeak(sequence.name, pair.index, *scores) for scores in peaks[:room]]
        self._worst.offer(Disagreement.of_frame(sequence.name, pair.index, pair.image, match, changed))

    def worst_frames(self) -> list[Disagreement]:
        """Give the frames that differ most, the worst first."""
        return self._worst.frames()

    def report(self, reference: Subject, candidate: Subject) -> LadderReport:
        """Sum up.

        Parameters
        ----------
        reference, candidate : Subject
            What was compared.

        Raises
        ------
        EvaluationError
            If there was nothing to compare: no frame, or no peak in any.
        """
        peaks = self._peaks.peaks()
        if not peaks.reference_peaks and not peaks.candidate_peaks:
            frames = sum(sequence.frames for sequence in self._sequences)
            raise EvaluationError(
                f"{frames} frames hold no detection above {self._threshold:g} of either side, so nothing "
                "can be compared: give frames with people, or a lower --score-threshold"
            )
        figures = LadderFigures(
            heads={name: rung.figures() for name, rung in self._heads.items()} or None,
            peaks=peaks,
            boxes=self._peaks.boxes(),
            embeddings=self._peaks.embeddings(),
            association=association_figures(self._sequences),
            tracks=track_figures(self._sequences),
            truth=truth_figures(self._sequences),
        )
        return LadderReport(
            reference=reference,
            candidate=candidate,
            sequences=tuple((sequence.name, sequence.frames) for sequence in self._sequences),
            score_threshold=self._threshold,
            budget=self._budget,
            figures=figures,
            checks=judge(figures, self._budget),
            undecided=tuple(self._undecided),
            tied=tuple(self._tied),
        )

    def _add_heads(self, pair: FramePair) -> None:
        ours, theirs = pair.reference.heads, pair.candidate.heads
        if ours is None or theirs is None:
            return
        for name in ours.keys() & theirs.keys():
            self._heads.setdefault(name, HeadRung()).add(ours[name], theirs[name])

    def _track(self, pair: FramePair) -> tuple[Tracks, Tracks]:
        assert self._trackers is not None
        reference, candidate = (
            tracker.update(
                select_detections(seen.detections, pair.letterbox, self._threshold),
                pair.time_s,
            )
            for tracker, seen in zip(self._trackers, (pair.reference, pair.candidate), strict=True)
        )
        return reference, candidate
