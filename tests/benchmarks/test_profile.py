"""The profile finds every convolution of a file among the counters of a runtime, and times each alone."""

import json

import numpy as np
import onnx
import pytest

from edge_fairmot.benchmarks.profile import layer_table, operator_table, profile, write_profiles
from edge_fairmot.bundled import LIGHT, bundled_model
from edge_fairmot.convert.quantization import convolution_layers
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.model_file import read_onnx_file


def images_of(path):
    width, height = read_onnx_file(path).manifest.input_size
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)


@pytest.fixture(scope="module", params=["cpu", "openvino"])
def int8_profile(request):
    path = bundled_model(LIGHT)
    return profile(path, request.param, images_of(path), threads=1)


def test_every_convolution_is_found_and_timed_alone(int8_profile):
    model = onnx.load(bundled_model(LIGHT))
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    timed = [layer for layer in int8_profile.layers if layer.probe_ms is not None]
    assert len(timed) == len(convolutions)
    assert all(layer.probe_ms > 0 and layer.gmac > 0 for layer in timed)
    assert {layer.name for layer in timed} >= {"base.base_layer.0", "base.level5.root.conv", "hm.0", "hm.2"}
    (deep,) = (layer for layer in timed if layer.name == "base.level5.tree1.conv2")
    assert deep.precision == "int8"
    assert sum(layer.precision == "int8" for layer in timed) > len(timed) / 3


def test_the_sums_agree(int8_profile):
    found = int8_profile
    assert found.total_ms == pytest.approx(sum(layer.ms for layer in found.layers))
    assert sum(row.count for row in found.operators) == len(found.layers)
    assert 0 < found.convolution_ms < found.total_ms
    assert f"{found.attainable_ms / found.total_ms:.0%} of the attainable rate" in found.verdict
    assert list(found.layers) == sorted(found.layers, key=lambda layer: -layer.ms)


@pytest.mark.parametrize("runtime", ["cpu", "openvino"])
def test_a_float_file_counts_the_same_multiply_adds_as_the_converter(runtime, small_model, tmp_path):
    found = profile(small_model, runtime, images_of(small_model), threads=1)
    macs = sum(layer.macs for layer in convolution_layers(onnx.load(small_model)))
    assert found.gmac == pytest.approx(macs / 1e9)
    assert {layer.precision for layer in found.layers if layer.gmac} == {"fp32"}
    kinds = {row.operator for row in found.operators}
    assert kinds & {"DeformConv", "DeformableConvolution"}
    assert len(operator_table(found).cells) == len(found.operators)
    assert len(layer_table(found).cells) == 10
    write_profiles(tmp_path / "new" / "profile.json", [found])
    (written,) = json.loads((tmp_path / "new" / "profile.json").read_text())
    assert written["verdict"] == found.verdict
    assert written["layers"][0]["ms"] == found.layers[0].ms


def test_a_runtime_without_counters_is_refused(small_model):
    with pytest.raises(InvalidInputError, match="'tensorrt': choose from cpu, openvino"):
        profile(small_model, "tensorrt", images_of(small_model))
