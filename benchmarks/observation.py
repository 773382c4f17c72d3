"""What one model computes for one frame: its detections and, where they can be read, its dense heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edge_fairmot.errors import EvaluationError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.protocols import Runtime
from edge_fairmot.types import Float32Array, Int64Array, RawDetections, UInt8Array

TIE = 1e-4
"""Greatest score difference of two neighbouring cells that tie: rounding decides which one is the peak."""

HEADS = ("hm", "wh", "reg", "id")
"""Extra outputs of a file that was converted with ``--dense-heads``."""


@dataclass(frozen=True, slots=True)
class DenseHead:
    """Values of one dense head for one frame: all of them, or a selection."""

    values: Float32Array  # (P,)
    positions: Int64Array | None  # (P,), index into the head (C, H, W) flattened; None for a whole head
    low: float  # least and greatest value of the whole head
    high: float
    size: int  # number of values of the whole head

    @classmethod
    def whole(cls, values: Float32Array) -> DenseHead:
        """Return a whole head from its values, float32 (1, C, H, W)."""
        flat = values.reshape(-1)
        return cls(flat, None, float(flat.min()), float(flat.max()), flat.size)

    def select(self, positions: Int64Array) -> DenseHead:
        """Return the values of a whole head at ``positions``."""
        if self.positions is not None:
            raise EvaluationError("values can be selected from a whole dense head only")
        return replace(self, values=self.values[positions], positions=positions)


@dataclass(frozen=True, slots=True)
class Observation:
    """Outputs of one model for one frame."""

    detections: RawDetections  # N is 1
    heads: Mapping[str, DenseHead] | None = None  # hm, wh, reg and id
    tied: RawDetections | None = None  # the detections and the cells that tie with a peak; None if unknown


class Observer(Protocol):
    """A model whose outputs can be read: a reference or a candidate."""

    name: str  # backend and device, as in cpu or torch:cuda
    manifest: ModelManifest

    def observe(self, images: UInt8Array) -> Observation:
        """Return outputs for uint8 (1, H, W, 3), BGR, letterboxed."""

    def close(self) -> None:
        """Release the model. May be called twice."""


class RuntimeObserver:
    """Outputs of a file by a runtime, which is closed with the observer.

    Dense heads are read where ONNX Runtime on the CPU runs a file that has them. The runtime protocol has no
    place for them, so they cost a second run of the same file: that file is a debugging export.
    """

    def __init__(self, runtime: Runtime, path: str | Path) -> None:
        self._runtime, self.name, self.manifest = runtime, runtime.name, runtime.manifest
        has_heads = runtime.name == "cpu" and set(HEADS) <= read_onnx_file(path).outputs.keys()
        self._session: Any = _open_session(path) if has_heads else None

    def observe(self, images: UInt8Array) -> Observation:
        """Return outputs for uint8 (1, H, W, 3), BGR, letterboxed."""
        detections = self._runtime.infer(images)
        if self._session is None:
            return Observation(detections)
        outputs = self._session.run(HEADS, {"images": images})
        heads = {name: DenseHead.whole(values) for name, values in zip(HEADS, outputs, strict=True)}
        return Observation(detections, heads)

    def close(self) -> None:
        """Release the runtime."""
        self._runtime.close()
        self._session = None


def check_same_network(reference: ModelManifest, candidate: ModelManifest, reference_name: str) -> None:
    """Refuse models of another checkpoint, input size, embedding length or batch size.

    A student may be compared with its teacher: its manifest names the teacher's checkpoint.
    """
    if reference.checkpoint_sha256 not in (candidate.checkpoint_sha256, candidate.teacher_sha256 or None):
        raise EvaluationError(
            f"certificate does not match: the candidate says that it was made of checkpoint "
            f"{_brief(candidate)}, but {reference_name} is of {_brief(reference)}: "
            "give the checkpoint that the file was converted from, or convert this one"
        )
    for what, ours, theirs in (
        ("input size", reference.input_size, candidate.input_size),
        ("embedding length", reference.embedding_dim, candidate.embedding_dim),
    ):
        if ours != theirs:
            raise EvaluationError(
                f"{reference_name} has {what} {ours} and the candidate {theirs}: "
                "convert or record with the same --size"
            )
    if max(candidate.batch_size, reference.batch_size) != 1:
        raise EvaluationError(
            "the file takes batches of more than one frame: convert it without --batch-size"
        )


def _brief(manifest: ModelManifest) -> str:
    return manifest.checkpoint_sha256[:12] or "(none)"


def _open_session(path: str | Path) -> Any:
    from edge_fairmot.runtimes.ort import open_session  # noqa: PLC0415

    return open_session(Path(path), ["CPUExecutionProvider"])
