from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks import MotTextSink
from edge_fairmot.sinks.text import mot_lines
from edge_fairmot.types import Frame, FrameResult, Tracks


def test_lines_count_frames_from_1_and_hold_left_top_width_height(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    path = tmp_path / "made" / "on the way" / "tracks.txt"
    with MotTextSink(path) as sink:
        sink.write(
            FrameResult(make_frame(0), make_tracks([(3, 10, 20, 40, 100.5, 0.75), (12, -1.25, 0, 5, 6)]))
        )
        sink.write(FrameResult(make_frame(1), make_tracks([])))
        sink.write(FrameResult(make_frame(2), make_tracks([(3, 11, 21, 41, 101)], predicted=True)))
    assert path.read_text() == (
        "1,3,10.000,20.000,30.000,80.500,0.750,-1,-1,-1\n"
        "1,12,-1.250,0.000,6.250,6.000,0.900,-1,-1,-1\n"
        "3,3,11.000,21.000,30.000,80.000,0.900,-1,-1,-1\n"
    )


def test_each_frame_is_on_disk_when_write_returns(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    path = tmp_path / "tracks.txt"
    sink = MotTextSink(path)
    for index in range(3):
        sink.write(FrameResult(make_frame(index), make_tracks([(1, 0, 0, 9, 9)])))
        assert len(path.read_text().splitlines()) == index + 1
    sink.close()


def test_the_class_is_written_only_where_there_are_several(make_tracks: Callable[..., Tracks]) -> None:
    tracks = replace(make_tracks([(1, 0, 0, 9, 9), (2, 1, 1, 9, 9)]), class_id=np.int64([1, 0]))
    assert mot_lines(4, tracks, ("person",)) == mot_lines(4, tracks)
    columns = [line.split(",") for line in mot_lines(4, tracks, ("car", "bus")).splitlines()]
    assert [(row[1], *row[7:]) for row in columns] == [("1", "2", "-1", "-1"), ("2", "1", "-1", "-1")]


coordinates = st.floats(-1e4, 1e4, width=32)


@given(
    st.integers(1, 10**6),
    st.integers(0, 5).flatmap(
        lambda count: st.tuples(
            arrays(np.int64, count, elements=st.integers(1, 10**9), unique=True),
            arrays(np.float32, (count, 4), elements=coordinates),
            arrays(np.float32, count, elements=st.floats(0, 1, width=32)),
        )
    ),
)
def test_lines_read_back_to_a_thousandth(
    frame_number: int, columns: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    track_id, xyxy, score = columns
    tracks = Tracks(track_id, xyxy, score, np.zeros_like(track_id), np.zeros(len(track_id), bool))
    lines = mot_lines(frame_number, tracks).splitlines()
    table = np.array([[float(value) for value in line.split(",")] for line in lines]).reshape(-1, 10)
    assert (table[:, 0] == frame_number).all()
    assert table[:, 1].astype(np.int64).tolist() == track_id.tolist()
    corners = np.hstack([table[:, 2:4], table[:, 2:4] + table[:, 4:6]])
    np.testing.assert_allclose(corners, xyxy.astype(np.float64), rtol=0, atol=1.01e-3)
    np.testing.assert_allclose(table[:, 6], score.astype(np.float64), rtol=0, atol=5.01e-4)
    assert (table[:, 7:] == -1).all()


@pytest.mark.parametrize("row", [(7, 0, 0, np.nan, 9), (7, 0, np.inf, 9, 9), (7, 0, 0, 9, 9, np.nan)])
def test_a_track_that_is_not_finite_is_named(
    row: tuple[float, ...],
    tmp_path: Path,
    make_frame: Callable[..., Frame],
    make_tracks: Callable[..., Tracks],
) -> None:
    sink = MotTextSink(tmp_path / "tracks.txt")
    with pytest.raises(SinkError, match=r"frame 5 has boxes or scores that are not finite \(ids 7\)"):
        sink.write(FrameResult(make_frame(4), make_tracks([(1, 0, 0, 9, 9), row])))
    sink.close()
    assert (tmp_path / "tracks.txt").read_text() == ""
