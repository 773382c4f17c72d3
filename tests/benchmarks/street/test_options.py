"""What a street can be asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.benchmarks.street import StreetOptions, format_street, parse_street
from edge_fairmot.errors import InvalidInputError

HUNDREDTHS = st.integers(0, 100).map(lambda number: number / 100)


@given(
    st.builds(
        StreetOptions,
        seed=st.integers(0, 10**9),
        frames=st.none() | st.integers(1, 10**6),
        size=st.tuples(st.integers(64, 4096), st.integers(64, 4096)),
        fps=st.sampled_from([1.0, 12.5, 25.0, 29.97, 60.0]),
        people=st.integers(1, 100),
        shake=HUNDREDTHS,
        light=HUNDREDTHS,
    )
)
def test_what_is_written_reads_back(options):
    assert parse_street(format_street(options)) == options


def test_nothing_asked_for_is_the_usual_street():
    assert parse_street("synthetic:") == StreetOptions()
    assert format_street(StreetOptions()) == "synthetic:"


def test_options_in_any_order_and_with_spaces():
    spec = "synthetic:size=1280x720, frames=endless,seed = 3"
    assert parse_street(spec) == StreetOptions(seed=3, frames=None, size=(1280, 720))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("peple=3", "'peple=3' is no option of the street: write name=value with one of seed, frames, size"),
        ("seed", "'seed' is no option"),
        ("seed=1,seed=2", "seed is given twice"),
        ("seed=one", "seed=one cannot be read: write seed=0"),
        ("seed=-1", "seed must be 0 or more, not -1"),
        ("frames=0", "frames must be 1 or more, or endless, not 0"),
        ("frames=many", "write frames=500"),
        ("size=big", "write size=960x540"),
        ("size=1x1", "size must be between 64 and 4096 pixels each way, not 1x1"),
        ("fps=nan", "fps=nan cannot be read: write fps=25"),
        ("fps=0", "fps must be between 1 and 480, not 0"),
        ("people=1000", "people must be between 1 and 100, not 1000"),
        ("shake=-1", "shake must be between 0 and 5, not -1"),
        ("light=2", "light must be between 0 and 1, not 2"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(text, complaint):
    with pytest.raises(InvalidInputError) as caught:
        parse_street(f"synthetic:{text}")
    assert complaint in str(caught.value)
    assert f"synthetic:{text}" in str(caught.value)
    assert "\n" not in str(caught.value)
