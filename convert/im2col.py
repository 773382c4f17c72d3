"""``DeformIm2col``: the sampling of a deformable convolution, as a function in the ONNX file.

    columns[n, k C + c, p] = mask[n, k, p] * x[n, c] sampled bilinearly at p + tap(k) + offset[n, k, p]

What is left of the layer is a 1x1 convolution over the columns, with kernels that quantize like any other's.
The function's body is of standard operators, and a runtime that knows nothing of it inlines them: a grouped
``DeformConv`` whose kernels are single taps samples, and a transposition puts the columns tap by tap, as a
kernel that works on channels-last pictures writes them.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import FunctionProto, ModelProto, helper, numpy_helper
from onnx.defs import OpSchema

DOMAIN, NAME, VERSION = "edge_fairmot", "DeformIm2col", 1

INPUTS = ("x", "offset", "mask")

TAPS = 9

BODY_OPSET = 19
"""The first with DeformConv."""


def add_im2col_function(model: ModelProto) -> None:
    """Give a model that calls ``DeformIm2col`` its definition."""
    model.functions.append(_function())
    if all(entry.domain != DOMAIN for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))


def im2col_schema() -> OpSchema:
    """Describe the operator's interface, as exporters want it."""
    parameter = OpSchema.FormalParameter
    return OpSchema(
        NAME,
        DOMAIN,
        VERSION,
        inputs=[parameter(name, "T") for name in INPUTS],
        outputs=[parameter("columns", "T")],
        type_constraints=[("T", ["tensor(float)"], "")],
        attributes=[OpSchema.Attribute("channels", OpSchema.AttrType.INT)],
    )


def _function() -> FunctionProto:
    taps = np.eye(TAPS, dtype=np.float32).reshape(TAPS, 1, 3, 3)
    deform = helper.make_node(
        "DeformConv",
        ["x", "kernels", "offset", "", "mask"],
        ["channel_by_channel"],
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
    )
    group = deform.attribute.add()
    group.name, group.type, group.ref_attr_name = "group", onnx.AttributeProto.INT, "channels"
    nodes = [
        helper.make_node("Constant", [], ["taps"], value=numpy_helper.from_array(taps)),
        _integers("ones", [1, 1, 1]),
        _integers("nine", [TAPS]),
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Shape", ["x"], ["channel_count"], start=1, end=2),
        helper.make_node("Shape", ["x"], ["size"], start=2, end=4),
        helper.make_node("Concat", ["channel_count", "ones"], ["copies"], axis=0),
        helper.make_node("Tile", ["taps", "copies"], ["kernels"]),
        deform,
        helper.make_node("Concat", ["batch", "channel_count", "nine", "size"], ["apart"], axis=0),
        helper.make_node("Reshape", ["channel_by_channel", "apart"], ["by_channel_and_tap"]),
        helper.make_node("Transpose", ["by_channel_and_tap"], ["by_tap_and_channel"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Shape", ["channel_by_channel"], ["together"]),
        helper.make_node("Reshape", ["by_tap_and_channel", "together"], ["columns"]),
    ]
    opset = [helper.make_opsetid("", BODY_OPSET)]
    return helper.make_function(DOMAIN, NAME, INPUTS, ["columns"], nodes, opset, ["channels"])


def _integers(name: str, values: list[int]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value_ints=values)
