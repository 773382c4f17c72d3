"""``distill`` as a user runs it, and the student's way on to a verified file."""

import hashlib
import json

import cv2
import pytest

from .command_line import error_of, run

torch = pytest.importorskip("torch", reason="needs the convert extra")

SMALL = ("--size", "96x64", "--crop-size", 64, "--batch-size", 2, "--no-early-stop")


@pytest.fixture(scope="module")
def teacher(lively_network, tmp_path_factory):
    """A checkpoint with few channels that deforms little and whose boxes are as large as people."""
    from edge_fairmot.convert import NetworkSpec
    from edge_fairmot.convert.network import deformable_layers

    network = lively_network(NetworkSpec(embedding_dim=16, base_channels=4))
    network.wh[2].bias.data += 6
    for layer in deformable_layers(network).values():
        layer.conv_offset_mask.weight.data *= 0.02
        layer.conv_offset_mask.bias.data *= 0.02
    path = tmp_path_factory.mktemp("teacher") / "lively.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    from edge_fairmot.convert.parity import draw_images

    folder = tmp_path_factory.mktemp("images")
    for i, image in enumerate(draw_images((96, 64), 12)):
        cv2.imwrite(str(folder / f"{i:02}.png"), image)
    return folder


def test_a_student_is_distilled_converted_and_verified_against_its_teacher(teacher, images, tmp_path):
    student, model = tmp_path / "student.pth", tmp_path / "plain.onnx"
    distill = ("distill", teacher, "--frames", images, "-o", student, *SMALL)

    first = run(*distill, "--steps", 1, status=None).stdout
    error = error_of(*distill, "--steps", 2)
    second = run(*distill, "--steps", 2, "--resume", status=None).stdout

    assert "16 layers to be plain, 11 images to learn from, 1 for validation" in first
    assert "step 0, " in first
    assert "step 1, " in first
    assert "holds an earlier run" in error
    assert "step 0, " not in second
    assert "step 2, " in second
    assert "the student budget" in second

    run("convert", student, "-o", model)  # at the size that it was distilled for
    # Two steps on drawn images make no good student: it is compared with the right teacher and budget.
    verified = run("verify", model, "--checkpoint", teacher, "--video", images, status=None).stdout
    assert "12 frames" in verified
    assert "the student budget" in verified
    assert "distilled from" in run("inspect", model).stdout


def test_a_narrow_student_takes_one_step_and_says_that_it_is_not_enough(teacher, images, tmp_path):
    arguments = ("distill", teacher, "--frames", images, "--held-out", images, "-o", tmp_path / "narrow.pth")

    result = run(*arguments, *SMALL, "--width", 0.5, "--steps", 1, status=1)

    assert ", 13 for validation" in result.stdout
    assert "step 1, " in result.stdout
    assert "not within its budget yet" in result.stderr
    assert len(torch.load(tmp_path / "narrow.pth")["state_dict"]["base.base_layer.0.weight"]) == 2


def test_another_network_is_distilled_and_named(teacher, images, tmp_path):
    student = tmp_path / "light.pth"
    arguments = ("distill", teacher, "--frames", images, "-o", student, "--network", "yolov5n")

    result = run(*arguments, *SMALL, "--steps", 1, status=1)

    assert "yolov5n, 0 layers to be plain" in result.stdout
    assert "FairMOT on yolov5n, 1." in run("inspect", student, "--size", "96x64").stdout
    inspected = json.loads(run("inspect", student, "--size", "96x64", "--json").stdout)
    assert (inspected["network"], inspected["embedding_dim"]) == ("yolov5n", 16)
    assert inspected["teacher_sha256"] == hashlib.sha256(teacher.read_bytes()).hexdigest()


def test_bad_input_is_one_line(teacher, images, tmp_path):
    distill = ("distill", teacher, "--frames", images, "--size", "96x64", "-o", tmp_path / "a.pth")
    assert "no deformable layer is called 'dla'" in error_of(*distill, "--layers", "dla")
    assert "a width of 0.3 leaves" in error_of(*distill, "--width", 0.3)
    assert "unknown network 'vgg': choose from dla_34" in error_of(*distill, "--network", "vgg")
    narrow = ("--network", "yolov5s", "--width", 0.5)
    assert "--network yolov5s is a whole network" in error_of(*distill, *narrow)
