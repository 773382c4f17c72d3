"""The vocabulary: what travels from a source through a runtime and the tracker to a sink."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_fairmot.errors import InvalidInputError

UInt8Array: TypeAlias = NDArray[np.uint8]
Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
Int64Array: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a source.

    Attributes
    ----------
    image : uint8 (H, W, 3)
        BGR.
    index : int
        Position in the source, from 0.
    time_s : float
        The source's own clock: presentation time of a file, capture time of a camera.
    reduced : uint8 (h, w, 3) or None
        The same picture, made smaller by the camera, where it does so: the network's input is made of it.
    """

    image: UInt8Array
    index: int
    time_s: float
    reduced: UInt8Array | None = None


@dataclass(frozen=True, slots=True)
class RawDetections:
    """The four outputs of the graph, as they are: N pictures, K candidates each, best first.

    Attributes
    ----------
    boxes : float32 (N, K, 4)
        xyxy, pixels of the network's input.
    scores : float32 (N, K)
        In [0, 1], descending.
    class_ids : int64 (N, K)
        Index into the manifest's class names.
    embeddings : float32 (N, K, D)
        Unit norm.
    """

    boxes: Float32Array
    scores: Float32Array
    class_ids: Int64Array
    embeddings: Float32Array


def _no_classes() -> Int64Array:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one frame, ready for the tracker.

    Attributes
    ----------
    xyxy : float32 (N, 4)
        Source pixels.
    score : float32 (N,)
    embedding : float32 (N, D)
        Need not be of unit norm; the tracker normalises.
    class_id : int64 (N,)
        Zeros when not given.

    Raises
    ------
    InvalidInputError
        If the arrays disagree about N.
    """

    xyxy: Float32Array
    score: Float32Array
    embedding: Float32Array
    class_id: Int64Array = field(default_factory=_no_classes)

    def __post_init__(self) -> None:
        count = len(self.xyxy)
        if len(self.class_id) == 0 and count:
            object.__setattr__(self, "class_id", np.zeros(count, np.int64))
        shapes = (self.xyxy.shape, self.score.shape, self.embedding.shape[:1], self.class_id.shape)
        if shapes != ((count, 4), (count,), (count,), (count,)) or self.embedding.ndim != 2:
            raise InvalidInputError(
                "detections need xyxy (N, 4), score (N,), embedding (N, D) and class_id (N,), "
                f"not {self.xyxy.shape}, {self.score.shape}, {self.embedding.shape} and {self.class_id.shape}"
            )

    def __len__(self) -> int:
        return len(self.xyxy)


@dataclass(frozen=True, slots=True)
class Tracks:
    """The identities in one frame, as a struct of arrays.

    Attributes
    ----------
    track_id : int64 (M,)
        From 1; belongs to the tracker instance.
    xyxy : float32 (M, 4)
        Source pixels.
    score : float32 (M,)
        Score of the detection last matched in the tracked state.
    class_id : int64 (M,)
    predicted : bool (M,)
        True where the box is a prediction and no detection was looked for.
    """

    track_id: Int64Array
    xyxy: Float32Array
    score: Float32Array
    class_id: Int64Array
    predicted: BoolArray

    def __len__(self) -> int:
        return len(self.track_id)


@dataclass(frozen=True, slots=True)
class Truth:
    """Who really is where in one frame: what a perfect tracker would say.

    Attributes
    ----------
    ids : int64 (N,)
        From 1, ascending.
    xyxy : float32 (N, 4)
        Of the whole body with what it carries, hidden or not, source pixels; may go beyond the picture.
    visibility : float32 (N,)
        Share of the body's pixels that are in the picture and behind nobody and nothing.
    feet : float32 (N, 2)
        The place on the ground where the body is, source pixels.
    """

    ids: Int64Array
    xyxy: Float32Array
    visibility: Float32Array
    feet: Float32Array

    def __len__(self) -> int:
        return len(self.ids)
