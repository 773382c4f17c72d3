"""``export``: trajectories and mean embeddings of a run."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from .command_line import error_of, run
from .test_refine import boxes, tracked  # noqa: F401

COLUMNS = ["id", "frame", "time_s", "class_id", "x1", "y1", "x2", "y2", "foot_x", "foot_y"]


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def refined(tracked):  # noqa: F811
    run("refine", tracked / "out/tracks.jsonl", "-o", tracked / "refined")
    return tracked


def test_a_csv_holds_every_box_by_identity_and_time(refined):
    path = refined / "people.csv"
    run("export", refined / "refined/tracks.jsonl", "-o", path)
    rows = read(path)
    assert [*rows[0]] == [*COLUMNS, "score", "predicted", "filled"]
    assert [int(row["frame"]) for row in rows] == [*range(1, 17), *range(21, 31)]
    assert [row["id"] for row in rows] == ["1"] * 16 + ["2"] * 10
    assert [int(row["frame"]) for row in rows if row["filled"] == "1"] == [10, 11, 12]
    x1, y1, x2, y2 = boxes(4)[0].tolist()
    found = [float(rows[4][name]) for name in COLUMNS[2:]]
    assert found == [0.4, 0, x1, y1, x2, y2, (x1 + x2) / 2, y2]
    assert "--overwrite" in error_of("export", refined / "out/tracks.jsonl", "-o", path)


def test_parquet_holds_the_same(refined):
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("people.csv", "people.parquet"):
        run("export", refined / "refined/tracks.jsonl", "-o", refined / name)
    table = parquet.read_table(refined / "people.parquet").to_pydict()
    for row, values in zip(read(refined / "people.csv"), zip(*table.values(), strict=True), strict=True):
        assert [float(value) for value in row.values()] == [float(value) for value in values]


def test_mean_embeddings_are_written_on_request(refined):
    tracks, npz = refined / "refined/tracks.jsonl", refined / "looks.npz"
    run("export", tracks, "-o", refined / "a.csv", "--embeddings", npz, "--detections", refined / "cache")
    with np.load(npz) as found:
        assert found["id"].tolist() == [1, 2]
        np.testing.assert_allclose(found["embedding"], np.eye(4)[[0, 0]], atol=1e-6)
    assert "give both or none" in error_of("export", tracks, "-o", refined / "b.csv", "--embeddings", npz)


def test_another_ending_is_refused(refined):
    assert "must end in .csv or .parquet" in error_of("export", refined / "out/tracks.jsonl", "-o", "x.xlsx")
