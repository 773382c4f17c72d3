"""An int8 file rounds what it should, nothing else, and decides as the float file does."""

from collections import Counter
from contextlib import closing
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_fairmot.benchmarks.parity_budget import INT8_BUDGET
from edge_fairmot.convert import CalibrationFrames, GraphOptions, Int8Options, convert
from edge_fairmot.convert.calibration import METHODS, Ranges, calibrate
from edge_fairmot.convert.drift_search import DriftSearch
from edge_fairmot.convert.equalization import equalize
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.quantization import convolution_layers, int8_share, quantize
from edge_fairmot.errors import ConversionError, InvalidInputError
from edge_fairmot.runtimes import open_runtime, ort_session

LENIENT = replace(INT8_BUDGET, recall=0.0, precision=0.0, iou_mean=0.0, cosine_mean=0.0)
"""A random network amplifies rounding without bound: what is tested here is the mechanism."""


@pytest.fixture(scope="module")
def model(small_model):
    return onnx.load(small_model)


@pytest.fixture(scope="module")
def images():
    return draw_images((128, 96), 16)


@pytest.fixture(scope="module")
def ranges(model, images):
    return calibrate(model, images[::2])


@pytest.fixture(scope="module")
def quantized(model, ranges):
    return quantize(model, ranges)


def run(model, image, outputs):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in known)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(outputs), {"images": image[None]})


def test_every_quantizer_is_signed_and_symmetric(quantized):
    onnx.checker.check_model(quantized, full_check=True)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    quantizers = [n for n in quantized.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(quantizers) > 100
    for node in quantizers:
        zero = values[node.input[2]]
        assert zero.dtype in (np.int8, np.int32)
        assert not zero.any()
        if node.input[0] in values:
            assert values[node.input[0]].min() > np.iinfo(values[node.input[0]].dtype).min


def test_weights_that_nodes_share_are_quantized_for_each():
    shared = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 19]>
        shared (float[1, 4, 8, 8] x) => (float[1, 8, 8, 8] a, float[1, 8, 8, 8] b, float[1, 8, 8, 8] c) {
            a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, bias)
            b = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, bias)
            c = Add (b, bias)
        }"""
    )
    rng = np.random.default_rng(0)
    for name, shape in (("w", (8, 4, 3, 3)), ("bias", (8,))):
        values = rng.normal(size=shape).astype(np.float32)
        shared.graph.initializer.append(numpy_helper.from_array(values, name))
    x = rng.normal(size=(1, 4, 8, 8)).astype(np.float32)
    ranges = Ranges(dict.fromkeys("xab", (-40.0, 40.0)))
    actual, expected = (
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )
        for model in (quantize(shared, ranges), shared)
    )
    np.testing.assert_array_equal(actual[0], actual[1])
    np.testing.assert_allclose(actual[2], expected[2], atol=4.0)


def test_what_must_stay_float_does(model, quantized):
    layers = {layer.name: layer.quantizable for layer in convolution_layers(model)}
    assert not any(quantizable for name, quantizable in layers.items() if "conv_offset_mask" in name)
    assert not layers["hm.2"]
    assert not any(layers[name] for name in ("base.base_layer.0", "base.level0.0", "base.level1.0"))
    assert not layers["ida_up.up_1"]  # four phases, one layer
    assert layers["base.level2.tree1.conv1"]
    producers = {name: node for node in quantized.graph.node for name in node.output}
    for node in quantized.graph.node:
        if node.op_type in ("Add", "Concat", "MaxPool", "TopK", "DeformConv"):
            for name in node.input:
                source = producers.get(name)
                if source is not None and source.op_type == "DequantizeLinear":
                    # a convolution's own output, or a stored weight; never the rounded input of another
                    assert "/int8" not in source.output[0], (node.op_type, name)


def test_two_convolutions_on_one_source_are_both_fast_in_onnxruntime(tmp_path):
    """It runs a convolution in int8 only if that alone reads what a QuantizeLinear wrote."""
    shared = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 19]>
        pair (float[1, 4, 8, 8] x) => (float[1, 8, 8, 8] a, float[1, 8, 8, 8] b) {
            a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w_a)
            b = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w_b)
        }"""
    )
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        weight = rng.normal(size=(8, 4, 3, 3)).astype(np.float32)
        shared.graph.initializer.append(numpy_helper.from_array(weight, f"w_{name}"))
    both = quantize(shared, Ranges(dict.fromkeys("xab", (-4.0, 4.0))))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # it warns that such a file is for this machine only
    onnxruntime.InferenceSession(both.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operators = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    assert operators["QLinearConv"] == 2
    assert not operators["Conv"]


@pytest.mark.parametrize("runtime", ["cpu", "openvino"])
def test_what_is_concatenated_and_convolved_is_rounded_as_it_should(runtime):
    """OpenVINO 2026.4 loses the scale of a QuantizeLinear behind a concatenation."""
    joined = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 19]>
        joined (float[1, 32, 9, 8] x, float[1, 32, 9, 8] y) => (float[1, 64, 9, 8] z) {
            both = Concat <axis = 1> (x, y)
            z = Conv <kernel_shape = [1, 1]> (both, w)
        }"""
    )
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 64, 1, 1)).astype(np.float32)
    joined.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    inputs = {name: rng.uniform(-2, 2, (1, 32, 9, 8)).astype(np.float32) for name in "xy"}
    quantized = quantize(joined, Ranges({"both": (-2.0, 2.0), "z": (-60.0, 60.0)}))
    onnx.checker.check_model(quantized, full_check=True)
    (expected,) = ReferenceEvaluator(quantized).run(None, inputs)
    if runtime == "cpu":
        session = onnxruntime.InferenceSession(
            quantized.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (actual,) = session.run(None, inputs)
    else:
        openvino = pytest.importorskip("openvino", reason="needs openvino")
        core = openvino.Core()
        model = core.read_model(quantized.SerializeToString())
        actual = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)["z"]
    step = 60 / 127
    assert np.abs(actual - expected).max() < 1.01 * step  # a tie may fall to either side


def test_scales_cover_what_calibration_saw_and_twice_that_where_people_are_scored(quantized, ranges):
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    producers = {name: node for node in quantized.graph.node for name in node.output}
    factors = {}
    for node in quantized.graph.node:
        dequantize = producers.get(node.input[0]) if node.op_type == "Conv" else None
        if dequantize is not None and "/int8/" in node.input[0]:
            source = node.input[0].partition("/int8/")[0]
            layer = node.input[1].removeprefix("network.").removesuffix(".weight/float")
            factors[layer] = float(values[dequantize.input[1]]) * 127 / ranges.largest(source)
    assert len(factors) > 30
    assert factors.pop("hm.0") == pytest.approx(2, rel=1e-5)
    assert list(factors.values()) == pytest.approx([1] * len(factors), rel=1e-5)


def test_equalizing_changes_the_spread_of_channels_and_not_the_function(model, images):
    equal = equalize(model, images)

    onnx.checker.check_model(equal, full_check=True)
    (node,) = (n for n in equal.graph.node if n.op_type == "Conv" and "hm.0" in n.input[1])
    source = node.input[0].removesuffix("/equal")
    assert source != node.input[0]
    for image in images[:2]:
        before, after = (run(graph, image, ("boxes", "scores", source)) for graph in (model, equal))
        np.testing.assert_allclose(after[1], before[1], atol=1e-6)
        np.testing.assert_allclose(after[0], before[0], atol=1e-2)
    plain, evened = (
        np.max([np.abs(run(equal, image, [name])[0]).max(axis=(0, 2, 3)) for image in images], axis=0)
        for name in (source, node.input[0])
    )
    assert evened.max() == pytest.approx(plain.max(), rel=1e-5)
    # Half of the spread, in powers: the square of what is left is what there was.
    strong = plain > plain.max() / 200
    assert strong.sum() > 10
    np.testing.assert_allclose((evened / evened.max())[strong] ** 2, (plain / plain.max())[strong], rtol=1e-4)


def test_a_channel_that_says_nothing_is_equalized_too(model, images):
    silent = onnx.ModelProto.FromString(model.SerializeToString())
    (node,) = (n for n in silent.graph.node if n.op_type == "Conv" and "hm.0" in n.input[1])
    weight = next(t for t in silent.graph.initializer if t.name == node.input[1])
    channels = numpy_helper.to_array(weight).shape[1]
    off = np.ones((1, channels, 1, 1), np.float32)
    off[0, 3] = 0
    silent.graph.initializer.append(numpy_helper.from_array(off, "off"))
    place = list(silent.graph.node).index(node)
    silent.graph.node.insert(place, onnx.helper.make_node("Mul", [node.input[0], "off"], ["quiet"]))
    silent.graph.node[place + 1].input[0] = "quiet"

    equal = equalize(silent, images[:2])

    before, after = (run(graph, images[0], ("scores",))[0] for graph in (silent, equal))
    np.testing.assert_allclose(after, before, atol=1e-6)
    for tensor in equal.graph.initializer:
        assert np.isfinite(numpy_helper.to_array(tensor)).all(), tensor.name


def test_most_multiply_adds_are_int8(model):
    layers = convolution_layers(model)
    assert int8_share(layers) > 0.8
    everything = [layer.name for layer in layers if layer.quantizable]
    assert int8_share(layers, everything) == 0
    # 3x3, 512 channels to 512, on a 4x3 map
    (deepest,) = (layer for layer in layers if layer.name == "base.level5.tree1.conv2")
    assert deepest.macs == 9 * 512 * 512 * 12


def test_weights_are_off_by_half_a_step_at_most(model, quantized):
    floats = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    stored = {t.name: numpy_helper.to_array(t) for t in quantized.graph.initializer}
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
    (actual,) = run(single, images[0], node.output)
    (expected,) = run(model, images[0], node.output)
    assert 0 < np.abs(actual - expected).max() < 0.1 * np.ptp(expected)


def test_all_layers_float_and_nothing_compressed_is_the_float_model(model, ranges):
    everything = [layer.name for layer in convolution_layers(model)]
    same = quantize(model, ranges, float_layers=everything, compress_weights=False)
    assert same.SerializeToString() == model.SerializeToString()


def test_an_unknown_layer_is_refused(model, ranges):
    with pytest.raises(ConversionError, match=r"no convolution is called base\.level9"):
        quantize(model, ranges, float_layers=["base.level9"])


@pytest.mark.parametrize("method", METHODS)
def test_calibration_methods_give_ranges_within_the_extremes(model, images, ranges, method):
    found = calibrate(model, images[::4], method)
    assert found.of.keys() == ranges.of.keys()
    name = next(n.output[0] for n in model.graph.node if n.op_type == "Relu")
    assert found.largest(name) > 0
    if method == "minmax":
        (values,) = zip(*(run(model, image, [name]) for image in images[::4]), strict=True)
        assert found.of[name] == (min(v.min() for v in values), max(v.max() for v in values))


def test_the_search_leaves_layers_float_until_the_budget_holds(model, ranges, images):
    free = DriftSearch(model, ranges, images[1::4], LENIENT, 0.5).run()
    assert (free.float_layers, free.costs) == ((), ())
    # Nothing but the float model itself agrees to the last digit with itself.
    strict = replace(LENIENT, cosine_mean=(1 + free.decisions.cosine_mean) / 2)
    steps = []
    found = DriftSearch(model, ranges, images[1::4], strict, 0.5).run(on_step=steps.append)
    assert found.decisions.cosine_mean >= strict.cosine_mean > free.decisions.cosine_mean
    assert 0 < len(found.float_layers) < len(found.costs)
    assert found.float_layers == tuple(cost.name for cost in found.costs[: len(found.float_layers)])
    errors = [cost.error for cost in found.costs]
    assert errors == sorted(errors, reverse=True)
    assert "judging layer 1 of" in steps[1]


def test_a_budget_that_cannot_be_kept_is_an_error(model, ranges, images):
    impossible = replace(LENIENT, iou_mean=1.0, cosine_mean=1.0)
    everything = [layer.name for layer in convolution_layers(model)]
    with pytest.raises(ConversionError, match="wider --budget"):
        DriftSearch(model, ranges, images[1:3], impossible, 0.5).run(everything)


def test_footage_without_people_judges_nothing(model, ranges, images):
    nobody = DriftSearch(model, ranges, images[1:3], LENIENT, 0.9999)
    with pytest.raises(
        ConversionError, match=r"nobody .* above 0\.9999 in the 2 frames .* with people in it"
    ):
        nobody.run()


def test_candidates_are_judged_with_the_kernels_that_will_run_them(model, ranges, images, monkeypatch):
    monkeypatch.setattr(ort_session, "int8_sums_overflow", lambda: True)
    opened = []
    open_session = onnxruntime.InferenceSession

    def record(model, options, **arguments):
        opened.append(options.get_session_config_entry("session.x64quantprecision"))
        return open_session(model, options, **arguments)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    DriftSearch(model, ranges, images[:1], LENIENT, 0.5)
    assert opened == ["1"]


@pytest.mark.slow
def test_convert_writes_a_certified_int8_file(lively_network, tmp_path, images):
    torch.save(lively_network().state_dict(), tmp_path / "lively.pth")
    frames = CalibrationFrames(images, "pictures")
    int8 = Int8Options(frames, budget=LENIENT, float_layers=("base.level0.0",))
    options = GraphOptions((128, 96), max_detections=64)
    result = convert(tmp_path / "lively.pth", tmp_path / "int8.onnx", options, precision="int8", int8=int8)
    manifest = result.manifest
    assert manifest.default_precision == "int8"
    assert manifest.calibration == "8 frames of pictures, minmax"
    assert 0.8 < manifest.int8_share < 0.9
    assert {"base.level0.0", "hm.2", "ida_up.node_1.conv"} <= manifest.precision.keys()
    assert Counter(manifest.precision.values()).keys() == {"fp32"}
    assert result.size_bytes < 79.3e6 / 3.4
    with closing(open_runtime(result.path)) as runtime:
        assert runtime.infer(images[:1]).scores.max() > 0.3


@pytest.mark.slow
def test_convert_writes_a_float16_file(lively_network, tmp_path):
    torch.save(lively_network().state_dict(), tmp_path / "lively.pth")
    path = tmp_path / "half.onnx"
    result = convert(tmp_path / "lively.pth", path, GraphOptions((128, 96)), precision="fp16")
    assert result.manifest.default_precision == "fp16"
    assert "hm.2" in result.manifest.precision
    assert result.size_bytes < 0.62 * 79.3e6


def test_precision_and_options_must_fit(images, tmp_path):
    frames = CalibrationFrames(images, "pictures")
    with pytest.raises(InvalidInputError, match="give Int8Options for int8 only"):
        convert("x.pth", tmp_path / "x.onnx", GraphOptions(), precision="int8")
    with pytest.raises(InvalidInputError, match="give Int8Options for int8 only"):
        convert("x.pth", tmp_path / "x.onnx", GraphOptions(), int8=Int8Options(frames))
    batches = GraphOptions(batch_size=2)
    with pytest.raises(InvalidInputError, match="batch size of 1"):
        convert("x.pth", tmp_path / "x.onnx", batches, precision="int8", int8=Int8Options(frames))


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
