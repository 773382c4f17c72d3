"""From a FairMOT checkpoint to an ONNX file. The only room where torch lives."""

from edge_fairmot.errors import MissingDependencyError

try:
    import onnx
    import onnxscript
    import onnxsim
    import torch
except ModuleNotFoundError as error:
    raise MissingDependencyError(error.name or "torch", "convert", "to convert checkpoints") from error

from edge_fairmot.convert.calibration import CalibrationFrames
from edge_fairmot.convert.checkpoint import Checkpoint, load_network, read_checkpoint
from edge_fairmot.convert.conversion import Conversion, Int8Options, convert
from edge_fairmot.convert.deploy import GraphOptions
from edge_fairmot.convert.network import FairMOT, NetworkSpec, set_lowering

__all__ = [
    "CalibrationFrames",
    "Checkpoint",
    "Conversion",
    "FairMOT",
    "GraphOptions",
    "Int8Options",
    "NetworkSpec",
    "convert",
    "load_network",
    "read_checkpoint",
    "set_lowering",
]
