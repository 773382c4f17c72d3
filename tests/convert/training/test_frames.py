"""Validation frames are not learned from."""

import numpy as np
import pytest

from edge_fairmot.convert.training.frames import split_source
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.types import Frame

SIZE = (64, 64)


class NumberedFrames:
    """Frame i has the grey level i."""

    def __init__(self, count, known=True):
        self.info = SourceInfo("numbered", (48, 32), 25.0, count if known else None)
        self._count = count

    def __iter__(self):
        for i in range(self._count):
            yield Frame(np.full((32, 48, 3), i, np.uint8), i, i / 25)


def levels(images):
    return [int(image[0, 0, 0]) for image in images]


def test_the_last_tenth_is_for_validation():
    train, sequence = split_source(NumberedFrames(100), SIZE, images=1000, validation_images=1000)

    assert levels(train) == list(range(90))
    assert [frame.index for frame in sequence.frames] == list(range(90, 100))
    assert [int(frame.image[32, 32, 0]) for frame in sequence.frames] == list(range(90, 100))
    assert sequence.frames[1].time_s == pytest.approx(91 / 25)


def test_images_are_spread_and_validation_frames_stay_close():
    train, sequence = split_source(NumberedFrames(200), SIZE, images=9, validation_images=4)

    assert levels(train) == list(range(0, 180, 20))
    assert [frame.index for frame in sequence.frames] == [180, 183, 186, 189]


def test_a_source_for_validation_is_not_learned_from():
    train, sequence = split_source(NumberedFrames(6), SIZE, images=9, validation_images=9, learns=False)

    assert train == []
    assert [frame.index for frame in sequence.frames] == list(range(6))


def test_each_photo_fills_what_its_own_shape_allows():
    class Photos(NumberedFrames):
        def __iter__(self):
            for i, (height, width) in enumerate([(32, 48), (48, 32), (90, 90), (20, 60)]):
                yield Frame(np.full((height, width, 3), 200, np.uint8), i, i / 25)

    train, sequence = split_source(Photos(4), SIZE, images=9, validation_images=9)

    assert [image.shape[:2] for image in train] == [(32, 48), (48, 32), (90, 90)]
    assert (sequence.frames[0].image == 200).all(axis=2).sum(axis=0).max() == round(64 * 20 / 60)


@pytest.mark.parametrize(("count", "known"), [(1, True), (50, False)])
def test_sources_that_cannot_be_split_are_refused(count, known):
    with pytest.raises(InvalidInputError, match="numbered has"):
        split_source(NumberedFrames(count, known), SIZE, images=5, validation_images=5)
