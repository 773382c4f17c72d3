"""Half precision halves a file, and no coordinate, result or first layer is float16."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_fairmot.convert import GraphOptions, conversion, convert
from edge_fairmot.convert.deform_conv import LOWERINGS
from edge_fairmot.convert.half_precision import float32_layers, to_fp16
from edge_fairmot.convert.parity import ParityFigures, compare, draw_images
from edge_fairmot.errors import ConversionError, InvalidInputError
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.types import RawDetections

from .conftest import BATCH, SIZE, TOP_K

FLOAT32_LAYERS = {"base.base_layer.0", "hm.2", "wh.2", "reg.2", "id.2"}
PRODUCTS = ("Conv", "Gemm", "MatMul", "DeformConv")

RANDOM = ParityFigures(peaks_matched=0.9, score_error=0.025, box_error_px=0.7, cosine_error=0.002)
"""A random network amplifies rounding a hundredfold."""

TRAINED = ParityFigures(peaks_matched=0.97, score_error=1e-3, box_error_px=0.15, cosine_error=2e-6)
"""Three times what was seen. Peaks that are missed have tied with a neighbour, mostly below 0.05."""


@dataclass(frozen=True)
class Pair:
    lowering: str
    full: onnx.ModelProto
    half: onnx.ModelProto


@pytest.fixture(params=[*LOWERINGS, "native in fp16"])
def pair(request, exported):
    lowering, _, precision = request.param.partition(" in ")
    full = onnx.load(exported(lowering).path)
    return Pair(lowering, full, to_fp16(full, deform_conv=precision or "fp32"))


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        weight.name: weight.data_type for weight in graph.initializer
    }


def _half_nodes_behind(model: onnx.ModelProto, names: list[str]) -> list[str]:
    """Name the float16 nodes that compute some tensors, back to the nearest product."""
    types = _types(model)
    producers = {name: node for node in model.graph.node for name in node.output}
    found, seen, waiting = [], set(), list(names)
    while waiting:
        node = producers.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if TensorProto.FLOAT16 in {types[output] for output in node.output}:
            found.append(node.name)
        elif node.op_type == "Cast" and producers[node.input[0]].op_type in PRODUCTS:
            continue  # the product itself may be float16
        elif node.op_type not in PRODUCTS:
            waiting.extend(node.input)
    return found


def _rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute a float16 graph in float32, and round each result to float16.

    ONNX Runtime's CPU provider computes float16 in float32 and rounds nothing between nodes, which hides the
    error of a GPU. Rounding to 11 bits is Veltkamp's splitting: p = 8193 x; x16 = p - (p - x).
    """
    types = _types(model)
    full = onnx.ModelProto.FromString(model.SerializeToString())
    graph = full.graph
    weights = [numpy_helper.from_array(np.float32(8193), "splitter")]
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        widened = values.astype(np.float32) if values.dtype == np.float16 else values
        weights.append(numpy_helper.from_array(widened, weight.name))
    nodes = []
    for node in model.graph.node:
        kept = onnx.NodeProto.FromString(node.SerializeToString())
        for attribute in kept.attribute:
            if kept.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
        nodes.append(kept)
        for at, name in enumerate(node.output):
            if types[name] == TensorProto.FLOAT16:
                raw, large, rest = (f"{name}.{part}" for part in ("raw", "large", "rest"))
                kept.output[at] = raw
                nodes += [
                    helper.make_node("Mul", [raw, "splitter"], [large]),
                    helper.make_node("Sub", [large, raw], [rest]),
                    helper.make_node("Sub", [large, rest], [name]),
                ]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    return full


def _detect(model: onnx.ModelProto, path, images) -> RawDetections:
    onnx.save(model, path)
    with closing(open_runtime(path, "cpu", integrity_check=False)) as runtime:
        return runtime.infer(images)


def test_the_graph_contract_is_kept_and_the_weights_are_half(pair):
    before = pair.full.SerializeToString(deterministic=True)
    to_fp16(pair.full)
    assert pair.full.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(pair.half, full_check=True)
    for field in ("opset_import", "metadata_props", "ir_version"):
        assert getattr(pair.half, field) == getattr(pair.full, field)
    assert list(pair.half.graph.input) == list(pair.full.graph.input)
    assert list(pair.half.graph.output) == list(pair.full.graph.output)
    half, full = (
        sum(len(tensor.raw_data) for tensor in model.graph.initializer) for model in (pair.half, pair.full)
    )
    kernels_stay = "ida_up.node_1.conv" in float32_layers(pair.half)  # a sixth of all weights
    assert half < (0.62 if kernels_stay else 0.52) * full


def test_coordinates_results_and_the_first_layer_are_float32(pair):
    nodes, types = pair.half.graph.node, _types(pair.half)
    samplers = [node for node in nodes if node.op_type in ("GridSample", "Gather")]
    assert len(samplers) > {"native": 0, "im2col": 0, "gridsample": 144, "gather": 64}[pair.lowering]
    assert _half_nodes_behind(pair.half, [node.input[1] for node in samplers]) == []
    assert _half_nodes_behind(pair.half, ["boxes", "scores", "embeddings"]) == []
    first = next(node for node in nodes if node.op_type == "Conv")
    whole = [node for node in nodes if node.op_type in ("GridSample", "DeformIm2col")]
    for node in (first, *whole):
        assert {types[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT}
    (top_k,) = (node for node in nodes if node.op_type == "TopK")
    (peaks,) = (node for node in nodes if node.op_type == "Equal")
    assert {types[name] for name in (top_k.input[0], *peaks.input)} == {TensorProto.FLOAT}


def test_features_are_float16_but_for_the_layers_that_are_named(pair):
    types = _types(pair.half)
    convolutions = [node for node in pair.half.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    made = Counter(types[node.output[0]] for node in convolutions)
    assert made[TensorProto.FLOAT] == len(FLOAT32_LAYERS)
    assert made[TensorProto.FLOAT16] > 60
    layers = float32_layers(pair.half)
    assert set(layers.values()) == {"fp32"}
    deformable = [node for node in pair.half.graph.node if node.op_type == "DeformConv"]
    deformable_types = {types[name] for node in deformable for name in (*node.input, *node.output)}
    if pair.lowering == "native" and layers.keys() != FLOAT32_LAYERS:
        assert layers.keys() > FLOAT32_LAYERS | {"ida_up.node_1.conv"}
        assert len(layers) == 16 + len(FLOAT32_LAYERS)
        assert deformable_types == {TensorProto.FLOAT}
    else:
        assert layers.keys() == FLOAT32_LAYERS
        assert deformable_types == ({TensorProto.FLOAT16} if pair.lowering == "native" else set())


@pytest.mark.parametrize("rounded", [False, True], ids=["as ONNX Runtime runs it", "each result rounded"])
def test_half_precision_detects_what_full_precision_detects(pair, rounded, tmp_path):
    images = np.ascontiguousarray(draw_images(SIZE, BATCH)[:, ::-1])
    reference = _detect(pair.full, tmp_path / "full.onnx", images)
    half = _rounding(pair.half) if rounded else pair.half
    compare(_detect(half, tmp_path / "half.onnx", images), reference).check("float16 differs", RANDOM)


def test_the_trained_network_detects_the_same_in_half_precision(shared, trained_dense_model, tmp_path):
    full = onnx.load(trained_dense_model)
    del full.graph.output[4:]  # the dense heads, which would be float32
    with np.load(shared / "reference" / "dense_576x320.npz") as reference:
        images = reference["images"][:1]
    expected = _detect(full, tmp_path / "full.onnx", images)
    found = _detect(_rounding(to_fp16(full)), tmp_path / "half.onnx", images)
    compare(found, expected).check("float16 differs", TRAINED)


def test_convert_writes_a_float16_file(two_classes, raw_export, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "to_onnx", lambda graph: raw_export)
    options = GraphOptions(SIZE, max_detections=TOP_K, batch_size=BATCH)
    result = convert(two_classes, tmp_path / "half.onnx", options, precision="fp16")
    assert result.manifest.default_precision == "fp16"
    assert "hm.2" in result.manifest.precision
    assert result.manifest.parity["peaks_matched"] > 0.9
    assert float32_layers(onnx.load(result.path)) == result.manifest.precision


def test_weights_beyond_float16_and_other_arguments_are_refused(exported):
    model = onnx.load(exported("native").path)
    with pytest.raises(InvalidInputError, match="must be 'fp16' or 'fp32', not 'int8'"):
        to_fp16(model, deform_conv="int8")
    with pytest.raises(InvalidInputError, match="float16 weights already"):
        to_fp16(to_fp16(model))
    (weight,) = (w for w in model.graph.initializer if w.name == "network.base.level0.0.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1e6), weight.name))
    with pytest.raises(ConversionError, match=r"network\.base\.level0\.0\.weight holds .* --precision fp32"):
        to_fp16(model)
