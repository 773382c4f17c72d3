"""The reference: a checkpoint run by PyTorch in float32, on CUDA where there is one."""

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
from edge_fairmot.convert.deform_conv import TAPS
from edge_fairmot.convert.deploy import GraphOptions, decode
from edge_fairmot.convert.network import DCN, STRIDE, FairMOT, deformable_layers, normalise_images
from edge_fairmot.errors import InferenceError, RuntimeUnavailableError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.runtimes.checks import check_images, check_outputs
from edge_fairmot.types import RawDetections, UInt8Array

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")

_DeformConv2d = Callable[..., Tensor]


class TorchReference:
    """Runs a checkpoint as it was trained: unfolded, dense heads, eager float32, no TF32.

    It is a :class:`~edge_fairmot.protocols.Runtime`, and an observer that gives dense heads too.

    Parameters
    ----------
    checkpoint_path : str or Path
    input_size : (int, int)
        Width and height, pixels; multiples of 32.
    max_detections : int
    device : str, optional
        ``cuda`` or ``cpu``. CUDA where there is one, when not given; :attr:`name` says which it is.

    Raises
    ------
    CheckpointError
        If the file is not a FairMOT DLA-34 checkpoint.
    RuntimeUnavailableError
        If CUDA is asked for and not there.
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
            max_detections=_most_detections(options, network),
            embedding_dim=checkpoint.spec.embedding_dim,
            class_names=tuple(f"class-{i}" for i in range(checkpoint.spec.num_classes)),
            opset=0,
            checkpoint_sha256=checkpoint.sha256,
            teacher_sha256=checkpoint.teacher_sha256,
            plain_layers=tuple(sorted(checkpoint.spec.plain_layers)),
            toolkit_version=edge_fairmot.__version__,
            box_channels=checkpoint.spec.box_channels,
            stride=STRIDE,
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
        """Look at pictures.

        Parameters
        ----------
        images : uint8 (1, H, W, 3)
            BGR, letterboxed.

        Returns
        -------
        Observation
            With whole dense heads, and ties.

        Raises
        ------
        InferenceError
            If the picture does not fit, or outputs are not finite.
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
        return Observation(check_outputs(strict, self.name), dense, tied)

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network; see :meth:`edge_fairmot.protocols.Runtime.infer`."""
        return self.observe(images).detections

    def close(self) -> None:
        """Release the network."""
        self._network = None


def describe_reference(device: torch.device, deform_conv: str) -> dict[str, str]:
    """Say what computes: device, driver, versions and deformable convolution.

    Parameters
    ----------
    device : torch.device
    deform_conv : str
        The name of the operator.
    """
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
    """Tell whether PyTorch can compute on a GPU here."""
    return torch.cuda.is_available()


class _OperatorDCN(nn.Module):
    """A deformable layer by somebody else's operator, ``torchvision.ops.deform_conv2d``."""

    def __init__(self, layer: DCN, operator: _DeformConv2d) -> None:
        super().__init__()
        self.layer = layer
        self._operator = operator

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        offset_mask = layer.conv_offset_mask(x)
        offset, mask = offset_mask[:, : 2 * TAPS], torch.sigmoid(offset_mask[:, 2 * TAPS :])
        return self._operator(x, offset, layer.weight, layer.bias, padding=1, mask=mask)


def _use_operator(network: FairMOT, operator: _DeformConv2d) -> None:
    for name, layer in deformable_layers(network).items():
        network.set_submodule(name, _OperatorDCN(layer, operator))


def _torchvision_deform_conv2d() -> _DeformConv2d | None:
    """Find torchvision's operator; None where it is absent, or built for another torch."""
    try:
        ops: Any = importlib.import_module("torchvision.ops")
    except (ImportError, RuntimeError):
        return None
    operator: _DeformConv2d = ops.deform_conv2d
    return operator


def _most_detections(options: GraphOptions, network: FairMOT) -> int:
    width, height = options.input_size
    cells = (width // STRIDE) * (height // STRIDE) * network.spec.num_classes
    return min(options.max_detections, cells)


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch TF32 off: its ten bits of mantissa are those of float16, and no reference."""
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
