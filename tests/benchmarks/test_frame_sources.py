"""Sources as measurements need them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.benchmarks.frame_sources import (
    FirstFrames,
    FrameChunk,
    LivePlayback,
    LoopedSource,
    letterboxed,
    sample_frames,
)
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.types import Frame

SIZE = (2, 2)


class Numbers:
    """Frames that show their number, 25 a second; the claimed count may be wrong."""

    def __init__(self, length, claimed=None, start_s=0.0, step=1):
        self.step = step
        self.info = SourceInfo("numbers", SIZE, 25.0, claimed)
        self.length, self.start_s, self.closed = length, start_s, False

    def __iter__(self):
        for index in range(self.length):
            image = np.full((*SIZE, 3), (*divmod(index, 256), 0), np.uint8)
            yield Frame(image, index * self.step, self.start_s + index / 25)

    def close(self):
        self.closed = True


def sampled(length, count, claimed, step=1):
    images = sample_frames(Numbers(length, claimed, step=step), SIZE, count)
    return (images[:, 0, 0, :2].astype(int) @ (256, 1)).tolist()


@given(st.integers(1, 400), st.integers(1, 200))
def test_samples_are_spread_evenly_over_the_whole_source(length, count):
    indices = sampled(length, count, length)

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
        (100, 2, None, [0, 1]),  # of unknown length
        (7, 4, 10, [0, 3, 5]),  # it ends before its time
        (30, 4, 10, [0, 3, 5, 8]),
    ],
)
def test_an_unknown_or_wrong_length_costs_spread_only(length, count, claimed, expected):
    assert sampled(length, count, claimed) == sampled(length, count, claimed, step=5) == expected
    with pytest.raises(InvalidInputError, match="at least 1"):
        sampled(length, 0, claimed)


def test_frames_are_letterboxed_from_the_first_one_on():
    images = [
        (frame.index, box.source_size, image.copy())
        for frame, box, image in letterboxed(Numbers(9), (4, 4), max_frames=2, first_frame=3)
    ]

    assert [(index, size) for index, size, _ in images] == [(3, SIZE), (4, SIZE)]
    assert [image[0, 1, 1, 1] for _, _, image in images] == [3, 4]
    with pytest.raises(EvaluationError, match="--max-frames must be at least 1"):
        next(letterboxed(Numbers(9), (4, 4), max_frames=0))


def test_first_frames_and_chunks_follow_one_another():
    source = Numbers(8)
    few = FirstFrames(source, 7)
    frames = iter(few)

    chunks = [[frame.index for frame in FrameChunk(few.info, frames, 3)] for _ in range(4)]

    assert chunks == [[0, 1, 2], [3, 4, 5], [6], []]
    assert few.info.frame_count == 7
    assert FirstFrames(Numbers(1, 1), 5).info.frame_count == 1
    assert list(FirstFrames(Numbers(1), 0)) == []
    few.close()
    assert source.closed


def test_a_file_is_played_at_its_own_pace_and_no_further_than_asked():
    source = LivePlayback(Numbers(12, start_s=7.0), 0.1)

    ages = [source.age_s(frame) for frame in source]

    assert source.info.live
    assert source.played == len(ages) == 3
    assert min(ages) >= 0  # no frame is given before its moment


def test_a_looped_source_goes_on_with_numbers_and_times_that_rise():
    looped = LoopedSource(lambda: Numbers(5, 5), 60.0)
    frames = []
    for frame in looped:
        frames.append(frame)
        if len(frames) == 12:
            looped.close()
    # Five a round: the one in progress when it is closed may be finished, no other begins.
    assert 12 <= len(frames) <= 15
    assert [frame.index for frame in frames] == list(range(len(frames)))
    np.testing.assert_allclose(np.diff([frame.time_s for frame in frames]), 1 / 25)
    np.testing.assert_array_equal(frames[0].image, frames[5].image)
    assert looped.info.frame_count is None
    assert list(LoopedSource(lambda: Numbers(5), 0.0)) == []  # it ends by the clock
