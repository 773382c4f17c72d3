"""``convert --for``: a lowering that the runtime runs, with the reason."""

import json
from types import SimpleNamespace

import pytest

from edge_fairmot.cli.lowering_choice import choose_lowering
from edge_fairmot.cli.runtime_flags import advise_on_precision
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.runtimes import list_runtimes

from .command_line import run

HERE = {row.name for row in list_runtimes() if row.available}


@pytest.mark.parametrize("lowering", ["native", "gridsample", "gather", "im2col"])
def test_without_a_target_it_is_as_asked(lowering):
    assert choose_lowering(lowering, None, "fp32").lowering == lowering


def test_auto_is_native():
    assert choose_lowering("auto", None, "fp32").lowering == "native"


def test_a_runtime_that_is_here_is_probed():
    if "cpu" not in HERE:
        pytest.skip("runtime cpu is not here")
    plan = choose_lowering("auto", "cpu", "fp32")
    assert "probe" in plan.reason
    assert " ms" in plan.reason


def test_a_version_that_is_not_here_goes_by_the_rule():
    plan = choose_lowering("auto", "cpu@1.23", "fp32")
    assert (plan.lowering, "by rule" in plan.reason) == ("gather", True)


@pytest.mark.parametrize(
    ("deform_conv", "target", "message"),
    [
        ("magic", None, "--deform-conv 'magic': choose from auto, native, gridsample, gather, im2col"),
        ("gather", "cpu", "--for cpu and --deform-conv gather both choose the lowering"),
        ("auto", "tpu", "--for 'tpu': choose from cpu, openvino, cuda, tensorrt"),
        ("auto", "replay", "--for 'replay': choose from cpu"),
        ("auto", "cpu@newest", "'newest' is not a version"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(deform_conv, target, message):
    with pytest.raises(InvalidInputError, match=message):
        choose_lowering(deform_conv, target, "fp32")


@pytest.mark.parametrize(
    ("target", "precision", "warning"),
    [
        ("cuda@1.25", "int8", "warning: the CUDA provider has no int8 convolutions"),
        ("cpu@1.25", "fp16", "warning: a CPU has no float16 arithmetic"),
        ("cuda@1.25", "fp16", ""),
        ("cpu@1.25", "int8", ""),
    ],
)
def test_a_precision_that_does_not_suit_is_told(capsys, target, precision, warning):
    choose_lowering("auto", target, precision)
    shown = capsys.readouterr().err
    assert warning in shown
    assert bool(shown) == bool(warning)


@pytest.mark.parametrize(
    ("runtime", "precision", "warning"),
    [
        ("cpu", "fp16", "a CPU has no float16 arithmetic"),
        ("openvino:CPU", "fp16", "OpenVINO on a CPU widens this file"),
        ("openvino:GPU", "fp16", ""),
        ("cpu", "int8", ""),
    ],
)
def test_a_file_that_a_runtime_widens_is_told_of_when_it_runs(capsys, runtime, precision, warning):
    advise_on_precision(SimpleNamespace(name=runtime, manifest=SimpleNamespace(default_precision=precision)))
    shown = capsys.readouterr().err
    assert warning in shown
    assert bool(shown) == bool(warning)


def test_convert_says_what_it_chose_and_why(shared, tmp_path):
    model = tmp_path / "old.onnx"
    checkpoint = shared / "checkpoints" / "fairmot_dla34.pth"

    shown = run("convert", checkpoint, "-o", model, "--size", "64x64", "--for", "cpu@1.23").stdout
    assert "16 as gather" in shown
    assert "ONNX Runtime has DeformConv from 1.25, not in 1.23; by rule" in shown
    described = json.loads(run("inspect", model, "--json").stdout)
    assert set(described["manifest"]["deform_conv"].values()) == {"gather"}
    assert "DeformConv" not in described["operators"]
