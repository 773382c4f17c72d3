"""Goldens: what a reference saw, in one ``.npz``, so that a device without torch can be verified.

Keys, for F frames, K detections, D numbers an embedding:

====================  =====================  =======================================================
``schema_version``    int64 ()               of this layout
``description``       str ()                 JSON: source, sizes, checkpoint, runtime, device, versions
``frame_png``         uint8 (bytes,)         letterboxed pictures, BGR, PNG, end to end
``frame_png_end``     int64 (F,)             where each ends
``frame_index``       int64 (F,)             position in the source, from 0
``time_s``            float64 (F,)
``boxes``             float32 (F, K, 4)      the graph contract's outputs, the K best
``scores``            float32 (F, K)
``class_ids``         int64 (F, K)
``embeddings``        float32 (F, K, D)
``HEAD_positions``    int64 (P,)             for hm, wh, reg, id: places in the flattened head
``HEAD_values``       float32 (F, P)
``HEAD_range``        float32 (F, 2)         least and greatest value of the whole head
``HEAD_size``         int64 ()               values of the whole head
====================  =====================  =======================================================
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_fairmot.benchmarks.observation import HEADS, DenseHead, Observation
from edge_fairmot.errors import EvaluationError, ManifestError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.system import atomic_write
from edge_fairmot.types import Int64Array, RawDetections, UInt8Array

GOLDEN_SCHEMA_VERSION = 1

VALUES_KEPT = 2000
"""Of each head: enough to meet every channel of an embedding, and 0.2 MB for 20 frames of four heads."""

_SEED = 20
_LAYOUT: Mapping[str, tuple[str, int]] = {
    "frame_png": ("uint8", 1),
    "frame_png_end": ("int64", 1),
    "frame_index": ("int64", 1),
    "time_s": ("float64", 1),
    "boxes": ("float32", 3),
    "scores": ("float32", 2),
    "class_ids": ("int64", 2),
    "embeddings": ("float32", 3),
    **{f"{head}_positions": ("int64", 1) for head in HEADS},
    **{f"{head}_values": ("float32", 2) for head in HEADS},
    **{f"{head}_range": ("float32", 2) for head in HEADS},
    **{f"{head}_size": ("int64", 0) for head in HEADS},
}
_OF_A_FRAME = (
    *("frame_png_end", "frame_index", "time_s", "boxes", "scores", "class_ids", "embeddings"),
    *(f"{head}_{part}" for head in HEADS for part in ("values", "range")),
)


@dataclass(frozen=True, slots=True)
class GoldenFrame:
    """One picture and what the reference saw in it.

    Attributes
    ----------
    image : uint8 (H, W, 3)
        BGR, letterboxed.
    index : int
        Position in the source, from 0.
    time_s : float
    observation : Observation
        Heads are selections.
    """

    image: UInt8Array
    index: int
    time_s: float
    observation: Observation


@dataclass(frozen=True, slots=True)
class Golden:
    """The contents of a golden.

    Attributes
    ----------
    source : str
        Name of what the frames are from.
    source_size : (int, int)
        Width and height of its frames, pixels.
    frame_rate : float
    runtime : str
        What computed, as in ``torch:cuda``.
    details : dict of str to str
        Device, driver, versions, deformable convolution.
    manifest : ModelManifest
        Of the reference.
    frames : tuple of GoldenFrame
    """

    source: str
    source_size: tuple[int, int]
    frame_rate: float
    runtime: str
    details: Mapping[str, str]
    manifest: ModelManifest
    frames: tuple[GoldenFrame, ...]


def select_golden_values(observation: Observation, max_detections: int) -> Observation:
    """Keep what a golden keeps of one frame: the best detections, and the same places of each head.

    Raises
    ------
    EvaluationError
        If there are no dense heads.
    """
    if observation.heads is None:
        raise EvaluationError("a golden needs dense heads, which this reference does not give")
    raw = observation.detections
    best = slice(0, max_detections)
    return Observation(
        RawDetections(
            raw.boxes[:, best], raw.scores[:, best], raw.class_ids[:, best], raw.embeddings[:, best]
        ),
        {name: observation.heads[name].select(_positions(observation.heads[name].size)) for name in HEADS},
    )


def write_golden(path: str | Path, golden: Golden) -> None:
    """Write a golden beside its path, then rename.

    Raises
    ------
    EvaluationError
        If it holds no frame or cannot be written.
    """
    path = Path(path)
    if not golden.frames:
        raise EvaluationError("a golden needs at least one frame")
    try:
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **_arrays(golden))
    except OSError as error:
        raise EvaluationError(
            f"cannot write {path}: {error.strerror}; choose another place with -o"
        ) from error


def read_golden(path: str | Path) -> Golden:
    """Read a golden, strictly.

    Raises
    ------
    EvaluationError
        If it is not there, damaged, incomplete or of another schema.
    """
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(f"no golden at {path}: make one with edge-fairmot record-reference")
    try:
        # Opened here: of a damaged file, np.load forgets to close its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if "schema_version" not in arrays:
            raise ValueError("no schema_version")
        version = int(arrays["schema_version"])
        if version != GOLDEN_SCHEMA_VERSION:
            raise EvaluationError(
                f"{path} has golden schema {version}, this edge-fairmot reads {GOLDEN_SCHEMA_VERSION}: "
                "pip install -U edge-fairmot, or record it again"
            )
        return _parse(arrays)
    # What a damaged zip, npy or JSON raises, and an array of the wrong shape.
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
        ManifestError,
        cv2.error,
    ) as error:
        raise EvaluationError(
            f"{path} is not a golden, or is damaged ({' '.join(str(error).split())}): "
            "copy it again, or make one with edge-fairmot record-reference"
        ) from error


def _arrays(golden: Golden) -> dict[str, Any]:
    description = {
        "source": golden.source,
        "source_size": golden.source_size,
        "frame_rate": golden.frame_rate,
        "runtime": golden.runtime,
        "details": dict(golden.details),
        "manifest": json.loads(golden.manifest.to_json()),
    }
    frames = golden.frames
    pictures = [_encode(frame.image) for frame in frames]
    seen = [frame.observation.detections for frame in frames]
    arrays: dict[str, Any] = {
        "schema_version": np.int64(GOLDEN_SCHEMA_VERSION),
        "description": json.dumps(description),
        "frame_png": np.concatenate(pictures),
        "frame_png_end": np.cumsum([len(picture) for picture in pictures]).astype(np.int64),
        "frame_index": np.array([frame.index for frame in frames], np.int64),
        "time_s": np.array([frame.time_s for frame in frames], np.float64),
        "boxes": np.concatenate([raw.boxes for raw in seen]),
        "scores": np.concatenate([raw.scores for raw in seen]),
        "class_ids": np.concatenate([raw.class_ids for raw in seen]),
        "embeddings": np.concatenate([raw.embeddings for raw in seen]),
    }
    for name in HEADS:
        arrays |= _head_arrays(name, [(frame.observation.heads or {})[name] for frame in frames])
    return arrays


def _head_arrays(name: str, heads: Sequence[DenseHead]) -> dict[str, Any]:
    return {
        f"{name}_positions": heads[0].positions,
        f"{name}_values": np.stack([head.values for head in heads]),
        f"{name}_range": np.array([(head.low, head.high) for head in heads], np.float32),
        f"{name}_size": np.int64(heads[0].size),
    }


def _parse(arrays: Mapping[str, Any]) -> Golden:
    _check_layout(arrays)
    description = json.loads(str(arrays["description"]))
    manifest = ModelManifest.from_json(json.dumps(description["manifest"]))
    source_width, source_height = map(int, description["source_size"])
    width, height = manifest.input_size
    frames = tuple(
        GoldenFrame(
            _decode(picture, (height, width, 3)),
            int(arrays["frame_index"][n]),
            float(arrays["time_s"][n]),
            _observation(arrays, n),
        )
        for n, picture in enumerate(np.split(arrays["frame_png"], arrays["frame_png_end"][:-1]))
    )
    return Golden(
        source=str(description["source"]),
        source_size=(source_width, source_height),
        frame_rate=float(description["frame_rate"]),
        runtime=str(description["runtime"]),
        details={str(name): str(value) for name, value in description["details"].items()},
        manifest=manifest,
        frames=frames,
    )


def _check_layout(arrays: Mapping[str, Any]) -> None:
    for name, (dtype, dimensions) in _LAYOUT.items():
        if name not in arrays:
            raise ValueError(f"{name} is missing")
        found = arrays[name]
        if found.dtype != dtype or found.ndim != dimensions:
            raise ValueError(f"{name} is {found.dtype} of {found.ndim} dimensions")
        if dtype.startswith("float") and not np.isfinite(found).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    count = len(arrays["frame_index"])
    detections = arrays["scores"].shape[1]
    for name in _OF_A_FRAME:
        if len(arrays[name]) != count or not count:
            raise ValueError(f"{name} is of {len(arrays[name])} frames, frame_index of {count}")
    for name in ("boxes", "class_ids", "embeddings"):
        if arrays[name].shape[1] != detections:
            raise ValueError(f"{name} is of {arrays[name].shape[1]} detections, scores of {detections}")
    if arrays["boxes"].shape[2] != 4 or arrays["frame_png_end"][-1] != len(arrays["frame_png"]):
        raise ValueError("boxes or pictures are cut short")
    for head in HEADS:
        positions, size = arrays[f"{head}_positions"], int(arrays[f"{head}_size"])
        fits = arrays[f"{head}_values"].shape[1:] == positions.shape and len(positions)
        if not fits or positions.min() < 0 or positions.max() >= size:
            raise ValueError(f"{head}_positions do not fit the head")


def _observation(arrays: Mapping[str, Any], n: int) -> Observation:
    one = slice(n, n + 1)
    heads = {
        name: DenseHead(
            values=arrays[f"{name}_values"][n],
            positions=arrays[f"{name}_positions"],
            low=float(arrays[f"{name}_range"][n, 0]),
            high=float(arrays[f"{name}_range"][n, 1]),
            size=int(arrays[f"{name}_size"]),
        )
        for name in HEADS
    }
    raw = RawDetections(*(arrays[name][one] for name in ("boxes", "scores", "class_ids", "embeddings")))
    return Observation(raw, heads)


def _positions(size: int) -> Int64Array:
    generator = np.random.default_rng([_SEED, size])
    return np.sort(generator.choice(size, min(VALUES_KEPT, size), replace=False)).astype(np.int64)


def _encode(image: UInt8Array) -> UInt8Array:
    done, data = cv2.imencode(".png", image)
    if not done:
        raise EvaluationError(f"OpenCV could not encode a picture of {image.shape}")
    return np.asarray(data, np.uint8).reshape(-1)


def _decode(data: UInt8Array, shape: tuple[int, int, int]) -> UInt8Array:
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None or image.shape != shape:
        raise ValueError(f"a picture cannot be decoded to {shape}")
    return np.asarray(image, np.uint8)
