"""``atlas`` and ``distill`` as a user runs them, and the student's way on to a verified file."""

import json

import cv2
import pytest

from .command_line import error_of, run


@pytest.fixture(scope="module")
def teacher(lively_network, tmp_path_factory):
    """A lively network that deforms little and whose boxes are as large as people."""
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    from edge_fairmot.convert.network import deformable_layers

    network = lively_network()
    network.wh[2].bias.data += 6
    for layer in deformable_layers(network).values():
        layer.conv_offset_mask.weight.data *= 0.02
        layer.conv_offset_mask.bias.data *= 0.02
    path = tmp_path_factory.mktemp("teacher") / "lively.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    from edge_fairmot.convert.parity import draw_images

    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(draw_images((96, 64), 12)):
        cv2.imwrite(str(folder / f"{i:02}.png"), picture)
    return folder


def test_atlas_shows_every_layer(teacher, pictures):
    arguments = ("atlas", teacher, "--frames", pictures, "--size", "96x64", "--count", 2)

    table = run(*arguments).stdout
    data = json.loads(run(*arguments, "--json").stdout)

    assert data["frames"] == 2
    assert len(data["layers"]) == 16
    for name, layer in data["layers"].items():
        assert name in table
        assert 0 < layer["offset_mean"] < layer["offset_largest"]
        assert len(layer["tap_mask"]) == 9


def test_a_student_is_distilled_converted_and_verified_against_its_teacher(teacher, pictures, tmp_path):
    student, model = tmp_path / "student.pth", tmp_path / "plain.onnx"
    small = ("--size", "96x64", "--piece", 64, "--batch-size", 1, "--no-early-stop")
    distill = ("distill", teacher, "--frames", pictures, "-o", student, *small)

    first = run(*distill, "--steps", 1).stdout
    error = error_of(*distill, "--steps", 2)
    second = run(*distill, "--steps", 2, "--resume", "--json", tmp_path / "report.json").stdout

    assert "16 layers to be plain, 11 pictures to learn from, 1 frames held out" in first
    assert "step 0, " in first
    assert "step 1, " in first
    assert "holds an earlier run" in error
    assert "step 0, " not in second
    assert "step 2, " in second
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["budget"]["name"] == "student"
    assert report["passed"] == (not report["failed_rungs"])

    converted = run("convert", student, "-o", model, "--size", "96x64").stdout
    assert "none, 16 plain ones in their place" in converted
    # Two steps on drawn pictures make no student to rely on: it is held against the right teacher and budget.
    verified = run("verify", model, "--checkpoint", teacher, "--video", pictures, status=None).stdout
    assert "12 frames" in verified
    assert "torch:cpu" in verified
    assert "the student budget" in verified
    assert "distilled from" in run("inspect", model).stdout
    itself = run("verify", model, "--checkpoint", student, "--video", pictures, status=None).stdout
    assert "0 missed, 0 extra" in itself
    assert "the fp32 budget" in itself


def test_what_cannot_be_distilled_is_refused_in_one_line(teacher, pictures, tmp_path):
    start = ("distill", teacher, "--frames", pictures, "--size", "96x64", "--steps", 1, "-o")
    assert "nothing to resume" in error_of(*start, tmp_path / "a.pth", "--resume")
    assert "is not a folder" in error_of(*start, tmp_path / "absent" / "a.pth")
    assert "no deformable layer is called 'dla'" in error_of(*start, tmp_path / "a.pth", "--layers", "dla")
    assert "multiple of 32" in error_of(*start, tmp_path / "a.pth", "--piece", 100)
    assert "seed must be 0 or more" in error_of(*start, tmp_path / "a.pth", "--seed", -1)
    assert "learning rate must be between" in error_of(*start, tmp_path / "a.pth", "--learning-rate", 0)


def test_an_atlas_of_frames_that_the_network_cannot_take_is_refused(teacher, pictures):
    error = error_of("atlas", teacher, "--frames", pictures, "--size", "100x100", "--count", 1)
    assert "width must be a multiple of 32, not 100" in error


def test_a_narrow_student_is_distilled(teacher, pictures, tmp_path):
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    small = ("--size", "96x64", "--piece", 64, "--batch-size", 2, "--no-early-stop", "--width", 0.5)
    distill = ("distill", teacher, "--frames", pictures, "-o", tmp_path / "narrow.pth", *small)

    # One step makes no narrow student: exit status 1 says so.
    result = run(*distill, "--steps", 1, status=None)

    assert "16 layers to be plain" in result.stdout, result.stderr
    assert "step 1, " in result.stdout
    saved = torch.load(tmp_path / "narrow.pth")
    # Scores of a network of chance are 1, and equals have no order.
    saved["state_dict"]["hm.2.weight"] *= 0.05
    torch.save(saved, tmp_path / "narrow.pth")
    run("convert", tmp_path / "narrow.pth", "-o", tmp_path / "narrow.onnx", "--size", "96x64")
    assert "a width of 0.3 leaves" in error_of(
        "distill", teacher, "--frames", pictures, "-o", tmp_path / "b.pth", "--size", "96x64", "--width", 0.3
    )
