"""Parity check: a candidate against its reference on real frames, from dense heads up to tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_fairmot.benchmarks.disagreement import Disagreement, WorstFrames
from edge_fairmot.benchmarks.frame_sources import letterboxed
from edge_fairmot.benchmarks.mot_text import MotTruth
from edge_fairmot.benchmarks.observation import Observation, Observer, check_same_network
from edge_fairmot.benchmarks.parity_budget import ParityBudget
from edge_fairmot.benchmarks.parity_levels import (
    HeadErrors,
    SequenceTracks,
    association_figures,
    track_figures,
    truth_figures,
)
from edge_fairmot.benchmarks.parity_report import (
    ListedPeak,
    ParityFigures,
    ParityReport,
    Subject,
    check_figures,
)
from edge_fairmot.benchmarks.peak_matching import PeakStatistics, match_peaks, settle_ties
from edge_fairmot.benchmarks.reference_outputs import ReferenceOutputs
from edge_fairmot.detector import select_detections
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.protocols import Source
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import UInt8Array

LISTED = 100
"""Number of undecided or tied objects that a report lists; all are counted."""


@dataclass(frozen=True, slots=True)
class FramePair:
    """Outputs of reference and candidate for one frame."""

    image: UInt8Array  # (H, W, 3), BGR, letterboxed
    index: int  # position in the source, from 0
    time_s: float
    letterbox: Letterbox
    reference: Observation
    candidate: Observation


class ParityCheck:
    """Compares two models frame after frame. It keeps figures and the images of ``worst_frames`` frames."""

    def __init__(self, budget: ParityBudget, score_threshold: float = 0.4, worst_frames: int = 0) -> None:
        if not budget.score_margin < score_threshold < 1 - budget.score_margin:
            raise InvalidInputError(
                f"score threshold must be between {budget.score_margin} and {1 - budget.score_margin}, "
                f"not {score_threshold}"
            )
        self._budget = budget
        self._threshold = score_threshold
        self._heads: dict[str, HeadErrors] = {}
        self._peaks = PeakStatistics()
        self._sequences: list[SequenceTracks] = []
        self._trackers: tuple[Tracker, ...] = ()
        self._undecided: list[ListedPeak] = []
        self._tied: list[ListedPeak] = []
        self._worst = WorstFrames(worst_frames)

    def begin(self, name: str, frame_rate: float, truth: MotTruth | None = None) -> None:
        """Start a sequence with new trackers; ``truth`` is the ground truth of its frames."""
        config = TrackerConfig(score_threshold=self._threshold, frame_rate=frame_rate)
        self._trackers = Tracker(config), Tracker(config)
        self._sequences.append(SequenceTracks(name, frame_rate, truth))

    def add(self, pair: FramePair) -> None:
        """Compare the next frame of the sequence."""
        if not self._sequences:
            raise EvaluationError("a frame belongs to a sequence: call begin first")
        for name in (pair.reference.heads or {}).keys() & (pair.candidate.heads or {}).keys():
            assert pair.reference.heads is not None
            assert pair.candidate.heads is not None
            heads = pair.reference.heads[name], pair.candidate.heads[name]
            self._heads.setdefault(name, HeadErrors()).add(*heads)
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
        reference, candidate = (
            tracker.update(select_detections(raw, pair.letterbox, self._threshold), pair.time_s)
            for tracker, raw in zip(self._trackers, (ours, theirs), strict=True)
        )
        sequence = self._sequences[-1]
        changed = sequence.add(reference, candidate, pair.index + 1)
        for listed, scores in ((self._undecided, match.undecided()), (self._tied, match.tied_scores())):
            room = LISTED - len(listed)
            listed += [ListedPeak(sequence.name, pair.index, *both) for both in scores[:room]]
        self._worst.offer(Disagreement.of_frame(sequence.name, pair.index, pair.image, match, changed))

    def worst_frames(self) -> list[Disagreement]:
        """Return the frames that differ most, the worst first."""
        return self._worst.frames()

    def report(self, reference: Subject, candidate: Subject) -> ParityReport:
        """Return the report over all frames; an error where no frame holds a sure peak of either side."""
        peaks = self._peaks.peaks()
        if not peaks.reference_peaks and not peaks.candidate_peaks:
            frames = sum(sequence.frames for sequence in self._sequences)
            raise EvaluationError(
                f"{frames} frames hold no detection above {self._threshold:g} of either side, so nothing "
                "can be compared: give frames with people, or a lower --score-threshold"
            )
        figures = ParityFigures(
            heads={name: errors.figures() for name, errors in self._heads.items()} or None,
            peaks=peaks,
            boxes=self._peaks.boxes(),
            embeddings=self._peaks.embeddings(),
            association=association_figures(self._sequences),
            tracks=track_figures(self._sequences),
            truth=truth_figures(self._sequences),
        )
        return ParityReport(
            reference=reference,
            candidate=candidate,
            sequences=tuple((sequence.name, sequence.frames) for sequence in self._sequences),
            score_threshold=self._threshold,
            budget=self._budget,
            figures=figures,
            checks=check_figures(figures, self._budget),
            undecided=tuple(self._undecided),
            tied=tuple(self._tied),
        )


def check_source(
    check: ParityCheck,
    reference: Observer,
    candidate: Observer,
    source: Source,
    *,
    truth: MotTruth | None = None,
    max_frames: int | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> None:
    """Compare two models on the frames of a source."""
    check_same_network(reference.manifest, candidate.manifest, f"the reference ({reference.name})")
    check.begin(source.info.name, source.info.frame_rate, truth)
    for frame, letterbox, images in letterboxed(source, candidate.manifest.input_size, max_frames):
        seen = reference.observe(images), candidate.observe(images)
        check.add(FramePair(images[0], frame.index, frame.time_s, letterbox, *seen))
        on_frame()


def check_reference_outputs(
    check: ParityCheck,
    recorded: ReferenceOutputs,
    candidate: Observer,
    *,
    max_frames: int | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> None:
    """Compare a model with recorded reference outputs, on their frames."""
    check_same_network(
        recorded.manifest, candidate.manifest, f"the recorded reference (of {recorded.source})"
    )
    check.begin(recorded.source, recorded.frame_rate)
    letterbox = Letterbox(recorded.source_size, recorded.manifest.input_size)
    for frame in recorded.frames[:max_frames]:
        seen = candidate.observe(frame.image[None])
        check.add(FramePair(frame.image, frame.index, frame.time_s, letterbox, frame.observation, seen))
        on_frame()
