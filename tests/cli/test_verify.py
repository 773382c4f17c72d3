"""``verify`` and ``record-reference`` as a user runs them."""

import json
import subprocess
import sys

import cv2
import numpy as np
import onnx
import pytest

from .command_line import error_of, run

FRAMES = 4


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(3).integers(0, 256, (12, 40, 3), np.uint8)
    wide = cv2.resize(noise, (320, 96), interpolation=cv2.INTER_CUBIC)
    for index in range(FRAMES):
        cv2.imwrite(str(folder / f"{index}.png"), wide[:, 8 * index : 8 * index + 128])
    return folder


@pytest.fixture(scope="module")
def recorded(people_checkpoint, pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "reference.npz"
    result = run(
        *("record-reference", people_checkpoint, "-o", path, "--video", pictures, "--size", "128x96"),
        *("--max-frames", 3, "--first-frame", 2, "--device", "cpu", "--max-detections", 64),
    )
    for words in ("3 of ", "torch:cpu", "grid_sample"):
        assert words in result.stdout
    with np.load(path) as archive:
        assert archive["frame_index"].tolist() == [1, 2, 3]
        # The fixtures test something: the lively network has peaks.
        assert (archive["scores"][:, 0] > 0.42).all()
    return path


@pytest.fixture(scope="module")
def spoilt(people_model, tmp_path_factory):
    """The file with its embeddings turned: some channels of the last product are negated."""
    turned = onnx.load(people_model)
    graph = turned.graph
    made_by = {name: node for node in graph.node for name in node.output}
    width = 128
    producers = [made_by["embeddings"]]
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


def test_a_good_file_passes_against_its_checkpoint(people_model, people_checkpoint, pictures, tmp_path):
    page = tmp_path / "report.html"
    command = (
        *("verify", people_model, "--reference", "torch", "--checkpoint", people_checkpoint),
        *("--video", pictures, "--html", page, "--max-frames", 3),
    )
    result = run(*command)
    assert "within the fp32 budget" in result.stdout
    assert "3 frames" in result.stdout
    assert result.stderr == ""
    content = json.loads(run(*command, "--json").stdout)
    assert content["passed"]
    assert content["reference"]["runtime"].startswith("torch:")
    assert content["reference"]["details"]["deform_conv"]
    assert content["figures"]["peaks"]["reference_peaks"] > 3
    assert page.read_text().count("data:image/jpeg") == 3


def test_a_spoilt_file_fails_and_says_where(spoilt, people_model, pictures):
    command = ("verify", spoilt, "--reference", people_model, "--video", pictures)
    result = run(*command, status=1)
    assert "the fp32 budget is broken: embeddings" in result.stdout
    assert "failed" in result.stdout
    assert f"the certificate of {spoilt} is of another graph" in result.stderr
    content = json.loads(run(*command, "--json", status=1).stdout)  # printed for a failure too
    assert content["failed_levels"][0] == "embeddings"
    assert "changed after it was checked" in content["candidate"]["details"]["certificate"]


def test_inspect_reports_a_certificate_of_another_graph(spoilt, people_model):
    assert "of another graph" in run("inspect", spoilt, status=1).stderr
    assert json.loads(run("inspect", spoilt, "--json", status=1).stdout)["certificate_fault"]
    assert json.loads(run("inspect", people_model, "--json").stdout)["certificate_fault"] == ""


def test_certify_writes_what_was_measured_into_the_file(people_model, spoilt, pictures, tmp_path):
    edited = onnx.load(people_model)
    edited.graph.name = "renamed by another tool"
    onnx.save(edited, tmp_path / "edited.onnx")
    run("inspect", tmp_path / "edited.onnx", status=1)
    against = ("--reference", people_model, "--video", pictures, "--certify")
    run("verify", tmp_path / "edited.onnx", *against)
    manifest = json.loads(run("inspect", tmp_path / "edited.onnx", "--json").stdout)["manifest"]
    expected = f"{people_model.name} (cpu), on {FRAMES} frames of {pictures.name}, above 0.4, run by cpu"
    assert manifest["parity_basis"] == expected
    assert manifest["parity"]["tracks: IDF1 against the reference's"] == 1
    assert "tracks: IDF1" in run("inspect", tmp_path / "edited.onnx").stdout
    before = spoilt.read_bytes()
    run("verify", spoilt, *against, status=1)
    assert spoilt.read_bytes() == before


def test_recorded_outputs_verify_without_torch(recorded, people_model, spoilt):
    program = (
        "import sys; sys.modules['torch'] = sys.modules['torchvision'] = sys.modules['scipy'] = None\n"
        "from edge_fairmot.cli.main import run; run()"
    )
    made = subprocess.run(
        [sys.executable, "-c", program, "verify", str(people_model), "--reference", str(recorded)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert "3 frames" in made.stdout
    assert "recorded (torch:cpu)" in made.stdout
    run("verify", spoilt, "--reference", recorded, status=1)
    assert "2 frames" in run("verify", people_model, "--reference", recorded, "--max-frames", 2).stdout


def test_ground_truth_adds_a_level(people_model, pictures, tmp_path):
    pytest.importorskip("scipy")
    truth = tmp_path / "gt.txt"
    truth.write_text("".join(f"{frame},1,10,10,40,60,1,-1,-1,-1\n" for frame in range(1, FRAMES + 1)))
    against = ("--reference", people_model, "--video", pictures, "--gt", truth, "--max-frames", 3)
    result = run("verify", people_model, *against)
    assert "against ground truth" in result.stdout
    assert "HOTA" in result.stdout


def test_another_network_is_refused(people_model, people_checkpoint, recorded, pictures, tmp_path):
    other = tmp_path / "other.pth"
    other.write_bytes(people_checkpoint.read_bytes() + b"\0")
    message = error_of("verify", people_model, "--checkpoint", other, "--video", pictures)
    assert "certificate does not match" in message

    with np.load(recorded) as archive:
        arrays = {name: archive[name] for name in archive.files}
    description = json.loads(str(arrays["description"]))
    description["manifest"]["input_size"] = [160, 96]
    arrays["description"] = json.dumps(description)
    arrays["frames"] = np.zeros((3, 96, 160, 3), np.uint8)
    np.savez_compressed(tmp_path / "wide.npz", **arrays)
    message = error_of("verify", people_model, "--reference", tmp_path / "wide.npz")
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
        (["--checkpoint", "a.pth", "--video", "v"], "no checkpoint at a.pth"),
        (["--reference", "g.npz", "--video", "v"], "leave out --video"),
        (["--reference", "g.npz", "--gt", "t"], "leave out --video"),
        (["--reference", "b.onnx", "--video", "v", "--gt", "a", "--gt", "b"], "one --gt for each"),
        (["--reference", "b.onnx", "--video", "v"], "no model at b.onnx"),
        (["--reference", "g.npz", "--html", "absent/report.html"], "mkdir -p absent"),
        (["--reference", "g.npz", "--max-frames", "0"], "--max-frames must be at least 1"),
        (["--reference", "g.npz", "--score-threshold", "1"], "score threshold must be between"),
        (["--reference", "g.npz"], "no reference outputs at g.npz"),
    ],
)
def test_wrong_arguments_are_one_line(people_model, arguments, words):
    assert words in error_of("verify", people_model, *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-frames", "0"], "--max-frames must be at least 1"),
        (["--first-frame", "0"], "--first-frame must be at least 1"),
        (["--first-frame", "99"], "--first-frame 99: "),
        (["--max-detections", "0"], "--max-detections must be at least 1"),
        (["--device", "tpu"], "choose from cuda and cpu"),
        (["-o", "absent/reference.npz"], "mkdir -p absent"),
        (["--size", "100x96"], "multiples of 32"),
    ],
)
def test_wrong_arguments_of_recording_are_one_line(people_checkpoint, pictures, arguments, words):
    assert words in error_of("record-reference", people_checkpoint, "--video", pictures, *arguments)


def test_wrong_arguments_load_no_network(people_checkpoint, people_model, pictures, monkeypatch):
    """Neither PyTorch nor a runtime is loaded before what the arguments name is looked at."""
    for package in ("torch", "onnxruntime", "edge_fairmot.convert.reference"):
        monkeypatch.setitem(sys.modules, package, None)
    for arguments, words in (
        (("--reference", people_model, "--video", "absent.mp4"), "absent.mp4 does not exist"),
        (("--checkpoint", people_checkpoint, "--video", "absent.mp4"), "absent.mp4 does not exist"),
        (("--reference", people_model, "--video", pictures, "--gt", "absent.txt"), "absent.txt"),
    ):
        assert words in error_of("verify", people_model, *arguments)
    assert "--first-frame 99" in error_of(
        "record-reference", people_checkpoint, "--video", pictures, "--first-frame", 99
    )
