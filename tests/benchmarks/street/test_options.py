"""Options of a street and their text."""

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
        handheld=HUNDREDTHS,
        pan=st.integers(0, 200).map(float),
        zoom=HUNDREDTHS.map(lambda number: 1 + number),
    )
)
def test_written_options_read_back(options):
    assert parse_street(format_street(options)) == options
    assert format_street(StreetOptions()) == "synthetic:"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("peple=3", "'peple=3' is no option: write name=value with one of seed, frames, size, fps, people"),
        ("seed=1,seed=2", "seed is given twice"),
        ("frames=many", "frames=many cannot be read: write seed=0,frames=500,size=960x540,fps=25,people=34"),
        ("seed=-1", "seed must be 0 or more, not -1"),
        ("frames=0", "frames must be 1 or more, or endless, not 0"),
        ("size=1x1", "size must be between 64 and 4096 pixels each way, not 1x1"),
        ("fps=nan", "fps=nan cannot be read"),
        ("people=1000", "people must be between 1 and 100, not 1000"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(text, message):
    with pytest.raises(InvalidInputError) as caught:
        parse_street(f"synthetic:{text}")
    assert message in str(caught.value)
    assert f"synthetic:{text}" in str(caught.value)
    assert "\n" not in str(caught.value)
