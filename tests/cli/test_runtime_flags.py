"""The flags that open a runtime: the same for every command that opens one, and heeded."""

import inspect
import json
import typing
from dataclasses import fields

import cv2
import numpy as np
import pytest
import typer

from edge_fairmot.cli import runtime_flags
from edge_fairmot.cli.demo import demo
from edge_fairmot.cli.live_settings import LiveSettings
from edge_fairmot.cli.runtimes import runtimes as runtimes_command
from edge_fairmot.cli.settings import entries
from edge_fairmot.cli.track import track
from edge_fairmot.cli.verify import verify
from edge_fairmot.runtimes import RuntimeOptions

from .command_line import error_of, run

FLAGS = {
    "runtime": runtime_flags.RuntimeFlag,
    "device_id": runtime_flags.DeviceIdFlag,
    "threads": runtime_flags.ThreadsFlag,
    "precision": runtime_flags.ArithmeticFlag,
    "hint": runtime_flags.HintFlag,
    "cache_folder": runtime_flags.CacheFolderFlag,
}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(2):
        cv2.imwrite(str(folder / f"{n}.png"), np.full((96, 128, 3), 40 * n, np.uint8))
    return folder


def test_there_is_a_flag_for_every_option():
    assert {name.removesuffix("_id") for name in FLAGS} == {
        "runtime",
        *(f.name for f in fields(RuntimeOptions)),
    }


@pytest.mark.parametrize("command", [track, verify])
def test_every_command_that_opens_a_runtime_has_the_same_flags(command):
    hints = typing.get_type_hints(command, include_extras=True)
    assert {name: hints[name] for name in FLAGS} == FLAGS


def test_the_table_of_live_has_them_too():
    table = {entry.name: entry for entry in entries(LiveSettings)}
    usual = inspect.signature(track).parameters
    for name, hint in FLAGS.items():
        (option,) = (part for part in typing.get_args(hint) if isinstance(part, typer.models.OptionInfo))
        assert table[name].flag in (option.default, *(option.param_decls or ()))
        assert table[name].default == usual[name].default


def test_no_other_command_opens_one():
    """If one more does, it belongs into the tests above."""
    from edge_fairmot.cli.main import _add_commands, app

    if not app.registered_commands:
        _add_commands()
    group = typer.main.get_command(app)
    opening = {
        name
        for name, command in group.commands.items()
        if any("--runtime" in option.opts for option in command.params)
    }
    assert opening == {"track", "verify", "live", "demo", "runtimes"}
    assert "threads" not in typing.get_type_hints(demo)  # a first look, with nothing set
    assert "threads" not in typing.get_type_hints(runtimes_command)  # it only asks, with nothing set


def test_options_reach_the_runtime_and_the_summary(small_model, pictures, tmp_path):
    pytest.importorskip("openvino", reason="needs openvino")
    output, kept = tmp_path / "out", tmp_path / "kept"
    done = run(
        *("track", pictures, "-m", small_model, "-o", output, "--no-video", "--runtime", "openvino"),
        *("--precision", "bf16", "--hint", "throughput", "--threads", "1", "--cache-folder", kept),
        status=None,
    )
    if "does not compute in bf16" in done.stderr:
        pytest.skip("this CPU has no bfloat16")
    assert done.returncode == 0, done.stderr
    assert any(kept.iterdir())
    assert json.loads((output / "summary.json").read_text())["runtime_options"] == {
        "device": "",
        "threads": 1,
        "precision": "bf16",
        "hint": "throughput",
        "cache_folder": str(kept),
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--precision", "bf16"],
            "cpu has no precision to set (bf16): leave it out, or choose from openvino",
        ),
        (["--runtime", "cuda", "--threads", "2"], "cuda has no threads to set (2)"),
        (["--device-id", "1"], "cpu has no device to set (1)"),
        (["--runtime", "cuda:0", "--device-id", "1"], "runtime cuda:0 names a device, and 1 is another"),
        (["--hint", "fast"], "hint 'fast': choose from latency, throughput"),
    ],
)
def test_what_a_runtime_cannot_take_is_one_line(small_model, pictures, tmp_path, flags, message):
    for command in (
        ["track", pictures, "-m", small_model, "-o", tmp_path / "out"],
        ["verify", small_model, "--reference", small_model, "--video", pictures],
    ):
        assert message in error_of(*command, *flags)


def test_verify_runs_the_candidate_as_it_is_told(small_model, pictures):
    pytest.importorskip("openvino", reason="needs openvino")
    files = ["verify", small_model, "--reference", small_model, "--video", pictures]
    options = ("--runtime", "openvino:CPU", "--threads", "1", "--precision", "fp32")
    done = run(*files, *options, status=None)  # random weights need not agree
    assert "peaks of the reference (cpu" in done.stdout, done.stderr
    assert "of the candidate (openvino:CPU)" in done.stdout
