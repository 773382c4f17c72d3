"""Labels that other detectors and re-identification networks made: boxes with scores, and embeddings.

A labels file is an ``.npz`` with ``name`` (P,), the images' names; ``picture`` int (B,), the image of each
box, an index into ``name``; ``box_cxcywh_normalised`` float (B, 4), centre, width and height in shares of the
image; ``score`` float (B,) or (B, T), of which the first column counts; and, where embeddings are taught,
``embedding`` float (B, D).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge_fairmot.boxes import iou_inclusive
from edge_fairmot.convert.training.frames import validation_start
from edge_fairmot.convert.training.labels import LabelledImage, LabelledSet
from edge_fairmot.convert.training.stored_images import read_images
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import BoolArray, Float32Array

LABELS_SUFFIX = ".npz"

SURE = 0.3
"""Least score of a box that is taught as a person. Below it, a box is neither a person nor background."""

SAME_IOU = 0.5
"""Least IoU of a teacher's box and a given one that are of the same person."""


@dataclass(frozen=True, slots=True)
class TeacherBoxes:
    """What a teacher sees in one image."""

    xyxy: Float32Array  # float32 (N, 4), shares of width and height
    score: Float32Array  # float32 (N,)
    embedding: Float32Array  # float32 (N, D), unit norm; D is 0 without embeddings


TeacherLabels: TypeAlias = Mapping[str, TeacherBoxes]
"""By the image's name."""


def read_teacher_labels(paths: Iterable[Path]) -> dict[str, TeacherBoxes]:
    """Read labels files; an image that is in two of them is refused."""
    labels: dict[str, TeacherBoxes] = {}
    for path in paths:
        found = _read_file(path)
        if twice := labels.keys() & found.keys():
            raise InvalidInputError(f"{path} labels {min(twice)!r}, and so does a file before it")
        labels.update(found)
    if len({boxes.embedding.shape[1] for boxes in labels.values()}) > 1:
        raise InvalidInputError("the labels files have embeddings of different lengths: give those of one")
    return labels


def read_labels_file(path: Path, media: Sequence[Path], validation_images: int) -> LabelledSet:
    """Read the images that a labels file names; the last tenth of each sequence is for validation.

    Names that differ in their last number only are of one sequence.
    """
    labels = read_teacher_labels([path])
    stored = read_images(list(labels), [path.parent, *media])
    sequences: dict[str, list[LabelledImage]] = {}
    for (name, boxes), image in zip(labels.items(), stored, strict=True):
        labelled = unite(
            LabelledImage(name, image.encoded, *_no_boxes(), time_s=image.time_s),
            boxes,
        )
        sequences.setdefault(re.sub(r"[0-9]+(\.\w+)?$", "", name), []).append(labelled)
    train, validation = [], []
    for images in sequences.values():
        split = validation_start(len(images)) if len(images) > 1 else 1
        train += images[:split]
        validation += images[split:]
    step = max(1, -(-len(validation) // validation_images))
    return LabelledSet(tuple(train), tuple(validation[::step]), 0)


def unite(image: LabelledImage, teacher: TeacherBoxes) -> LabelledImage:
    """Add a teacher's boxes to the given ones of an image.

    Sure boxes are people. Of a person that both have, the surer box is kept: the teacher's if it is sure,
    else the given one. Other unsure boxes are ignored. Identities of new boxes are -1: unknown.
    """
    sure = teacher.score >= SURE
    given = np.arange(len(image.xyxy))
    match = _match(teacher.xyxy, image.xyxy)  # for each box of the teacher, the given one; or -1
    new = match < 0
    replaced = np.full(len(given), -1)
    replaced[match[~new]] = np.flatnonzero(~new)
    # Where a sure box and a given one are the same person.
    better = replaced >= 0
    better[better] = sure[replaced[better]]
    xyxy = np.where(better[:, None], teacher.xyxy[replaced] if len(teacher.xyxy) else 0, image.xyxy)
    embedding = np.zeros((len(given), teacher.embedding.shape[1]), np.float32)
    embedding[replaced >= 0] = teacher.embedding[replaced[replaced >= 0]]
    return replace(
        image,
        xyxy=np.concatenate([xyxy, teacher.xyxy[new]]).astype(np.float32),
        identity=np.concatenate([image.identity, np.full(new.sum(), -1)]),
        ignore=np.concatenate([image.ignore, ~sure[new]]),
        embedding=np.concatenate([embedding, teacher.embedding[new]]),
        class_id=np.concatenate([image.class_id, np.zeros(new.sum(), np.int64)]),  # teachers see people
    )


def _match(boxes: Float32Array, given: Float32Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Match each box to the given box of most overlap, each once, the most overlapping pair first."""
    match = np.full(len(boxes), -1)
    if not len(boxes) or not len(given):
        return match
    # In thousandths of the image: the IoU counts pixels.
    overlap = iou_inclusive(1e3 * boxes.astype(np.float64), 1e3 * given.astype(np.float64))
    while overlap.max() >= SAME_IOU:
        row, column = np.unravel_index(overlap.argmax(), overlap.shape)
        match[row] = column
        overlap[row], overlap[:, column] = 0, 0
    return match


def _no_boxes() -> tuple[Float32Array, np.ndarray[tuple[int], np.dtype[np.int64]], BoolArray]:
    return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)


def _read_file(path: Path) -> dict[str, TeacherBoxes]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [str(name) for name in file["name"]]
            picture = file["picture"].astype(np.int64)
            boxes = file["box_cxcywh_normalised"].astype(np.float32).reshape(-1, 4)
            score = file["score"].astype(np.float32)
            embedding = file["embedding"].astype(np.float32) if "embedding" in file else None
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InvalidInputError(f"{path} is not a labels file ({error}): see the guide of train") from error
    score = score[:, 0] if score.ndim == 2 else score
    embedding = np.zeros((len(boxes), 0), np.float32) if embedding is None else embedding
    lengths = {len(array) for array in (picture, boxes, score, embedding)}
    finite = all(np.isfinite(array).all() for array in (boxes, score, embedding))
    known = not len(picture) or (picture.min() >= 0 and picture.max() < len(names))
    if len(lengths) > 1 or not finite or not known or len(set(names)) < len(names):
        raise InvalidInputError(
            f"{path} is not a labels file: its arrays must be of one length and finite, `picture` must point "
            "into `name`, and each name must be there once"
        )
    norm = np.linalg.norm(embedding, axis=1, keepdims=True)
    embedding = np.divide(embedding, norm, out=np.zeros_like(embedding), where=norm > 0)
    half = boxes[:, 2:] / 2
    xyxy = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    rows = [np.flatnonzero(picture == index) for index in range(len(names))]
    return {
        name: TeacherBoxes(xyxy[row], score[row], embedding[row])
        for name, row in zip(names, rows, strict=True)
    }
