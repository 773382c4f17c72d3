"""Every lowering of a deformable convolution equals the definition, in PyTorch and as ONNX."""

import json
import math

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from edge_fairmot.convert.deform_conv import LOWERINGS
from edge_fairmot.convert.export import export_module, simplify

from .record_deform_conv import CASES, GOLDENS, RECORDED, hash_inputs, make_inputs

ROUNDING = 2e-5
"""Float32 sums of 9 * C terms of order 1; coordinates of GridSample are normalised and lose a little more."""


def oracle(x, offset, mask, weight, bias):
    """The definition in plain loops, float64: a corner outside the picture counts as zero."""
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


def export_layer(lowering, inputs):
    example = {name: torch.from_numpy(inputs[name]) for name in ("x", "offset", "mask")}
    layer = Layer(lowering, inputs["weight"], inputs["bias"]).eval()
    return simplify(export_module(layer, example, ["y"], lowering))


def run_ort(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {name: inputs[name] for name in ("x", "offset", "mask")})[0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_lowering_equals_the_definition_in_torch(lowering, case):
    inputs = make_inputs(**CASES[case])
    actual = LOWERINGS[lowering](*(torch.from_numpy(value) for value in inputs.values())).numpy()
    np.testing.assert_allclose(actual, oracle(**inputs), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(
    "case", ["offsets of several cells", "offsets far outside", "one row", "mask closed"]
)
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_lowering_equals_the_definition_as_onnx(lowering, case):
    inputs = make_inputs(**CASES[case])
    actual = run_ort(export_layer(lowering, inputs), inputs)
    np.testing.assert_allclose(actual, oracle(**inputs), atol=ROUNDING, rtol=0)


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
    model = export_layer("native", make_inputs(scale=1.0))
    assert [node.op_type for node in model.graph.node] == ["DeformConv"]
    onnx.checker.check_model(model)


def test_gridsample_lowering_can_be_trained():
    inputs = [
        torch.from_numpy(value).double().requires_grad_()
        for value in make_inputs(scale=0.4, size=(3, 4), batch=1, channels=2, outputs=2).values()
    ]
    assert torch.autograd.gradcheck(LOWERINGS["gridsample"], inputs)
