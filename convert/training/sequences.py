"""Sources of labelled images by name: tables, MOTChallenge sequences and synthetic streets."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.mot_text import read_ground_truth
from edge_fairmot.convert.training.crops import shrink
from edge_fairmot.convert.training.frames import validation_start
from edge_fairmot.convert.training.labels import LabelledImage, LabelledSet
from edge_fairmot.convert.training.stored_images import encode
from edge_fairmot.convert.training.table import TABLE_SUFFIX, read_table
from edge_fairmot.convert.training.teacher_labels import LABELS_SUFFIX, TeacherLabels, read_labels_file
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.sources import open_source
from edge_fairmot.sources.images import SEQINFO_NAME
from edge_fairmot.types import BoolArray, Float32Array, Int64Array

STREET_PREFIX = "synthetic:"

_log = logging.getLogger(__name__)

DETECTORS = re.compile(r"-(DPM|FRCNN|SDP)$")
"""MOT17 holds each sequence once for each of these detectors, with the same images and people."""

Labels = Callable[[int], tuple[Float32Array, Int64Array, BoolArray]]
"""From a frame's index: xyxy in source pixels, identities, and which are to be ignored."""


def find_labelled(specs: Iterable[str]) -> tuple[list[str], list[str]]:
    """Find the sources that are named, and the sequences left out because they repeat another's images.

    A spec is a table of boxes (``.tsv``), a labels file (``.npz``), a MOTChallenge sequence, a folder of
    such, or ``synthetic:``.
    """
    found: list[str] = []
    repeated: list[str] = []
    for spec in specs:
        folder = Path(spec)
        is_file = spec.endswith((TABLE_SUFFIX, LABELS_SUFFIX))
        if is_file and not folder.is_file():
            raise InvalidInputError(f"{spec} cannot be read (no such file): give a table of boxes")
        if is_file or spec.startswith(STREET_PREFIX) or (folder / SEQINFO_NAME).is_file():
            found.append(spec)
            continue
        sequences = sorted(str(path.parent) for path in folder.glob(f"*/{SEQINFO_NAME}"))
        if not sequences:
            raise InvalidInputError(
                f"{spec} has no boxes to learn from: give a table of them ({TABLE_SUFFIX}), a "
                f"labels file ({LABELS_SUFFIX}), a MOTChallenge sequence ({SEQINFO_NAME} and gt/gt.txt), a "
                f"folder of such, or {STREET_PREFIX}"
            )
        kept = {DETECTORS.sub("", sequence): sequence for sequence in reversed(sequences)}
        found += sorted(kept.values())
        repeated += sorted({*sequences} - {*kept.values()})
    return found, repeated


def read_labelled(
    sources: Iterable[str],
    input_size: tuple[int, int],
    images: int,
    validation_images: int,
    *,
    media: Sequence[Path] = (),
    labels: TeacherLabels | None = None,
) -> LabelledSet:
    """Read sources of :func:`find_labelled`, at most so many images of each sequence, all of each file.

    The images of tables and labels files may also be in the folders ``media``. ``labels`` are united with the
    boxes of tables, by name.
    """

    def read(source: str) -> LabelledSet:
        if source.endswith(TABLE_SUFFIX):
            return read_table(Path(source), validation_images, media, labels)
        if source.endswith(LABELS_SUFFIX):
            return read_labels_file(Path(source), media, validation_images)
        return _read_sequence(source, input_size, images, validation_images)

    return LabelledSet.concat(map(read, sources))


def _read_sequence(
    spec: str, input_size: tuple[int, int], images: int, validation_images: int
) -> LabelledSet:
    """Take images at equal distances; those of the last tenth are for validation."""
    with open_source(spec) as source:
        info = source.info
        count = info.frame_count
        if not count or count < 2:
            raise InvalidInputError(
                f"{spec} has {count or 'an unknown number of'} frames: give a sequence of which a tenth can "
                "be for validation, as in synthetic:frames=500"
            )
        labels = _labels_of_street(source) if spec.startswith(STREET_PREFIX) else _labels_of_file(spec)
        split = validation_start(count)
        steps = math.ceil(split / images), math.ceil((count - split) / validation_images)
        parts: tuple[list[LabelledImage], list[LabelledImage]] = ([], [])
        numbers: dict[int, int] = {}
        letterbox = Letterbox(info.frame_size, input_size)
        width, height = info.frame_size
        # By position: the numbers of a sequence's frames may have gaps and start anywhere.
        for position, frame in enumerate(source):
            part = int(position >= split)
            if (position - part * split) % steps[part]:
                continue
            xyxy, identity, ignore = labels(frame.index)
            pixels = shrink(frame.image, letterbox)
            image = LabelledImage(
                name=f"{info.name}, frame {frame.number}",
                encoded=encode(pixels),
                xyxy=(xyxy / (width, height, width, height)).astype(np.float32),
                # So may the numbers of its people.
                identity=np.array([numbers.setdefault(n, len(numbers)) for n in identity.tolist()], np.int64),
                ignore=ignore,
                time_s=frame.time_s,
            )
            parts[part].append(image)
    taken = [*parts[0], *parts[1]]
    if empty := sum(not len(image.xyxy) for image in taken):
        _log.warning("%s: %d of %d images have no labels: they are learned as empty", spec, empty, len(taken))
    return LabelledSet(tuple(parts[0]), tuple(parts[1]), len(numbers))


def _labels_of_street(source: Any) -> Labels:
    from edge_fairmot.sinks.text import MIN_VISIBILITY  # noqa: PLC0415

    def labels(index: int) -> tuple[Float32Array, Int64Array, BoolArray]:
        truth = source.truth(index)
        return truth.xyxy, truth.ids, truth.visibility < MIN_VISIBILITY

    return labels


def _labels_of_file(sequence: str) -> Labels:
    truth = read_ground_truth(Path(sequence) / "gt" / "gt.txt", may_be_empty=True)
    # A box that is marked as not to be scored, or distracts, is neither a person nor background; a car is
    # background.
    unmarked = np.trunc(truth.boxes.confidence) == 0
    kept = truth.scored | truth.distractor | unmarked
    rows, scored = truth.boxes[kept], truth.scored[kept]

    def labels(index: int) -> tuple[Float32Array, Int64Array, BoolArray]:
        here = rows.frame == index + 1
        return rows.xyxy[here].astype(np.float32), rows.track_id[here], ~scored[here]

    return labels
