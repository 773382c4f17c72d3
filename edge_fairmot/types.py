"""The vocabulary: what travels from a source through a detector and the tracker to a sink."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_fairmot.errors import InvalidInputError, MissingDependencyError

UInt8Array: TypeAlias = NDArray[np.uint8]
Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
Int64Array: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = "slice | BoolArray | Int64Array | Sequence[int]"
"""Selects rows of a table: a slice, a boolean mask (N,), or indices."""

Point: TypeAlias = tuple[float, float]
"""x and y from the upper left corner, as shares of the image's width and height: 0 to 1."""

TableT = TypeVar("TableT", bound="Table")


class Table:
    """A dataclass of arrays with one row per object: ``len(table)``, ``table[rows]`` and ``concat``."""

    __slots__ = ()

    def _columns(self) -> list[NDArray[Any]]:
        return [getattr(self, column.name) for column in fields(self)]  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._columns()[0])

    def __getitem__(self: TableT, rows: Rows) -> TableT:
        """Return the rows that a mask, a slice or indices select."""
        if isinstance(rows, (int, np.integer)):
            raise InvalidInputError(
                f"rows are selected by a slice, a mask or indices: use [{rows}:{rows + 1}]"
            )
        return type(self)(*(column[rows] for column in self._columns()))

    @classmethod
    def concat(cls: type[TableT], parts: Sequence[TableT]) -> TableT:
        """Return the rows of one or more tables, one after the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*(p._columns() for p in parts), strict=True)))


@dataclass(frozen=True, slots=True)
class Frame:
    """One image from a source.

    Attributes
    ----------
    image : uint8 (H, W, 3)
        BGR.
    index : int
        Position in the source, from 0.
    time_s : float
        The source's own clock: presentation time of a file, capture time of a camera.
    reduced : uint8 (h, w, 3) or None
        The same image, reduced by a camera that can do so: the network's input is made of it.
    """

    image: UInt8Array
    index: int
    time_s: float
    reduced: UInt8Array | None = None

    @property
    def number(self) -> int:
        """Position in the source, from 1, as MOTChallenge counts."""
        return self.index + 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        height, width = self.image.shape[:2]
        return width, height


@dataclass(frozen=True, slots=True)
class RawDetections:
    """The four outputs of the graph: N images, K peaks each, best first.

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


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(name, "", "to hand tracks over", f"pip install {name}") from error


def _no_classes() -> Int64Array:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Detections(Table):
    """The detections of one frame, ready for the tracker.

    A mask, a slice or indices select rows: ``detections[detections.score > 0.5]``.

    Attributes
    ----------
    xyxy : float32 (N, 4)
        Source pixels.
    score : float32 (N,)
    embedding : float32 (N, D)
        The tracker normalises it. (N, 0) for a detector without embeddings: the tracker then goes by overlap.
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

    @classmethod
    def from_supervision(cls, detections: Any, embedding: Float32Array | None = None) -> Detections:
        """Return the detections of another detector, given as ``supervision.Detections``.

        Parameters
        ----------
        detections : supervision.Detections
            Scores are 1 where it has no ``confidence``, and class ids 0 where it has none.
        embedding : float32 (N, D), optional
            One for each detection; without them the tracker goes by overlap.
        """
        count = len(detections)
        score, class_id = detections.confidence, detections.class_id
        return cls(
            np.asarray(detections.xyxy, np.float32).reshape(count, 4),
            np.ones(count, np.float32) if score is None else np.asarray(score, np.float32),
            np.zeros((count, 0), np.float32) if embedding is None else np.asarray(embedding, np.float32),
            np.zeros(count, np.int64) if class_id is None else np.asarray(class_id, np.int64),
        )

    @classmethod
    def empty(cls, embedding_dim: int = 0) -> Detections:
        """Return detections without a row; embeddings are (0, ``embedding_dim``)."""
        return cls(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, embedding_dim), np.float32)
        )


@dataclass(frozen=True, slots=True)
class Tracks(Table):
    """The tracks of one frame. A mask, a slice or indices select rows.

    Attributes
    ----------
    track_id : int64 (M,)
        From 1; belongs to the tracker instance.
    xyxy : float32 (M, 4)
        Source pixels.
    score : float32 (M,)
        Score of the detection last matched in the tracked state.
    class_id : int64 (M,)
        An identity keeps its class: association never crosses classes.
    predicted : bool (M,)
        True for a box that is predicted in a frame without detection.
    """

    track_id: Int64Array
    xyxy: Float32Array
    score: Float32Array
    class_id: Int64Array
    predicted: BoolArray

    def to_supervision(self) -> Any:
        """Return ``supervision.Detections`` with the ids as ``tracker_id``, for its annotators and zones.

        Raises
        ------
        MissingDependencyError
            Without the package.
        """
        supervision = _package("supervision")
        return supervision.Detections(
            xyxy=self.xyxy, confidence=self.score, class_id=self.class_id, tracker_id=self.track_id
        )

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row a track.

        Its columns are track_id, x1, y1, x2, y2, score, class_id and predicted.

        Raises
        ------
        MissingDependencyError
            Without the package.
        """
        pandas = _package("pandas")
        sides = dict(zip(("x1", "y1", "x2", "y2"), self.xyxy.T, strict=True))
        others = {"score": self.score, "class_id": self.class_id, "predicted": self.predicted}
        return pandas.DataFrame({"track_id": self.track_id, **sides, **others})

    @classmethod
    def empty(cls) -> Tracks:
        """Return tracks without a row."""
        integers = np.zeros(0, np.int64)
        return cls(
            integers, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), integers, np.zeros(0, np.bool_)
        )


@dataclass(frozen=True, slots=True)
class GroundTruth(Table):
    """The true objects of one frame.

    Attributes
    ----------
    ids : int64 (N,)
        From 1, ascending.
    xyxy : float32 (N, 4)
        Box of the whole body and what it carries, hidden or not, source pixels; may exceed the image.
    visibility : float32 (N,)
        Share of the body's pixels that are inside the image and not hidden.
    foot_points : float32 (N, 2)
        Where the body stands on the ground, source pixels.
    """

    ids: Int64Array
    xyxy: Float32Array
    visibility: Float32Array
    foot_points: Float32Array


@dataclass(frozen=True, slots=True)
class CountingEvent:
    """One counted event.

    Attributes
    ----------
    kind : str
        ``in`` or ``out`` over a line, ``enter`` or ``leave`` for a zone.
    name : str
        Name of the line or the zone.
    track_id : int
        The track id; the newest, if a person had several.
    time_s : float
        By the source's clock. If a leave was not seen, the time when the track was last seen.
    dwell_s : float or None
        For ``leave``, the duration of the stay.
    class_id : int
        Class of the track.
    shape_id : str
        Id of the line or the zone, which a new name does not change; empty, where the name is the id.
    """

    kind: Literal["in", "out", "enter", "leave"]
    name: str
    track_id: int
    time_s: float
    dwell_s: float | None = None
    class_id: int = 0
    shape_id: str = ""


@dataclass(frozen=True, slots=True)
class LineCounts:
    """A counting line and its crossings so far, inwards and outwards.

    Looking along the line from ``start`` to ``end``, ``in`` is from left to right. ``by_class`` has the same
    for each counted class, by name; it is empty where the model has one class. ``id`` is that of the line,
    empty where the name is the id.
    """

    name: str
    start: Point
    end: Point
    inwards: int = 0
    outwards: int = 0
    by_class: Mapping[str, LineCounts] = field(default_factory=lambda: MappingProxyType({}))
    id: str = ""


@dataclass(frozen=True, slots=True)
class ZoneCounts:
    """A zone and its counts so far.

    Attributes
    ----------
    name : str
    polygon : tuple of (float, float)
    occupancy : int
        Persons who are seen inside now.
    unseen : int
        Persons who were inside when they were last seen, not long ago: hidden, or gone.
    entries : int
    stays : int
        Stays that ended.
    mean_dwell_s, longest_dwell_s : float
        Over the stays that ended; 0 without any.
    by_class : mapping of str to ZoneCounts
        The same for each counted class, by name; empty where the model has one class.
    id : str
    """

    name: str
    polygon: tuple[Point, ...]
    occupancy: int = 0
    unseen: int = 0
    entries: int = 0
    stays: int = 0
    mean_dwell_s: float = 0.0
    longest_dwell_s: float = 0.0
    by_class: Mapping[str, ZoneCounts] = field(default_factory=lambda: MappingProxyType({}))
    id: str = ""

    @property
    def shown(self) -> str:
        """Who is inside, as it is shown: ``3``, or ``3 (+2 unseen)``."""
        return f"{self.occupancy} (+{self.unseen} unseen)" if self.unseen else str(self.occupancy)


class Totals(NamedTuple):
    """Totals of a line (inwards, outwards) or a zone (the rest) over a time; ``stays`` have ended."""

    inwards: int = 0
    outwards: int = 0
    entries: int = 0
    stays: int = 0
    dwell_s: float = 0.0
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """All counts after one frame. An immutable snapshot: later frames do not change it."""

    lines: Mapping[str, LineCounts] = field(default_factory=lambda: MappingProxyType({}))
    zones: Mapping[str, ZoneCounts] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class FrameResult:
    """The result of one frame: what ``Pipeline`` yields and every sink takes.

    Attributes
    ----------
    frame : Frame
    tracks : Tracks
    events : tuple of CountingEvent
        Events counted in this frame.
    counts : Counts or None
        Totals after this frame; None where nothing is counted.
    class_names : tuple of str
        ``class_names[class_id]`` is the name of a class.
    """

    frame: Frame
    tracks: Tracks
    events: tuple[CountingEvent, ...] = ()
    counts: Counts | None = None
    class_names: tuple[str, ...] = ("person",)
