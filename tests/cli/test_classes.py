"""A model of three classes, from a folder of images to counts and scores by class, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_fairmot.sinks import read_json_lines

from .command_line import error_of, run

GATE = ("--line", "gate:0.5,0,0.5,1", "--line", "cars:0.5,0,0.5,1;car")
HALL = ("--zone", "hall:0,0;0.5,0;0.5,1;0,1;bus,person")
LABELS = ("person", "bicycle", "car", "bus")
"""Classes of the ground truth: other numbers than the model's."""


@pytest.fixture(scope="module")
def made(three_class_model: Path, traffic: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What ``track`` wrote, and ground truth of the same boxes."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("classes")
    track = ("track", traffic, "--model", three_class_model)
    output = run(*track, "-o", folder / "out", *GATE, *HALL, "--save-detections", folder / "cache").stdout
    truth = folder / "gt" / "gt.txt"
    truth.parent.mkdir()
    (truth.parent / "labels.txt").write_text("\n".join(LABELS))
    number = {"1": "3", "2": "4", "3": "1"}  # car, bus, person
    rows = [line.split(",") for line in (folder / "out" / "tracks.txt").read_text().splitlines()]
    truth.write_text("".join(f"{','.join([*row[:6], '1', number[row[7]], '1'])}\n" for row in rows))
    return SimpleNamespace(
        folder=folder, out=folder / "out", track=track, output=output, truth=truth, rows=rows
    )


def test_every_file_says_the_class(made: SimpleNamespace) -> None:
    assert len(made.rows) == 60
    assert {(row[1], row[7]) for row in made.rows} == {("1", "1"), ("2", "2"), ("3", "3")}
    header, frames = read_json_lines(made.out / "tracks.jsonl")
    assert header.class_names == ("car", "bus", "person")
    found = {(one, kind) for *_, row in frames for one, kind in zip(row.track_id, row.class_id, strict=True)}
    assert found == {(1, 0), (2, 1), (3, 2)}
    events = [json.loads(line) for line in (made.out / "events.jsonl").read_text().splitlines()]
    crossings = [(event["class"], event["event"], event["line"]) for event in events if "line" in event]
    assert sorted(crossings) == [
        ("bus", "out", "gate"),
        ("car", "out", "cars"),
        ("car", "out", "gate"),
        ("person", "in", "gate"),
    ]


def test_totals_are_by_class_too(made: SimpleNamespace) -> None:
    summary = json.loads((made.out / "summary.json").read_text())
    lines, zones = summary["counts"]["lines"], summary["counts"]["zones"]
    once_out, once_in = {"in": 0, "out": 1}, {"in": 1, "out": 0}
    by_class = {"car": once_out, "bus": once_out, "person": once_in}
    assert lines["gate"] == {"in": 1, "out": 2, "classes": by_class}
    assert lines["cars"] == {**once_out, "classes": {"car": once_out}}
    assert (zones["hall"]["entries"], list(zones["hall"]["classes"])) == (2, ["bus", "person"])
    assert summary["identities_by_class"] == {"car": 1, "bus": 1, "person": 1}
    assert summary["model"]["class_names"] == ["car", "bus", "person"]
    for words in ("3 (car 1, bus 1, person 1)", "gate: bus", "hall: person"):
        assert words in made.output


def test_classes_and_thresholds_are_chosen_by_name(made: SimpleNamespace) -> None:
    def identities(*options: str) -> dict[str, int]:
        out = made.folder / "chosen"
        cached = (*made.track, "--detections", made.folder / "cache", "-o", out, "--overwrite", "--no-video")
        run(*cached, *options)
        return json.loads((out / "summary.json").read_text())["identities_by_class"]

    assert identities("--classes", "bus, car") == {"car": 1, "bus": 1}
    assert identities("--score-threshold", "car=0.95,person=0.45") == {"bus": 1, "person": 1}
    assert identities("--score-threshold", "0.8,person=0.45") == {"car": 1, "person": 1}
    assert identities("--score-threshold", "0.6") == {"car": 1, "bus": 1}
    config = made.folder / "road.toml"
    config.write_text('[tracker]\nclasses = ["bus"]\n[tracker.class_score_threshold]\nbus = 0.6\n')
    assert identities("--config", config) == {"bus": 1}
    assert identities("--config", config, "--set", "tracker.class_score_threshold.bus=0.75") == {}


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--classes", "lorry"), ("'lorry'", "the model does not have: use 'car', 'bus', 'person'")),
        (("--score-threshold", "lorry=0.5"), ("'lorry'", "use 'car', 'bus', 'person'")),
        (("--score-threshold", "car=high"), ("car=high", "write 0.4, or car=0.5,person=0.4")),
        (("--line", "g:0.5,0,0.5,1;lorry"), ("line 'g'", "'lorry'", "use 'car', 'bus', 'person'")),
        (("--classes", "car", "--line", "g:0.5,0,0.5,1;bus"), ("'bus'", "not tracked: use 'car'")),
    ],
)
def test_a_class_that_is_not_there_ends_in_one_line(
    options: tuple[str, ...], parts: tuple[str, ...], made: SimpleNamespace, tmp_path: Path
) -> None:
    line = error_of(*made.track, "-o", tmp_path / "out", *options)
    for part in parts:
        assert part in line


def test_eval_scores_a_class_by_its_name_though_numbers_differ(made: SimpleNamespace) -> None:
    def scores(*options: str) -> dict[str, dict[str, float]]:
        pytest.importorskip("scipy")
        result = run("eval", made.out / "tracks.txt", "--gt", made.truth, "--json", *options)
        return json.loads(result.stdout)

    (car,) = scores("--class", "car").values()
    assert (car["mota"], car["gt_ids"], car["track_boxes"]) == (1.0, 1, 20)
    assert next(iter(scores().values())) == scores("--class", "person")[str(made.out / "tracks.txt")]
    found = scores("--class", "all")
    assert [name.split()[-1] for name in found] == ["person", "car", "bus", "combined"]
    assert found["combined"]["tp"] == 60
    assert [name.split()[-1] for name in scores("--class", "bus,car")] == ["bus", "car", "combined"]
    made.truth.write_text(made.truth.read_text().replace(",1,3,1\n", ",1,2,1\n"))  # the car is a bicycle
    line = error_of("eval", made.out / "tracks.txt", "--gt", made.truth, "--class", "bicycle")
    assert "has no class 'bicycle': it has car, bus, person" in line
    assert next(iter(scores("--class", "all"))).endswith("person")
