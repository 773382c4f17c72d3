from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fairmot.service.recording import RecordingConfig, RecordingSink
from edge_fairmot.sinks import JsonLinesHeader
from edge_fairmot.types import Frame, Tracks

SIZE = (64, 48)
HEADER = JsonLinesHeader("camera", SIZE, 10.0, settings={"score_threshold": 0.4})


def picture(index: int, size: tuple[int, int] = SIZE, rate: float = 10.0) -> Frame:
    """A picture that says which it is: ones of its index are its left half's brightness, tens its right's."""
    image = np.empty((size[1], size[0], 3), np.uint8)
    image[:, : size[0] // 2], image[:, size[0] // 2 :] = 25 * (index % 10), 25 * (index // 10 % 10)
    return Frame(image, index, 100 + index / rate)


def index_of(image: NDArray[np.uint8]) -> int:
    """Which picture it is."""
    left, right = image[:, :4].mean(), image[:, -4:].mean()
    return round(left / 25) + 10 * round(right / 25)


def people(count: int = 1) -> Tracks:
    xyxy = np.tile(np.array([[10, 10, 30, 40]], np.float32), (count, 1))
    ids = np.arange(1, count + 1)
    return Tracks(ids, xyxy, np.ones(count, np.float32), np.zeros(count, np.int64), np.zeros(count, bool))


def fill(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("wb", 0) as file, suppress(OSError):
        while file.write(bytes(1024)):
            pass


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., RecordingSink]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> RecordingSink:
            config = RecordingConfig(**{"folder": tmp_path, "keep_free_bytes": 0} | settings)
            return stack.enter_context(RecordingSink(config, HEADER))

        yield make


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    """A disk of 1 MiB."""
    return disk_of("1m")
