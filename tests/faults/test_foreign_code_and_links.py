"""What lies in the current folder is never run, and a link in an output folder is never written through."""

import json
import os
import stat
from pathlib import Path

import pytest

from edge_fairmot import doctor
from edge_fairmot.errors import EdgeFairmotError
from edge_fairmot.system import atomic_write

from ..cli.command_line import error_of  # noqa: TID252


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """The current folder, as of an unpacked data set: modules in it leave a mark when they are imported."""
    for name in ("json", "numpy", "typer", "picamera2", "edge_fairmot"):
        (tmp_path / f"{name}.py").write_text("open(__file__ + '.was_run', 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def list_cameras():
    finding = doctor._list_picameras()
    assert "picamera2" in finding.text


def begin_worker():
    from edge_fairmot.benchmarks.worker import Job, WorkerProcess

    job = Job(Path("absent.onnx"), "cpu", ("absent.mp4",), (Path(),), Path(), 1, 1, 1, 0.4, None, 0)
    WorkerProcess(job)


def convert_for_a_sweep():
    from edge_fairmot.cli.bench_sweep import Variant, _convert

    _convert(Variant((64, 64), "fp32", "auto", ""), Path("absent.pth"), Path("out.onnx"))


@pytest.mark.parametrize("start", [list_cameras, begin_worker, convert_for_a_sweep])
def test_child_processes_import_nothing_from_the_current_folder(trap, start):
    try:
        start()
    except EdgeFairmotError as error:
        assert "absent" in str(error)  # noqa: PT017
    assert not list(trap.glob("*.was_run"))


def test_a_link_under_the_name_of_a_partial_file_is_not_followed(tmp_path):
    victim, target = tmp_path / "victim", tmp_path / "summary.json"
    victim.write_text("of another user")
    (tmp_path / ".summary.json.partial").symlink_to(victim)
    with atomic_write(target) as partial:
        assert partial.parent == tmp_path
        assert not partial.is_symlink()
        partial.write_text(json.dumps({"complete": True}))
    assert victim.read_text() == "of another user"
    assert json.loads(target.read_text()) == {"complete": True}


def test_a_file_that_is_there_is_not_taken_for_the_partial_one(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_fairmot.system.secrets.token_hex", lambda _: "guessed")
    (tmp_path / "victim").write_text("of another user")
    (tmp_path / ".summary.json.guessed.partial").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError), atomic_write(tmp_path / "summary.json"):
        pass
    assert (tmp_path / "victim").read_text() == "of another user"


def test_an_atomic_write_leaves_no_other_file_and_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "summary.json") as partial:
            partial.write_text("{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "summary.json").stat().st_mode) == 0o640
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "summary.json") as partial:
        partial.write_text(str(1 // 0))
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02\x8a\n"])  # torch.save today, and before 1.6
def test_a_checkpoint_in_the_place_of_a_model_is_told_how_to_convert_it(tmp_path, start):
    (tmp_path / "fairmot_dla34.pth").write_bytes(start + bytes(100))
    line = error_of(
        "track", "synthetic:frames=2", "-m", tmp_path / "fairmot_dla34.pth", "-o", tmp_path / "out"
    )
    assert line.endswith(
        f"convert it: edge-fairmot convert {tmp_path}/fairmot_dla34.pth -o fairmot_dla34.onnx"
    )
