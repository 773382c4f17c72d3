"""The synthetic street as a source."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points

import numpy as np
import pytest

from edge_fairmot.benchmarks.street import Street, SyntheticSource, parse_street
from edge_fairmot.benchmarks.street.source import RECENT_FRAMES, open_synthetic
from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import HasGroundTruth, Source
from edge_fairmot.sources import open_source

SPEC = "synthetic:seed=3,frames=5,size=160x90,fps=12.5"


def test_frames_have_their_times_and_arrays_of_their_own():
    (entry,) = entry_points(group="edge_fairmot.sources", name="synthetic")
    assert entry.load() is open_synthetic
    with open_source(SPEC) as source:
        typed: Source = source
        assert isinstance(typed, SyntheticSource)
        assert isinstance(typed, HasGroundTruth)
        info = source.info
        assert (info.name, info.frame_size, info.frame_rate, info.frame_count) == (SPEC, (160, 90), 12.5, 5)
        assert not info.live
        frames = list(source)
    assert [(frame.index, frame.time_s) for frame in frames] == [(n, n / 12.5) for n in range(5)]
    assert all(frame.image.shape == (90, 160, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert not np.shares_memory(frames[0].image, frames[1].image)


def test_ground_truth_of_any_frame_is_given_to_any_thread_also_after_closing():
    with open_synthetic(f"synthetic:seed=3,frames={RECENT_FRAMES + 3},size=160x90") as source:
        last = list(source)[-1].index
    street = Street(parse_street("synthetic:seed=3,size=160x90"))
    indices = (last, 0, 900)  # just read, read long ago, never read
    with ThreadPoolExecutor(2) as pool:
        for index, truth in zip(indices, pool.map(source.truth, indices), strict=True):
            assert len(truth) > 15
            np.testing.assert_array_equal(truth.xyxy, street.truth(index).xyxy)
            np.testing.assert_array_equal(truth.visibility, street.truth(index).visibility)
    assert source.truth(last) is source.truth(last)
    assert source.truth(0) is not source.truth(0)


def test_it_is_read_once_and_closing_ends_it():
    with open_synthetic("synthetic:frames=endless,size=64x64,people=5") as source:
        assert source.info.frame_count is None
        frames = iter(source)
        assert [frame.index for frame in itertools.islice(frames, 600, 603)] == [600, 601, 602]
        with pytest.raises(SourceError, match="open it again"):
            iter(source)
        source.close()
        source.close()
        assert list(frames) == []
