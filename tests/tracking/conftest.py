"""Small hand-made detections: people 40 pixels wide and 100 high, with one of eight embeddings each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.types import Detections

LOOKS = 8

Seen = Callable[..., Detections]


@pytest.fixture(scope="session", params=["twelve-walkers", "sixty-walkers"])
def golden(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """Return simulated detections, and the tracks that the original tracker made of them."""
    path = Path(__file__).resolve().parents[2].parent / "shared" / "tracker_goldens" / f"{request.param}.npz"
    if not path.exists():
        pytest.skip(f"no golden tracks at {path}")
    with np.load(path) as archive:
        return {key: archive[key] for key in archive.files}


@pytest.fixture(scope="session")
def seen() -> Seen:
    """Make detections of (x, look) pairs; embeddings of different looks are orthogonal."""

    def make(
        *people: tuple[float, int], score: float = 0.9, height: float = 100.0, class_id: int = 0
    ) -> Detections:
        x = np.array([x for x, _ in people], np.float32)
        top = np.full(len(x), 200, np.float32)
        return Detections(
            xyxy=np.stack((x, top, x + 40, top + np.float32(height)), axis=1),
            score=np.full(len(x), score, np.float32),
            embedding=np.eye(LOOKS, dtype=np.float32)[[look for _, look in people]].reshape(-1, LOOKS),
            class_id=np.full(len(x), class_id, np.int64),
        )

    return make
