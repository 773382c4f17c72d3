"""``refine``: the files of a run in, refined files out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_fairmot import Detections, DetectionWriter, Frame, FrameResult, Tracks
from edge_fairmot.benchmarks.mot_text import read_mot_text
from edge_fairmot.detection_cache import CacheInfo
from edge_fairmot.sinks import JsonLinesHeader, JsonLinesSink, read_json_lines

from .command_line import error_of, run

SIZE = (400, 200)
IMAGE = np.zeros((200, 400, 3), np.uint8)


def boxes(frame: int) -> np.ndarray:
    left = 30 + 4 * frame
    return np.array([[left, 100, left + 20, 160]], np.float32)


@pytest.fixture
def tracked(tmp_path):
    """One person, missing in frames 10 to 12 and 17 to 20, and then tracked under another id."""
    info = CacheInfo("walk", SIZE, 10.0, 0.3, 4)
    path = tmp_path / "out" / "tracks.jsonl"
    with (
        JsonLinesSink(path, JsonLinesHeader("walk", SIZE, 10.0, settings={"score_threshold": 0.4})) as sink,
        DetectionWriter(tmp_path / "cache", info) as cache,
    ):
        for index in range(30):
            frame = Frame(IMAGE, index, index / 10)
            seen = int(not (9 <= index <= 11 or 16 <= index <= 19))
            score, zero = np.full(seen, 0.9, np.float32), np.zeros(seen, np.int64)
            box = boxes(index)[:seen]
            sink.write(
                FrameResult(frame, Tracks(zero + (1 if index < 16 else 2), box, score, zero, zero > 0))
            )
            cache(frame, Detections(box, score, np.eye(4, dtype=np.float32)[:seen]))
    return tmp_path


def read(folder):
    lines = [json.loads(line) for line in (folder / "tracks.jsonl").read_text().splitlines()]
    return lines[0], lines[1:]


def test_gaps_are_filled_and_marked_and_both_files_agree(tracked):
    shown = run("refine", tracked / "out/tracks.jsonl", "-o", tracked / "refined").stdout
    assert "23 before, 26 now, 3 filled" in shown
    header, frames = read(tracked / "refined")
    assert header["settings"]["refined"]["fill_gaps_s"] == 0.5
    assert header["settings"]["score_threshold"] == 0.4
    filled = {line["frame"] for line in frames for track in line["tracks"] if track.get("filled")}
    assert filled == {10, 11, 12}
    assert [line["frame"] for line in frames] == list(range(1, 31))
    text = read_mot_text(tracked / "refined/tracks.txt")
    _, again = read_json_lines(tracked / "refined/tracks.jsonl")
    boxes_of = np.concatenate([tracks.xyxy for _, _, tracks in again])
    np.testing.assert_allclose(text.xyxy, boxes_of, atol=2e-3)
    np.testing.assert_allclose(boxes_of[9], boxes(9)[0], atol=1e-3)
    assert set(text.track_id.tolist()) == {1, 2}


def test_with_the_detection_cache_fragments_are_joined_and_the_gap_between_is_filled(tracked):
    cache = tracked / "cache"
    shown = run("refine", tracked / "out/tracks.jsonl", "-o", tracked / "r", "--detections", cache).stdout
    assert "2 before, 1 now" in shown
    _, frames = read(tracked / "r")
    assert [[track["id"] for track in line["tracks"]] for line in frames] == [[1]] * 30


def test_what_cannot_be_refined_is_one_line(tracked):
    path = tracked / "out/tracks.jsonl"
    assert "would write over the input" in error_of("refine", path, "-o", tracked / "out")
    run("refine", path, "-o", tracked / "refined")
    assert "--overwrite" in error_of("refine", path, "-o", tracked / "refined")
    run("refine", path, "-o", tracked / "refined", "--overwrite", "--smooth", "0.12", "--shorter-than", "0.3")
    assert "fill_gaps_s must be" in error_of("refine", path, "-o", tracked / "x", "--fill-gaps", "-1")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[3]]) + "\n")
    assert "do not count up from 1" in error_of("refine", path, "-o", tracked / "x")
    path.write_text("\n".join([*lines[:4], lines[4].replace('"tracks"', '"size":[8,8],"tracks"')]) + "\n")
    assert "another size than 400x200" in error_of("refine", path, "-o", tracked / "x")
    assert not (tracked / "x").exists()
