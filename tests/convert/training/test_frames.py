"""Validation frames are not learned from."""

import numpy as np
import pytest

from edge_fairmot.convert.training.frames import split_source
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.types import Frame

SIZE = (64, 64)


class Numbered:
    """Frame i has the grey level i; shapes repeat."""

    def __init__(self, count, known=True, shapes=((32, 48),), numbers=None):
        self._numbers = numbers or range(1, count + 1)
        self.info = SourceInfo("numbered", (48, 32), 25.0, count if known else None)
        self._count, self._shapes = count, shapes

    def __iter__(self):
        for i in range(self._count):
            yield Frame(
                np.full((*self._shapes[i % len(self._shapes)], 3), i, np.uint8), self._numbers[i] - 1, i / 25
            )


@pytest.mark.parametrize(
    ("count", "most", "learns", "train", "validation"),
    [
        (100, (1000, 1000), True, range(90), range(90, 100)),
        (200, (9, 4), True, range(0, 180, 20), (180, 183, 186, 189)),  # validation frames stay close
        (6, (9, 9), False, (), range(6)),
    ],
)
def test_the_last_tenth_is_for_validation(count, most, learns, train, validation):
    taken, sequence = split_source(Numbered(count), SIZE, *most, learns=learns)

    assert [image[0, 0, 0] for image in taken] == list(train)
    assert [frame.index for frame in sequence.frames] == list(validation)
    assert [frame.image[32, 32, 0] for frame in sequence.frames] == list(validation)
    assert [frame.time_s for frame in sequence.frames] == [index / 25 for index in validation]


def test_the_numbers_of_frames_may_have_gaps():
    taken, sequence = split_source(Numbered(20, numbers=range(301, 401, 5)), SIZE, 1000, 1000)

    assert [image[0, 0, 0] for image in taken] == list(range(18))
    assert [frame.number for frame in sequence.frames] == [391, 396]


def test_each_photo_fills_what_its_own_shape_allows():
    photos = Numbered(4, shapes=((32, 48), (48, 32), (90, 90), (20, 60)))
    taken, sequence = split_source(photos, SIZE, images=9, validation_images=9)

    assert [image.shape[:2] for image in taken] == [(32, 48), (48, 32), (90, 90)]
    assert (sequence.frames[0].image == 3).all(axis=2).sum(axis=0).max() == round(64 * 20 / 60)


@pytest.mark.parametrize(("count", "known"), [(1, True), (50, False)])
def test_sources_that_cannot_be_split_are_refused(count, known):
    with pytest.raises(InvalidInputError, match="numbered has"):
        split_source(Numbered(count, known), SIZE, images=5, validation_images=5)
