"""An int8 file rounds the inputs and outputs of convolutions and nothing else, on calibrated scales."""

import re
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_fairmot.benchmarks.profile import profile
from edge_fairmot.convert import CalibrationFrames
from edge_fairmot.convert.calibration import METHODS, Ranges, calibrate
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.quantization import convolution_layers, equalize, int8_share, quantize
from edge_fairmot.errors import ConversionError, InvalidInputError

from .conftest import SIZE

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


@pytest.fixture(scope="module")
def quantized(model, ranges):
    return quantize(model, ranges)


def constants(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def producers(model):
    return {name: node for node in model.graph.node for name in node.output}


def run(model, inputs, outputs=None):
    """Run with ONNX Runtime; outputs may be any tensors of the graph."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs or () if name not in known)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(outputs, inputs)


def parse(text, **weights):
    """A model of one graph in ONNX's text form, with random weights of the given shapes."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 19]> {text}')
    rng = np.random.default_rng(0)
    for name, shape in weights.items():
        values = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


def test_every_quantizer_is_signed_and_symmetric(quantized):
    onnx.checker.check_model(quantized, full_check=True)
    values = constants(quantized)
    quantizers = [node for node in quantized.graph.node if node.op_type in QUANTIZERS]
    assert len(quantizers) > 100
    for node in quantizers:
        zero = values[node.input[2]]
        assert zero.dtype in (np.int8, np.int32)
        assert not zero.any()
        if node.input[0] in values:
            assert values[node.input[0]].min() > np.iinfo(values[node.input[0]].dtype).min


def test_only_convolutions_read_rounded_inputs(model, quantized):
    layers = {layer.name: layer.quantizable for layer in convolution_layers(model)}
    assert not any(quantizable for name, quantizable in layers.items() if "conv_offset_mask" in name)
    assert not layers["hm.2"]
    assert not layers["base.base_layer.0"]
    assert layers["base.level0.0"]
    assert layers["base.level1.0"]
    assert not layers["ida_up.up_1"]  # four phases, one layer
    assert layers["base.level2.tree1.conv1"]
    sources = producers(quantized)
    for node in quantized.graph.node:
        if node.op_type in ("Add", "Concat", "MaxPool", "TopK", "DeformConv"):
            for name in node.input:
                if name in sources and sources[name].op_type == "DequantizeLinear":
                    # A convolution's own output, or a stored weight.
                    assert "/int8" not in sources[name].output[0], (node.op_type, name)


def test_the_share_of_int8_counts_multiply_adds(model):
    layers = convolution_layers(model)
    assert int8_share(layers) > 0.5  # of the original's width, 0.85
    assert int8_share(layers, [layer.name for layer in layers if layer.quantizable]) == 0
    # 3x3, 128 channels to 128, on a 4x3 map
    (deepest,) = (layer for layer in layers if layer.name == "base.level5.tree1.conv2")
    assert deepest.macs == 9 * 128 * 128 * 12


def test_scales_cover_the_calibrated_range_and_twice_that_at_the_heatmap(quantized, ranges):
    values, sources = constants(quantized), producers(quantized)
    factors = {}
    for node in quantized.graph.node:
        dequantize = sources.get(node.input[0]) if node.op_type == "Conv" else None
        if dequantize is not None and "/int8/" in node.input[0]:
            source = node.input[0].partition("/int8/")[0]
            layer = node.input[1].removeprefix("network.").removesuffix(".weight/float")
            factors[layer] = float(values[dequantize.input[1]]) * 127 / ranges.largest(source)
    assert len(factors) > 30
    assert factors.pop("hm.0") == pytest.approx(2, rel=1e-5)
    assert list(factors.values()) == pytest.approx([1] * len(factors), rel=1e-5)


@pytest.mark.parametrize(
    ("graph", "ranges", "largest"),
    [
        ("{ z = Conv (x, w) y = Relu (z) }", {"z": (-200.0, 9.0), "y": (0.0, 9.0)}, 9),
        ("{ z = Conv (x, w) y = Relu (z) u = Neg (z) }", {"z": (-30.0, 9.0), "y": (0.0, 9.0)}, 30),
        ("{ z = Conv (x, w) y = Neg (z) }", {"z": (-30.0, 9.0)}, 30),
    ],
    ids=["a ReLU", "a ReLU and another reader", "no ReLU"],
)
def test_the_output_scale_is_that_of_the_relu_behind(graph, ranges, largest):
    """Nothing below zero passes the ReLU, so no level is spent on the range below."""
    outputs = "float[1, 8, 8, 8] y" + (", float[1, 8, 8, 8] u" if "u =" in graph else "")
    model = parse(f"layer (float[1, 4, 8, 8] x) => ({outputs}) {graph}", w=(8, 4, 1, 1))
    x = np.random.default_rng(1).uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)

    quantized = quantize(model, Ranges({"x": (-1.0, 1.0), **ranges}))

    (scale,) = (float(v) for name, v in constants(quantized).items() if name.endswith("z/out/scale"))
    assert scale == pytest.approx(largest / 127)
    (expected, *_), (actual, *_) = (run(graph, {"x": x}) for graph in (model, quantized))
    assert np.abs(expected).max() < largest
    # Half a step of the output, of the inputs and of the weights.
    assert np.abs(actual - expected).max() < 0.5 * scale + 8 * 0.5 / 127 * 4


def test_weights_are_off_by_half_a_step_at_most(model, quantized):
    floats, stored = constants(model), constants(quantized)
    names = [name.removesuffix("/quantized") for name in stored if name.endswith("/quantized")]
    axes = {
        node.input[0].removesuffix("/quantized"): next(a.i for a in node.attribute if a.name == "axis")
        for node in quantized.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in stored
    }
    assert len(names) > 80
    for name in names:
        shape = [1] * floats[name].ndim
        shape[axes[name]] = -1
        scale = stored[f"{name}/scale"].reshape(shape)
        error = np.abs(stored[f"{name}/quantized"] * scale - floats[name])
        assert (error <= scale * 0.5001).all(), name


def test_one_quantized_layer_is_near_the_float_one(model, ranges, images):
    layer = "base.level3.tree1.tree1.conv2"
    others = [entry.name for entry in convolution_layers(model) if entry.name != layer]
    single = quantize(model, ranges, float_layers=others, compress_weights=False)
    (node,) = (n for n in model.graph.node if n.op_type == "Conv" and layer in n.input[1])
    actual, expected = (run(graph, {"images": images[:1]}, list(node.output))[0] for graph in (single, model))
    assert 0 < np.abs(actual - expected).max() < 0.1 * np.ptp(expected)

    same = quantize(model, ranges, float_layers=[*others, layer], compress_weights=False)
    assert same.SerializeToString() == model.SerializeToString()
    with pytest.raises(ConversionError, match=r"no convolution is called base\.level9"):
        quantize(model, ranges, float_layers=["base.level9"])


def test_weights_that_nodes_share_are_quantized_for_each():
    shared = parse(
        """shared (float[1, 4, 8, 8] x) => (float[1, 8, 8, 8] a, float[1, 8, 8, 8] b, float[1, 8, 8, 8] c) {
            a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, bias)
            b = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, bias)
            c = Add (b, bias)
        }""",
        w=(8, 4, 3, 3),
        bias=(8,),
    )
    x = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)
    actual = run(quantize(shared, Ranges(dict.fromkeys("xab", (-40.0, 40.0)))), {"x": x})
    np.testing.assert_array_equal(actual[0], actual[1])
    np.testing.assert_allclose(actual[2], run(shared, {"x": x})[2], atol=4.0)


def test_two_convolutions_on_one_source_are_both_fast_in_onnxruntime(tmp_path):
    """It runs a convolution in int8 only behind a QuantizeLinear with a single reader."""
    pair = parse(
        """pair (float[1, 4, 8, 8] x) => (float[1, 8, 8, 8] a, float[1, 8, 8, 8] b) {
            a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w_a)
            b = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w_b)
        }""",
        w_a=(8, 4, 3, 3),
        w_b=(8, 4, 3, 3),
    )
    both = quantize(pair, Ranges(dict.fromkeys("xab", (-4.0, 4.0))))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # it warns that such a file is for this machine only
    onnxruntime.InferenceSession(both.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operators = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    assert operators["QLinearConv"] == 2
    assert not operators["Conv"]


@pytest.mark.parametrize("runtime", ["cpu", "openvino"])
def test_a_concatenation_is_rounded_part_by_part(runtime):
    """OpenVINO 2026.4 loses the scale of a QuantizeLinear behind a concatenation."""
    joined = parse(
        """joined (float[1, 32, 9, 8] x, float[1, 32, 9, 8] y) => (float[1, 64, 9, 8] z) {
            both = Concat <axis = 1> (x, y)
            z = Conv <kernel_shape = [1, 1]> (both, w)
        }""",
        w=(64, 64, 1, 1),
    )
    rng = np.random.default_rng(1)
    inputs = {name: rng.uniform(-2, 2, (1, 32, 9, 8)).astype(np.float32) for name in "xy"}
    quantized = quantize(joined, Ranges({"both": (-2.0, 2.0), "z": (-60.0, 60.0)}))
    onnx.checker.check_model(quantized, full_check=True)
    (expected,) = ReferenceEvaluator(quantized).run(None, inputs)
    if runtime == "cpu":
        (actual,) = run(quantized, inputs)
    else:
        openvino = pytest.importorskip("openvino", reason="needs openvino")
        core = openvino.Core()
        compiled = core.compile_model(
            core.read_model(quantized.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        actual = compiled(inputs)["z"]
    step = 60 / 127
    assert np.abs(actual - expected).max() < 1.01 * step  # a tie may fall to either side


def test_equalizing_changes_the_spread_of_channels_and_not_the_function(model, images):
    (node,) = (n for n in model.graph.node if n.op_type == "Conv" and "hm.0" in n.input[1])
    silent = onnx.ModelProto.FromString(model.SerializeToString())
    off = np.ones((1, 16, 1, 1), np.float32)
    off[0, 3] = 0  # a channel that is zero in every calibration frame
    silent.graph.initializer.append(numpy_helper.from_array(off, "off"))
    place = list(silent.graph.node).index(node)
    silent.graph.node.insert(place, onnx.helper.make_node("Mul", [node.input[0], "off"], ["quiet"]))
    silent.graph.node[place + 1].input[0] = "quiet"

    equal = equalize(silent, images)

    onnx.checker.check_model(equal, full_check=True)
    tensors = ["boxes", "scores", "quiet", "quiet/equal"]
    found = [run(equal, {"images": image[None]}, tensors) for image in images]
    boxes, scores = run(silent, {"images": images[:1]}, tensors[:2])
    np.testing.assert_allclose(found[0][1], scores, atol=1e-6)
    np.testing.assert_allclose(found[0][0], boxes, atol=1e-2)
    plain, evened = (np.max([np.abs(f[n]).max(axis=(0, 2, 3)) for f in found], axis=0) for n in (2, 3))
    assert evened.max() == pytest.approx(plain.max(), rel=1e-5)
    # Half of the spread, in powers: the square of a channel's share is its share before.
    strong = plain > plain.max() / 200
    assert strong.sum() > 10
    np.testing.assert_allclose((evened / evened.max())[strong] ** 2, (plain / plain.max())[strong], rtol=1e-4)


def test_im2col_files_quantize_the_kernels_behind_the_sampling_and_round_no_offset(exported):
    model = onnx.load(exported("im2col").path)
    layers = convolution_layers(model)
    assert int8_share(layers) > 0.7  # of the original's width, 0.98
    quantizable = {layer.name: layer.quantizable for layer in layers}
    edges = ("base.base_layer.0", "base.level0.0", "base.level1.0", "hm.2")
    assert [name for name in edges if not quantizable[name]] == ["hm.2"]
    assert quantizable["ida_up.node_1.conv"]

    quantized = quantize(model, calibrate(model, draw_images(SIZE, 16)[::2]))

    onnx.checker.check_model(quantized, full_check=True)
    sources = producers(quantized)
    readers = {name: node.op_type for node in quantized.graph.node for name in node.input}
    convolutions = [node for node in quantized.graph.node if node.op_type == "Conv"]
    assert not any(readers[node.output[0]] == "QuantizeLinear" for node in convolutions)
    offsets = [node for node in convolutions if "conv_offset_mask" in node.input[1]]
    assert len(offsets) == 16
    for node in offsets:
        assert [sources[name].op_type for name in node.input] == ["DequantizeLinear"] * 3
        assert readers[node.output[0]] == "DeformIm2colRounded"
    samplers = [node for node in quantized.graph.node if node.op_type == "DeformIm2colRounded"]
    assert not any("/int8" in name for node in samplers for name in node.input)
    assert [readers[node.output[0]] for node in samplers] == ["Conv"] * 16
    assert not any(node.op_type == "DeformIm2col" for node in quantized.graph.node)
    first, *_ = convolutions
    transpose = sources[first.input[0]]
    assert [sources[name].op_type for name in (transpose.input[0], first.input[1])] == [
        "DequantizeLinear"
    ] * 2
    pixels = constants(quantized)[sources[transpose.input[0]].input[1]]
    assert pixels == 1  # exact: whole bytes


def test_openvino_runs_the_kernels_behind_the_sampling_in_int8(exported, tmp_path):
    pytest.importorskip("openvino", reason="needs openvino")
    model, images = onnx.load(exported("im2col").path), draw_images(SIZE, 16)
    onnx.save(quantize(model, calibrate(model, images[::2])), tmp_path / "int8.onnx")

    found = profile(tmp_path / "int8.onnx", "openvino", images[:2], threads=1)

    ran_in = {layer.name: layer.precision for layer in found.layers if layer.gmac}
    kernels = [name for name in ran_in if re.search(r"(proj|node)_\d\.conv$", name)]
    assert len(kernels) == 16
    assert {ran_in[name] for name in kernels} == {"int8"}
    first = ("base.base_layer.0", "base.level0.0", "base.level1.0")
    assert {ran_in[name] for name in first} == {"int8"}
    assert not any(row.operator == "VariadicSplit" and row.count > 2 for row in found.operators)


@pytest.mark.parametrize("method", METHODS)
def test_calibration_methods_give_ranges_within_the_extremes(model, images, ranges, method):
    found = calibrate(model, images[::4], method)
    assert found.of.keys() == ranges.of.keys()
    name = next(node.output[0] for node in model.graph.node if node.op_type == "Relu")
    assert found.largest(name) > 0
    if method == "minmax":
        values = [run(model, {"images": image[None]}, [name])[0] for image in images[::4]]
        assert found.of[name] == pytest.approx((np.min(values), np.max(values)), rel=1e-6)


def test_unusable_calibration_frames_are_refused(model, images):
    with pytest.raises(InvalidInputError, match="street gives 15 frames, too few"):
        CalibrationFrames(images[:15], "street")
    blank = np.where(np.arange(16)[:, None, None, None] < 9, np.uint8(3), images)
    with pytest.raises(InvalidInputError, match="56% of the frames of street are blank"):
        CalibrationFrames(blank, "street")
    with pytest.raises(InvalidInputError, match="must be uint8"):
        CalibrationFrames(images.astype(np.float32), "street")
    with pytest.raises(InvalidInputError, match="are 64x96, the model takes 128x96"):
        calibrate(model, images[:, :, :64])
    with pytest.raises(InvalidInputError, match="unknown calibration method 'magic'"):
        calibrate(model, images, "magic")
