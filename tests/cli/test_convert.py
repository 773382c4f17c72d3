"""``convert`` and ``inspect`` as a user runs them."""

import json

import cv2
import numpy as np
import pytest

from edge_fairmot.cli.convert import convert, parse_budget
from edge_fairmot.cli.inspect import inspect
from edge_fairmot.errors import CheckpointError, ConversionError, InvalidInputError, ManifestError

from .command_line import assert_one_line_error, run

LENIENT = "recall=0,precision=0,iou_mean=0,cosine_mean=0"


@pytest.fixture
def checkpoint(small_model, monkeypatch):
    """Checkpoint of the small model, whose export takes no time: it is there already."""
    onnx = pytest.importorskip("onnx", reason="needs the convert extra")
    from edge_fairmot.convert import conversion

    monkeypatch.setattr(conversion, "to_onnx", lambda graph: onnx.load(small_model))
    return small_model.with_name("lively.pth")


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    pytest.importorskip("torch", reason="needs the convert extra")
    from edge_fairmot.convert.parity import draw_images

    folder = tmp_path_factory.mktemp("images")
    for i, image in enumerate(draw_images((128, 96), 16)):
        cv2.imwrite(str(folder / f"{i:02}.png"), image)
    return folder


def test_convert_and_inspect_in_processes_of_their_own(small_model, tmp_path):
    model = tmp_path / "fairmot.onnx"
    result = run("convert", small_model.with_name("lively.pth"), "-o", model, "--size", "96x64")
    assert "16 as native" in result.stdout
    assert "100.0% of peaks" in result.stdout
    shown = run("inspect", model).stdout
    for part in ("uint8 (1, 64, 96, 3)", "float32 (1, 384, 128)", "16 native", "late-heads", "DeformConv"):
        assert part in shown
    missing = run("convert", tmp_path / "absent.pth", "-o", model, status=None)
    assert_one_line_error(missing, "no checkpoint at", "absent.pth")


def test_int8_is_calibrated_and_its_figures_are_told(checkpoint, image_folder, tmp_path, capsys):
    model, size = tmp_path / "int8.onnx", {"size": "128x96", "max_detections": 64}
    convert(
        checkpoint,
        model,
        precision="int8",
        calibration=str(image_folder),
        budget=LENIENT,
        float_layer=["base.level2.root.conv"],
        **size,
    )
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("% of the plain convolutions", "8 frames of images", "sure peaks in 8 other", "peak_recall"):
        assert part in shown

    inspect(model, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert data["manifest"]["input_size"] == [128, 96]
    assert data["manifest"]["precision"]["base.level2.root.conv"] == "fp32"
    assert data["operators"]["QuantizeLinear"] > 50
    assert not data["certificate_fault"]


def test_inspect_measures_the_offsets_of_a_checkpoint(checkpoint, image_folder, capsys):
    for as_json in (False, True):
        inspect(checkpoint, frames=[str(image_folder)], size="96x64", count=2, as_json=as_json)
    table, _, text = capsys.readouterr().out.partition("{")
    data = json.loads("{" + text)
    assert data["frames"] == 2
    assert len(data["layers"]) == 16
    for name, layer in data["layers"].items():
        assert name in table
        assert 0 < layer["offset_mean"] < layer["offset_largest"]
        assert len(layer["tap_mask"]) == 9


def test_a_changed_file_is_told(small_model, tmp_path, capsys):
    import typer

    onnx = pytest.importorskip("onnx", reason="changes a model with onnx")
    model = onnx.load(small_model)
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "network.hm.2.bias")
    bias.raw_data = np.float32([-9]).tobytes()
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(typer.Exit):
        inspect(tmp_path / "changed.onnx")
    assert "is of another graph" in " ".join(capsys.readouterr().err.split())


def test_a_budget_changes_single_figures():
    budget = parse_budget("recall=0.5,iou_mean=0.6")
    assert (budget.recall, budget.iou_mean, budget.precision) == (0.5, 0.6, 0.98)
    for text, message in (
        ("recall", "is not NAME=VALUE"),
        ("recall=2", "between 0 and 1"),
        ("speed=0.5", "choose from recall"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            parse_budget(text)


def test_wrong_input_is_refused(small_model, tmp_path):
    text, output = tmp_path / "text.pth", tmp_path / "model.onnx"
    text.write_text("not a checkpoint")
    for error, message, call in (
        (CheckpointError, "is not a PyTorch checkpoint", lambda: convert(text, output)),
        (ConversionError, "would write over the checkpoint", lambda: convert(text, text, size="576x320")),
        (InvalidInputError, "WIDTHxHEIGHT", lambda: convert(text, output, size="big")),
        (InvalidInputError, "choose from auto, native", lambda: convert(text, output, deform_conv="magic")),
        (InvalidInputError, "choose from fp32, fp16, int8", lambda: convert(text, output, precision="int4")),
        (InvalidInputError, "--calibrate VIDEO belong", lambda: convert(text, output, precision="int8")),
        (CheckpointError, "is not a PyTorch checkpoint", lambda: inspect(text)),
        (ManifestError, "is not an ONNX file", lambda: inspect(text.rename(tmp_path / "text.onnx"))),
    ):
        with pytest.raises(error, match=message):
            call()
    assert not output.exists()
