"""Targets of the heads for crops: CenterNet's heatmap, and values at the centres of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from edge_fairmot.convert.network import STRIDE
from edge_fairmot.convert.training.crops import Crop
from edge_fairmot.types import Float32Array, Float64Array

MIN_OVERLAP = 0.7
"""IoU with the true box after the corners have moved by the radius (CornerNet)."""

IGNORED_PEAK = 0.99
"""Peak of ignored boxes: no cell there is a centre, and the focal loss hardly penalises a high score."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of N crops with up to K boxes each; lengths in cells."""

    heatmap: Tensor  # float32 (N, 1, H / 4, W / 4): 1 at centres, falling around them
    cells: Tensor  # int64 (N, K): row-major cell of each centre
    valid: Tensor  # bool (N, K): False where a crop has fewer boxes
    wh: Tensor  # float32 (N, K, 4 or 2): left, top, right, bottom from the centre, or width, height
    reg: Tensor  # float32 (N, K, 2): x, y of the centre in its cell
    identity: Tensor  # int64 (N, K); -1 where it is unknown
    embedding: Tensor  # float32 (N, K, D), a teacher's; zeros where it has none, D is 0 without a teacher

    def to(self, device: torch.device) -> Targets:
        """Copy to a device."""
        return Targets(*(getattr(self, field.name).to(device) for field in fields(self)))


def make_targets(crops: Sequence[Crop], box_channels: int) -> Targets:
    """Make the targets of crops of one size; ``box_channels`` as in :class:`NetworkSpec`."""
    height, width = (length // STRIDE for length in crops[0].image.shape[:2])
    count = max(1, *(int((~crop.ignore).sum()) for crop in crops))
    heatmap = np.zeros((len(crops), 1, height, width), np.float32)
    cells = np.zeros((len(crops), count), np.int64)
    valid = np.zeros((len(crops), count), bool)
    wh = np.zeros((len(crops), count, box_channels), np.float32)
    reg = np.zeros((len(crops), count, 2), np.float32)
    identity = np.zeros((len(crops), count), np.int64)
    dims = max(0 if crop.embedding is None else crop.embedding.shape[1] for crop in crops)
    embedding = np.zeros((len(crops), count, dims), np.float32)
    for n, crop in enumerate(crops):
        boxes = crop.xyxy.astype(np.float64) / STRIDE
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        cell = np.floor(centre).astype(np.int64)
        for box, (x, y), ignored in zip(boxes, cell, crop.ignore, strict=True):
            _draw(heatmap[n, 0], x, y, heatmap_radius(box), IGNORED_PEAK if ignored else 1.0)
        kept = ~crop.ignore
        rows = slice(0, int(kept.sum()))
        (x, y), middle = cell[kept].T, centre[kept]
        heatmap[n, 0, y, x] = 1
        cells[n, rows] = y * width + x
        valid[n, rows] = True
        sides = np.concatenate([middle - boxes[kept, :2], boxes[kept, 2:] - middle], axis=1)
        wh[n, rows] = sides if box_channels == 4 else sides[:, :2] + sides[:, 2:]
        reg[n, rows] = middle - cell[kept]
        identity[n, rows] = crop.identity[kept]
        if crop.embedding is not None and crop.embedding.shape[1]:
            embedding[n, rows] = crop.embedding[kept]
    return Targets(*map(torch.from_numpy, (heatmap, cells, valid, wh, reg, identity, embedding)))


def heatmap_radius(box: Float64Array) -> int:
    """Compute how far around the centre of a box (xyxy, cells) the heatmap is above 0.

    CornerNet (Law and Deng, ECCV 2018) takes the smallest of three cases. As FairMOT solves them,
    without dividing by the leading coefficient, it is always the third: a box larger on all sides.
    """
    width, height = np.ceil(box[2:] - box[:2])
    b = MIN_OVERLAP * (width + height)
    root = np.sqrt(b * b + 4 * MIN_OVERLAP * (1 - MIN_OVERLAP) * width * height)
    return max(0, int(root - b))


def _draw(heatmap: Float32Array, x: int, y: int, radius: int, peak: float) -> None:
    """Draw a Gaussian, with a standard deviation of a sixth of its diameter; higher values stay."""
    height, width = heatmap.shape
    sigma = (2 * radius + 1) / 6
    xs = np.arange(max(0, x - radius), min(width, x + radius + 1))
    ys = np.arange(max(0, y - radius), min(height, y + radius + 1))
    squares = (xs - x)[None] ** 2 + (ys - y)[:, None] ** 2
    area = heatmap[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    np.maximum(area, (peak * np.exp(-squares / (2 * sigma**2))).astype(np.float32), out=area)
