"""Tapes: what a network found in each frame, in one ``.npz``, to track again without network or video.

Keys, for F frames in which detections were looked for, N detections in all, D numbers an embedding:

====================  ================  ============================================================
``schema_version``    int64 ()          of this layout
``manifest``          str ()            JSON, of the file that ran
``source``            str ()            name of what the frames are from
``frame_size``        int64 (2,)        width and height of the source, pixels
``frame_rate``        float64 ()        frames per second of the source's clock
``score_threshold``   float64 ()        detections that score more are on the tape
``frame_index``       int64 (F,)        position in the source, from 0; rises
``time_s``            float64 (F,)      the source's own clock; rises
``frame_offset``      int64 (F + 1,)    rows of frame f are ``[frame_offset[f], frame_offset[f + 1])``
``boxes_xyxy``        float32 (N, 4)    source pixels
``input_boxes_xyxy``  float32 (N, 4)    the same boxes as the network gave them, input pixels
``score``             float32 (N,)      descending within a frame
``class_id``          int64 (N,)
``embedding``         float32 (N, D)
====================  ================  ============================================================

Boxes are there twice, for 3 % of the size. From source to input pixels and back is the same float32 box
nearly always, but not next to every power of two; so what the network gave is kept, and played again to the
last bit. It goes to source pixels by the same arithmetic as in the run that recorded it: same boxes, same
tracks.

A tape takes ``48 + 4 D`` bytes a detection: at D = 128, twenty people and 25 frames a second about 1 GB an
hour, on disk and, once read, in memory.
"""

from __future__ import annotations

import math
import shlex
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_fairmot.errors import InvalidInputError, ManifestError, TapeError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.types import Detections, Float32Array, Float64Array, Int64Array

TAPE_SCHEMA_VERSION = 1

TAPE_SUFFIX = ".npz"

TOLERANCE_PX = 0.01
"""Between the boxes of a tape: no rounding is so large, and no other letterbox so near."""

RELATIVE_TOLERANCE = 1e-5
"""For boxes far outside the picture, where float32 has no hundredths."""

COLUMNS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "frame_index": ("int64", 1),
        "time_s": ("float64", 1),
        "frame_offset": ("int64", 1),
        "boxes_xyxy": ("float32", 2),
        "input_boxes_xyxy": ("float32", 2),
        "score": ("float32", 1),
        "class_id": ("int64", 1),
        "embedding": ("float32", 2),
    }
)
"""Type and dimensions of the keys that grow with a run."""

DETECTION_COLUMNS = ("boxes_xyxy", "input_boxes_xyxy", "score", "class_id", "embedding")
"""Those of them with a row a detection; the others have one a frame."""

_OF_THE_RUN = MappingProxyType(
    {
        "schema_version": ("int64", 0),
        "frame_size": ("int64", 1),
        "frame_rate": ("float64", 0),
        "score_threshold": ("float64", 0),
    }
)


@dataclass(frozen=True, slots=True)
class TapeHeader:
    """What a tape says of the run that recorded it.

    Attributes
    ----------
    source : str
        Name of the source, as in ``SourceInfo``.
    frame_size : (int, int)
        Width and height of the source, pixels.
    frame_rate : float
        Frames per second of the source's clock.
    score_threshold : float
        Detections that score more are on the tape.
    manifest : ModelManifest
        Of the file that ran.

    Raises
    ------
    InvalidInputError
        If a number is out of range, or the file takes more than one picture at a time.
    """

    source: str
    frame_size: tuple[int, int]
    frame_rate: float
    score_threshold: float
    manifest: ModelManifest

    def __post_init__(self) -> None:
        if len(self.frame_size) != 2 or min(self.frame_size) < 1:
            raise InvalidInputError(
                f"frame_size must be a width and a height in pixels, not {self.frame_size}"
            )
        if not 0 < self.frame_rate < math.inf:
            raise InvalidInputError(f"frame_rate must be positive and finite, not {self.frame_rate}")
        if not 0 <= self.score_threshold <= 1:
            raise InvalidInputError(f"score_threshold must be between 0 and 1, not {self.score_threshold}")
        if self.manifest.batch_size != 1:
            raise InvalidInputError(
                f"a tape holds one picture a call, the file takes batches of {self.manifest.batch_size}: "
                "convert again without --batch-size"
            )


@dataclass(frozen=True, slots=True)
class Tape:
    """The contents of a tape; ``len`` is the number of its frames.

    Attributes
    ----------
    header : TapeHeader
    frame_index : int64 (F,)
        Position in the source, from 0.
    time_s : float64 (F,)
    frame_offset : int64 (F + 1,)
        Rows of frame f are ``[frame_offset[f], frame_offset[f + 1])``.
    boxes_xyxy : float32 (N, 4)
        Source pixels.
    input_boxes_xyxy : float32 (N, 4)
        Input pixels.
    score : float32 (N,)
    class_id : int64 (N,)
    embedding : float32 (N, D)

    Raises
    ------
    InvalidInputError
        If the arrays do not fit each other or the header.
    """

    header: TapeHeader
    frame_index: Int64Array
    time_s: Float64Array
    frame_offset: Int64Array
    boxes_xyxy: Float32Array
    input_boxes_xyxy: Float32Array
    score: Float32Array
    class_id: Int64Array
    embedding: Float32Array

    def __post_init__(self) -> None:
        for name, (dtype, dimensions) in COLUMNS.items():
            _check_type(name, getattr(self, name), dtype, dimensions)
        self._check_frames()
        self._check_detections()

    def __len__(self) -> int:
        return len(self.frame_index)

    def rows(self, frame: int) -> slice:
        """Rows of the frame at this place on the tape, from 0."""
        return slice(int(self.frame_offset[frame]), int(self.frame_offset[frame + 1]))

    def detections(self, frame: int) -> Detections:
        """Give what :meth:`edge_fairmot.Tracker.update` was given for the frame at this place on the tape."""
        rows = self.rows(frame)
        return Detections(
            xyxy=self.boxes_xyxy[rows],
            score=self.score[rows],
            embedding=self.embedding[rows],
            class_id=self.class_id[rows],
        )

    def _check_frames(self) -> None:
        count = len(self.frame_index)
        if not count:
            raise InvalidInputError("it holds no frame")
        if len(self.time_s) != count or len(self.frame_offset) != count + 1:
            raise InvalidInputError(
                f"time_s is of {len(self.time_s)} frames and frame_offset of {len(self.frame_offset) - 1}, "
                f"frame_index of {count}"
            )
        if self.frame_index[0] < 0 or not (self.frame_index[1:] > self.frame_index[:-1]).all():
            raise InvalidInputError("frame_index does not rise from 0 or more")
        if not (self.time_s[1:] > self.time_s[:-1]).all():
            raise InvalidInputError("time_s does not rise")
        # Compared, not subtracted: the difference of damaged numbers may wrap round.
        if self.frame_offset[0] != 0 or not (self.frame_offset[1:] >= self.frame_offset[:-1]).all():
            raise InvalidInputError("frame_offset does not rise from 0")

    def _check_detections(self) -> None:
        count, manifest = int(self.frame_offset[-1]), self.header.manifest
        for name in DETECTION_COLUMNS:
            if len(getattr(self, name)) != count:
                raise InvalidInputError(
                    f"{name} is of {len(getattr(self, name))} detections, frame_offset of {count}"
                )
        widths = self.boxes_xyxy.shape[1], self.input_boxes_xyxy.shape[1], self.embedding.shape[1]
        if widths != (4, 4, manifest.embedding_dim):
            raise InvalidInputError(
                f"boxes and embeddings have {widths} numbers, not 4, 4 and the {manifest.embedding_dim} "
                "of the manifest"
            )
        most = int(np.diff(self.frame_offset).max())
        if most > manifest.max_detections:
            raise InvalidInputError(f"a frame has {most} detections, the file {manifest.max_detections}")
        letterbox = Letterbox(self.header.frame_size, manifest.input_size)
        mapped = letterbox.to_source(self.input_boxes_xyxy)
        if not np.allclose(mapped, self.boxes_xyxy, rtol=RELATIVE_TOLERANCE, atol=TOLERANCE_PX):
            raise InvalidInputError("boxes_xyxy and input_boxes_xyxy are not the same boxes")
        first = np.zeros(count + 1, np.bool_)
        first[self.frame_offset] = True
        if not ((self.score[1:] <= self.score[:-1]) | first[1:count]).all():
            raise InvalidInputError("score does not descend within a frame")


def spool_folder(path: Path) -> Path:
    """Where a tape is while it is being recorded."""
    return path.with_name(f"{path.name}.recording")


def finishing_command(path: Path) -> str:
    """Give the command that makes a tape of what a killed run has left."""
    code = f"from edge_fairmot.tape_recorder import finish_tape; finish_tape({str(path)!r})"
    return f"python3 -c {shlex.quote(code)}"


def read_tape(path: str | Path) -> Tape:
    """Read a tape, strictly.

    Parameters
    ----------
    path : str or Path
        Written by ``edge-fairmot track --record`` or :class:`edge_fairmot.tape_recorder.TapeRecorder`.

    Returns
    -------
    Tape
        The numbers as they were recorded, bit for bit; all of it is in memory.

    Raises
    ------
    TapeError
        If it is not there, damaged, incomplete, inconsistent or of another schema.
    """
    path = Path(path)
    if not path.is_file():
        if spool_folder(path).is_dir():
            raise TapeError(
                f"{path} is not finished, because the run that records it goes on or was killed: "
                f"in the second case {finishing_command(path)}"
            )
        raise TapeError(f"no tape at {path}: record one with edge-fairmot track SOURCE --record {path.name}")
    try:
        # Opened here: of a damaged file, np.load forgets to close its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            # First the checksums: numpy parses a header before it comes to the checksum behind it.
            if (damaged := archive.zip.testzip()) is not None:
                raise ValueError(f"{damaged} has a wrong checksum")
            return _parse({name: archive[name] for name in archive.files}, path)
    # What a damaged zip, npy or JSON raises, a key that is absent, and an array that does not fit.
    except (
        *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, MemoryError, OverflowError),
        *(zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, ManifestError),
        *(SyntaxError, tokenize.TokenError),
    ) as error:
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else str(error)
        raise TapeError(
            f"{path} is not a tape, or is damaged ({' '.join(why.split()) or type(error).__name__}): "
            f"copy it again, or record it again with edge-fairmot track SOURCE --record {path.name}"
        ) from error


def _parse(arrays: Mapping[str, Any], path: Path) -> Tape:
    for name, (dtype, dimensions) in _OF_THE_RUN.items():
        _check_type(name, arrays[name], dtype, dimensions)
        if name == "schema_version" and arrays[name] != TAPE_SCHEMA_VERSION:
            raise TapeError(
                f"{path} has tape schema {arrays[name]}, this edge-fairmot reads {TAPE_SCHEMA_VERSION}: "
                "pip install -U edge-fairmot, or record it again"
            )
    width, height = map(int, arrays["frame_size"])
    header = TapeHeader(
        source=_text(arrays, "source"),
        frame_size=(width, height),
        frame_rate=float(arrays["frame_rate"]),
        score_threshold=float(arrays["score_threshold"]),
        manifest=ModelManifest.from_json(_text(arrays, "manifest")),
    )
    return Tape(header, **{name: arrays[name] for name in COLUMNS})


def _check_type(name: str, found: Any, dtype: str, dimensions: int) -> None:
    if found.dtype != dtype or found.ndim != dimensions:
        raise InvalidInputError(
            f"{name} is {found.dtype} of {found.ndim} dimensions, not {dtype} of {dimensions}"
        )
    if dtype.startswith("float") and not np.isfinite(found).all():
        raise InvalidInputError(f"{name} holds numbers that are not finite")


def _text(arrays: Mapping[str, Any], name: str) -> str:
    found = arrays[name]
    if found.dtype.kind != "U" or found.ndim:
        raise InvalidInputError(f"{name} is {found.dtype} of {found.ndim} dimensions, not one string")
    return str(found)
