"""The detector: letterbox, runtime and threshold make detections in source pixels of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import Letterbox
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

    def detect(self, frame: Frame) -> Detections:
        """Return the detections of one frame, in source pixels.

        Raises
        ------
        InferenceError
            If the runtime cannot run, or its outputs hold NaN.
        """
        return self.prepare(frame)()

    def detect_image(self, image: UInt8Array) -> Detections:
        """Return the detections of one image, uint8 (H, W, 3), BGR, in its pixels."""
        return self.detect(Frame(image, 0, 0.0))

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the detections of each frame; the file's batch size is filled, the rest is padding.

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
        batch, letterboxes = self._new_batch(), [self._letterbox(frame) for frame in frames]
        for row, (frame, letterbox) in enumerate(zip(frames, letterboxes, strict=True)):
            _fill(batch[row], frame, letterbox)
        raw = self.runtime.infer(batch)
        return [self._select(raw, row, letterbox) for row, letterbox in enumerate(letterboxes)]

    def prepare(self, frame: Frame) -> Callable[[], Detections]:
        """Letterbox a frame; the returned function does the rest, also in another thread."""
        batch, letterbox = self._new_batch(), self._letterbox(frame)
        _fill(batch[0], frame, letterbox)
        return lambda: self._select(self.runtime.infer(batch), 0, letterbox)

    def _new_batch(self) -> UInt8Array:
        (width, height), batch_size = self.runtime.manifest.input_size, self.runtime.manifest.batch_size
        return np.empty((batch_size, height, width, 3), np.uint8)

    def _letterbox(self, frame: Frame) -> Letterbox:
        return Letterbox(frame.size, self.runtime.manifest.input_size)

    def _select(self, raw: RawDetections, row: int, letterbox: Letterbox) -> Detections:
        return select_detections(raw, letterbox, self.score_threshold, row)


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


def _fill(out: UInt8Array, frame: Frame, letterbox: Letterbox) -> None:
    """Letterbox the frame, or the camera's reduced image of it, into ``out``."""
    if frame.reduced is None:
        letterbox.apply(frame.image, out=out)
        return
    width, height = frame.reduced.shape[1::-1]
    reduced = Letterbox((width, height), letterbox.input_size)
    if reduced.inner_size != letterbox.inner_size:
        large = "x".join(map(str, letterbox.source_size))
        raise InvalidInputError(
            f"the camera's reduced image, {width}x{height}, has another shape than its large one, {large}: "
            "ask for one shape, as in size=1152x640,lores=576x320"
        )
    reduced.apply(frame.reduced, out=out)
