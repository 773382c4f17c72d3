"""Every lowering of a deformable convolution equals the definition, in PyTorch and as ONNX."""

import json
import math
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from edge_fairmot.convert.deform_conv import (
    IM2COL,
    IM2COL_DOMAIN,
    LOWERINGS,
    NATIVE_OPSET,
    add_im2col_function,
)
from edge_fairmot.convert.export import export_module, simplify

from .record_deform_conv import CASES, GOLDENS, RECORDED, hash_inputs, make_inputs

ROUNDING = 2e-5
"""Float32 sums of 9 * C terms of order 1; coordinates of GridSample are normalised and lose a little more."""


def oracle(x, offset, mask, weight, bias):
    """The definition in plain loops, float64: a corner outside the map counts as zero."""
    batch, _, height, width = x.shape
    x = x.astype(np.float64)
    out = np.zeros((batch, len(bias), height, width))
    for n, row, col in np.ndindex(batch, height, width):
        total = bias.astype(np.float64)
        for k in range(9):
            y_at = row + k // 3 - 1 + float(offset[n, 2 * k, row, col])
            x_at = col + k % 3 - 1 + float(offset[n, 2 * k + 1, row, col])
            sample = np.zeros(x.shape[1])
            for corner_y in (math.floor(y_at), math.floor(y_at) + 1):
                for corner_x in (math.floor(x_at), math.floor(x_at) + 1):
                    if 0 <= corner_y < height and 0 <= corner_x < width:
                        share = (1 - abs(y_at - corner_y)) * (1 - abs(x_at - corner_x))
                        sample += share * x[n, :, corner_y, corner_x]
            total = total + weight[:, :, k // 3, k % 3].astype(np.float64) @ sample * mask[n, k, row, col]
        out[n, :, row, col] = total
    return out


class Layer(torch.nn.Module):
    def __init__(self, lowering, weight, bias):
        super().__init__()
        self.lowering = LOWERINGS[lowering]
        self.weight, self.bias = (torch.nn.Parameter(torch.from_numpy(v)) for v in (weight, bias))

    def forward(self, x, offset, mask):
        return self.lowering(x, offset, mask, self.weight, self.bias)


@cache
def export_layer(lowering, case):
    inputs = make_inputs(**CASES[case])
    example = {name: torch.from_numpy(inputs[name]) for name in ("x", "offset", "mask")}
    layer = Layer(lowering, inputs["weight"], inputs["bias"]).eval()
    return simplify(export_module(layer, example, ["y"], lowering))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_lowering_equals_the_definition_in_torch(lowering, case):
    inputs = make_inputs(**CASES[case])
    actual = LOWERINGS[lowering](*(torch.from_numpy(value) for value in inputs.values())).numpy()
    np.testing.assert_allclose(actual, oracle(**inputs), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(
    ("shape", "cases"),
    [
        ("offsets of several cells", ["offsets of several cells", "offsets far outside", "mask closed"]),
        ("one row", ["one row"]),
    ],
)
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_lowering_equals_the_definition_as_onnx(lowering, shape, cases):
    """Shapes and weights are constants of the file; offsets and masks are its inputs."""
    model = export_layer(lowering, shape)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    constants = make_inputs(**CASES[shape])
    for case in cases:
        inputs = make_inputs(**CASES[case]) | {name: constants[name] for name in ("weight", "bias")}
        (actual,) = session.run(None, {name: inputs[name] for name in ("x", "offset", "mask")})
        np.testing.assert_allclose(actual, oracle(**inputs), atol=ROUNDING, rtol=0, err_msg=case)


# onnx's own evaluator divides by L - 1, so it has no answer for a side of one cell.
@pytest.mark.parametrize("case", [name for name in CASES if not name.startswith("one ") or "picture" in name])
def test_oracle_agrees_with_the_onnx_reference_evaluator(case):
    inputs = make_inputs(**CASES[case])
    names = ["x", "weight", "offset", "bias", "mask"]
    node = helper.make_node("DeformConv", names, ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, inputs[n].shape) for n in names]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "layer", values, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    actual = ReferenceEvaluator(model).run(None, inputs)[0]
    np.testing.assert_allclose(actual, oracle(**inputs), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("golden", sorted(GOLDENS.glob("deform_conv_*.npz")), ids=lambda path: path.stem)
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_lowering_equals_torchvisions_operator(lowering, golden):
    recorded = np.load(golden)
    hashes = json.loads(str(recorded["hashes"]))
    assert hashes.keys() == RECORDED.keys()
    for name, case in RECORDED.items():
        inputs = make_inputs(**case)
        assert hash_inputs(inputs) == hashes[name]
        actual = LOWERINGS[lowering](*(torch.from_numpy(value) for value in inputs.values())).numpy()
        np.testing.assert_allclose(
            actual, recorded[name], atol=ROUNDING * math.sqrt(inputs["x"].shape[1] / 4), rtol=0, err_msg=name
        )


def test_torchvisions_operator_was_recorded():
    assert (GOLDENS / "deform_conv_cpu.npz").exists()


def test_native_lowering_is_one_deform_conv_node():
    model = export_layer("native", "one row")
    assert [node.op_type for node in model.graph.node] == ["DeformConv"]
    onnx.checker.check_model(model)


def test_im2col_columns_are_tap_by_tap():
    """At integer offsets a sample is a cell: column k C + c is channel c, moved by tap k and its offset."""
    rng = np.random.default_rng(0)
    batch, channels, height, width = 2, 3, 4, 5
    depths = {"x": channels, "offset": 18, "mask": 9, "columns": 9 * channels}
    *inputs, columns = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, depth, height, width])
        for name, depth in depths.items()
    )
    names = [value.name for value in inputs]
    node = helper.make_node(IM2COL, names, ["columns"], domain=IM2COL_DOMAIN, channels=channels)
    graph = helper.make_graph([node], "layer", inputs, [columns])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", NATIVE_OPSET)], ir_version=10)
    add_im2col_function(model)
    onnx.checker.check_model(model, full_check=True)
    x = rng.normal(size=(batch, channels, height, width)).astype(np.float32)
    offset = rng.integers(-2, 3, (batch, 18, height, width)).astype(np.float32)
    mask = rng.random((batch, 9, height, width)).astype(np.float32)

    (actual,) = ReferenceEvaluator(model).run(None, {"x": x, "offset": offset, "mask": mask})

    padded = np.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4)))
    for n, k, row, col in np.ndindex(batch, 9, height, width):
        at_row = row + 4 + k // 3 - 1 + int(offset[n, 2 * k, row, col])
        at_col = col + 4 + k % 3 - 1 + int(offset[n, 2 * k + 1, row, col])
        expected = padded[n, :, at_row, at_col] * mask[n, k, row, col]
        np.testing.assert_array_equal(actual[n, k * channels : (k + 1) * channels, row, col], expected)


def test_gridsample_lowering_can_be_trained():
    inputs = [
        torch.from_numpy(value).double().requires_grad_()
        for value in make_inputs(scale=0.4, size=(3, 4), batch=1, channels=2, outputs=2).values()
    ]
    assert torch.autograd.gradcheck(LOWERINGS["gridsample"], inputs)
