"""From the deploy graph in PyTorch to an ONNX model in memory."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import onnx
import onnxsim
import torch
from onnxscript import opset19
from onnxscript.values import Op, Opset
from torch import Tensor, nn

from edge_fairmot.convert.deploy import DeployGraph
from edge_fairmot.convert.im2col import DOMAIN, NAME, VERSION, add_im2col_function, im2col_schema
from edge_fairmot.convert.network import deformable_layers
from edge_fairmot.errors import ConversionError
from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest

UNROLLED_OPSET = 18
"""The lowest that torch's exporter writes; the unrolled graphs use nothing newer."""

NATIVE_OPSET = 19
"""The first with DeformConv."""

MAX_IR_VERSION = 10
"""The newest that ONNX Runtime 1.18 reads."""


def to_onnx(graph: DeployGraph) -> onnx.ModelProto:
    """Export the deploy graph with torch's exporter.

    Parameters
    ----------
    graph : DeployGraph

    Returns
    -------
    onnx.ModelProto
        Input and outputs named as in the graph contract, static shapes.

    Raises
    ------
    ConversionError
        If the exporter fails.
    """
    options = graph.options
    width, height = options.input_size
    example = torch.zeros(options.batch_size, height, width, 3, dtype=torch.uint8)
    lowering = options.deform_conv if deformable_layers(graph.network) else ""
    return export_module(graph, {"images": example}, options.output_names, lowering)


def export_module(
    module: nn.Module, example: Mapping[str, Tensor], output_names: Sequence[str], lowering: str
) -> onnx.ModelProto:
    """Export any module whose deformable convolutions are ours.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    example : dict of str to Tensor
        Inputs by name, in order; their shapes become static.
    output_names : sequence of str
    lowering : str
        Of its deformable convolutions; empty where it has none.

    Raises
    ------
    ConversionError
        If the exporter fails.
    """
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                module,
                tuple(example.values()),
                input_names=list(example),
                output_names=list(output_names),
                opset_version=NATIVE_OPSET if lowering in TRANSLATIONS else UNROLLED_OPSET,
                custom_translation_table=TRANSLATIONS.get(lowering),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConversionError(f"torch {torch.__version__} could not export the network: {reason}") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    if lowering == "im2col":
        add_im2col_function(model)
    return model


def _deform_conv(x: Any, offset: Any, mask: Any, weight: Any, bias: Any) -> Any:
    return opset19.DeformConv(x, weight, offset, bias, mask, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def _deform_im2col(x: Any, offset: Any, mask: Any) -> Any:
    return Op(Opset(DOMAIN, VERSION), NAME, im2col_schema())(x, offset, mask, channels=x.shape[1])


TRANSLATIONS: Mapping[str, dict[Callable[..., Any], Any]] = MappingProxyType(
    {
        "native": {torch.ops.edge_fairmot.deform_conv2d.default: _deform_conv},
        "im2col": {torch.ops.edge_fairmot.deform_im2col.default: _deform_im2col},
    }
)
"""What the exporter makes of our own operators, by lowering; the others are of torch's."""


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    # The exporter tells every user that torchvision is not installed; nothing here needs it.
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and fuse operators with onnxsim.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    onnx.ModelProto
        Of the same interface and opset. That it computes the same is for the caller to check, on a picture.

    Raises
    ------
    ConversionError
        If onnxsim fails.
    """
    try:
        simplified, _ = onnxsim.simplify(model, check_n=0)
    except Exception as error:  # onnxsim raises whatever its C++ side threw
        raise ConversionError(f"onnxsim {onnxsim.__version__} failed: {error}") from error
    result: onnx.ModelProto = simplified
    result.ir_version = min(result.ir_version, MAX_IR_VERSION)
    return result


def attach_manifest(model: onnx.ModelProto, manifest: ModelManifest) -> None:
    """Make the manifest the model's metadata."""
    onnx.helper.set_model_props(model, {MANIFEST_KEY: manifest.to_json()})
    model.producer_name, model.producer_version = "edge-fairmot", manifest.toolkit_version
