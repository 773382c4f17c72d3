"""Frames through reference and candidate, and up the parity ladder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from edge_fairmot.benchmarks.golden import Golden, GoldenFrame, select_golden_values
from edge_fairmot.benchmarks.ladder import FramePair, ParityLadder
from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.benchmarks.observation import Observer, check_same_network
from edge_fairmot.errors import EvaluationError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.protocols import Source
from edge_fairmot.types import Frame, UInt8Array


def _ignore() -> None:
    pass


def climb_source(
    ladder: ParityLadder,
    reference: Observer,
    candidate: Observer,
    source: Source,
    *,
    truth: MotRows | None = None,
    max_frames: int | None = None,
    on_frame: Callable[[], None] = _ignore,
) -> None:
    """Take the frames of one source.

    Parameters
    ----------
    ladder : ParityLadder
    reference, candidate : Observer
    source : Source
    truth : MotRows, optional
        Its ground truth.
    max_frames : int, optional
        Stop after so many.
    on_frame : callable, optional
        Called after each frame.

    Raises
    ------
    EvaluationError
        If the two are not of the same checkpoint and input size.
    EdgeFairmotError
        From the source or a runtime.
    """
    check_same_network(reference.manifest, candidate.manifest, f"the reference ({reference.name})")
    ladder.begin(source.info.name, source.info.frame_rate, truth)
    for frame, letterbox, images in letterboxed(source, candidate.manifest.input_size, max_frames):
        ladder.add(
            FramePair(
                image=images[0],
                index=frame.index,
                time_s=frame.time_s,
                letterbox=letterbox,
                reference=reference.observe(images),
                candidate=candidate.observe(images),
            )
        )
        on_frame()


def climb_golden(
    ladder: ParityLadder,
    golden: Golden,
    candidate: Observer,
    *,
    max_frames: int | None = None,
    on_frame: Callable[[], None] = _ignore,
) -> None:
    """Take the frames of a golden; see :func:`climb_source`."""
    check_same_network(golden.manifest, candidate.manifest, f"the golden (of {golden.source})")
    ladder.begin(golden.source, golden.frame_rate)
    letterbox = Letterbox(golden.source_size, golden.manifest.input_size)
    for frame in golden.frames[:max_frames]:
        ladder.add(
            FramePair(
                image=frame.image,
                index=frame.index,
                time_s=frame.time_s,
                letterbox=letterbox,
                reference=frame.observation,
                candidate=candidate.observe(frame.image[None]),
            )
        )
        on_frame()


def record_frames(
    reference: Observer,
    source: Source,
    max_frames: int,
    max_detections: int,
    *,
    first_frame: int = 0,
    on_frame: Callable[[], None] = _ignore,
) -> Iterator[GoldenFrame]:
    """Look at some frames of a source, one after the other, for a golden.

    Parameters
    ----------
    reference : Observer
        One that gives dense heads.
    source : Source
    max_frames, max_detections : int
    first_frame : int
        From 0; those before are passed over.
    on_frame : callable, optional
        Called after each frame.

    Yields
    ------
    GoldenFrame
    """
    frames = letterboxed(source, reference.manifest.input_size, max_frames, first_frame)
    for frame, _, images in frames:
        seen = select_golden_values(reference.observe(images), max_detections)
        yield GoldenFrame(images[0].copy(), frame.index, frame.time_s, seen)
        on_frame()


def letterboxed(
    source: Source, input_size: tuple[int, int], max_frames: int | None, first_frame: int = 0
) -> Iterator[tuple[Frame, Letterbox, UInt8Array]]:
    """Fit the frames of a source to a model's input.

    Parameters
    ----------
    source : Source
    input_size : (int, int)
        Width and height, pixels.
    max_frames : int, optional
    first_frame : int
        From 0; those before are passed over.

    Yields
    ------
    frame : Frame
    letterbox : Letterbox
    images : uint8 (1, H, W, 3)
        Valid until the next.
    """
    if max_frames is not None and max_frames < 1:
        raise EvaluationError(f"--frames must be at least 1, not {max_frames}")
    batch = np.empty((1, *input_size[::-1], 3), np.uint8)
    end = None if max_frames is None else first_frame + max_frames
    for frame in islice(source, first_frame, end):
        height, width = frame.image.shape[:2]
        letterbox = Letterbox((width, height), input_size)
        letterbox.apply(frame.image, out=batch[0])
        yield frame, letterbox, batch
