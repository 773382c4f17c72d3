"""Plays a tape in place of a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fairmot.errors import InferenceError, TapeError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.runtimes.checks import RuntimeOptions, check_images
from edge_fairmot.tape import Tape, read_tape
from edge_fairmot.types import Frame, RawDetections, UInt8Array


class ReplayRuntime:
    """Gives what a tape holds, call by call; it needs no package and computes nothing.

    It is matched by order: the n-th call gives the n-th frame in which the recorded run looked for
    detections, whatever is in the picture. So the source, and the interval between the frames that are
    looked at, must be those of the recorded run; then boxes are the recorded ones to the last bit. What comes
    after the network may change, such as the tracker's settings or a higher score threshold.

    Parameters
    ----------
    path : str or Path
        A tape, see :mod:`edge_fairmot.tape`. It is held in memory.
    options : RuntimeOptions, optional
        There is nothing to set; ``threads`` is taken and does not matter.

    Raises
    ------
    TapeError
        If it cannot be read.
    InvalidInputError
        If another option is set.
    """

    name = "replay"

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        (options or RuntimeOptions()).check_supported(self.name, "threads")
        self._path = Path(path)
        self.tape = read_tape(path)
        self.manifest = self.tape.header.manifest
        self._played = 0
        self._closed = False

    def infer(self, images: UInt8Array) -> RawDetections:
        """Give the next frame of the tape.

        Parameters
        ----------
        images : uint8 (1, H, W, 3)
            Its shape is checked; it is not looked at.

        Returns
        -------
        RawDetections
            Input pixels. Places that the tape leaves empty have score 0.

        Raises
        ------
        InferenceError
            If the pictures do not fit the manifest, or the runtime is closed.
        TapeError
            Past the end of the tape.
        """
        if self._closed:
            raise InferenceError("this runtime is closed: open another with open_runtime")
        check_images(images, self.manifest)
        if self._played == len(self.tape):
            header = self.tape.header
            raise TapeError(
                f"{self._path} ends after {self._played} frames and one more was asked for: give the source "
                f"and interval that it was recorded with ({header.source}), or {self._path} as the source too"
            )
        self._played += 1
        return _raw_detections(self.tape, self._played - 1)

    def close(self) -> None:
        """End the playing."""
        self._closed = True


def _raw_detections(tape: Tape, frame: int) -> RawDetections:
    rows, manifest = tape.rows(frame), tape.header.manifest
    count, capacity = rows.stop - rows.start, manifest.max_detections
    raw = RawDetections(
        boxes=np.zeros((1, capacity, 4), np.float32),
        scores=np.zeros((1, capacity), np.float32),
        class_ids=np.zeros((1, capacity), np.int64),
        embeddings=np.zeros((1, capacity, manifest.embedding_dim), np.float32),
    )
    raw.boxes[0, :count] = tape.input_boxes_xyxy[rows]
    raw.scores[0, :count] = tape.score[rows]
    raw.class_ids[0, :count] = tape.class_id[rows]
    raw.embeddings[0, :count] = tape.embedding[rows]
    raw.embeddings[0, count:, 0] = 1.0  # of unit norm, as the contract has it
    return raw


class ReplayCheck:
    """Holds a run against the tape that it plays; called with each frame in which detections were looked for.

    Parameters
    ----------
    tape : Tape
    source : SourceInfo
        What the run reads.
    score_threshold : float
        What the run keeps.

    Raises
    ------
    TapeError
        If the source has another size than the recorded one, or the threshold is lower.
    """

    def __init__(self, tape: Tape, source: SourceInfo, score_threshold: float) -> None:
        recorded = tape.header
        if source.frame_size != recorded.frame_size:
            raise TapeError(
                f"{source.name} is {_size(source.frame_size)} pixels, the tape of {recorded.source} at "
                f"{_size(recorded.frame_size)}: give the source that it was recorded from"
            )
        if score_threshold < recorded.score_threshold:
            raise TapeError(
                f"the tape holds detections above {recorded.score_threshold:g} only, not above "
                f"{score_threshold:g}: give --score-threshold {recorded.score_threshold:g} or more and no "
                "--crowded, or record it again with what is asked for now"
            )
        self._tape = tape
        self._seen = 0

    def __call__(self, frame: Frame, raw: RawDetections) -> None:
        """Compare one frame with the one whose detections were given for it.

        Raises
        ------
        TapeError
            If they are not the same frame of the source.
        """
        recorded = int(self._tape.frame_index[self._seen])
        if frame.index != recorded:
            raise TapeError(
                f"detections were looked for in frame {frame.index + 1}, where the tape has those of frame "
                f"{recorded + 1}: give the --detect-every that it was recorded with, or the tape as the "
                "source with --detect-every 1"
            )
        self._seen += 1


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
