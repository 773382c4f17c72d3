"""Core files and light runtimes detect what the full file detects in ONNX Runtime: every network."""

import os
from contextlib import closing
from functools import cache

import cv2
import numpy as np
import pytest
import torch

from edge_fairmot.convert import GraphOptions, NetworkSpec, convert
from edge_fairmot.convert.parity import ParityFigures, compare, draw_images
from edge_fairmot.errors import InferenceError, InvalidInputError, ManifestError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes import RuntimeOptions, list_runtimes, open_runtime
from edge_fairmot.runtimes.host_decoder import HostDecoder, find_peaks
from edge_fairmot.runtimes.onnx_graph import read_graph

from .test_networks import NARROW, make_steady_network

SIZE = (96, 64)
NETWORKS = NARROW | {
    "dla": NetworkSpec(base_channels=4, embedding_dim=16),
    "sizes by class": NetworkSpec(3, 6, 16, base_channels=4),
}
LIMIT = ParityFigures(peaks_matched=1.0, score_error=1e-5, box_error_px=1e-3, cosine_error=1e-5)
INSTALLED = {row.name for row in list_runtimes() if row.available}
FORMS = {
    "cpu": ("core", "native"),
    "openvino": ("core", "native"),
    "opencv": ("full", "gather"),
    "ncnn": ("core", "native"),
    "mnn": ("core", "gridsample"),
}
"""Graph and lowering of the file that each runtime runs."""

MANY_DEFORMABLE = ("dla", "sizes by class")
"""Networks whose unrolled files take long to make; the tests of the contract have one of them."""


@pytest.fixture(scope="module")
def convert_network(tmp_path_factory):
    """Converts a network of ``NETWORKS`` with a graph and a lowering."""
    folder = tmp_path_factory.mktemp("ports")

    @cache
    def convert_once(network, graph, lowering):
        checkpoint = folder / f"{network}.pth"
        if not checkpoint.exists():
            torch.save(make_steady_network(NETWORKS[network]).state_dict(), checkpoint)
        options = GraphOptions(SIZE, lowering, max_detections=40, graph=graph)
        return convert(checkpoint, folder / f"{network}-{graph}-{lowering}.onnx", options).path

    return convert_once


def detect(path, runtime, images):
    with closing(open_runtime(path, runtime)) as opened:
        return opened.infer(images)


@pytest.mark.parametrize("runtime", FORMS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_runtime_detects_what_the_full_file_detects(convert_network, network, runtime):
    if runtime not in INSTALLED:
        pytest.skip(f"runtime {runtime} is not here")
    if network in MANY_DEFORMABLE and FORMS[runtime][1] != "native":
        pytest.skip("takes long to make")
    images = np.ascontiguousarray(draw_images(SIZE, 1)[:, ::-1])  # not the images of the conversion's check
    expected = detect(convert_network(network, "full", "native"), "cpu", images)
    found = detect(convert_network(network, *FORMS[runtime]), runtime, images)
    assert (expected.scores > 0).sum() > 10
    compare(found, expected).check(f"{network} in {runtime}", LIMIT)


def test_the_core_file_says_what_it_is(convert_network):
    file = read_onnx_file(convert_network("yolo", "core", "native"))
    assert (file.inputs, file.outputs) == (
        {"images": "float32 (1, 3, 64, 96)"},
        {"hm": "float32 (1, 1, 16, 24)", "features": "float32 (1, 8, 16, 24)"},
    )
    assert (file.manifest.graph, file.manifest.head_activation) == ("core", "silu")
    assert "core-graph" in file.manifest.rewrites
    assert not {"TopK", "Gather", "Cast", "Transpose"} & file.operators.keys()
    full = read_onnx_file(convert_network("yolo", "full", "native")).manifest
    assert (full.graph, full.macs) == ("full", file.manifest.macs)


def test_what_a_core_file_cannot_be_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="graph 'half': choose from full, core"):
        GraphOptions(SIZE, graph="half")
    with pytest.raises(InvalidInputError, match="no dense heads"):
        GraphOptions(SIZE, graph="core", dense_heads=True)
    with pytest.raises(InvalidInputError, match="a core graph is float32, not fp16"):
        convert(tmp_path / "a.pth", tmp_path / "a.onnx", GraphOptions(SIZE, graph="core"), precision="fp16")


def test_heads_that_are_not_in_the_file_are_named():
    with pytest.raises(ManifestError, match=r"lacks the weights of its heads \(wh.0.weight, .*--graph core"):
        HostDecoder({}, ModelManifest(SIZE, 10, 16, ("person",), 18, "0" * 64, "0"))


def test_tensors_are_read_as_the_onnx_package_reads_them(convert_network):
    onnx = pytest.importorskip("onnx")
    path = convert_network("hrnet", "full", "native")
    model, graph = onnx.load(path), read_graph(path)
    expected = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert graph.tensors.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(graph.tensors[name], array, strict=True)
    for ours, theirs in zip(graph.nodes, model.graph.node, strict=True):
        assert (ours.operator, ours.inputs, ours.outputs) == (
            theirs.op_type,
            tuple(theirs.input),
            tuple(theirs.output),
        )
        for attribute in theirs.attribute:
            wanted = onnx.helper.get_attribute_value(attribute)
            found = ours.attributes[attribute.name]
            if isinstance(wanted, onnx.TensorProto):
                np.testing.assert_array_equal(found, onnx.numpy_helper.to_array(wanted))
            else:
                assert found == (wanted.decode() if isinstance(wanted, bytes) else wanted)


def test_peaks_that_tie_and_cells_that_are_no_peak():
    hm = np.full((2, 4, 6), -100, np.float32)
    hm[0, 1, 1], hm[0, 1, 2], hm[1, 3, 5], hm[1, 0, 0] = 200, 0.5, 200, 1
    scores, found = find_peaks(hm, 4)
    assert found[:3].tolist() == [7, 47, 24]  # of equal scores the first cell comes first
    np.testing.assert_allclose(scores, [1, 1, 1 / (1 + np.exp(-1)), 0], atol=1e-6)
    assert find_peaks(hm, 1000)[0].shape == (48,)


def test_ncnn_runs_core_files_of_native_layers_only(convert_network):
    pytest.importorskip("ncnn", reason="needs ncnn")
    with pytest.raises(InferenceError, match=r"runs core files only, .* a full one: .*--for ncnn"):
        open_runtime(convert_network("resdcn", "full", "native"), "ncnn")
    with pytest.raises(InferenceError, match=r"ncnn has no layer for \w+ in this file: .*--for ncnn"):
        open_runtime(convert_network("resdcn", "core", "gather"), "ncnn")


def test_mnn_keeps_its_form_of_the_network_and_writes_nothing(convert_network, tmp_path, capfd):
    pytest.importorskip("MNN", reason="needs MNN")
    path, options = convert_network("yolo", "core", "native"), RuntimeOptions(cache_folder=tmp_path / "kept")
    images = draw_images(SIZE, 1)
    capfd.readouterr()
    found = []
    for _ in range(2):
        with closing(open_runtime(path, "mnn", options)) as opened:
            found.append(opened.infer(images))
        (kept,) = (tmp_path / "kept").iterdir()
        os.utime(kept, (1, 1))
    assert kept.stat().st_mtime == 1  # the second time it was read, not made
    np.testing.assert_array_equal(found[0].boxes, found[1].boxes)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(InferenceError, match=r"runs core files without DeformConv only.*--for mnn"):
        open_runtime(convert_network("resdcn", "core", "native"), "mnn")


@pytest.mark.skipif(int(cv2.__version__[0]) < 5, reason="needs OpenCV 5")
def test_opencv_says_what_it_does_not_run(convert_network):
    with pytest.raises(InferenceError, match=r"DeformConv is not supported here.*--deform-conv gather"):
        open_runtime(convert_network("resdcn", "full", "native"), "opencv")
