"""What the heads should have said about pieces: CenterNet's heatmap, and values at people's centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge_fairmot.convert.network import STRIDE
from edge_fairmot.convert.training.pieces import Piece
from edge_fairmot.types import Float32Array, Float64Array

MIN_OVERLAP = 0.7
"""A box whose corners are moved by the radius still overlaps the true one so much (CornerNet)."""

NEARLY_A_PEAK = 0.99
"""Of those who are not counted: no cell there is a person, and the focal loss forgives who thinks so."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Of N pieces with up to K counted people each.

    Attributes
    ----------
    heatmap : float32 (N, 1, H / 4, W / 4)
        1 at centres, falling around them.
    cells : int64 (N, K)
        Row-major cell of each centre.
    valid : bool (N, K)
        False where a piece has fewer people.
    wh : float32 (N, K, 4 or 2)
        Left, top, right and bottom from the centre, or width and height; in cells.
    reg : float32 (N, K, 2)
        Offset of the centre in its cell, (x, y), in cells.
    identity : int64 (N, K)
    """

    heatmap: Tensor
    cells: Tensor
    valid: Tensor
    wh: Tensor
    reg: Tensor
    identity: Tensor

    def to(self, device: torch.device) -> Targets:
        """Bring all to a device."""
        return Targets(
            *(t.to(device) for t in (self.heatmap, self.cells, self.valid, self.wh, self.reg, self.identity))
        )


def make_targets(pieces: Sequence[Piece], box_channels: int) -> Targets:
    """Make the targets of a batch.

    Parameters
    ----------
    pieces : sequence of Piece
        All of one size, which divides by the stride.
    box_channels : int
        4 for left, top, right, bottom; 2 for width, height.
    """
    height, width = (length // STRIDE for length in pieces[0].image.shape[:2])
    count = max(1, *(int(piece.counted.sum()) for piece in pieces))
    heatmap = np.zeros((len(pieces), 1, height, width), np.float32)
    cells = np.zeros((len(pieces), count), np.int64)
    valid = np.zeros((len(pieces), count), bool)
    wh = np.zeros((len(pieces), count, box_channels), np.float32)
    reg = np.zeros((len(pieces), count, 2), np.float32)
    identity = np.zeros((len(pieces), count), np.int64)
    for n, piece in enumerate(pieces):
        boxes = piece.xyxy.astype(np.float64) / STRIDE
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        cell = np.floor(centre).astype(np.int64)
        for box, (x, y), counted in zip(boxes, cell, piece.counted, strict=True):
            _draw(heatmap[n, 0], x, y, heatmap_radius(box), 1.0 if counted else NEARLY_A_PEAK)
        taken = piece.counted
        people = slice(0, int(taken.sum()))
        (x, y), middle = cell[taken].T, centre[taken]
        heatmap[n, 0, y, x] = 1
        cells[n, people] = y * width + x
        valid[n, people] = True
        sides = np.concatenate([middle - boxes[taken, :2], boxes[taken, 2:] - middle], axis=1)
        wh[n, people] = sides if box_channels == 4 else sides[:, :2] + sides[:, 2:]
        reg[n, people] = middle - cell[taken]
        identity[n, people] = piece.identity[taken]
    return Targets(*map(torch.from_numpy, (heatmap, cells, valid, wh, reg, identity)))


def heatmap_radius(box: Float64Array) -> int:
    """Compute how far around a centre cells are nearly right.

    CornerNet (Law and Deng, ECCV 2018) takes the smallest of three cases. As FairMOT solves them,
    without dividing by the leading coefficient, it is always the third: a box larger on all sides.

    Parameters
    ----------
    box : float64 (4,)
        xyxy, cells.
    """
    width, height = np.ceil(box[2:] - box[:2])
    b = MIN_OVERLAP * (width + height)
    root = np.sqrt(b * b + 4 * MIN_OVERLAP * (1 - MIN_OVERLAP) * width * height)
    return max(0, int(root - b))


def _draw(heatmap: Float32Array, x: int, y: int, radius: int, peak: float) -> None:
    """Draw a Gaussian, whose standard deviation is a sixth of its diameter; the higher value stays."""
    height, width = heatmap.shape
    sigma = (2 * radius + 1) / 6
    xs = np.arange(max(0, x - radius), min(width, x + radius + 1))
    ys = np.arange(max(0, y - radius), min(height, y + radius + 1))
    squares = (xs - x)[None] ** 2 + (ys - y)[:, None] ** 2
    area = heatmap[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    np.maximum(area, (peak * np.exp(-squares / (2 * sigma**2))).astype(np.float32), out=area)
