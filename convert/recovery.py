"""Recovers a network from an ONNX file that ``convert`` wrote, to train it without its checkpoint.

Undoes the rewrites: batch norms and normalisation that were folded into convolutions, YOLO's Focus that
became one convolution, upsampling that was split into phases, head matrices that were put side by side. The
network computes what the file does. Weights that were stored as int8 come back rounded.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from edge_fairmot.convert.checkpoint import deformable_names, head_channels, load_network
from edge_fairmot.convert.network import FairMOT
from edge_fairmot.convert.networks import build_network, recognise
from edge_fairmot.convert.networks.yolo import split_blocks
from edge_fairmot.convert.quantization import NAME_PREFIX
from edge_fairmot.convert.rewrites import convolutions_and_norms, merge_phases, widen_phase
from edge_fairmot.errors import ConversionError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import read_onnx_file


def load_start(path: str | Path) -> tuple[FairMOT, str]:
    """Load the initial network of a training, and the SHA-256 of its file: a checkpoint or an ONNX file.

    The network is float32, in evaluation mode, on the CPU. Raises CheckpointError, ConversionError or
    ManifestError if the file is neither, or has too little to recover a network.
    """
    if Path(path).suffix != ".onnx":
        network, checkpoint = load_network(path)
        return network, checkpoint.sha256
    return recover_network(path), hashlib.sha256(Path(path).read_bytes()).hexdigest()


def recover_network(path: str | Path) -> FairMOT:
    """Recover the network of a float32 or int8 file without deformable convolutions; see :func:`load_start`.

    Its batch norms only shift.
    """
    path = Path(path)
    manifest = read_onnx_file(path).manifest
    if manifest.deform_conv or manifest.default_precision == "fp16":
        what = "deformable convolutions" if manifest.deform_conv else "float16 weights"
        raise ConversionError(f"{path} has {what}, and cannot be trained on: give the checkpoint it is of")
    try:
        return _Recovery(onnx.load(path), manifest).network()
    except (KeyError, ValueError, RuntimeError) as error:
        raise ConversionError(
            f"{path} is not as this version of convert writes it ({error}): give the checkpoint it is of"
        ) from error


class _Recovery:
    """Finds the network's tensors in a graph."""

    def __init__(self, model: onnx.ModelProto, manifest: ModelManifest) -> None:
        self._manifest = manifest
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._readers = {name: node for node in model.graph.node for name in node.input}
        self._arrays = _read_arrays(model)

    def network(self) -> FairMOT:
        manifest = self._manifest
        shapes = {name.removeprefix(NAME_PREFIX): array.shape for name, array in self._arrays.items()}
        found = recognise(shapes)
        if found is None:
            raise ValueError("its layers are of no network that is known here")
        spec = replace(
            found,
            num_classes=len(manifest.class_names),
            box_channels=manifest.box_channels,
            embedding_dim=manifest.embedding_dim,
            plain_layers=deformable_names(found),
            head_channels=head_channels(found, shapes["hm.0.weight"]),
        )
        network = build_network(spec).double().eval().requires_grad_(False)
        self._fill_convolutions(network)
        for name, module in network.named_modules():
            if isinstance(module, nn.ConvTranspose2d):
                module.weight.copy_(self._upsampling(name, module))
        for name, head in network.heads.items():
            self._fill_head(name, head)
        return network.float().requires_grad_(True)

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[NAME_PREFIX + name].astype(np.float64))

    def _fill_convolutions(self, network: FairMOT) -> None:
        for name, norm_name in convolutions_and_norms(network):
            conv, norm = network.get_submodule(name), network.get_submodule(norm_name)
            assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_var is not None
            norm.running_var.fill_(1 - norm.eps)
            if isinstance(conv, nn.ConvTranspose2d):  # its weight is one of upsampling
                # The biases of all phases are equal, and the simplifier may have kept any of them.
                phases = (f"{name}.phases.{index}.bias" for index in range(conv.stride[0] ** 2))
                kept = next((one for one in phases if NAME_PREFIX + one in self._arrays), f"{name}.bias")
                norm.bias.copy_(self._tensor(kept))
                continue
            if f"{NAME_PREFIX}{name}.weight" not in self._arrays:
                conv.weight.zero_()  # a projection that every checkpoint has and the output does not use
                continue
            weight = self._tensor(f"{name}.weight")
            if name == network.first_convolution:
                weight = weight.flip(1) * 255
                weight = split_blocks(weight) if conv.in_channels == 12 else weight
            conv.weight.copy_(weight)
            norm.bias.copy_(self._tensor(f"{name}.bias"))
            if conv.bias is not None:
                conv.bias.zero_()

    def _upsampling(self, name: str, layer: nn.ConvTranspose2d) -> Tensor:
        factor = layer.stride[0]
        if f"{NAME_PREFIX}{name}.weight" in self._arrays:
            return self._tensor(f"{name}.weight")
        phases = [self._tensor(f"{name}.phases.{index}.weight") for index in range(factor**2)]
        if layer.groups == 1:
            phases = [widen_phase(taps, index, factor) for index, taps in enumerate(phases)]
        return merge_phases(torch.stack(phases, dim=1), factor)

    def _fill_head(self, name: str, head: nn.Sequential) -> None:
        first, last = head[0], head[2]
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        if f"{NAME_PREFIX}{name}.0.weight" in self._arrays:
            first.weight.copy_(self._tensor(f"{name}.0.weight") * self._equalization(f"{name}.0.weight"))
            last.weight.copy_(self._tensor(f"{name}.2.weight"))
        else:
            side_by_side = torch.from_numpy(self._first_matrix(name)).T
            patches = side_by_side.reshape(len(side_by_side), 3, 3, first.in_channels)
            first.weight.copy_(patches.permute(0, 3, 1, 2))
            gemm = self._readers[f"{NAME_PREFIX}{name}.2.bias"]
            last.weight.copy_(torch.from_numpy(self._matrix(gemm)).T.reshape(last.weight.shape))
        for layer, index in ((first, 0), (last, 2)):
            assert layer.bias is not None
            layer.bias.copy_(self._tensor(f"{name}.{index}.bias"))

    def _equalization(self, weight: str) -> Tensor:
        """Find the factor on a convolution's input, by which its weight was divided."""
        name = NAME_PREFIX + weight
        node = self._readers.get(f"{name}/float") or self._readers[name]
        source = node.input[0].partition("/int8/")[0]
        scale = self._arrays.get(f"{source.removesuffix('/equal')}/inverse_scale", np.ones((1, 1, 1, 1)))
        return torch.from_numpy(scale.astype(np.float64))

    def _first_matrix(self, name: str) -> NDArray[np.float64]:
        """Find the first matrix of a late head: its columns of a matrix that all late heads share."""
        add = self._readers[f"{NAME_PREFIX}{name}.0.bias"]
        (source,) = (value for value in add.input if not value.startswith(NAME_PREFIX))
        node = self._producers[source]
        if node.op_type != "Split":
            return self._matrix(node)
        ends = np.cumsum(self._arrays[node.input[1]])
        place = list(node.output).index(source)
        return self._matrix(self._producers[node.input[0]])[:, ends[place - 1] if place else 0 : ends[place]]

    def _matrix(self, node: onnx.NodeProto) -> NDArray[np.float64]:
        values = self._arrays[node.input[1].removesuffix("/float")].astype(np.float64)
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return values.T if transposed else values


def _read_arrays(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    """Read the graph's constants by name. Integer weights are dequantized, under the float weight's name."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in arrays and node.input[1] in arrays:
            steps, scale = (arrays[name].astype(np.float64) for name in node.input[:2])
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            others = [dim for dim in range(steps.ndim) if dim != axis]
            arrays[node.output[0].removesuffix("/float")] = steps * np.expand_dims(scale, others)
    return arrays
