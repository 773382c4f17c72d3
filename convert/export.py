"""From the deploy graph in PyTorch to an ONNX model in memory."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx
import onnx.numpy_helper
import onnxsim
import torch
from torch import Tensor, nn

from edge_fairmot.convert.deform_conv import NATIVE_OPSET, TRANSLATIONS, add_im2col_function
from edge_fairmot.convert.deploy import DeployGraph
from edge_fairmot.convert.network import deformable_layers
from edge_fairmot.errors import ConversionError
from edge_fairmot.manifest import CORE, MANIFEST_KEY, ModelManifest
from edge_fairmot.runtimes.host_decoder import LATE_HEADS

UNROLLED_OPSET = 18
"""The lowest opset of torch's exporter. The unrolled graphs use no newer operator."""

MAX_IR_VERSION = 10
"""The newest IR version that ONNX Runtime 1.18 reads."""


def to_onnx(graph: DeployGraph) -> onnx.ModelProto:
    """Export the deploy graph with static shapes; raise ConversionError if the exporter fails."""
    options = graph.options
    example = torch.zeros(options.image_shape, dtype=torch.float32 if options.graph == CORE else torch.uint8)
    lowering = options.deform_conv if deformable_layers(graph.network) else ""
    return export_module(graph, {"images": example}, options.output_names, lowering)


def export_module(
    module: nn.Module, example: Mapping[str, Tensor], output_names: Sequence[str], lowering: str
) -> onnx.ModelProto:
    """Export a module in evaluation mode; ``example`` has its inputs by name, whose shapes become static.

    ``lowering`` is that of its deformable convolutions, or empty without any. Raises ConversionError if the
    exporter fails.
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


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    # The exporter warns every user that torchvision is missing; no exported operator needs it.
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
    """Fold constants and fuse operators with onnxsim; raise ConversionError if it fails.

    The caller checks that the result computes the same.
    """
    try:
        simplified, _ = onnxsim.simplify(model, check_n=0)
    except Exception as error:  # onnxsim passes on any exception of its C++ code
        raise ConversionError(f"onnxsim {onnxsim.__version__} failed: {error}") from error
    result: onnx.ModelProto = simplified
    result.ir_version = min(result.ir_version, MAX_IR_VERSION)
    return result


def attach_late_heads(model: onnx.ModelProto, graph: DeployGraph) -> None:
    """Add the weights of the heads that the host computes, as tensors that no node reads."""
    for head in LATE_HEADS:
        for name, weight in graph.network.heads[head].state_dict().items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(weight.numpy(), f"{head}.{name}"))


def attach_manifest(model: onnx.ModelProto, manifest: ModelManifest) -> None:
    """Make the manifest the model's metadata."""
    onnx.helper.set_model_props(model, {MANIFEST_KEY: manifest.to_json()})
    model.producer_name, model.producer_version = "edge-fairmot", manifest.toolkit_version
