"""``train`` as a user runs it, up to a converted file."""

import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from .command_line import error_of, run

torch = pytest.importorskip("torch", reason="needs the convert extra")

SMALL = ("--size", "64x64", "--crop-size", 64, "--batch-size", 2, "--validation-images", 2)
STREET = ("--frames", "synthetic:frames=20,size=160x96")


@pytest.fixture(scope="module")
def tiny(lively_network, tmp_path_factory):
    """A checkpoint with few channels and plain layers."""
    from edge_fairmot.convert import NetworkSpec, build_network
    from edge_fairmot.convert.network import deformable_layers

    layers = frozenset(deformable_layers(build_network(NetworkSpec(base_channels=4))))
    network = lively_network(NetworkSpec(embedding_dim=16, base_channels=4, plain_layers=layers))
    path = tmp_path_factory.mktemp("tiny") / "tiny.pth"
    torch.save(network.state_dict(), path)
    return path


def test_a_network_is_trained_in_two_goes_and_converted(tiny, tmp_path):
    checkpoint = tmp_path / "my.pth"
    further = ("--from", tiny, "--remember", "synthetic:seed=2,frames=4,size=160x96", "--pairs")
    train = ("train", *STREET, *further, "-o", checkpoint, *SMALL, "--steps", 3, "--validate-every", 2)

    first = run(*train, "--minutes", 1e-4)
    error = error_of(*train)
    second = run(*train, "--resume")

    assert "18 images to learn from" in first.stdout
    assert "2 for validation" in first.stdout
    assert "step 0, " in first.stdout
    assert "continue with --resume" in first.stderr
    assert "holds an earlier run" in error
    assert re.findall(r"^step (\d), .* min: AP ", second.stdout, re.MULTILINE)[-2:] == ["2", "3"]
    assert "loss: heatmap " in second.stdout
    assert ", rehearsal " in second.stdout
    assert "after 3 steps" in second.stdout
    # The best score of the last validation scores as the tracker's threshold does, in the checkpoint alone.
    *_, best = re.findall(r"at score (\d\.\d\d)", second.stdout)
    written = torch.load(checkpoint)["state_dict"]
    raw = torch.load(tmp_path / "my.pth.resume")["network"]
    low, high = (0.4055 + torch.logit(torch.tensor(float(best) + d)) for d in (-0.006, 0.006))
    assert low < (raw["hm.2.bias"] - written["hm.2.bias"]) < high
    run("convert", checkpoint, "-o", tmp_path / "my.onnx", "--size", "64x64")


def test_from_scratch_statistics_are_learned(tmp_path):
    run("train", *STREET, "-o", tmp_path / "my.pth", *SMALL, "--plain", "--minutes", 1e-9)

    origin = torch.load(tmp_path / "my.pth.resume")["origin"]
    assert origin["batch statistics"]
    assert len(origin["plain layers"]) == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to learn from"),
        (("--data", "nowhere"), "has no boxes to learn from"),
        ((*STREET, "--validation-images", 0), "--validation-images must be at least 1"),
        ((*STREET, "--minutes", 0), "--minutes must be above 0"),
        ((*STREET, "--from", "a.pth", "--plain"), "from scratch"),
        ((*STREET, "--freeze", "early"), "give --from"),
        ((*STREET, "--remember", "photos", "--plain"), "give --from or --teacher"),
        ((*STREET, "--resume"), "nothing to resume"),
        ((*STREET, "--device", "tpu"), "choose from cuda and cpu"),
        ((*STREET, "--from", "none.pth"), "none.pth"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, message):
    assert message in error_of("train", *arguments, "-o", tmp_path / "my.pth")


@pytest.mark.parametrize(
    "arguments",
    [("train", "--data", "nowhere"), ("distill", "a.pth", "--frames", "b.mp4", "--crop-size", "100")],
)
def test_bad_input_is_refused_before_torch_is_loaded(arguments):
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "from edge_fairmot.cli.main import run\n"
        "run()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 1, ran.stderr
    assert ran.stdout == "False\n"


def test_several_classes_are_learned_and_converted(tiny, tmp_path):
    (tmp_path / "images").mkdir()
    rows = ["file\tboxes_cxcywh_normalised\tclasses"]
    for n in range(4):
        image = np.full((96, 160, 3), 40 * n, np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{n}.png"), image)
        rows.append(f"{n}.png\t0.3,0.5,0.2,0.4 0.7,0.5,0.2,0.4\tcar,person")
    table = tmp_path / "road.tsv"
    table.write_text("\n".join(rows))
    road, checkpoint = ("--data", table, "--from", tiny), tmp_path / "road.pth"
    learned = ("train", *road, "--classes", "car,person", "-o", checkpoint, *SMALL, "--steps", 2)
    words = run(*learned).stdout

    assert "3 images to learn from, 6 people" in words
    assert f"edge-fairmot convert {checkpoint} --class-name car --class-name person" in words
    heatmap = torch.load(checkpoint)["state_dict"]["hm.2.weight"]
    assert heatmap.shape[0] == 2
    onnx = tmp_path / "road.onnx"
    names = ("--class-name", "car", "--class-name", "person")
    run("convert", checkpoint, "-o", onnx, "--size", "64x64", *names)
    assert "car, person" in run("inspect", onnx).stdout
    for classes, message in (
        ("car,car", "no list of different names"),
        ("car,person,bus", "has 2 classes, and --classes names 3"),
    ):
        further = ("train", "--data", table, "--from", checkpoint, "-o", tmp_path / "more.pth", *SMALL)
        assert message in error_of(*further, "--classes", classes)
