"""The reference runtime: a checkpoint run by PyTorch in float32, on CUDA if there is a GPU."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import edge_fairmot
from edge_fairmot.benchmarks.observation import HEADS, TIE, DenseHead, Observation
from edge_fairmot.convert.checkpoint import load_network
from edge_fairmot.convert.deploy import GraphOptions, decode
from edge_fairmot.convert.network import DCN, STRIDE, FairMOT, deformable_layers, normalise_images
from edge_fairmot.convert.networks import network_name
from edge_fairmot.detector import check_outputs
from edge_fairmot.errors import InferenceError, RuntimeUnavailableError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.runtimes.checks import check_images
from edge_fairmot.types import RawDetections, UInt8Array

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")

_DeformConv2d = Callable[..., Tensor]


class TorchReference:
    """Runs a checkpoint as it was trained: batch norms not folded, dense heads, eager float32, no TF32.

    It is a :class:`~edge_fairmot.protocols.Runtime` that can return dense heads too. ``input_size`` (width,
    height) has multiples of 32. ``device`` is ``cuda`` or ``cpu``; the default is CUDA if there is a GPU, and
    :attr:`name` includes it. Raises CheckpointError for a file that is no FairMOT checkpoint, and
    RuntimeUnavailableError if there is no CUDA device but CUDA is asked for.
    """

    def __init__(
        self,
        checkpoint_path: str | Path,
        input_size: tuple[int, int],
        *,
        max_detections: int = 500,
        device: str | None = None,
    ) -> None:
        options = GraphOptions(input_size, max_detections=max_detections)
        if device is None:
            device = "cuda" if has_cuda() else "cpu"
        if device == "cuda" and not has_cuda():
            raise RuntimeUnavailableError(
                f"PyTorch {torch.__version__} finds no CUDA device: install its CUDA build and the NVIDIA "
                "driver, or use the CPU"
            )
        network, checkpoint = load_network(checkpoint_path)
        self.name = f"torch:{device}"
        self.manifest = ModelManifest(
            input_size=options.input_size,
            max_detections=options.top_k(checkpoint.spec.num_classes),
            embedding_dim=checkpoint.spec.embedding_dim,
            class_names=tuple(f"class-{i}" for i in range(checkpoint.spec.num_classes)),
            opset=0,
            checkpoint_sha256=checkpoint.sha256,
            teacher_sha256=checkpoint.teacher_sha256,
            plain_layers=tuple(sorted(checkpoint.spec.plain_layers)),
            toolkit_version=edge_fairmot.__version__,
            box_channels=checkpoint.spec.box_channels,
            stride=STRIDE,
            network=network_name(checkpoint.spec),
            parameters=checkpoint.parameters,
        )
        operator = _torchvision_deform_conv2d() if device == "cuda" else None
        if operator is not None:
            _use_operator(network, operator)
        self._deform_conv = "torchvision.ops.deform_conv2d" if operator else "grid_sample"
        self._device = torch.device(device)
        self._network: FairMOT | None = network.requires_grad_(False).to(self._device)

    @property
    def details(self) -> dict[str, str]:
        """Device, driver, versions and deformable convolution, for a report."""
        return describe_reference(self._device, self._deform_conv)

    def observe(self, images: UInt8Array) -> Observation:
        """Compute detections, dense heads and ties of one image, uint8 (1, H, W, 3) BGR, letterboxed.

        Raises InferenceError if the image does not fit, or outputs are not finite.
        """
        if self._network is None:
            raise InferenceError("this reference is closed: make another TorchReference")
        check_images(images, self.manifest)
        with torch.inference_mode(), full_float32():
            heads = self._network(normalise_images(torch.from_numpy(images).to(self._device)))
            strict, tied = (
                RawDetections(
                    *(output.cpu().numpy() for output in decode(heads, self.manifest.max_detections, tie))
                )
                for tie in (0.0, TIE)
            )
        dense = {name: DenseHead.whole(heads[name].cpu().numpy()) for name in HEADS}
        return Observation(check_outputs(strict, self.manifest, self.name), dense, tied)

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network; see :meth:`edge_fairmot.protocols.Runtime.infer`."""
        return self.observe(images).detections

    def close(self) -> None:
        """Release the network."""
        self._network = None


def describe_reference(device: torch.device, deform_conv: str) -> dict[str, str]:
    """Describe device, driver, versions and the operator of deformable convolutions."""
    on_cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_cuda else "CPU",
        "driver": _driver() if on_cuda else "none",
        "cuda": str(torch.version.cuda or "none"),
        "deform_conv": deform_conv,
        "torch": torch.__version__,
        "torchvision": _version("torchvision"),
        "numpy": np.__version__,
    }


def has_cuda() -> bool:
    """Whether PyTorch can compute on a GPU here."""
    return torch.cuda.is_available()


class _OperatorDCN(nn.Module):
    """A deformable layer that calls an operator with the signature of ``torchvision.ops.deform_conv2d``."""

    def __init__(self, layer: DCN, operator: _DeformConv2d) -> None:
        super().__init__()
        self.layer = layer
        self._operator = operator

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        offset, mask = layer.offset_and_mask(x)
        return self._operator(x, offset, layer.weight, layer.bias, padding=1, mask=mask)


def _use_operator(network: FairMOT, operator: _DeformConv2d) -> None:
    for name, layer in deformable_layers(network).items():
        network.set_submodule(name, _OperatorDCN(layer, operator))


def _torchvision_deform_conv2d() -> _DeformConv2d | None:
    """Find torchvision's operator; None if torchvision is missing, or built for another torch."""
    try:
        ops: Any = importlib.import_module("torchvision.ops")
    except (ImportError, RuntimeError):
        return None
    operator: _DeformConv2d = ops.deform_conv2d
    return operator


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch TF32 off while the context is open: its mantissa has ten bits, as float16's."""
    cudnn: Any = torch.backends.cudnn
    switches: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn.conv)
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def _driver() -> str:
    try:
        return NVIDIA_DRIVER.read_text().splitlines()[0].removeprefix("NVRM version:").strip()
    except (OSError, IndexError):
        return "unknown"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
