"""Reference outputs: detections and dense heads of a reference for some frames, in one ``.npz``.

A device without PyTorch verifies its file with them. Keys, for F frames, K detections, embeddings of length
D:

====================  =====================  ============================================================
``description``       str ()                 JSON: schema version, source, runtime, device, versions, manifest
``frames``            uint8 (F, H, W, 3)     letterboxed, BGR
``frame_index``       int64 (F,)             position in the source, from 0
``time_s``            float64 (F,)
``boxes``             float32 (F, K, 4)      the graph contract's outputs, the K best
``scores``            float32 (F, K)
``class_ids``         int64 (F, K)
``embeddings``        float32 (F, K, D)
``HEAD_positions``    int64 (P,)             for hm, wh, reg, id: places in the flattened head
``HEAD_values``       float32 (F, P)
``HEAD_range``        float32 (F, 2)         least and greatest value of the whole head
``HEAD_size``         int64 ()               number of values of the whole head
====================  =====================  ============================================================
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.frame_sources import letterboxed
from edge_fairmot.benchmarks.observation import HEADS, DenseHead, Observation, Observer
from edge_fairmot.errors import EvaluationError, ManifestError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.protocols import Source
from edge_fairmot.system import atomic_write
from edge_fairmot.types import Int64Array, RawDetections, UInt8Array

SCHEMA_VERSION = 2

VALUES_KEPT = 2000
"""Values kept of each head: enough for every channel of an embedding; 20 frames of four heads take 0.2 MB."""

_SEED = 20
_DETECTIONS = ("boxes", "scores", "class_ids", "embeddings")


@dataclass(frozen=True, slots=True)
class ReferenceFrame:
    """One frame and the reference's outputs for it; its heads are selections."""

    image: UInt8Array  # (H, W, 3), BGR, letterboxed
    index: int  # position in the source, from 0
    time_s: float
    observation: Observation


@dataclass(frozen=True, slots=True)
class ReferenceOutputs:
    """Recorded outputs of a reference."""

    source: str  # name of the source of the frames
    source_size: tuple[int, int]  # width and height of its frames
    frame_rate: float
    runtime: str  # as in torch:cuda
    details: Mapping[str, str]  # device, driver, versions, deformable convolution
    manifest: ModelManifest  # of the reference
    frames: tuple[ReferenceFrame, ...]


def record_frames(
    reference: Observer,
    source: Source,
    max_frames: int,
    max_detections: int,
    *,
    first_frame: int = 0,
    on_frame: Callable[[], None] = lambda: None,
) -> Iterator[ReferenceFrame]:
    """Yield outputs of a reference with dense heads for frames from ``first_frame`` (from 0) on."""
    for frame, _, images in letterboxed(source, reference.manifest.input_size, max_frames, first_frame):
        outputs = select_outputs(reference.observe(images), max_detections)
        yield ReferenceFrame(images[0].copy(), frame.index, frame.time_s, outputs)
        on_frame()


def select_outputs(observation: Observation, max_detections: int) -> Observation:
    """Return the recorded part of the outputs: the best detections, and the same places of each head."""
    if observation.heads is None:
        raise EvaluationError("reference outputs need dense heads, which this reference does not have")
    best = (getattr(observation.detections, name)[:, :max_detections] for name in _DETECTIONS)
    heads = {name: observation.heads[name].select(_positions(observation.heads[name].size)) for name in HEADS}
    return Observation(RawDetections(*best), heads)


def write_reference_outputs(path: str | Path, recorded: ReferenceOutputs) -> None:
    """Write reference outputs; the file is there whole or not at all."""
    path = Path(path)
    if not recorded.frames:
        raise EvaluationError("reference outputs need at least one frame")
    description = {
        "schema_version": SCHEMA_VERSION,
        "source": recorded.source,
        "source_size": recorded.source_size,
        "frame_rate": recorded.frame_rate,
        "runtime": recorded.runtime,
        "details": dict(recorded.details),
        "manifest": json.loads(recorded.manifest.to_json()),
    }
    frames, outputs = recorded.frames, [frame.observation for frame in recorded.frames]
    arrays: dict[str, Any] = {
        "description": json.dumps(description),
        "frames": np.stack([frame.image for frame in frames]),
        "frame_index": np.array([frame.index for frame in frames], np.int64),
        "time_s": np.array([frame.time_s for frame in frames], np.float64),
    }
    for name in _DETECTIONS:
        arrays[name] = np.concatenate([getattr(output.detections, name) for output in outputs])
    for name in HEADS:
        heads = [(output.heads or {})[name] for output in outputs]
        arrays[f"{name}_positions"] = heads[0].positions
        arrays[f"{name}_values"] = np.stack([head.values for head in heads])
        arrays[f"{name}_range"] = np.array([(head.low, head.high) for head in heads], np.float32)
        arrays[f"{name}_size"] = np.int64(heads[0].size)
    try:
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        raise EvaluationError(
            f"cannot write {path}: {error.strerror}; choose another place with -o"
        ) from error


def read_reference_outputs(path: str | Path) -> ReferenceOutputs:
    """Read what :func:`write_reference_outputs` wrote; an error if it is damaged or of another schema."""
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(f"no reference outputs at {path}: edge-fairmot record-reference writes them")
    try:
        # Opened here: of a damaged file, np.load does not close its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _parse(arrays)
    # The errors of a damaged zip, npy or JSON, and of an array of the wrong shape.
    except (
        *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError),
        *(zipfile.BadZipFile, zlib.error, ManifestError),
    ) as error:
        raise EvaluationError(
            f"{path} does not hold reference outputs, or is damaged ({' '.join(str(error).split())}): "
            "copy it again, or record it again with edge-fairmot record-reference"
        ) from error


def _parse(arrays: Mapping[str, Any]) -> ReferenceOutputs:
    description = json.loads(str(arrays["description"]))
    if description["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema {description['schema_version']}, this edge-fairmot reads {SCHEMA_VERSION}")
    manifest = ModelManifest.from_json(json.dumps(description["manifest"]))
    _check_layout(arrays, manifest)
    frames = []
    for n, image in enumerate(arrays["frames"]):
        raw = RawDetections(*(arrays[name][n : n + 1] for name in _DETECTIONS))
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
        index, time_s = int(arrays["frame_index"][n]), float(arrays["time_s"][n])
        frames.append(ReferenceFrame(image, index, time_s, Observation(raw, heads)))
    width, height = map(int, description["source_size"])
    return ReferenceOutputs(
        source=str(description["source"]),
        source_size=(width, height),
        frame_rate=float(description["frame_rate"]),
        runtime=str(description["runtime"]),
        details={str(name): str(value) for name, value in description["details"].items()},
        manifest=manifest,
        frames=tuple(frames),
    )


def _check_layout(arrays: Mapping[str, Any], manifest: ModelManifest) -> None:
    (count, detections), (width, height) = arrays["scores"].shape, manifest.input_size
    layout: dict[str, tuple[str, tuple[int, ...]]] = {
        "frames": ("uint8", (count, height, width, 3)),
        "frame_index": ("int64", (count,)),
        "time_s": ("float64", (count,)),
        "boxes": ("float32", (count, detections, 4)),
        "scores": ("float32", (count, detections)),
        "class_ids": ("int64", (count, detections)),
        "embeddings": ("float32", (count, detections, manifest.embedding_dim)),
    }
    for head in HEADS:
        positions = arrays[f"{head}_positions"]
        layout[f"{head}_positions"] = ("int64", (positions.size,))
        layout[f"{head}_values"] = ("float32", (count, positions.size))
        layout[f"{head}_range"] = ("float32", (count, 2))
        layout[f"{head}_size"] = ("int64", ())
        if positions.min() < 0 or positions.max() >= arrays[f"{head}_size"]:
            raise ValueError(f"{head}_positions do not fit the head")
    for name, (dtype, shape) in layout.items():
        found = arrays[name]
        if found.dtype != dtype or found.shape != shape:
            raise ValueError(f"{name} is {found.dtype} {found.shape}, not {dtype} {shape}")
        if not np.isfinite(found).all():
            raise ValueError(f"{name} holds numbers that are not finite")


def _positions(size: int) -> Int64Array:
    generator = np.random.default_rng([_SEED, size])
    return np.sort(generator.choice(size, min(VALUES_KEPT, size), replace=False)).astype(np.int64)
