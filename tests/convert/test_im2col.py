"""``DeformIm2col`` samples tap by tap, and the convolution behind it quantizes like any other."""

from collections import Counter
from contextlib import closing

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from edge_fairmot.convert import GraphOptions, convert
from edge_fairmot.convert.calibration import calibrate
from edge_fairmot.convert.half_precision import to_fp16
from edge_fairmot.convert.im2col import BODY_OPSET, DOMAIN, NAME, add_im2col_function
from edge_fairmot.convert.parity import draw_images, compare
from edge_fairmot.convert.quantization import convolution_layers, int8_share, quantize
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes import open_runtime


def im2col_model(batch, channels, height, width):
    """One call of the function, and nothing else."""
    shapes = {"x": channels, "offset": 18, "mask": 9}
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, depth, height, width])
        for name, depth in shapes.items()
    ]
    columns = helper.make_tensor_value_info(
        "columns", TensorProto.FLOAT, [batch, 9 * channels, height, width]
    )
    node = helper.make_node(NAME, list(shapes), ["columns"], domain=DOMAIN, channels=channels)
    graph = helper.make_graph([node], "layer", values, [columns])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", BODY_OPSET)], ir_version=10)
    add_im2col_function(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def test_columns_are_tap_by_tap():
    """At whole offsets a sample is a cell: column k C + c is channel c, moved by tap k and its offset."""
    rng = np.random.default_rng(0)
    batch, channels, height, width = 2, 3, 4, 5
    x = rng.normal(size=(batch, channels, height, width)).astype(np.float32)
    offset = rng.integers(-2, 3, (batch, 18, height, width)).astype(np.float32)
    mask = rng.random((batch, 9, height, width)).astype(np.float32)
    (columns,) = ReferenceEvaluator(im2col_model(batch, channels, height, width)).run(
        None, {"x": x, "offset": offset, "mask": mask}
    )
    padded = np.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4)))
    for n, k, row, col in np.ndindex(batch, 9, height, width):
        at_row = row + 4 + k // 3 - 1 + int(offset[n, 2 * k, row, col])
        at_col = col + 4 + k % 3 - 1 + int(offset[n, 2 * k + 1, row, col])
        expected = padded[n, :, at_row, at_col] * mask[n, k, row, col]
        np.testing.assert_array_equal(columns[n, k * channels : (k + 1) * channels, row, col], expected)


@pytest.fixture(scope="module")
def converted(lively_network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("im2col")
    torch.save(lively_network().state_dict(), folder / "lively.pth")
    options = GraphOptions((128, 96), "im2col", max_detections=64)
    return convert(folder / "lively.pth", folder / "model.onnx", options).path


@pytest.fixture(scope="module")
def model(converted):
    return onnx.load(converted)


def test_the_file_calls_one_function_sixteen_times(converted, model):
    onnx.checker.check_model(model, full_check=True)
    assert [function.name for function in model.functions] == [NAME]
    operators = read_onnx_file(converted).operators
    assert (operators[NAME], operators.get("DeformConv", 0), operators.get("GridSample", 0)) == (16, 0, 0)
    assert read_onnx_file(converted).manifest.opset == BODY_OPSET


def test_the_kernels_are_layers_that_quantize(model):
    ranges = calibrate(model, draw_images((128, 96), 16)[::2])
    layers = {layer.name: layer for layer in convolution_layers(model)}
    assert layers["ida_up.node_1.conv"].quantizable
    assert layers["ida_up.node_1.conv"].macs == 9 * 64 * 64 * 32 * 24
    assert int8_share(list(layers.values())) > 0.97
    assert {
        name
        for name in ("base.base_layer.0", "base.level0.0", "base.level1.0", "hm.2")
        if not layers[name].quantizable
    } == {"base.base_layer.0", "hm.2"}
    quantized = quantize(model, ranges)
    onnx.checker.check_model(quantized, full_check=True)
    producers = {name: node for node in quantized.graph.node for name in node.output}
    for node in quantized.graph.node:
        if node.op_type == NAME:
            # The places and the picture that are sampled stay as they are.
            assert all("/int8" not in name for name in node.input)
            assert producers[node.input[0]].op_type != "QuantizeLinear"
    rounded = Counter(
        producers[node.input[0]].op_type
        for node in quantized.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] in producers
    )
    assert rounded[NAME] == 16


def test_places_are_computed_in_int8_and_not_rounded(model):
    quantized = quantize(model, calibrate(model, draw_images((128, 96), 16)[::2]))
    producers = {name: node for node in quantized.graph.node for name in node.output}
    places = [
        node
        for node in quantized.graph.node
        if node.op_type == "Conv" and "conv_offset_mask" in node.input[1]
    ]
    assert len(places) == 16
    for node in places:
        assert [producers[name].op_type for name in node.input] == ["DequantizeLinear"] * 3
        readers = {reader.op_type for reader in quantized.graph.node if node.output[0] in reader.input}
        assert readers
        assert "QuantizeLinear" not in readers


def test_half_precision_samples_in_float32(model, tmp_path):
    half = to_fp16(model)
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(half).graph.value_info
    }
    nodes = [node for node in half.graph.node if node.op_type == NAME]
    assert len(nodes) == 16
    assert {types[name] for node in nodes for name in (*node.input, *node.output)} == {TensorProto.FLOAT}
    onnx.save(half, tmp_path / "half.onnx")
    with closing(open_runtime(tmp_path / "half.onnx")) as runtime:
        runtime.infer(draw_images((128, 96), 1))


def test_it_detects_as_a_native_file_does(converted, small_model):
    images = draw_images((128, 96), 1)
    with closing(open_runtime(converted)) as ours, closing(open_runtime(small_model)) as native:
        compare(ours.infer(images), native.infer(images)).check("im2col differs from native")
