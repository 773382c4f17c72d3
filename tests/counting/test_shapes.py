"""Lines, zones and settings, from files and flags."""

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
    lines, zones = (Line("door", (0.2, 0.8), (0.8, 0.8)),), (Zone("queue", ((0, 0), (1, 0), (1, 1))),)
    assert parse_counting(document) == CountingConfig(lines, zones, "center", 0.2, 3.0)
    assert parse_counting({}) == CountingConfig()


def test_flags():
    assert parse_line("door:0.2,0.8, 0.8,0.8") == Line("door", (0.2, 0.8), (0.8, 0.8))
    assert parse_line("door: back:0,0,1,1") == Line("door: back", (0, 0), (1, 1))
    assert parse_zone("queue:0,0;1,0;1,1") == Zone("queue", ((0, 0), (1, 0), (1, 1)))


@pytest.mark.parametrize(
    ("parse", "text", "complaint"),
    [
        (parse_line, "door", "'door' is no line: write name:x1,y1,x2,y2"),
        (parse_line, "door:1,2,3", "is no line"),
        (parse_line, "door:a,b,c,d", "is no line"),
        (parse_line, ":0,0,1,1", "a line needs a name"),
        (parse_line, "door:0,0,1,1.5", "line 'door' has the point 1,1.5 outside the image"),
        (parse_line, "door:0,0,nan,1", "outside the image"),
        (parse_line, "door:0.5,0.5,0.5,0.5", "starts where it ends"),
        (parse_zone, "queue:0,0;1,0", "zone 'queue' needs three or more different corners, not 2"),
        (parse_zone, "queue:0,0;1,0;0,0", "not 2"),
        (parse_zone, "queue:0,0;1;1,1", "is no zone: write name:x,y;x,y;x,y"),
        (parse_zone, "queue:0,0;1,0;-1,1", "outside the image"),
        (parse_zone, "0,0;1,0;1,1", "a zone needs a name"),
        (parse_zone, "flat:0.1,0.5;0.5,0.5;0.9,0.5", "zone 'flat' has no area"),
        (parse_zone, "flat:0.1,0.1;0.9,0.9;0.5,0.5;0.3,0.3", "zone 'flat' has no area"),
        (
            parse_zone,
            "bow:0.1,0.1;0.9,0.9;0.9,0.1;0.1,0.9",
            "zone 'bow' from 0.1,0.1 and from 0.9,0.1 cross or touch",
        ),
        (parse_zone, "star:0.5,0;0.8,1;0,0.4;1,0.4;0.2,1", "zone 'star' from 0.5,0 and from 0,0.4 cross"),
        (parse_zone, "eight:0.5,0.5;0,0;0,1;0.5,0.5;1,0;1,1", "cross or touch: give the corners in order"),
        (parse_zone, "corner on a side:0,0;1,1;1,0;0.5,0.5;0,1", "cross or touch"),
    ],
)
def test_a_wrong_line_or_zone_is_refused(parse, text, complaint):
    with pytest.raises(InvalidInputError) as caught:
        parse(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "closed:0.1,0.1;0.9,0.1;0.9,0.9;0.1,0.9;0.1,0.1",
        "corner twice:0.1,0.1;0.9,0.1;0.9,0.1;0.9,0.9",
        "bay:0,0;1,0;1,1;0.7,1;0.7,0.3;0.3,0.3;0.3,1;0,1",
        "clockwise or not:0,0;0,1;1,1;1,0",
        "corner on the line of its neighbours:0,0;0.5,0;1,0;1,1",
    ],
)
def test_a_right_zone_is_accepted(text):
    assert parse_zone(text).name in text


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"lines": []}, "the file has 'lines', which is not known: use counting, line, zone"),
        ({"line": {"name": "door"}}, "write [[line]], with two brackets"),
        ({"line": [{"name": "door", "start": [0, 0]}]}, "a [[line]] lacks 'end': it needs end, name, start"),
        ({"line": [{"name": "a", "color": 1}]}, "a [[line]] has 'color', which is not known"),
        ({"line": [{"name": 3, "start": [0, 0], "end": [1, 1]}]}, "the name of a line must be a text, not 3"),
        ({"line": [{"name": "door", "start": [0], "end": [1, 1]}]}, "'door' has [0] where a point"),
        ({"line": [{"name": "door", "start": ["a", 0], "end": [1, 1]}]}, "'door' has ['a', 0] where a point"),
        ({"zone": [{"name": "queue", "polygon": 3}]}, "'queue' has 3 where a point"),
        ({"zone": [{"name": "queue", "polygon": [1, 2, 3]}]}, "'queue' has 1 where a point"),
        ({"zone": [{"name": "queue", "polygon": [[True, 1], [0, 0], [1, 1]]}]}, "where a point"),
        ({"zone": [{"name": "q", "polygon": [[10**400, 1], [0, 0], [1, 1]]}]}, "where a point"),
        ({"zone": [{"name": "queue", "polygon": TRIANGLE}] * 2}, "two zones are called 'queue'"),
        ({"counting": 3}, "[counting] must be a table"),
        (
            {"counting": {"speed": 1}},
            "[counting] has 'speed', which is not known: use anchor, hysteresis, memory_s",
        ),
        ({"counting": {"anchor": "head"}}, "anchor must be one of feet, center, not 'head'"),
        ({"counting": {"anchor": [1]}}, "anchor must be one of feet, center, not [1]"),
        ({"counting": {"hysteresis": "much"}}, "hysteresis must be a number, not 'much'"),
        ({"counting": {"hysteresis": True}}, "hysteresis must be a number, not True"),
        ({"counting": {"memory_s": -1}}, "memory_s must be between 0 and 3600, not -1"),
        ({"counting": {"memory_s": 10**400}}, "memory_s must be between 0 and 3600, not 1000"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(document, complaint):
    with pytest.raises(InvalidInputError) as caught:
        parse_counting(document)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
