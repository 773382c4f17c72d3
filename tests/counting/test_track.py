"""Counting from the command line, on the synthetic street."""

import json

import cv2
import numpy as np
import pytest

from ..cli.command_line import error_of, run  # noqa: TID252

SPEC = "synthetic:seed=5,frames=100,size=480x270,fps=12.5"
SHOP = """
[counting]
hysteresis = 0.1

[[line]]
name = "street"
start = [0.02, 0.6]
end = [0.98, 0.6]

[[zone]]
name = "square"
polygon = [[0.3, 0.5], [0.7, 0.5], [0.7, 0.8], [0.3, 0.8]]
"""


@pytest.fixture(scope="module")
def tape(record_true_boxes, tmp_path_factory):
    path = tmp_path_factory.mktemp("tape") / "true-boxes.npz"
    record_true_boxes(SPEC, path)
    return path


@pytest.fixture(scope="module")
def counted(tape, tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    (folder / "shop.toml").write_text(SHOP)
    flags = ("--config", folder / "shop.toml", "--line", "door:0.6,0.45,0.6,0.95")
    result = run("track", SPEC, "-m", tape, "--runtime", "replay", "-o", folder / "out", *flags)
    return folder / "out", result.stdout


def test_events_and_totals_agree(counted):
    output, shown = counted
    events = [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]
    counts = json.loads((output / "summary.json").read_text())["counts"]

    def count(kind, shape, name):
        return sum(event["event"] == kind and event.get(shape) == name for event in events)

    assert set(counts["lines"]) == {"street", "door"}
    for name, totals in counts["lines"].items():
        assert totals == {"in": count("in", "line", name), "out": count("out", "line", name)}
    square = counts["zones"]["square"]
    assert square["entries"] == count("enter", "zone", "square")
    assert square["occupancy"] == square["entries"] - count("leave", "zone", "square")
    dwells = [event["dwell_s"] for event in events if event["event"] == "leave"]
    assert square["longest_dwell_s"] == pytest.approx(max(dwells), abs=1e-3)
    assert sum(totals["in"] + totals["out"] for totals in counts["lines"].values()) > 8
    assert f"in {counts['lines']['door']['in']}, out {counts['lines']['door']['out']}" in shown
    assert [event["frame"] for event in events] == sorted(event["frame"] for event in events)
    assert all(event["time_s"] <= (event["frame"] - 1) / 12.5 + 1e-9 for event in events)


def test_the_video_shows_lines_and_zones(counted):
    output, _ = counted
    capture = cv2.VideoCapture(str(output / "video.mp4"))
    read, picture = capture.read()
    capture.release()
    assert read
    # The door, a yellow line, where it crosses no box: some of its points suffice.
    column = picture[round(0.46 * 270) : round(0.94 * 270), round(0.6 * 480)].astype(int)
    yellow = (column[:, 2] > 180) & (column[:, 1] > 140) & (column[:, 0] < 110)
    assert yellow.mean() > 0.5


def test_without_lines_an_earlier_run_s_events_go(counted, tape, tmp_path):
    (tmp_path / "events.jsonl").write_text("of an earlier run\n")
    run("track", SPEC, "-m", tape, "--runtime", "replay", "-o", tmp_path, "--no-video")
    assert not (tmp_path / "events.jsonl").exists()
    assert "counts" not in json.loads((tmp_path / "summary.json").read_text())


def test_what_cannot_be_counted_is_one_line(tape, tmp_path):
    def fails(*flags):
        return error_of("track", SPEC, "-m", tape, "--runtime", "replay", "-o", tmp_path / "out", *flags)

    (tmp_path / "broken.toml").write_text("[[line\n")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "wrong.toml").write_text('[[line]]\nname = "door"\n')
    (tmp_path / "shop.toml").write_text(SHOP)
    assert "absent.toml cannot be read" in fails("--config", tmp_path / "absent.toml")
    assert "broken.toml is not TOML" in fails("--config", tmp_path / "broken.toml")
    assert "binary.toml is not TOML" in fails("--config", tmp_path / "binary.toml")
    assert "wrong.toml: a [[line]] lacks 'end'" in fails("--config", tmp_path / "wrong.toml")
    assert "write name:x1,y1,x2,y2" in fails("--line", "door:1,2")
    assert "write name:x,y;x,y;x,y" in fails("--zone", "square")
    assert "two lines are called 'street'" in fails(
        "--config", tmp_path / "shop.toml", "--line", "street:0,0,1,1"
    )
    assert not (tmp_path / "out").exists()


def test_drawing_an_overlay_stays_on_its_shapes():
    from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
    from edge_fairmot.sinks import CountingOverlay

    config = CountingConfig(
        (parse_line("door:0.6,0.5,0.6,0.9"),), (parse_zone("edge:0,0.7;0.3,0.7;0.3,1;0,1"),)
    )
    canvas = np.full((270, 480, 3), 90, np.uint8)
    CountingOverlay(Counter(config, (480, 270)))(canvas)
    changed = (canvas != 90).any(axis=2)
    assert changed[round(0.7 * 270), round(0.6 * 480)]
    assert changed[round(0.85 * 270), round(0.15 * 480)]
    assert not changed[: round(0.4 * 270)].any()
    assert not changed[:, round(0.85 * 480) :].any()
