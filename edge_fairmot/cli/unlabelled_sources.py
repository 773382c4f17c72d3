"""Pictures without labels, from whatever source they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_fairmot.sources import open_images

if TYPE_CHECKING:
    from edge_fairmot.convert.footage import Footage


def read_frames(
    learnt: Sequence[str], judged_only: Sequence[str], input_size: tuple[int, int], pictures: int, judged: int
) -> Footage:
    """Read sources, each once.

    Parameters
    ----------
    learnt : sequence of str
        To learn from; the last tenth of each is held out.
    judged_only : sequence of str
        Held out as a whole.
    input_size : (int, int)
        Width and height of the network's input, pixels.
    pictures, judged : int
        How many are taken of each at most, to learn from and to judge on.

    Raises
    ------
    InvalidInputError
        If one is too short to be split.
    SourceError
        If one cannot be read.
    """
    from edge_fairmot.convert.footage import Footage, read_footage

    footage = Footage((), ())
    for spec, learn in [*((name, True) for name in learnt), *((name, False) for name in judged_only)]:
        with open_images(spec) as source:
            footage = footage.join(read_footage(source, input_size, pictures, judged, learn=learn))
    return footage
