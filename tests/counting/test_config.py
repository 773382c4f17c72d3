"""What is to be counted, from files and flags."""

import pytest

from edge_fairmot.counting import CountingConfig, Line, Zone, parse_counting, parse_line, parse_zone
from edge_fairmot.errors import InvalidInputError

TRIANGLE = [[0, 0], [1, 0], [1, 1]]


def test_a_whole_file():
    document = {
        "counting": {"anchor": "center", "hysteresis": 0.2, "memory_s": 3},
        "line": [{"name": "door", "start": [0.2, 0.8], "end": [0.8, 0.8]}],
        "zone": [{"name": "queue", "polygon": TRIANGLE}],
    }
    expected = CountingConfig(
        (Line("door", (0.2, 0.8), (0.8, 0.8)),),
        (Zone("queue", ((0, 0), (1, 0), (1, 1))),),
        "center",
        0.2,
        3.0,
    )
    assert parse_counting(document) == expected
    assert parse_counting({}) == CountingConfig()


def test_flags():
    assert parse_line("door:0.2,0.8, 0.8,0.8") == Line("door", (0.2, 0.8), (0.8, 0.8))
    assert parse_line("door: back:0,0,1,1") == Line("door: back", (0, 0), (1, 1))
    assert parse_zone("queue:0,0;1,0;1,1") == Zone("queue", ((0, 0), (1, 0), (1, 1)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("door", "'door' is no line: write name:x1,y1,x2,y2"),
        ("door:1,2,3", "is no line"),
        ("door:a,b,c,d", "is no line"),
        (":0,0,1,1", "a line needs a name"),
        ("door:0,0,1,1.5", "line 'door' has the point 1,1.5 outside the picture"),
        ("door:0,0,nan,1", "outside the picture"),
        ("door:0.5,0.5,0.5,0.5", "starts where it ends"),
    ],
)
def test_a_line_that_is_none(text, complaint):
    with pytest.raises(InvalidInputError) as caught:
        parse_line(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("queue:0,0;1,0", "zone 'queue' needs three different corners or more, not 2"),
        ("queue:0,0;1,0;0,0", "not 2"),
        ("queue:0,0;1;1,1", "is no zone: write name:x,y;x,y;x,y"),
        ("queue:0,0;1,0;-1,1", "outside the picture"),
        ("0,0;1,0;1,1", "a zone needs a name"),
    ],
)
def test_a_zone_that_is_none(text, complaint):
    with pytest.raises(InvalidInputError) as caught:
        parse_zone(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"lines": []}, "the file has 'lines', which is not known: use counting, line, zone"),
        ({"line": {"name": "door"}}, "write [[line]], with two brackets"),
        ({"line": [{"name": "door", "start": [0, 0]}]}, "a [[line]] lacks 'end': it needs end, name, start"),
        ({"line": [{"name": 3, "start": [0, 0], "end": [1, 1]}]}, "has 3 where a text is needed"),
        ({"line": [{"name": "door", "start": [0], "end": [1, 1]}]}, "'door' has [0] where a point"),
        (
            {"line": [{"name": "door", "start": ["a", 0], "end": [1, 1]}]},
            "a point of 'door' must be a number",
        ),
        ({"zone": [{"name": "queue", "polygon": 3}]}, "polygon must be a list of points"),
        ({"zone": [{"name": "queue", "polygon": [1, 2, 3]}]}, "'queue' has 1 where a point"),
        ({"zone": [{"name": "queue", "polygon": TRIANGLE}] * 2}, "two zones are called 'queue'"),
        ({"counting": 3}, "[counting] must be a table"),
        (
            {"counting": {"speed": 1}},
            "[counting] has 'speed', which is not known: use anchor, hysteresis, memory_s",
        ),
        ({"counting": {"anchor": "head"}}, "anchor must be one of feet, center, not 'head'"),
        ({"counting": {"hysteresis": "much"}}, "hysteresis must be a number, not 'much'"),
        ({"counting": {"hysteresis": True}}, "hysteresis must be a number, not True"),
        ({"counting": {"memory_s": -1}}, "memory_s must be between 0 and 3600, not -1"),
    ],
)
def test_a_file_that_is_wrong_says_where(document, complaint):
    with pytest.raises(InvalidInputError) as caught:
        parse_counting(document)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
