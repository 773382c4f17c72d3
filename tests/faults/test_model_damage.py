"""A model file that is damaged, changed or mislabelled does not run."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import MANIFEST_KEY
from edge_fairmot.model_file import certificate_fault, certify, read_onnx_file
from edge_fairmot.runtimes import open_runtime

from ..cli.command_line import error_of, run  # noqa: TID252

onnx = pytest.importorskip("onnx", reason="changes models with onnx")

STREET = "synthetic:frames=4,size=64x64,people=1"


@pytest.fixture
def model(still_model: Path, tmp_path: Path) -> Path:
    """A certified model."""
    path = Path(shutil.copy(still_model, tmp_path / "model.onnx"))
    certify(path, read_onnx_file(path).manifest)
    return path


def edit(path: Path, change) -> None:
    loaded = onnx.load(path, load_external_data=False)
    change(loaded)
    onnx.save(loaded, path)


def set_manifest(path: Path, **values) -> None:
    def change(model):
        (entry,) = [one for one in model.metadata_props if one.key == MANIFEST_KEY]
        entry.value = json.dumps(json.loads(entry.value) | values)

    edit(path, change)


def flip(path: Path, found: bytes, bit: int = 22) -> None:
    """Flip one bit of a float32 of the weights."""
    content = bytearray(path.read_bytes())
    content[content.index(found) + bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_flipped_bit_ends_the_run_before_a_frame(model, tmp_path):
    track = ("track", STREET, "-m", model, "--no-video", "-o")
    run(*track, tmp_path / "sound")
    flip(model, np.float32(0.9).tobytes())
    error = error_of(*track, tmp_path / "damaged")
    assert "is damaged" in error
    assert str(model) in error
    assert not (tmp_path / "damaged").exists()
    run(*track, tmp_path / "anyway", "--no-integrity-check")
    assert "is damaged" in run("live", STREET, "-m", model, status=1).stderr
    with pytest.raises(ManifestError, match="is damaged"):
        open_runtime(model)


def test_a_lost_sector_of_the_bundled_model_is_told(tmp_path):
    from edge_fairmot.bundled import bundled_model

    path = Path(shutil.copy(bundled_model(), tmp_path / "people.onnx"))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 & ~4095)
        file.write(bytes(4096))
    with pytest.raises(ManifestError, match="is damaged"):
        open_runtime(path)


def test_a_file_without_a_certificate_runs(still_model):
    open_runtime(still_model).close()


def halve_function(path: Path) -> None:
    def change(model):
        model.functions[0].node[0].attribute[0].f = 0.25

    edit(path, change)


def lower_opset(path: Path) -> None:
    def change(model):
        model.opset_import[0].version = 17

    edit(path, change)


def halve_weights(path: Path) -> None:
    weights = np.fromfile(path.with_name("weights.bin"), np.float32)
    (weights / 2).tofile(path.with_name("weights.bin"))


@pytest.fixture
def composed(model: Path) -> Path:
    """A model with a function and with weights in another file, which exporters other than ours write."""
    from onnx import helper, numpy_helper

    def change(loaded):
        node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
        opsets = [helper.make_opsetid("", 18)]
        loaded.functions.append(helper.make_function("local", "Keep", ["x"], ["y"], [node], opsets))
        loaded.opset_import.append(helper.make_opsetid("local", 1))
        (last,) = [one for one in loaded.graph.node if "boxes" in one.output]
        last.output[0] = "found"
        loaded.graph.node.append(helper.make_node("Keep", ["found"], ["boxes"], domain="local"))
        (box,) = [one for one in loaded.graph.initializer if one.name == "box"]
        values = numpy_helper.to_array(box)
        values.tofile(model.with_name("weights.bin"))
        box.ClearField("raw_data")
        box.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(values.nbytes))):
            box.external_data.add(key=key, value=value)

    edit(model, change)
    certify(model, read_onnx_file(model).manifest)
    return model


@pytest.mark.parametrize("damage", [halve_function, lower_opset, halve_weights])
def test_functions_operator_sets_and_external_weights_are_in_the_certificate(composed, damage):
    open_runtime(composed).close()
    damage(composed)
    manifest = read_onnx_file(composed).manifest
    assert "another model" in certificate_fault(composed, manifest)
    with pytest.raises(ManifestError, match="another model"):
        open_runtime(composed)
    # A certificate of an earlier release is of the graph alone.
    assert certificate_fault(composed, replace(manifest, model_sha256="")) == ""


@pytest.mark.parametrize("location", ["../weights.bin", "/dev/zero", "absent.bin"])
def test_weights_outside_the_folder_are_not_read(composed, location):
    composed.with_name("weights.bin").rename(composed.parent.parent / "weights.bin")

    def move(model):
        (box,) = [one for one in model.graph.initializer if one.external_data]
        box.external_data[0].value = location

    edit(composed, move)
    with pytest.raises(ManifestError, match="is not a file in its folder"):
        certify(composed, read_onnx_file(composed).manifest)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"input_size": [128, 32]}, r"images has the shape \(1, 32, 128, 3\), and the graph says"),
        ({"max_detections": 9}, r"boxes has the shape \(1, 9, 4\), and the graph says"),
        ({"embedding_dim": 4}, r"embeddings has the shape \(1, 1, 4\), and the graph says"),
        ({"class_names": []}, "class_names is"),
        ({"batch_size": "1"}, "batch_size is"),
    ],
)
def test_a_manifest_that_does_not_fit_the_graph_is_refused(model, tmp_path, values, words):
    set_manifest(model, **values)
    for command in (("track", STREET, "-m", model, "-o", tmp_path / "out"), ("inspect", model)):
        assert re.search(words, error_of(*command))


def test_control_characters_of_a_manifest_do_not_reach_the_terminal(model, tmp_path):
    set_manifest(
        model,
        calibration="\x1b[2J\x1b]0;pwned\x07",
        class_names=["per\x9b31mson\ud800"],
        toolkit_version="\r0",
    )
    shown = run("inspect", model).stdout
    assert r"\x1b[2J\x1b]0;pwned\x07" in shown
    as_json = run("inspect", model, "--json").stdout
    assert json.loads(as_json)["manifest"]["class_names"] == ["per\x9b31mson\ud800"]
    set_manifest(model, default_precision="\x1b[2J")
    error = error_of("track", STREET, "-m", model, "-o", tmp_path / "out")
    for text in (shown, as_json, error):
        assert text.replace("\n", "").isprintable()
