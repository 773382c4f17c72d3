"""Results are read as they were written, and other files are refused in one line."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.benchmarks.frame_counts import FrameCounts
from edge_fairmot.benchmarks.results import read_results, write_results
from edge_fairmot.errors import EvaluationError, MissingDependencyError

from .made_results import counts, entry, results, speed


def test_results_come_back_as_they_were(tmp_path):
    whole = results(entry(), replace(entry(runtime="cuda"), failure="no GPU", speed=None, correctness=None))
    path = tmp_path / "new" / "results.json"

    write_results(path, whole)

    assert read_results(path) == whole
    assert [found.name for found in path.parent.iterdir()] == ["results.json"]
    content = json.loads(path.read_text())
    assert content["schema_version"] == 2
    assert content["entries"][0]["model"]["input_size"] == [576, 320]
    assert len(content["entries"][0]["speed"]["times"]["stage_ms"]["inference"]) == 200
    assert content["machine"]["name"] == "Made-up board"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda content: "not json", "cannot be read"),
        (lambda content: "[1, 2]", "schema None"),
        (lambda content: json.dumps(content | {"schema_version": 1}), "schema 1, this edge-fairmot reads 2"),
        (lambda content: json.dumps(content | {"entries": 3}), "damaged"),
        (lambda content: json.dumps({k: v for k, v in content.items() if k != "machine"}), "machine"),
    ],
)
def test_what_is_not_results_is_refused_in_one_line(tmp_path, change, part):
    path = tmp_path / "results.json"
    write_results(path, results(entry()))
    path.write_text(change(json.loads(path.read_text())))

    with pytest.raises(EvaluationError, match=part) as caught:
        read_results(path)
    assert "\n" not in str(caught.value)
    assert "edge-fairmot bench" in str(caught.value)


def test_absent_results_and_unwritable_places_are_errors(tmp_path, monkeypatch):
    with pytest.raises(EvaluationError, match=r"absent\.json cannot be read"):
        read_results(tmp_path / "absent.json")
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match="another folder with -o"):
        write_results(tmp_path / "file" / "results.json", results(entry()))
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(MissingDependencyError, match=r"pydantic.*edge-fairmot\[bench\]"):
        read_results(tmp_path / "any.json")


def test_a_frame_is_the_sum_of_its_stages():
    times = speed(frames=3).times

    assert np.allclose(times.frame_ms, np.array(times.stage_ms["inference"]) + 4 * 0.5)
    assert len(times) == 3


def test_counts_come_back_from_plain_numbers():
    found = FrameCounts.of(counts(matched=3))

    assert found.to_numbers() == counts(matched=3)
    assert found.mota == pytest.approx((2 * 3 - 5) / 5)


def test_a_row_is_done_when_it_has_everything():
    assert entry().done
    assert not replace(entry(), correctness=None).done
    assert not replace(entry(), speed=None).done
    assert entry().name == "fairmot.onnx on cpu"
    assert entry().best_live.detect_every == 3
