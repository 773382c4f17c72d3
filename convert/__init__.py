"""From a FairMOT checkpoint to an ONNX file. The only room where torch lives; it is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from edge_fairmot.errors import MissingDependencyError

if TYPE_CHECKING:
    from edge_fairmot.convert.calibration import CalibrationFrames
    from edge_fairmot.convert.checkpoint import Checkpoint, load_network, read_checkpoint
    from edge_fairmot.convert.conversion import Conversion, Int8Options, convert
    from edge_fairmot.convert.deploy import GraphOptions
    from edge_fairmot.convert.network import FairMOT, NetworkSpec, set_lowering
    from edge_fairmot.convert.networks import build_network

for package in ("onnx", "onnxscript", "onnxsim", "torch"):
    if find_spec(package) is None:
        raise MissingDependencyError(package, "convert", "to convert checkpoints")

_MODULES = {
    "calibration": ("CalibrationFrames",),
    "checkpoint": ("Checkpoint", "load_network", "read_checkpoint"),
    "conversion": ("Conversion", "Int8Options", "convert"),
    "deploy": ("GraphOptions",),
    "network": ("FairMOT", "NetworkSpec", "set_lowering"),
    "networks": ("build_network",),
}

__all__ = [
    "CalibrationFrames",
    "Checkpoint",
    "Conversion",
    "FairMOT",
    "GraphOptions",
    "Int8Options",
    "NetworkSpec",
    "build_network",
    "convert",
    "load_network",
    "read_checkpoint",
    "set_lowering",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
