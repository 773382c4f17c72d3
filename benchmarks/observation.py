"""What one model sees in a picture: its detections and, where it gives them, its dense heads."""

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
"""Scores of neighbouring cells this near to each other: either may be the peak, as rounding will have it."""

HEADS = ("hm", "wh", "reg", "id")
"""Outputs of a file that was converted with ``--dense-heads``."""


@dataclass(frozen=True, slots=True)
class DenseHead:
    """Values of one dense head for one picture, all of them or a selection.

    Attributes
    ----------
    values : float32 (P,)
    positions : int64 (P,) or None
        Index of each value into the head, (C, H, W) flattened; None where all are there.
    low, high : float
        Least and greatest value of the whole head.
    size : int
        Number of values in the whole head.
    """

    values: Float32Array
    positions: Int64Array | None
    low: float
    high: float
    size: int

    @classmethod
    def whole(cls, values: Float32Array) -> DenseHead:
        """Take all values of a head, float32 (1, C, H, W)."""
        flat = values.reshape(-1)
        return cls(flat, None, float(flat.min()), float(flat.max()), flat.size)

    def select(self, positions: Int64Array) -> DenseHead:
        """Keep the values at ``positions``, of a head that is whole."""
        if self.positions is not None:
            raise EvaluationError("a selection of a dense head has no other values to select from")
        return replace(self, values=self.values[positions], positions=positions)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one model made of one picture.

    Attributes
    ----------
    detections : RawDetections
        N is 1.
    heads : dict of str to DenseHead, or None
        ``hm``, ``wh``, ``reg`` and ``id``.
    tied : RawDetections or None
        The detections again, and those of cells within ``TIE`` of being the highest of their neighbourhood.
        None where they are not known.
    """

    detections: RawDetections
    heads: Mapping[str, DenseHead] | None = None
    tied: RawDetections | None = None


class Observer(Protocol):
    """A model that can be looked into: a reference or a candidate."""

    @property
    def name(self) -> str:
        """What computes, as in ``cpu`` or ``torch:cuda``."""

    @property
    def manifest(self) -> ModelManifest:
        """What is computed."""

    def observe(self, images: UInt8Array) -> Observation:
        """Look at uint8 (1, H, W, 3), BGR, letterboxed."""

    def close(self) -> None:
        """Release the model. May be called twice."""


class RuntimeObserver:
    """Looks through a runtime.

    Dense heads are read where ONNX Runtime on the CPU runs a file that gives them. The contract of a runtime
    has no place for them, so they are a second run of the same file: it is a debugging export.

    Parameters
    ----------
    runtime : Runtime
        Closed with the observer.
    path : str or Path
        The file that it runs.
    """

    def __init__(self, runtime: Runtime, path: str | Path) -> None:
        self._runtime = runtime
        gives_heads = runtime.name == "cpu" and set(HEADS) <= read_onnx_file(path).outputs.keys()
        self._session: Any = _open_session(path) if gives_heads else None

    @property
    def name(self) -> str:
        """The runtime's name."""
        return self._runtime.name

    @property
    def manifest(self) -> ModelManifest:
        """The file's manifest."""
        return self._runtime.manifest

    def observe(self, images: UInt8Array) -> Observation:
        """Look at uint8 (1, H, W, 3), BGR, letterboxed."""
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
    """Refuse to compare what cannot be the same.

    Parameters
    ----------
    reference, candidate : ModelManifest
    reference_name : str
        For the error.

    Raises
    ------
    EvaluationError
        If checkpoint, input size, embeddings or batch size differ. A student may be compared with its
        teacher: its manifest names the teacher's checkpoint.
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
        raise EvaluationError("a file of more than one picture a batch: convert it without --batch-size")


def _brief(manifest: ModelManifest) -> str:
    return manifest.checkpoint_sha256[:12] or "(none)"


def _open_session(path: str | Path) -> Any:
    from edge_fairmot.runtimes.ort import open_session  # noqa: PLC0415

    return open_session(Path(path), ["CPUExecutionProvider"])
