"""A file whose lowering a runtime cannot run is refused, with the line that makes one that it can."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from edge_fairmot.cli.convert import convert as convert_command
from edge_fairmot.errors import InferenceError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.runtimes.checks import convert_line, explain_refusal

FILE = ModelManifest(
    input_size=(576, 320),
    max_detections=500,
    embedding_dim=128,
    class_names=("person",),
    opset=19,
    checkpoint_sha256="ab" * 32,
    toolkit_version="0.1.0",
    deform_conv={"ida_up.proj_1.conv": "native"},
    rewrites=("late-heads", "shuffle-upsampling"),
)

# What ONNX Runtime 1.18.0 says of a native file; 1.23.2 says the same.
ORT_MESSAGE = (
    "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for DeformConv(19) node "
    "with name 'node_deform_conv2d'"
)


def parsed(line):
    """What edge-fairmot understands of a command line."""
    program, command, *arguments = shlex.split(line)
    assert (program, command) == ("edge-fairmot", "convert")
    app = typer.Typer()
    app.command()(convert_command)
    return typer.main.get_command(app).make_context("convert", arguments).params


def test_the_line_is_a_command_that_edge_fairmot_takes():
    wanted = parsed(convert_line(FILE, Path("my model.onnx"), "gather"))
    usual = parsed("edge-fairmot convert CHECKPOINT")
    changed = {name: value for name, value in wanted.items() if value != usual[name]}
    assert changed == {"output": Path("my model.onnx"), "size": "576x320", "deform_conv": "gather"}


def test_the_line_keeps_what_is_unusual_of_the_file():
    unusual = replace(
        FILE,
        class_names=("man", "a woman"),
        max_detections=64,
        batch_size=2,
        default_precision="int8",
        rewrites=(),
    )
    wanted = parsed(convert_line(unusual, Path("f.onnx"), "gridsample"))
    assert wanted["class_name"] == ["man", "a woman"]
    assert (wanted["max_detections"], wanted["batch_size"], wanted["deform_conv"]) == (64, 2, "gridsample")
    assert (wanted["late_heads"], wanted["shuffle_upsampling"]) == (False, False)
    assert (wanted["precision"], wanted["calibration"]) == ("int8", "VIDEO")
    assert (
        parsed(convert_line(replace(FILE, default_precision="fp16"), Path("f"), "gather"))["precision"]
        == "fp16"
    )


def test_what_an_old_onnxruntime_says_becomes_the_line(small_model):
    refusal = explain_refusal(small_model, "ONNX Runtime 1.18.0", ORT_MESSAGE, "pip install -U onnxruntime")
    before, line = refusal.split(", or ")
    needs = f"{small_model} needs DeformConv, which ONNX Runtime 1.18.0 does not run"
    assert before == f"{needs}: pip install -U onnxruntime"
    wanted = parsed(line)
    assert (wanted["deform_conv"], wanted["size"], wanted["max_detections"]) == ("gather", "128x96", 64)
    assert explain_refusal(small_model, "x", ORT_MESSAGE).endswith(f": {line}")


def test_what_has_another_reason_is_not_explained_so(small_model, tmp_path):
    assert explain_refusal(small_model, "ONNX Runtime", "out of memory") == ""
    assert explain_refusal(small_model, "ONNX Runtime", "no kernel for GridSample") == ""
    (tmp_path / "text.onnx").write_text("text")
    assert explain_refusal(tmp_path / "text.onnx", "ONNX Runtime", ORT_MESSAGE) == ""


def test_openvino_without_the_operator_refuses_with_the_line(small_model, monkeypatch):
    pytest.importorskip("openvino", reason="needs openvino")
    from edge_fairmot.runtimes import openvino as backend

    monkeypatch.setattr(backend, "operator_extensions", lambda *_: [])
    with pytest.raises(
        InferenceError, match=r"needs DeformConv, which OpenVINO .* on CPU does not run: "
    ) as caught:
        open_runtime(small_model, "openvino")
    line = str(caught.value).split(" does not run: ")[1]
    assert parsed(line)["output"] == small_model
    assert read_onnx_file(small_model).manifest.checkpoint_sha256
