"""A runtime that returns the boxes of a JSON file for every image: the whole contract without a network.

To write your own, copy this folder, change the names in ``pyproject.toml``, and change the places 1 to 4. The
contract is ``edge_fairmot.protocols.Runtime``: ``name``, ``manifest``, ``infer`` and ``close``. No base class
is needed.
"""

import json
from pathlib import Path

import numpy as np

from edge_fairmot.errors import InferenceError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.runtimes import RuntimeOptions
from edge_fairmot.runtimes.checks import check_images
from edge_fairmot.types import RawDetections, UInt8Array


class FixedBoxesRuntime:
    """Reads ``{"input_size": [576, 320], "boxes": [[x1, y1, x2, y2], ...]}``, input pixels."""

    name = "fixed-boxes"

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        # 1. Name the options that you support, as in check_supported(self.name, "threads").
        (options or RuntimeOptions()).check_supported(self.name)
        try:
            scene = json.loads(Path(path).read_text())
            self._boxes = np.array(scene["boxes"], np.float32).reshape(-1, 4)
            width, height = scene["input_size"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InferenceError(
                f"{path} is not a file of fixed boxes ({error}): see FixedBoxesRuntime"
            ) from error
        # 2. An exported file holds its manifest: edge_fairmot.model_file.read_onnx_file(path).manifest.
        count = max(1, len(self._boxes))
        self.manifest = ModelManifest((width, height), count, count, ("person",), 0, "", "")

    def infer(self, images: UInt8Array) -> RawDetections:
        """Take images, uint8 (1, H, W, 3), BGR, letterboxed to the manifest's input size."""
        check_images(images, self.manifest)
        # 3. Run the network here. It returns K rows, best first; empty rows have score 0.
        count = self.manifest.max_detections
        boxes = np.zeros((1, count, 4), np.float32)
        boxes[0, : len(self._boxes)] = self._boxes
        scores = np.zeros((1, count), np.float32)
        scores[0, : len(self._boxes)] = 0.9
        # Embeddings have unit norm, and those of one person are alike: here each box has its own direction.
        embeddings = np.eye(count, dtype=np.float32)[None]
        return RawDetections(boxes, scores, np.zeros((1, count), np.int64), embeddings)

    def close(self) -> None:
        """4. Release the network. May be called twice."""
