"""CenterNet's decoding (Zhou et al. 2019, "Objects as Points") with FairMOT's heads, in numpy alone."""

import numpy as np


def decode(hm, wh, reg, top_k):
    """Decode the heads of one image, each (C, H, W): boxes (P, 4), scores, class ids, rows and columns."""
    padded = np.pad(hm, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    peaks = np.flatnonzero(hm == around.max(axis=(3, 4)))
    best = peaks[np.argsort(-hm.flat[peaks], kind="stable")][:top_k]
    class_id, row, col = np.unravel_index(best, hm.shape)
    x, y = col + reg[0, row, col], row + reg[1, row, col]
    extent = wh[:, row, col]
    if len(extent) not in (2, 4):  # cat_spec_wh: a pair for each class
        extent = np.take_along_axis(extent.reshape(-1, 2, len(best)), class_id[None, None], axis=0)[0]
    left, top, right, bottom = extent if len(extent) == 4 else np.concatenate((extent, extent)) / 2
    boxes = 4 * np.stack((x - left, y - top, x + right, y + bottom), axis=1)
    return boxes, 1 / (1 + np.exp(-hm[class_id, row, col])), class_id, row, col


def assert_decoded(detections, n, heads, top_k):
    """Compare detections of image n with the decoding of its heads: the same peaks in the same order."""
    boxes, scores, class_ids, row, col = decode(*(heads[name][n] for name in ("hm", "wh", "reg")), top_k)
    peaks = len(scores)
    assert 0 < peaks <= top_k
    assert not detections.scores[n, peaks:].any()
    np.testing.assert_array_equal(detections.class_ids[n, :peaks], class_ids)
    np.testing.assert_allclose(detections.scores[n, :peaks], scores, rtol=1e-5)
    np.testing.assert_allclose(detections.boxes[n, :peaks], boxes, atol=2e-3)
    if "id" in heads:
        embedding = heads["id"][n][:, row, col].T
        expected = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
        np.testing.assert_allclose(detections.embeddings[n, :peaks], expected, atol=1e-5)
