from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_fairmot.errors import EvaluationError, SinkError
from edge_fairmot.sinks import JsonLinesHeader, JsonLinesSink, read_json_lines
from edge_fairmot.types import Frame, FrameResult, Tracks

HEADER = JsonLinesHeader(
    source="video.mp4",
    frame_size=(768, 432),
    frame_rate=25.0,
    model={"path": "model.onnx", "input_size": [576, 320]},
    settings={"score_threshold": 0.4, "runtime": "cpu"},
)


def write(path: Path, frames: list[tuple[Frame, Tracks]]) -> Path:
    with JsonLinesSink(path, HEADER) as sink:
        for frame, tracks in frames:
            sink.write(FrameResult(frame, tracks))
    return path


def test_the_lines_are_those_of_the_design(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    path = write(
        tmp_path / "tracks.jsonl",
        [
            (make_frame(0, size=(768, 432)), make_tracks([(1, 10.1, 20, 40, 100.5, 0.9)])),
            (make_frame(1, size=(768, 432)), make_tracks([])),
            (make_frame(2, size=(768, 432)), make_tracks([(1, 11, 20, 41, 100)], predicted=True)),
        ],
    )
    lines = path.read_text().splitlines()
    assert json.loads(lines[0]) == {
        "schema_version": 1,
        "source": "video.mp4",
        "size": [768, 432],
        "frame_rate": 25.0,
        "model": {"path": "model.onnx", "input_size": [576, 320]},
        "settings": {"score_threshold": 0.4, "runtime": "cpu"},
    }
    assert json.loads(lines[1]) == {
        "frame": 1,
        "time_s": 0.0,
        "predicted": False,
        "tracks": [{"id": 1, "xyxy": [10.1, 20.0, 40.0, 100.5], "score": 0.9, "class_id": 0}],
    }
    assert json.loads(lines[2]) == {"frame": 2, "time_s": 0.04, "predicted": False, "tracks": []}
    assert json.loads(lines[3])["predicted"] is True
    assert len(lines) == 4


def test_a_frame_of_another_size_says_so(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    sizes = [(768, 432), (384, 216), (768, 432)]
    frames = [(make_frame(n, size=size), make_tracks([(1, 1, 2, 3, 4)])) for n, size in enumerate(sizes)]
    path = write(tmp_path / "tracks.jsonl", frames)
    assert [json.loads(line).get("size") for line in path.read_text().splitlines()[1:]] == [
        None,
        [384, 216],
        None,
    ]
    assert [number for number, _, _ in read_json_lines(path)[1]] == [1, 2, 3]


def test_each_frame_is_on_disk_when_write_returns(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    path = tmp_path / "tracks.jsonl"
    sink = JsonLinesSink(path, HEADER)
    for index in range(3):
        sink.write(FrameResult(make_frame(index), make_tracks([(1, 0, 0, 9, 9)])))
        assert len(path.read_text().splitlines()) == index + 2
    sink.close()


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def any_tracks(draw: st.DrawFn) -> Tracks:
    count = draw(st.integers(0, 4))
    return Tracks(
        track_id=draw(arrays(np.int64, count, elements=st.integers(1, 2**62))),
        xyxy=draw(arrays(np.float32, (count, 4), elements=finite)),
        score=draw(arrays(np.float32, count, elements=finite | st.just(float(np.finfo(np.float32).max)))),
        class_id=draw(arrays(np.int64, count, elements=st.integers(0, 2**31))),
        predicted=np.full(count, draw(st.booleans())),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    frames=st.lists(st.tuples(st.floats(-1e9, 1e9), any_tracks()), max_size=4),
    source=st.text(),
    size=st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    extra=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()),
)
def test_what_is_written_is_read_back_to_the_bit(
    frames: list[tuple[float, Tracks]],
    source: str,
    size: tuple[int, int],
    extra: dict[str, object],
    tmp_path: Path,
) -> None:
    header = JsonLinesHeader(source, size, 29.97, model=extra, settings={"all": extra})
    path = tmp_path / "tracks.jsonl"
    with JsonLinesSink(path, header) as sink:
        for index, (time_s, tracks) in enumerate(frames):
            sink.write(FrameResult(Frame(np.zeros((1, 1, 3), np.uint8), index, time_s), tracks))
    read_header, read_frames = read_json_lines(path)
    assert read_header == header
    back = list(read_frames)
    assert [number for number, _, _ in back] == list(range(1, len(frames) + 1))
    for (time_s, tracks), (_, read_time_s, read_tracks) in zip(frames, back, strict=True):
        assert read_time_s == time_s
        for name in Tracks.__slots__:
            written, read = getattr(tracks, name), getattr(read_tracks, name)
            assert (read.dtype, read.shape) == (written.dtype, written.shape)
            assert read.tobytes() == written.tobytes()


def test_every_length_of_a_torn_file_can_be_read(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    path = tmp_path / "tracks.jsonl"
    write(path, [(make_frame(index), make_tracks([(1, 0, 0, 9, 9)])) for index in range(3)])
    data = path.read_bytes()
    ends = [index for index, byte in enumerate(data) if byte == ord("\n")]
    for length in range(ends[0] + 1, len(data) + 1):
        path.write_bytes(data[:length])
        _, frames = read_json_lines(path)
        # A line that lacks nothing but its end is whole.
        assert len(list(frames)) == sum(length >= end for end in ends[1:])
    for length in range(ends[0]):
        path.write_bytes(data[:length])
        with pytest.raises(EvaluationError, match="has no header line"):
            read_json_lines(path)


@pytest.mark.parametrize(
    "line",
    [b"{", b"null", b"[]", b'{"frame": 2}', b'{"frame": 2, "time_s": 0, "predicted": false, "tracks": [1]}'],
)
def test_a_bad_line_in_the_middle_is_named(line: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "tracks.jsonl", [])
    path.write_bytes(path.read_bytes() + line + b"\n")
    _, frames = read_json_lines(path)
    with pytest.raises(EvaluationError, match=r"line 2 is not a (line|frame) of edge-fairmot"):
        list(frames)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    path.write_text('{"schema_version": 99}\n')
    with pytest.raises(EvaluationError, match="schema version 99, this release reads 1"):
        read_json_lines(path)
    path.write_text('{"schema_version": 1, "size": [1]}\n')
    with pytest.raises(EvaluationError, match="line 1 is not a header"):
        read_json_lines(path)
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_json_lines(tmp_path / "none.jsonl")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes"])
def test_a_header_that_is_no_json_is_refused_before_a_file_is_made(value: object, tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    with pytest.raises(SinkError, match="header of JSON Lines"):
        JsonLinesSink(path, JsonLinesHeader("x", (1, 1), 25.0, settings={"bad": value}))
    assert not path.exists()


def test_what_is_not_finite_is_refused(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    with JsonLinesSink(tmp_path / "tracks.jsonl", HEADER) as sink:
        with pytest.raises(SinkError, match=r"frame 1 .* not finite \(ids 2\)"):
            sink.write(FrameResult(make_frame(0), make_tracks([(2, 0, 0, np.inf, 1)])))
        with pytest.raises(SinkError, match="frame 1 has time_s nan"):
            sink.write(FrameResult(make_frame(0, time_s=float("nan")), make_tracks([])))
