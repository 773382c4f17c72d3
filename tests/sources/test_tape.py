"""A tape gives frames without a video."""

import numpy as np
import pytest

from edge_fairmot.errors import SourceError, TapeError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.sources import TapeSource, open_source
from edge_fairmot.tape import TapeHeader
from edge_fairmot.tape_recorder import TapeRecorder
from edge_fairmot.types import Frame, RawDetections

SIZE = (90, 50)
MOMENTS = ((0, 0.0), (3, 0.1001), (4, 0.1334))  # a run with an interval, then without


@pytest.fixture
def path(tmp_path):
    manifest = ModelManifest((64, 32), 2, 2, ("person",), 18, "ab" * 32, "0.1.0")
    nothing = RawDetections(
        np.zeros((1, 2, 4), np.float32),
        np.zeros((1, 2), np.float32),
        np.zeros((1, 2), np.int64),
        np.ones((1, 2, 2), np.float32),
    )
    path = tmp_path / "tape.npz"
    with TapeRecorder(path, TapeHeader("street.mp4", SIZE, 29.97, 0.4, manifest)) as recorder:
        for index, time_s in MOMENTS:
            recorder.record(Frame(np.zeros((50, 90, 3), np.uint8), index, time_s), nothing)
    return path


def test_frames_are_grey_and_come_when_they_came(path):
    with open_source(path) as source:
        assert isinstance(source, TapeSource)
        assert (source.info.name, source.info.frame_size) == (str(path), SIZE)
        assert (source.info.frame_rate, source.info.frame_count) == (29.97, 3)
        frames = list(source)
    assert [(frame.index, frame.time_s) for frame in frames] == list(MOMENTS)
    for frame in frames:
        assert (frame.image.shape, frame.image.dtype) == ((50, 90, 3), np.uint8)
        assert (frame.image == 128).all()
    frames[0].image[:] = 0  # as one who draws on it
    assert (frames[1].image == 128).all()


def test_it_is_read_once_and_not_after_it_is_closed(path):
    source = open_source(path)
    frames = iter(source)
    next(frames)
    with pytest.raises(SourceError, match="was read or closed already: open it again"):
        iter(source)
    source.close()
    source.close()
    assert list(frames) == []
    with pytest.raises(SourceError, match="was read or closed already"):
        iter(source)


def test_what_is_no_tape_is_refused(tmp_path):
    (tmp_path / "golden.npz").write_bytes(b"PK")
    with pytest.raises(TapeError, match="is not a tape"):
        open_source(tmp_path / "golden.npz")
    with pytest.raises(SourceError, match=r"does not exist: give .* a tape \(\.npz\)"):
        open_source(tmp_path / "absent.npz")
