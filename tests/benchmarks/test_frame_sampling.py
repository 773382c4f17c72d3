"""Frames for calibration come from the whole of a source."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.benchmarks.frame_sampling import sample_frames
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.types import Frame

SIZE = (2, 2)


class Numbers:
    """Frames that show their number; what the source claims of their count may be wrong."""

    def __init__(self, length, claimed):
        self.info = SourceInfo("numbers", SIZE, 25.0, claimed)
        self.length = length

    def __iter__(self):
        for index in range(self.length):
            yield Frame(np.full((*SIZE, 3), (*divmod(index, 256), 0), np.uint8), index, index / 25)

    def close(self):
        pass


def taken(length, count, claimed):
    pictures = sample_frames(Numbers(length, claimed), SIZE, count)
    return (pictures[:, 0, 0, :2].astype(int) @ (256, 1)).tolist()


@given(st.integers(1, 400), st.integers(1, 200))
def test_frames_are_spread_evenly_over_the_whole_source(length, count):
    indices = taken(length, count, length)

    assert len(indices) == min(length, count)
    assert indices[0] == 0
    # The last one stands for the frames up to the end, as each stands for those up to the next.
    gaps = np.diff([*indices, length])
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("length", "count", "claimed", "expected"),
    [
        (10, 4, 10, [0, 3, 5, 8]),
        (3, 8, 3, [0, 1, 2]),
        (100, 2, None, [0, 1]),  # who knows where it ends
        (7, 4, 10, [0, 3, 5]),  # it ends before its time
        (30, 4, 10, [0, 3, 5, 8]),
    ],
)
def test_what_is_not_known_of_the_length_costs_spread_only(length, count, claimed, expected):
    assert taken(length, count, claimed) == expected


def test_no_frames_are_not_sampled():
    with pytest.raises(InvalidInputError, match="at least 1"):
        taken(10, 0, 10)
