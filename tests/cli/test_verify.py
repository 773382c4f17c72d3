"""``verify`` and ``record-reference`` as a user runs them."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import onnx
import pytest

from .command_line import error_of, run

FRAMES = 5


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    from edge_fairmot.convert.parity import draw_images

    (wide,) = draw_images((320, 96), 1)
    for index in range(FRAMES):
        cv2.imwrite(str(folder / f"{index}.png"), wide[:, 8 * index : 8 * index + 128])
    return folder


@pytest.fixture(scope="module")
def golden(stout_checkpoint, pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "golden.npz"
    result = run(
        *("record-reference", stout_checkpoint, "-o", path, "--video", pictures, "--size", "128x96"),
        *("--frames", 4, "--device", "cpu"),
    )
    assert "4 of " in result.stdout
    assert "torch:cpu" in result.stdout
    assert "grid_sample" in result.stdout
    return path


@pytest.fixture(scope="module")
def spoilt(stout_model, tmp_path_factory):
    """The file with its embeddings turned: one channel of the last product is negated."""
    turned = onnx.load(stout_model)
    graph = turned.graph
    made_by = {name: node for node in graph.node for name in node.output}
    width = 128
    node = made_by["embeddings"]
    producers = [node]
    weight = None
    while weight is None:
        node = producers.pop(0)
        for name in node.input:
            found = next((w for w in graph.initializer if w.name == name and width in w.dims), None)
            if found is not None and len(found.dims) >= 2:
                weight = found
            elif name in made_by:
                producers.append(made_by[name])
    values = onnx.numpy_helper.to_array(weight).copy()
    flipped = [slice(None)] * values.ndim
    flipped[list(values.shape).index(width)] = slice(0, 40)
    values[tuple(flipped)] *= -1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    path = tmp_path_factory.mktemp("spoilt") / "spoilt.onnx"
    onnx.save(turned, path)
    return path


def test_a_good_file_passes_against_its_checkpoint(stout_model, stout_checkpoint, pictures, tmp_path):
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    result = run(
        *("verify", stout_model, "--checkpoint", stout_checkpoint, "--video", pictures),
        *("--json", report, "--html", page),
    )
    assert "within the fp32 budget" in result.stdout
    assert f"{FRAMES} frames" in result.stdout
    assert result.stderr == ""
    content = json.loads(report.read_text())
    assert content["passed"]
    assert content["reference"]["runtime"].startswith("torch:")
    assert content["reference"]["details"]["deform_conv"]
    assert content["figures"]["peaks"]["reference_peaks"] > FRAMES
    assert page.read_text().count("data:image/jpeg") == FRAMES


def test_a_spoilt_file_fails_and_says_where(spoilt, stout_model, pictures, tmp_path):
    report = tmp_path / "report.json"
    result = run(
        *("verify", spoilt, "--reference", stout_model, "--video", pictures, "--json", report), status=1
    )
    assert "the fp32 budget is broken: embeddings" in result.stdout
    assert "failed" in result.stdout
    assert f"the certificate of {spoilt} is of another graph" in result.stderr
    certificate = json.loads(report.read_text())["candidate"]["details"]["certificate"]
    assert "changed after it was checked" in certificate
    content = json.loads(report.read_text())  # written for a failure too
    assert content["failed_rungs"][0] == "embeddings"


def test_inspect_reports_a_certificate_of_another_graph(spoilt, stout_model):
    assert "of another graph" in run("inspect", spoilt, status=1).stderr
    assert json.loads(run("inspect", spoilt, "--json", status=1).stdout)["certificate_fault"]
    assert json.loads(run("inspect", stout_model, "--json").stdout)["certificate_fault"] == ""


def test_certify_writes_what_was_measured_into_the_file(stout_model, spoilt, pictures, tmp_path):
    edited = onnx.load(stout_model)
    edited.graph.name = "renamed by another tool"
    onnx.save(edited, tmp_path / "edited.onnx")
    assert run("inspect", tmp_path / "edited.onnx", status=1)
    against = ("--reference", stout_model, "--video", pictures, "--certify")
    run("verify", tmp_path / "edited.onnx", *against)
    manifest = json.loads(run("inspect", tmp_path / "edited.onnx", "--json").stdout)["manifest"]
    expected = f"{stout_model.name} (cpu), on {FRAMES} frames of {pictures.name}, above 0.4, run by cpu"
    assert manifest["parity_basis"] == expected
    assert manifest["parity"]["tracks: IDF1 against the reference's"] == 1
    assert "tracks: IDF1" in run("inspect", tmp_path / "edited.onnx").stdout
    before = spoilt.read_bytes()
    run("verify", spoilt, *against, status=1)
    assert spoilt.read_bytes() == before


def test_a_golden_verifies_without_torch(golden, stout_model, spoilt, tmp_path):
    program = (
        "import sys; sys.modules['torch'] = sys.modules['torchvision'] = sys.modules['trackeval'] = None\n"
        "from edge_fairmot.cli.main import run; run()"
    )
    made = subprocess.run(
        [sys.executable, "-c", program, "verify", str(stout_model), "--reference", str(golden)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert made.returncode == 0, made.stderr
    assert "4 frames" in made.stdout
    assert "golden (torch:cpu)" in made.stdout
    run("verify", spoilt, "--reference", golden, status=1)
    assert "2 frames" in run("verify", stout_model, "--reference", golden, "--frames", 2).stdout


def test_reference_torch_is_the_checkpoint(stout_model, stout_checkpoint, pictures):
    result = run(
        *("verify", stout_model, "--reference", "torch", "--checkpoint", stout_checkpoint),
        *("--video", pictures, "--frames", 1),
    )
    assert "1 frames" in result.stdout


def test_ground_truth_adds_a_rung(stout_model, pictures, tmp_path):
    pytest.importorskip("trackeval")
    truth = tmp_path / "gt.txt"
    truth.write_text("".join(f"{frame},1,10,10,40,60,1,-1,-1,-1\n" for frame in range(1, FRAMES + 1)))
    result = run(
        "verify", stout_model, "--reference", stout_model, "--video", pictures, "--gt", truth, "--frames", 3
    )
    assert "against ground truth" in result.stdout
    assert "HOTA" in result.stdout


def test_another_checkpoint_is_an_error(stout_model, lively_network, golden, pictures, tmp_path):
    import torch

    network = lively_network()
    network.hm[2].bias.data += 1
    torch.save(network.state_dict(), tmp_path / "other.pth")
    message = error_of(*("verify", stout_model, "--checkpoint", tmp_path / "other.pth", "--video", pictures))
    assert "certificate does not match" in message


def test_another_size_is_an_error(stout_checkpoint, stout_model, pictures, tmp_path):
    wide = ("--video", pictures, "--size", "160x96", "--start", 3, "--frames", 1, "--device", "cpu")
    run("record-reference", stout_checkpoint, "-o", tmp_path / "wide.npz", *wide)
    with np.load(tmp_path / "wide.npz") as archive:
        assert archive["frame_index"].tolist() == [2]
    message = error_of("verify", stout_model, "--reference", tmp_path / "wide.npz")
    assert "input size (160, 96)" in message
    assert "--size" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there is nothing to compare with"),
        (["--reference", "torch"], "there is nothing to compare with"),
        (["--checkpoint", "a.pth"], "give --video"),
        (["--reference", "b.onnx"], "give --video"),
        (["--checkpoint", "a.pth", "--reference", "b.onnx", "--video", "v"], "give one of them"),
        (["--reference", "g.npz", "--video", "v"], "leave out --video"),
        (["--reference", "g.npz", "--gt", "t"], "leave out --video"),
        (["--reference", "b.onnx", "--video", "v", "--gt", "a", "--gt", "b"], "one --gt for each"),
        (["--reference", "g.npz", "--json", "absent/report.json"], "mkdir -p absent"),
        (["--reference", "g.npz", "--frames", "0"], "--frames must be at least 1"),
        (["--reference", "g.npz", "--score-threshold", "1"], "score threshold must be between"),
        (["--reference", "g.npz"], "no golden at g.npz"),
        (["--reference", "b.onnx", "--video", "v"], "v does not exist"),
    ],
)
def test_wrong_arguments_are_one_line(stout_model, arguments, words):
    assert words in error_of("verify", stout_model, *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frames", "0"], "--frames must be at least 1"),
        (["--start", "0"], "--start must be at least 1"),
        (["--start", "99"], "at least one frame"),
        (["--max-detections", "0"], "--max-detections must be at least 1"),
        (["--device", "tpu"], "choose from cuda and cpu"),
        (["-o", "absent/golden.npz"], "mkdir -p absent"),
        (["--size", "100x96"], "multiples of 32"),
    ],
)
def test_wrong_arguments_of_recording_are_one_line(stout_checkpoint, pictures, arguments, words):
    assert words in error_of("record-reference", stout_checkpoint, "--video", pictures, *arguments)


def test_pictures_hold_people_of_sorts(golden):
    """The fixtures test something: the lively network sees peaks in them."""
    with np.load(golden) as archive:
        assert (archive["scores"][:, 0] > 0.42).all()
