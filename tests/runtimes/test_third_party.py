"""A package that edge-fairmot does not know adds a runtime: the example, installed for real."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.errors import InferenceError, InvalidInputError
from edge_fairmot.protocols import Runtime
from edge_fairmot.runtimes import RuntimeOptions, list_runtimes, open_runtime

EXAMPLE = Path(__file__).parents[1] / "example_runtime"
COMMAND = (sys.executable, "-c", "from edge_fairmot.cli.main import run; run()")
BOXES = [[20, 10, 40, 80], [90, 12, 110, 84]]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the example, installed as by ``pip install ./tests/example_runtime``."""
    pytest.importorskip("setuptools", minversion="77", reason="builds the example")
    folder = tmp_path_factory.mktemp("third-party")
    shutil.copytree(EXAMPLE, folder / "source")  # a build leaves files beside its source
    # Without isolation nothing is downloaded.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "source")], check=True)
    return folder / "site"


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    yield
    sys.modules.pop("edge_fairmot_fixed_boxes", None)


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.json"
    path.write_text(json.dumps({"input_size": [128, 96], "boxes": BOXES}))
    return path


def run(site, *arguments):
    found = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(found), "COLUMNS": "200", "NO_COLOR": "1"},
    )


def test_it_is_listed_with_its_package_and_opens_by_its_name(installed, scene):
    (row,) = (row for row in list_runtimes() if row.name == "fixed-boxes")
    assert (row.available, row.version) == (True, "edge-fairmot-fixed-boxes 0.1.0")
    with closing(open_runtime(scene, "fixed-boxes")) as opened:
        runtime: Runtime = opened
        raw = runtime.infer(np.zeros((1, 96, 128, 3), np.uint8))
    assert (runtime.name, raw.boxes[0].tolist()) == ("fixed-boxes", BOXES)


def test_its_own_errors_come_through(installed, scene):
    with pytest.raises(InvalidInputError, match="runtime fixed-boxes has no threads to set"):
        open_runtime(scene, "fixed-boxes", RuntimeOptions(threads=2))
    scene.write_text('{"boxes": []}')
    with pytest.raises(InferenceError, match=r"is not a file of fixed boxes \('input_size'\)"):
        open_runtime(scene, "fixed-boxes")
    with pytest.raises(InferenceError, match=r"is not a file of fixed boxes .*No such file"):
        open_runtime(scene.parent / "absent.json", "fixed-boxes")


def test_the_commands_know_it(site, scene, tmp_path):
    import cv2

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for n in range(4):
        cv2.imwrite(str(pictures / f"{n}.png"), np.zeros((96, 128, 3), np.uint8))
    assert "edge-fairmot-fixed-boxes 0.1.0" in run(site, "runtimes").stdout
    output = tmp_path / "out"
    tracked = run(
        *(site, "track", pictures, "-m", scene, "--runtime", "fixed-boxes", "-o", output, "--no-video")
    )
    assert tracked.returncode == 0, tracked.stderr
    _, *frames = map(json.loads, (output / "tracks.jsonl").read_text().splitlines())
    assert [[track["id"] for track in frame["tracks"]] for frame in frames] == [[1, 2]] * 4
    assert json.loads((output / "summary.json").read_text())["runtime"] == "fixed-boxes"


def test_the_example_stays_short_enough_to_be_copied():
    assert len((EXAMPLE / "edge_fairmot_fixed_boxes.py").read_text().splitlines()) <= 60
