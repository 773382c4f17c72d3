"""Sources of labelled images by name: tables, MOTChallenge sequences and synthetic streets."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.mot_text import PEOPLE, read_ground_truth
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

Labels = Callable[[int], tuple[Float32Array, Int64Array, BoolArray, Int64Array]]
"""From a frame's index: xyxy in source pixels, identities, which are to be ignored, and classes."""


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
    classes: Sequence[str] = (),
) -> LabelledSet:
    """Read sources of :func:`find_labelled`, at most so many images of each sequence, all of each file.

    The images of tables and labels files may also be in the folders ``media``. ``labels`` are united with the
    boxes of tables, by name. ``classes`` are the names to learn; boxes of others are background. Without
    them, people are learned.
    """
    people = len(classes) == 1 and classes[0].lower() in PEOPLE
    named = () if people else tuple(classes)

    def read(source: str) -> LabelledSet:
        if source.endswith(TABLE_SUFFIX):
            return read_table(Path(source), validation_images, media, labels, named)
        if source.endswith(LABELS_SUFFIX):
            if named:
                raise InvalidInputError(f"{source} is of people only: leave it out, or --classes")
            return read_labels_file(Path(source), media, validation_images)
        return _read_sequence(source, input_size, images, validation_images, named)

    return LabelledSet.concat(map(read, sources))


def _read_sequence(
    spec: str, input_size: tuple[int, int], images: int, validation_images: int, classes: Sequence[str]
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
        is_street = spec.startswith(STREET_PREFIX)
        labels = _labels_of_street(source, classes) if is_street else _labels_of_file(spec, classes)
        split = validation_start(count)
        steps = math.ceil(split / images), math.ceil((count - split) / validation_images)
        parts: tuple[list[LabelledImage], list[LabelledImage]] = ([], [])
        numbers: dict[tuple[int, int], int] = {}  # by class and number in the file
        letterbox = Letterbox(info.frame_size, input_size)
        width, height = info.frame_size
        # By position: the numbers of a sequence's frames may have gaps and start anywhere.
        for position, frame in enumerate(source):
            part = int(position >= split)
            if (position - part * split) % steps[part]:
                continue
            xyxy, identity, ignore, class_id = labels(frame.index)
            # So may the numbers of its people. Where the class is not known, the identity is not either.
            known = zip(class_id.tolist(), identity.tolist(), strict=True)
            identity = np.array(
                [numbers.setdefault(one, len(numbers)) if one[0] >= 0 else -1 for one in known], np.int64
            )
            pixels = shrink(frame.image, letterbox)
            image = LabelledImage(
                name=f"{info.name}, frame {frame.number}",
                encoded=encode(pixels),
                xyxy=(xyxy / (width, height, width, height)).astype(np.float32),
                identity=identity,
                ignore=ignore,
                time_s=frame.time_s,
                class_id=class_id,
            )
            parts[part].append(image)
    taken = [*parts[0], *parts[1]]
    if empty := sum(not len(image.xyxy) for image in taken):
        _log.warning("%s: %d of %d images have no labels: they are learned as empty", spec, empty, len(taken))
    return LabelledSet(tuple(parts[0]), tuple(parts[1]), len(numbers))


def _labels_of_street(source: Any, classes: Sequence[str]) -> Labels:
    from edge_fairmot.sinks.text import MIN_VISIBILITY  # noqa: PLC0415

    people = next((number for number, name in enumerate(classes) if name.lower() in PEOPLE), None)
    if classes and people is None:
        raise InvalidInputError(
            f"{source.info.name} shows people only, and --classes has {', '.join(classes)}"
        )

    def labels(index: int) -> tuple[Float32Array, Int64Array, BoolArray, Int64Array]:
        truth = source.truth(index)
        class_id = np.full(len(truth), people or 0, np.int64)
        return truth.xyxy, truth.ids, truth.visibility < MIN_VISIBILITY, class_id

    return labels


def _labels_of_file(sequence: str, classes: Sequence[str]) -> Labels:
    path = Path(sequence) / "gt" / "gt.txt"
    truths = [read_ground_truth(path, class_name=name, may_be_empty=True) for name in classes or (None,)]
    boxes = truths[0].boxes
    class_id = np.full(len(boxes), -1 if classes else 0, np.int64)
    for number, truth in enumerate(truths):
        class_id[truth.scored] = number
    # A box that is marked as not to be scored, or distracts, is neither a person nor background; a car that
    # is not to be learned is background.
    unmarked = np.trunc(boxes.confidence) == 0
    scored = np.any([truth.scored for truth in truths], axis=0)
    kept = scored | unmarked | np.any([truth.distractor for truth in truths], axis=0)
    rows, scored, class_id = boxes[kept], scored[kept], class_id[kept]

    def labels(index: int) -> tuple[Float32Array, Int64Array, BoolArray, Int64Array]:
        here = rows.frame == index + 1
        return rows.xyxy[here].astype(np.float32), rows.track_id[here], ~scored[here], class_id[here]

    return labels
