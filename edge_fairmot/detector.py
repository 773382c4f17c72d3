"""The detector: letterbox, runtime and threshold make detections in source pixels of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge_fairmot.errors import InferenceError, InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.protocols import Runtime
from edge_fairmot.types import Detections, Frame, RawDetections, UInt8Array


class FairMotDetector:
    """Detects objects and their embeddings with an exported FairMOT file.

    Parameters
    ----------
    runtime : Runtime
        Stays open: the caller closes it.
    score_threshold : float
        Only detections with a greater score are returned. The tracker needs those above
        ``TrackerConfig.lowest_score``.

    Examples
    --------
    >>> from edge_fairmot import FairMotDetector, open_runtime
    >>> detector = FairMotDetector(open_runtime("fairmot.onnx"))  # doctest: +SKIP
    >>> detections = detector.detect_image(cv2.imread("street.jpg"))  # doctest: +SKIP
    """

    def __init__(self, runtime: Runtime, score_threshold: float = 0.4) -> None:
        self.runtime = runtime
        self.score_threshold = score_threshold

    @property
    def name(self) -> str:
        """Name of the runtime, as in ``openvino:CPU``."""
        return self.runtime.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class id, as the file has them."""
        return tuple(self.runtime.manifest.class_names)

    def detect(self, frame: Frame) -> Detections:
        """Return the detections of one frame, in source pixels.

        Raises
        ------
        InferenceError
            If the runtime cannot run, or its outputs are not those of :class:`~edge_fairmot.RawDetections`.
        """
        return self.prepare(frame)()

    def detect_image(self, image: UInt8Array) -> Detections:
        """Return the detections of one image, uint8 (H, W, 3), BGR, in its pixels."""
        return self.detect(Frame(image, 0, 0.0))

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the detections of each frame; short batches are padded with the last frame.

        Raises
        ------
        InvalidInputError
            If there are more frames than the file's batch size.
        InferenceError
            As :meth:`detect`.
        """
        batch_size = self.runtime.manifest.batch_size
        if len(frames) > batch_size:
            raise InvalidInputError(f"the file takes batches of {batch_size}, not {len(frames)} frames")
        if not frames:
            return []
        batch = self._new_batch()
        letterboxes = [self._letterbox(frame, batch[row]) for row, frame in enumerate(frames)]
        batch[len(frames) :] = batch[len(frames) - 1]
        raw = self._infer(batch)
        return [self._select(raw, row, letterbox) for row, letterbox in enumerate(letterboxes)]

    def prepare(self, frame: Frame) -> Callable[[], Detections]:
        """Letterbox a frame; the returned function does the rest, also in another thread."""
        batch = self._new_batch()
        letterbox = self._letterbox(frame, batch[0])
        batch[1:] = batch[0]
        return lambda: self._select(self._infer(batch), 0, letterbox)

    def _infer(self, batch: UInt8Array) -> RawDetections:
        return check_outputs(self.runtime.infer(batch), self.runtime.manifest, self.runtime.name)

    def _new_batch(self) -> UInt8Array:
        (width, height), batch_size = self.runtime.manifest.input_size, self.runtime.manifest.batch_size
        return np.empty((batch_size, height, width, 3), np.uint8)

    def _letterbox(self, frame: Frame, out: UInt8Array) -> Letterbox:
        return letterbox_frame(frame, self.runtime.manifest.input_size, out)

    def _select(self, raw: RawDetections, row: int, letterbox: Letterbox) -> Detections:
        return select_detections(raw, letterbox, self.score_threshold, row)


SCORE_ROUNDING = 1e-3
"""Tolerance of scores above 1 or below 0: half precision rounds."""


def check_outputs(outputs: RawDetections, manifest: ModelManifest, name: str) -> RawDetections:
    """Return the outputs of the named runtime; InferenceError if they break the contract of the graph.

    Checked are types, shapes, NaN and infinity, the range and order of the scores, and the class ids.
    """
    if not isinstance(outputs, RawDetections):
        raise InferenceError(f"runtime {name} gave {type(outputs).__name__}, not RawDetections: correct it")
    for output, dtype in _DTYPES.items():
        array = getattr(outputs, output)
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        if found != dtype:
            raise InferenceError(f"runtime {name} gave {output} as {found}, not as {dtype.__name__} array")
    rows = outputs.scores.shape[1] if outputs.scores.ndim == 2 else 0
    shape = (manifest.batch_size, min(rows, manifest.max_detections))
    expected = {
        "scores": shape,
        "class_ids": shape,
        "boxes": (*shape, 4),
        "embeddings": (*shape, manifest.embedding_dim),
    }
    for output, wanted in expected.items():
        if (found := getattr(outputs, output).shape) != wanted:
            raise InferenceError(
                f"runtime {name} gave {output} of shape {found}, not {wanted}: the manifest says batches of "
                f"{manifest.batch_size}, {manifest.max_detections} detections at most, and embeddings of "
                f"{manifest.embedding_dim}"
            )
    for output in ("scores", "boxes", "embeddings"):
        if not np.isfinite(getattr(outputs, output)).all():
            raise InferenceError(
                f"runtime {name} gave {output} that are not finite: the file or its precision is broken "
                "on this device; try an fp32 file, or --runtime cpu"
            )
    scores, classes = outputs.scores, len(manifest.class_names)
    if rows == 0:
        return outputs
    if (scores[:, 1:] > scores[:, :-1]).any():
        raise InferenceError(f"runtime {name} gave scores that do not descend: sort its rows, best first")
    if scores.min() < -SCORE_ROUNDING or scores.max() > 1 + SCORE_ROUNDING:
        raise InferenceError(
            f"runtime {name} gave scores from {scores.min():g} to {scores.max():g}, not between 0 and 1: the "
            "file or its precision is broken on this device; try an fp32 file, or --runtime cpu"
        )
    if outputs.class_ids.min() < 0 or outputs.class_ids.max() >= classes:
        raise InferenceError(
            f"runtime {name} gave class ids from {outputs.class_ids.min()} to {outputs.class_ids.max()}, and "
            f"the manifest names {classes} {'classes' if classes > 1 else 'class'}, from 0: convert the "
            "checkpoint again"
        )
    return outputs


_DTYPES = {"boxes": np.float32, "scores": np.float32, "embeddings": np.float32, "class_ids": np.int64}


def select_detections(
    raw: RawDetections, letterbox: Letterbox, score_threshold: float, row: int = 0
) -> Detections:
    """Return the detections of image ``row`` with a greater score, in source pixels."""
    count = int((raw.scores[row] > score_threshold).sum())  # scores descend
    return Detections(
        xyxy=letterbox.to_source(raw.boxes[row, :count]),
        score=raw.scores[row, :count],
        embedding=raw.embeddings[row, :count],
        class_id=raw.class_ids[row, :count],
    )


def letterbox_frame(frame: Frame, input_size: tuple[int, int], out: UInt8Array) -> Letterbox:
    """Letterbox the frame, or the camera's reduced image of it, into ``out``, uint8 (H, W, 3).

    InvalidInputError if the reduced image has another shape than the large one.
    """
    letterbox = Letterbox(frame.size, input_size)
    if frame.reduced is None:
        letterbox.apply(frame.image, out=out)
        return letterbox
    width, height = frame.reduced.shape[1::-1]
    reduced = Letterbox((width, height), letterbox.input_size)
    if reduced.inner_size != letterbox.inner_size:
        large = "x".join(map(str, letterbox.source_size))
        raise InvalidInputError(
            f"the camera's reduced image, {width}x{height}, has another shape than its large one, {large}: "
            "ask for one shape, as in size=1152x640,lores=576x320"
        )
    reduced.apply(frame.reduced, out=out)
    return letterbox
