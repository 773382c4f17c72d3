"""The synthetic street as a source."""

import itertools

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import Source
from edge_fairmot.sources import SyntheticSource, open_source

SPEC = "synthetic:seed=3,frames=5,size=160x90,fps=12.5"


def test_frames_come_with_their_times_and_the_truth():
    with open_source(SPEC) as source:
        typed: Source = source
        assert isinstance(typed, SyntheticSource)
        info = source.info
        assert (info.name, info.frame_size, info.frame_rate, info.frame_count) == (SPEC, (160, 90), 12.5, 5)
        assert not info.live
        frames = list(source)
        assert [(frame.index, frame.time_s) for frame in frames] == [(n, n / 12.5) for n in range(5)]
        assert all(frame.image.shape == (90, 160, 3) and frame.image.dtype == np.uint8 for frame in frames)
        assert not np.shares_memory(frames[0].image, frames[1].image)
        assert not np.array_equal(frames[0].image, frames[1].image)
        truth = source.truth(4)
        assert len(truth) > 20
        assert truth.xyxy.shape == (len(truth), 4)
        assert (truth.visibility.shape, truth.ids.dtype) == ((len(truth),), np.int64)


def test_it_is_read_once_and_closing_ends_it():
    with open_source(SPEC) as source:
        frames = iter(source)
        next(frames)
        with pytest.raises(SourceError, match="open it again"):
            iter(source)
        source.close()
        source.close()
        assert list(frames) == []


def test_an_endless_street_goes_on():
    with open_source("synthetic:frames=endless,size=64x64,people=5") as source:
        assert source.info.frame_count is None
        assert [frame.index for frame in itertools.islice(source, 600, 603)] == [600, 601, 602]


def test_an_unknown_option_names_the_known_ones():
    with pytest.raises(InvalidInputError, match="one of seed, frames, size, fps, people, shake, light"):
        open_source("synthetic:speed=3")
