from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edge_fairmot.types import Frame, Tracks


def _tracks(rows: Sequence[Sequence[float]], *, predicted: bool = False) -> Tracks:
    """Rows of id, x1, y1, x2, y2 and, where given, score."""
    table = np.array([[*row, 0.9][:6] for row in rows], np.float64).reshape(-1, 6)
    return Tracks(
        track_id=table[:, 0].astype(np.int64),
        xyxy=table[:, 1:5].astype(np.float32),
        score=table[:, 5].astype(np.float32),
        class_id=np.zeros(len(table), np.int64),
        predicted=np.full(len(table), predicted),
    )


def _frame(index: int, *, size: tuple[int, int] = (64, 48), time_s: float | None = None) -> Frame:
    image = np.full((size[1], size[0], 3), 40 + 2 * (index % 100), np.uint8)
    return Frame(image, index, index / 25 if time_s is None else time_s)


@pytest.fixture
def make_tracks() -> Callable[..., Tracks]:
    return _tracks


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    return _frame
