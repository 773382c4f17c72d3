"""Drawn lines and zones in a file that people write as well."""

import math
import os
import stat
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_fairmot.cli.counting import read_counting
from edge_fairmot.counting import Line, Zone, parse_line, parse_zone
from edge_fairmot.errors import SinkError
from edge_fairmot.service.web.counting_file import CountingFile

DOOR, QUEUE = parse_line("door:0.2,0.8,0.8,0.8"), parse_zone("queue:0.1,0.5;0.4,0.5;0.4,0.9")

WRITTEN = """\
# the shop
[counting]  # all of it
hysteresis = 0.2

[[line]] # the old door
name = "door"
start = [0, 0]   # there
end = [
  1,
  1,
]

# how many wait
[[zone]]
name = "old"
polygon = [[0, 0], [1, 0], [1, 1]]
# the end"""


def test_what_is_saved_is_what_the_next_run_reads(tmp_path):
    path = tmp_path / "new.toml"
    CountingFile(path).save([DOOR], [QUEUE])
    read = read_counting(path, [], [])
    assert (read.lines, read.zones) == ((DOOR,), (QUEUE,))
    CountingFile(path).save([], [QUEUE])
    assert read_counting(path, [], []).lines == ()
    CountingFile(path).save([], [])
    assert path.read_text().strip() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["new.toml"]


def test_what_people_wrote_stays(tmp_path):
    path = tmp_path / "shop.toml"
    path.write_text(WRITTEN)
    path.chmod(0o640)
    for _ in range(3):  # and nothing grows
        CountingFile(path).save([DOOR], [QUEUE])
    assert path.read_text() == (
        "# the shop\n[counting]  # all of it\nhysteresis = 0.2\n\n\n# how many wait\n# the end\n\n"
        '[[line]]\nname = "door"\nstart = [0.2, 0.8]\nend = [0.8, 0.8]\n\n'
        '[[zone]]\nname = "queue"\npolygon = [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]\n'
    )
    assert read_counting(path, [], []).hysteresis == 0.2
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_other_tables_keep_what_looks_like_ours(tmp_path):
    others = (
        '[mqtt]\nbroker = "a"\n\n[mqtt.line]\nname = "not ours"\n\n[[mqtt.zone]]\nmatrix = [\n[1, 2],\n[3]\n]'
    )
    path = tmp_path / "shop.toml"
    path.write_text(f'[[line]]\nname = "old"\nstart = [0, 0]\nend = [1, 1]\n\n{others}\n')
    CountingFile(path).save([DOOR], [])
    assert path.read_text().startswith(others)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[line", "is not TOML"),
        ("\udcff", "is not TOML"),
        ('line = [{name = "a", start = [0, 0], end = [1, 1]}]', "unusual form"),
        ('[a]\ntext = """\n[[line]]\n"""\n', "unusual form"),
        ('[a]\ntext = """\n[[line]]\nlost\n[b]\n"""\n', "unusual form"),
    ],
)
def test_a_file_that_would_be_spoiled_is_left_alone(tmp_path, text, reason):
    path = tmp_path / "shop.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SinkError, match=reason):
        CountingFile(path).save([DOOR], [QUEUE])
    assert path.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "shop.toml"
    CountingFile(path).save([DOOR], [])
    before = path.read_text()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SinkError, match=r"No space left.*another file"):
        CountingFile(path).save([], [QUEUE])
    assert path.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shop.toml"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444])
def test_a_password_in_the_file_is_at_no_time_shown_to_more_people(tmp_path, monkeypatch, mode):
    path, partial = tmp_path / "shop.toml", tmp_path / ".shop.toml.partial"
    path.write_text('source = "rtsp://user:password@camera/stream"\n')
    path.chmod(mode)
    partial.write_text("of a run that was killed")
    partial.chmod(0o666)
    seen = []

    def look(_):
        assert "password" in partial.read_text()
        seen.append(stat.S_IMODE(partial.stat().st_mode))

    monkeypatch.setattr("os.fsync", look)
    with partial.open() as curious:
        CountingFile(path).save([DOOR], [])
        assert "password" not in curious.read()
    (found,) = seen
    assert found & ~(mode | stat.S_IWUSR) == 0
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_the_group_of_a_file_goes_on_reading_it_and_no_other_group_does(tmp_path, monkeypatch):
    path = tmp_path / "shop.toml"
    path.write_text("# mine\n")
    path.chmod(0o640)
    with suppress(PermissionError):  # root may
        os.chown(path, -1, 4711)
    group = path.stat().st_gid
    CountingFile(path).save([DOOR], [])
    assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (group, 0o640)

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.fchown", refuse)
    CountingFile(path).save([DOOR], [QUEUE])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.toml").write_text("# mine\n")
    (tmp_path / "link.toml").symlink_to(tmp_path / "real.toml")
    CountingFile(tmp_path / "link.toml").save([DOOR], [])
    assert (tmp_path / "link.toml").is_symlink()
    assert "door" in (tmp_path / "real.toml").read_text()


POINT = st.tuples(st.floats(0, 1, allow_subnormal=False), st.floats(0, 1, allow_subnormal=False))
NAME = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.tuples(NAME, POINT, POINT), max_size=3, unique_by=lambda line: line[0]),
    zones=st.lists(
        st.tuples(NAME, st.lists(POINT, min_size=3, max_size=5, unique=True)),
        max_size=3,
        unique_by=lambda zone: zone[0],
    ),
)
def test_every_drawing_comes_back_as_it_was(tmp_path, lines, zones):
    drawn_lines = tuple(Line(*line) for line in lines if math.dist(line[1], line[2]) > 1e-5)
    drawn_zones = tuple(Zone(name, tuple(polygon)) for name, polygon in zones)
    path = tmp_path / "shop.toml"
    path.write_text(WRITTEN)
    CountingFile(path).save(drawn_lines, drawn_zones)
    read = read_counting(path, [], [])
    assert (read.lines, read.zones) == (drawn_lines, drawn_zones)
