"""A runtime that answers every picture with the boxes of a JSON file: the whole contract, and no network.

To write your own, copy this folder, change the names in ``pyproject.toml``, and change what is marked 1 to 4.
The contract is ``edge_fairmot.protocols.Runtime``: ``name``, ``manifest``, ``infer`` and ``close``. No base
class is needed.
"""

import json
from pathlib import Path

import numpy as np

from edge_fairmot.errors import InferenceError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.runtimes import RuntimeOptions
from edge_fairmot.runtimes.checks import check_images, check_model_file
from edge_fairmot.types import RawDetections, UInt8Array


class FixedBoxesRuntime:
    """Reads ``{"input_size": [576, 320], "boxes": [[x1, y1, x2, y2], ...]}``, input pixels."""

    name = "fixed-boxes"

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        # 1. An option that you do not name is refused, not silently dropped.
        (options or RuntimeOptions()).refuse_all_but(self.name)
        check_model_file(Path(path))
        try:
            scene = json.loads(Path(path).read_text())
            self._boxes = np.array(scene["boxes"], np.float32).reshape(-1, 4)
            width, height = scene["input_size"]
        except (ValueError, TypeError, KeyError) as error:
            raise InferenceError(
                f"{path} is not a file of fixed boxes ({error}): see FixedBoxesRuntime"
            ) from error
        # 2. An exported file brings its manifest: ModelManifest.from_metadata(metadata_props, str(path)).
        count = max(1, len(self._boxes))
        self.manifest = ModelManifest((width, height), count, count, ("person",), 0, "", "")

    def infer(self, images: UInt8Array) -> RawDetections:
        """Pictures come as uint8 (1, H, W, 3), BGR, letterboxed to the manifest's input size."""
        check_images(images, self.manifest)
        # 3. Run the network here. It gives K rows, best first; a score of 0 marks those that are empty.
        count = self.manifest.max_detections
        boxes = np.zeros((1, count, 4), np.float32)
        boxes[0, : len(self._boxes)] = self._boxes
        scores = np.zeros((1, count), np.float32)
        scores[0, : len(self._boxes)] = 0.9
        # Embeddings are of unit norm, and of one person alike: here each box has a direction of its own.
        embeddings = np.eye(count, dtype=np.float32)[None]
        return RawDetections(boxes, scores, np.zeros((1, count), np.int64), embeddings)

    def close(self) -> None:
        """4. Release what was opened; may be called twice."""
