"""Decoding of core files on the host, in NumPy: peaks, the K highest, and the late heads at them.

A core file ends at the heatmap and the features, which every accelerator computes. What NPUs and small
runtimes lack, top-K and gathering, is done here. The weights of the other heads are in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import CORE, ModelManifest
from edge_fairmot.runtimes.checks import OUTPUTS
from edge_fairmot.runtimes.onnx_graph import Tensor, read_graph
from edge_fairmot.types import Float32Array, UInt8Array

CORE_OUTPUTS = ("hm", "features")
"""Outputs of a core graph: the heatmap before the sigmoid, and the input of the heads."""

LATE_HEADS = ("wh", "reg", "id")
"""Heads that are computed at the peaks."""

HEAD_TENSORS = ("0.weight", "0.bias", "2.weight", "2.bias")
"""Weights of a head."""

SIGMOID_LIMIT = 80.0
"""exp overflows float32 beyond 88; the sigmoid of -80 is 1.8e-35."""


class HostDecoder:
    """Turns the outputs of a core graph into detections.

    Parameters
    ----------
    weights : dict of str to float32 array
        ``{head}.0.weight`` (hidden, C, 3, 3), ``{head}.0.bias``, ``{head}.2.weight`` (outputs, hidden, 1, 1)
        and ``{head}.2.bias`` of the heads ``wh``, ``reg`` and ``id``.
    manifest : ModelManifest

    Raises
    ------
    ManifestError
        If a weight is missing.
    """

    def __init__(self, weights: Mapping[str, Tensor], manifest: ModelManifest) -> None:
        names = [f"{head}.{tensor}" for head in LATE_HEADS for tensor in HEAD_TENSORS]
        if absent := [name for name in names if name not in weights]:
            raise ManifestError(
                f"this core file lacks the weights of its heads ({', '.join(absent)}): convert the "
                "checkpoint again with edge-fairmot convert --graph core"
            )
        self._manifest = manifest
        # One product for the hidden layers of all three heads.
        hidden = [weights[f"{head}.0.weight"] for head in LATE_HEADS]
        self._hidden = np.ascontiguousarray(np.concatenate([one.reshape(len(one), -1) for one in hidden]).T)
        self._hidden_bias = np.concatenate([weights[f"{head}.0.bias"] for head in LATE_HEADS])
        self._ends = np.cumsum([len(one) for one in hidden])[:-1]
        self._last = [
            (np.ascontiguousarray(weights[f"{head}.2.weight"][..., 0, 0].T), weights[f"{head}.2.bias"])
            for head in LATE_HEADS
        ]

    def __call__(self, hm: Float32Array, features: Float32Array) -> tuple[Tensor, ...]:
        """Decode.

        Parameters
        ----------
        hm : float32 (N, classes, H / 4, W / 4)
            Heatmap before the sigmoid.
        features : float32 (N, C, H / 4, W / 4)

        Returns
        -------
        tuple of arrays
            The boxes, scores, class ids and embeddings of the graph contract.
        """
        rows = [self._decode(*one) for one in zip(hm, features, strict=True)]
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def _decode(self, hm: Float32Array, features: Float32Array) -> tuple[Tensor, ...]:
        """Decode one image: hm (classes, H, W), features (C, H, W)."""
        height, width = hm.shape[1:]
        scores, index = find_peaks(hm, self._manifest.max_detections)
        class_ids, cells = np.divmod(index, height * width)
        row, column = np.divmod(cells, width)
        wh, reg, embedding = self._heads_at(features, row, column)
        if wh.shape[1] not in (2, 4):  # width and height for each class
            wh = np.take_along_axis(wh, 2 * class_ids[:, None] + np.arange(2), axis=1)
        low, high = (wh[:, :2], wh[:, 2:]) if wh.shape[1] == 4 else (wh / 2, wh / 2)
        centre = np.stack((column, row), axis=1).astype(np.float32) + reg
        boxes = np.concatenate((centre - low, centre + high), axis=1) * np.float32(self._manifest.stride)
        norm = np.sqrt(np.maximum((embedding**2).sum(axis=1, keepdims=True), np.float32(1e-24)))
        return boxes, scores, class_ids, embedding / norm

    def _heads_at(
        self, features: Float32Array, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]
    ) -> list[Float32Array]:
        """Compute the late heads at K cells: a (K, outputs) array for each."""
        padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
        down, right = np.divmod(np.arange(9), 3)
        patches = padded[:, row[:, None] + down, column[:, None] + right]  # (C, K, 9)
        flat = np.ascontiguousarray(patches.transpose(1, 0, 2)).reshape(len(row), -1)
        hidden = flat @ self._hidden + self._hidden_bias
        is_silu = self._manifest.head_activation == "silu"
        hidden = hidden * sigmoid(hidden) if is_silu else np.maximum(hidden, 0)
        parts = np.split(hidden, self._ends, axis=1)
        return [part @ weight + bias for part, (weight, bias) in zip(parts, self._last, strict=True)]


def sigmoid(x: Float32Array) -> Float32Array:
    """Compute the sigmoid of float32 values, of any size, in float32."""
    one = np.float32(1)
    return one / (one + np.exp(-np.clip(x, -SIGMOID_LIMIT, SIGMOID_LIMIT)))


def find_peaks(hm: Float32Array, top_k: int) -> tuple[Float32Array, npt.NDArray[np.int64]]:
    """Find the K highest cells that are the maximum of their 3x3 neighbourhood.

    Maps a heatmap (C, H, W) before the sigmoid to scores (K,), descending and 0 where there are fewer peaks,
    and indices (K,) into the flattened heatmap. Of equal scores the first cell comes first.
    """
    scores = sigmoid(hm)
    padded = np.pad(scores, ((0, 0), (1, 1), (1, 1)))
    highest = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    highest = np.maximum(np.maximum(highest[..., :-2], highest[..., 1:-1]), highest[..., 2:])
    peaks = np.where(scores == highest, scores, np.float32(0)).ravel()
    top_k = min(top_k, peaks.size)
    found = np.argpartition(-peaks, top_k - 1)[:top_k]
    found = found[np.lexsort((found, -peaks[found]))].astype(np.int64)
    return peaks[found], found


def output_names(manifest: ModelManifest) -> tuple[str, ...]:
    """Return the outputs that a runtime asks a file for."""
    return CORE_OUTPUTS if manifest.graph == CORE else OUTPUTS


def image_array(images: UInt8Array, manifest: ModelManifest) -> npt.NDArray[Any]:
    """Return images, uint8 (N, H, W, 3), as the file takes them: a core file takes float32 (N, 3, H, W)."""
    if manifest.graph != CORE:
        return images
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


def complete(
    path: str | Path, manifest: ModelManifest, run: Callable[[npt.NDArray[Any]], Sequence[Any]]
) -> Callable[[UInt8Array], Sequence[Any]]:
    """Return the function from images to the ``OUTPUTS``, for ``CheckedRuntime``.

    ``run`` maps what :func:`image_array` returns to the outputs called :func:`output_names`.
    """
    if manifest.graph != CORE:
        return run
    decode = HostDecoder(read_graph(path).tensors, manifest)

    def run_and_decode(images: UInt8Array) -> Sequence[Any]:
        hm, features = run(image_array(images, manifest))
        return decode(hm, features)

    return run_and_decode
