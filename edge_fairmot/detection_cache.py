"""Detection cache: the detections of each frame, in a folder of standard ``.npy`` files.

``frames.npy`` has a row per frame (index, time_s, number of detections; -1 where the frame was predicted),
``detections.npy`` a row per detection (xyxy in source pixels, score, class_id, embedding), and ``meta.json``
names the model and source. The cache is valid after every frame: rows are appended and the header is
then rewritten in place, so a killed run loses nothing and no finishing step is needed. With it, tracking runs
again with other settings and without the network.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge_fairmot.errors import DetectionCacheError, InvalidInputError, SinkError
from edge_fairmot.system import FileLock, atomic_write
from edge_fairmot.types import Detections, Frame

SCHEMA_VERSION = 2

PREDICTED = -1
"""Number of detections of a frame in which the detector did not run."""

LARGEST = 65536
"""Largest size in a cache."""

_META, _FRAMES, _DETECTIONS = "meta.json", "frames.npy", "detections.npy"
_FRAME = np.dtype([("index", "<i8"), ("time_s", "<f8"), ("count", "<i8")])


def _row(embedding_dim: int) -> np.dtype[Any]:
    return np.dtype(
        [("xyxy", "<f4", 4), ("score", "<f4"), ("class_id", "<i8"), ("embedding", "<f4", embedding_dim)]
    )


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """Properties of a detection cache.

    Attributes
    ----------
    source : str
        Name of the source.
    frame_size : (int, int)
        Width and height of the source, pixels.
    frame_rate : float
        Frames per second.
    score_threshold : float
        The cache holds the detections with a greater score.
    embedding_dim : int
        Numbers per embedding.
    model : str
        File name of the model.
    checkpoint_sha256 : str
    class_names : tuple of str
        Name of each class id; empty where they are not known.
    """

    source: str
    frame_size: tuple[int, int]
    frame_rate: float
    score_threshold: float
    embedding_dim: int
    model: str = ""
    checkpoint_sha256: str = ""
    class_names: tuple[str, ...] = ()


class DetectionWriter(AbstractContextManager["DetectionWriter"]):
    """Writes a detection cache; to be given to ``Pipeline`` as ``on_detections``.

    Parameters
    ----------
    folder : str or Path
        Made where it does not exist. A detection cache in it is replaced.
    info : CacheInfo

    Raises
    ------
    SinkError
        If the folder cannot be written.
    InvalidInputError
        If the folder holds other files, or another run writes there.
    """

    def __init__(self, folder: str | Path, info: CacheInfo) -> None:
        self._folder, self._dim = Path(folder), info.embedding_dim
        self._rows = 0
        with ExitStack() as stack:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                _require_cache_or_empty(self._folder)
                lock = FileLock(
                    self._folder / ".lock", f"the detection cache {folder}", "choose another folder"
                )
                stack.callback(lock.close)
                (self._folder / _META).unlink(missing_ok=True)
                self._frames = stack.enter_context(_GrowingArray(self._folder / _FRAMES, _FRAME))
                self._detections = stack.enter_context(
                    _GrowingArray(self._folder / _DETECTIONS, _row(self._dim))
                )
                with atomic_write(self._folder / _META) as partial:
                    partial.write_text(json.dumps({"schema_version": SCHEMA_VERSION, **asdict(info)}) + "\n")
            except OSError as error:
                raise self._error(error) from error
            self._open = stack.pop_all()

    def __call__(self, frame: Frame, detections: Detections | None) -> None:
        """Append the detections of one frame; None for a predicted frame.

        Raises
        ------
        SinkError
            If they cannot be written.
        """
        count = PREDICTED if detections is None else len(detections)
        try:
            if detections is not None and count:
                rows = np.zeros(count, _row(self._dim))
                rows["xyxy"], rows["score"] = detections.xyxy, detections.score
                rows["class_id"], rows["embedding"] = detections.class_id, detections.embedding
                self._detections.append(rows)
            # After the detections: a row here never points to detections that are not there.
            self._frames.append(np.array([(frame.index, frame.time_s, count)], _FRAME))
        except OSError as error:
            raise self._error(error) from error

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._open.close()

    def _error(self, error: OSError) -> SinkError:
        return SinkError(
            f"{self._folder} cannot be written ({error.strerror or error}): "
            "free space or choose another folder"
        )


class CachedDetector:
    """A detector that reads a detection cache instead of running a network.

    Parameters
    ----------
    folder : str or Path
        A folder that :class:`DetectionWriter` wrote, finished or not.
    score_threshold : float or None
        Only detections with a greater score are returned; None: all of the cache.

    Raises
    ------
    DetectionCacheError
        If the folder holds no readable cache, or one that was made with a higher threshold.

    Attributes
    ----------
    info : CacheInfo
    """

    def __init__(self, folder: str | Path, score_threshold: float | None = 0.4) -> None:
        self._folder = Path(folder)
        self.info, frames, self._rows = _read(self._folder)
        if score_threshold is None:
            score_threshold = self.info.score_threshold
        if score_threshold < self.info.score_threshold:
            raise DetectionCacheError(
                f"{folder} holds the detections above {self.info.score_threshold:g}, and the tracker needs "
                f"those above {score_threshold:g}: save it again with the lower threshold"
            )
        self._score_threshold = score_threshold
        ends = np.cumsum(np.maximum(frames["count"], 0))
        self._frames = {
            index: (time_s, count, end)
            for (index, time_s, count), end in zip(frames.tolist(), ends.tolist(), strict=True)
        }

    @property
    def name(self) -> str:
        """``cache:`` and the folder."""
        return f"cache:{self._folder}"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class id; people where the cache does not say."""
        return self.info.class_names or ("person",)

    def require_source(self, frame_size: tuple[int, int]) -> None:
        """Raise DetectionCacheError if the cache is of a source with another frame size."""
        if frame_size != self.info.frame_size:
            (width, height), (own_width, own_height) = frame_size, self.info.frame_size
            raise DetectionCacheError(
                f"{self._folder} is of {self.info.source}, {own_width}x{own_height} pixels, and this source "
                f"has {width}x{height}: give the source that the cache was saved from"
            )

    def detect(self, frame: Frame) -> Detections | None:
        """Return the cached detections of a frame; None where the saved run predicted it.

        Raises
        ------
        DetectionCacheError
            If the cache does not have this frame, or has it at another time.
        """
        found = self._frames.get(frame.index)
        if found is None:
            raise DetectionCacheError(
                f"{self._folder} has no frame {frame.number}: it holds {len(self._frames)} frames of "
                f"{self.info.source}; save it again for the whole source"
            )
        time_s, count, end = found
        if time_s != frame.time_s:
            raise DetectionCacheError(
                f"{self._folder} has frame {frame.number} at {time_s:.6g} s, and this source at "
                f"{frame.time_s:.6g} s: give the source that the cache was saved from"
            )
        if count == PREDICTED:
            return None
        rows = np.asarray(self._rows[end - count : end])
        finite = (np.isfinite(rows[name]).all() for name in ("xyxy", "score", "embedding"))
        names, classes = self.info.class_names, rows["class_id"]
        known = not names or (classes.min(initial=0) >= 0 and classes.max(initial=0) < len(names))
        if count < PREDICTED or len(rows) != count or not all(finite) or not known:
            raise DetectionCacheError(f"{self._folder} is damaged at frame {frame.number}: save it again")
        detections = Detections(
            np.ascontiguousarray(rows["xyxy"]),
            np.ascontiguousarray(rows["score"]),
            np.ascontiguousarray(rows["embedding"]),
            np.ascontiguousarray(rows["class_id"]),
        )
        return detections[detections.score > self._score_threshold]


class _GrowingArray(AbstractContextManager["_GrowingArray"]):
    """A one-dimensional ``.npy`` file that grows."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._file, self._dtype, self._rows = path.open("wb", buffering=0), dtype, 0
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        self._file.seek(0, 2)
        left = memoryview(rows.tobytes())
        while left:
            left = left[self._file.write(left) :]
        self._rows += len(rows)
        self._write_header()

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _write_header(self) -> None:
        # numpy leaves room for the number of rows to grow: the header keeps its length.
        self._file.seek(0)
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows,),
        }
        npy.write_array_header_1_0(self._file, header)


def _require_cache_or_empty(folder: Path) -> None:
    """Refuse a folder with files other than those of a detection cache."""
    foreign = sorted(
        path.name for path in folder.iterdir() if path.name not in (_META, _FRAMES, _DETECTIONS, ".lock")
    )
    if foreign:
        raise InvalidInputError(
            f"{folder} holds other files ({foreign[0]}): choose a new folder for the detection cache"
        )


def _read_info(document: dict[str, Any]) -> CacheInfo:
    """Return the properties of a cache; ValueError, TypeError or KeyError if a value is wrong."""
    document["frame_size"] = tuple(document["frame_size"])
    document["class_names"] = tuple(document.get("class_names", ()))
    info = CacheInfo(**document)
    sizes = (*info.frame_size, info.embedding_dim)
    if len(sizes) != 3 or not all(type(size) is int and 0 < size <= LARGEST for size in sizes):
        raise ValueError(f"its sizes are not between 1 and {LARGEST}")
    for value, least in ((info.frame_rate, 1e-6), (info.score_threshold, 0.0)):
        if type(value) not in (int, float) or not least <= value <= LARGEST:
            raise ValueError(f"its rate or threshold is not between {least:g} and {LARGEST}")
    texts = (info.source, info.model, info.checkpoint_sha256, *info.class_names)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("its names are not texts")
    return info


def _read(folder: Path) -> tuple[CacheInfo, NDArray[Any], NDArray[Any]]:
    try:
        document = json.loads((folder / _META).read_text())
        version = document.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise DetectionCacheError(
                f"{folder} is a detection cache of schema version {version}, this release reads "
                f"{SCHEMA_VERSION}: save it again"
            )
        info = _read_info(document)
        frames = np.load(folder / _FRAMES, mmap_mode="r")  # a header may claim any size
        if frames.dtype != _FRAME or frames.ndim != 1:
            raise ValueError("its arrays have another layout")
        frames = np.array(frames)
        counts = np.maximum(frames["count"], 0)
        rows = np.load(folder / _DETECTIONS, mmap_mode="r") if counts.any() else None
        if rows is None:
            rows = np.zeros(0, _row(info.embedding_dim))
        if rows.dtype != _row(info.embedding_dim) or rows.ndim != 1:
            raise ValueError("its arrays have another layout")
        if counts.max(initial=0) > len(rows) or int(counts.sum()) > len(rows):
            raise ValueError("it has fewer detections than its frames say")
    except DetectionCacheError:
        raise
    except Exception as error:  # numpy's of a damaged header are of many kinds
        what = (isinstance(error, OSError) and error.strerror) or str(error).partition("\n")[0]
        raise DetectionCacheError(
            f"{folder} is not a readable detection cache ({what}): save it again with --save-detections"
        ) from error
    return info, frames, rows
