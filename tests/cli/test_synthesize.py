"""The synthetic street from the command line: tracked, evaluated, written to disk."""

import json

import pytest

from edge_fairmot.benchmarks.mot_text import read_ground_truth, read_mot_text
from edge_fairmot.sources import open_source

from .command_line import error_of, run

SPEC = "synthetic:seed=3,frames=12,size=320x180"


def test_a_street_is_tracked_and_evaluated_without_a_file(small_model, tmp_path):
    output = tmp_path / "out"
    run("track", SPEC, "-m", small_model, "-o", output)
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["complete"], summary["frames"], summary["source"]["name"]) == (True, 12, SPEC)
    truth = read_ground_truth(output / "gt.txt").rows
    assert (truth.frame.min(), truth.frame.max()) == (1, 12)
    figures = json.loads(run("eval", output / "gt.txt", "--gt", output / "gt.txt", "--json").stdout)
    assert figures[str(output / "gt.txt")]["recall"] == 1.0


def test_a_sequence_holds_the_frames_and_the_ground_truth(tmp_path):
    assert SPEC in run("synthesize", SPEC, "-o", tmp_path / "street").stdout
    with open_source(tmp_path / "street") as written, open_source(SPEC) as street:
        assert written.info.frame_rate == street.info.frame_rate
        pairs = list(zip(written, street, strict=True))
        # JPEG changes a pixel a little.
        assert max(abs(a.image.astype(int) - b.image).mean() for a, b in pairs) < 5
        truth = street.truth(11)
    rows = read_mot_text(tmp_path / "street" / "gt" / "gt.txt")
    assert rows.track_id[rows.frame == 12].tolist() == truth.ids.tolist()
    assert "already" in error_of("synthesize", SPEC, "-o", tmp_path / "street")


@pytest.mark.parametrize(
    ("spec", "message"),
    [("synthetic:colour=red", "'colour=red' is no option"), ("synthetic:frames=endless", "frames=500")],
)
def test_wrong_options_are_one_line_and_leave_nothing(tmp_path, spec, message):
    assert message in error_of("synthesize", spec, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
