"""The synthetic street as a source."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points

import cv2
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


@pytest.mark.parametrize("camera", ["handheld=3", "pan=80,zoom=3", "pan=80,zoom=2,handheld=2,shake=1"])
def test_a_moving_camera_sees_the_street_of_a_still_one_through_its_view(camera):
    """A panning camera sees a street of twice its width; shaking needs a margin around it."""
    moving = SyntheticSource(parse_street(f"synthetic:seed=3,size=320x180,people=20,{camera}"))
    wide = SyntheticSource(
        parse_street(f"synthetic:seed=3,size={640 if 'pan' in camera else 320}x180,people=20")
    )
    margin = moving._street._camera.margin
    for index in (0, 3, 40):
        view, seen, all_ = moving.view(index), moving.truth(index), wide.truth(index)
        rows = np.searchsorted(all_.ids, seen.ids)
        assert all_.ids[rows].tolist() == seen.ids.tolist()
        for name in ("foot_points", "xyxy"):
            corners = getattr(all_, name)[rows].reshape(-1, 2) + margin
            found = getattr(seen, name).reshape(-1, 2)
            np.testing.assert_allclose(found, corners @ view[:, :2].T + view[:, 2], atol=0.01)
        if not margin:  # with a margin the paving has another pattern
            matrix = view.copy()
            matrix[:, 2] += (view[0, 0] - 1) / 2  # OpenCV's coordinates are those of pixel centres
            expected = cv2.warpAffine(wide._street.image(index), matrix, (320, 180), flags=cv2.INTER_LINEAR)
            assert np.abs(moving._street.image(index).astype(int) - expected).max() <= 1
