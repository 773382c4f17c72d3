"""What is judged on was not learnt from, and a step's pieces are the same whenever it is taken."""

import numpy as np
import pytest

from edge_fairmot.convert.footage import Footage, draw_batch, read_footage
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.types import Frame

SIZE = (64, 64)


class NumberedFrames:
    """Frame i is of the grey level i."""

    def __init__(self, count, known=True):
        self.info = SourceInfo("numbered", (48, 32), 25.0, count if known else None)
        self._count = count

    def __iter__(self):
        for i in range(self._count):
            yield Frame(np.full((32, 48, 3), i, np.uint8), i, i / 25)

    def close(self):
        pass


def levels(footage):
    return [int(picture[0, 0, 0]) for picture in footage.pictures]


def test_the_last_tenth_is_held_out():
    footage = read_footage(NumberedFrames(100), SIZE, pictures=1000, held_out=1000)

    assert levels(footage) == list(range(90))
    [sequence] = footage.held_out
    assert [frame.index for frame in sequence.frames] == list(range(90, 100))
    assert [int(frame.image[32, 32, 0]) for frame in sequence.frames] == list(range(90, 100))
    assert sequence.frames[1].time_s == pytest.approx(91 / 25)


def test_pictures_are_spread_and_held_out_frames_stay_close():
    footage = read_footage(NumberedFrames(200), SIZE, pictures=9, held_out=4)

    assert levels(footage) == list(range(0, 180, 20))
    assert [frame.index for frame in footage.held_out[0].frames] == [180, 183, 186, 189]


def test_a_source_to_judge_on_is_not_learnt_from():
    footage = read_footage(NumberedFrames(6), SIZE, pictures=9, held_out=9, learn=False)

    assert footage.pictures == ()
    assert [frame.index for frame in footage.held_out[0].frames] == list(range(6))


def test_each_photo_fills_what_its_own_shape_allows():
    class Photos(NumberedFrames):
        def __iter__(self):
            for i, (height, width) in enumerate([(32, 48), (48, 32), (90, 90), (20, 60)]):
                yield Frame(np.full((height, width, 3), 200, np.uint8), i, i / 25)

    footage = read_footage(Photos(4), SIZE, pictures=9, held_out=9)

    assert [picture.shape[:2] for picture in footage.pictures] == [(32, 48), (48, 32), (90, 90)]
    (frame,) = footage.held_out[0].frames
    assert (frame.image == 200).all(axis=2).sum(axis=0).max() == round(64 * 20 / 60)


@pytest.mark.parametrize(("count", "known"), [(1, True), (50, False)])
def test_what_cannot_be_split_is_refused(count, known):
    with pytest.raises(InvalidInputError, match="numbered has"):
        read_footage(NumberedFrames(count, known), SIZE, pictures=5, held_out=5)


def test_a_step_draws_the_same_pieces_again_and_another_step_others():
    noise = np.random.default_rng(0).integers(0, 255, (3, 80, 90, 3), np.uint8)
    footage = Footage(tuple(noise), ())

    first = draw_batch(footage, SIZE, 32, 4, (0, 5))

    assert np.array_equal(first, draw_batch(footage, SIZE, 32, 4, (0, 5)))
    assert not np.array_equal(first, draw_batch(footage, SIZE, 32, 4, (0, 6)))
    assert not np.array_equal(first, draw_batch(footage, SIZE, 32, 4, (1, 5)))
    assert not np.array_equal(first[0], first[1])


def test_pieces_hold_the_picture_at_its_scale_and_grey_around_it():
    ramp = np.broadcast_to(np.linspace(0, 250, 64).astype(np.uint8)[None, :, None], (64, 64, 3))
    footage = Footage((np.ascontiguousarray(ramp),), ())
    slopes, mirrored = [], 0
    for step in range(40):
        [piece] = draw_batch(footage, SIZE, 32, 1, (0, step))  # smaller than any scale of the picture
        slope = np.diff(piece[16, :, 0].astype(float)).mean()
        slopes.append(abs(slope))
        mirrored += slope < 0
    assert 250 / 64 / 1.55 < min(slopes) < 250 / 64 * 0.8
    assert 250 / 64 * 1.2 < max(slopes) < 250 / 64 / 0.65
    assert 10 < mirrored < 30

    wide = [draw_batch(footage, SIZE, 128, 1, (0, step))[0] for step in range(10)]
    for piece in wide:
        inside = (piece != 128).any(axis=2)
        assert 0.4 * 64**2 < inside.sum() < 1.6**2 * 64**2
    assert len({int(np.flatnonzero((piece != 128).any(axis=(1, 2)))[0]) for piece in wide}) > 3
