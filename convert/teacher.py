"""What a student is to learn: a teacher's features on pictures, as fast as the device gives them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import onnxruntime
import torch
from torch import Tensor, nn

from edge_fairmot.convert.export import export_module
from edge_fairmot.convert.network import FairMOT, normalise_images, set_lowering
from edge_fairmot.errors import ConversionError
from edge_fairmot.types import UInt8Array

LEVELS = 4
"""Maps of the backbone that the neck aggregates."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a teacher makes of pictures.

    Attributes
    ----------
    levels : list of float32 (N, C, H / s, W / s)
        Of the backbone, strides 4 to 32: what the student's neck is given.
    maps : list of float32
        Of the neck, strides 4, 8 and 16, and last the features that the heads look at.
    heatmap : float32 (N, classes, H / 4, W / 4)
        Before the sigmoid.
    """

    levels: list[Tensor]
    maps: list[Tensor]
    heatmap: Tensor


Teacher: TypeAlias = Callable[[UInt8Array], Lesson]
"""Takes uint8 (N, H, W, 3), BGR."""


def make_teacher(network: FairMOT, picture_shape: tuple[int, int, int]) -> Teacher:
    """Make the network teach, by the fastest way on its device.

    Parameters
    ----------
    network : FairMOT
        Left as it is.
    picture_shape : (int, int, int)
        N, H and W of the pictures to come.

    Returns
    -------
    callable
    """
    if next(network.parameters()).device.type == "cpu":
        return _OnnxTeacher(network, picture_shape)
    return _TorchTeacher(network)


class _Lecture(nn.Module):
    def __init__(self, network: FairMOT) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        network = self.network
        levels = network.base(normalise_images(images))[2:]
        maps = network.neck(levels)
        return (*levels, *maps, network.hm(maps[-1]))


class _TorchTeacher:
    def __init__(self, network: FairMOT) -> None:
        self._lecture = _Lecture(network)
        self._device = next(network.parameters()).device

    def __call__(self, images: UInt8Array) -> Lesson:
        with torch.no_grad():
            return _as_lesson(self._lecture(torch.from_numpy(images).to(self._device)))


class _OnnxTeacher:
    """By ONNX Runtime: its ``DeformConv`` is twenty times as fast on a CPU as what torch has there."""

    def __init__(self, network: FairMOT, picture_shape: tuple[int, int, int]) -> None:
        lecture = _Lecture(copy.deepcopy(network).eval().requires_grad_(False))
        set_lowering(lecture, "native")
        example = torch.zeros(*picture_shape, 3, dtype=torch.uint8)
        names = [f"output_{i}" for i in range(2 * LEVELS + 1)]
        model = export_module(lecture, {"images": example}, names, "native")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would spin, between calls, on the processors that the student learns on.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # whatever its C++ side threw, under many names
            raise ConversionError(
                f"onnxruntime {onnxruntime.__version__} cannot run DeformConv on the CPU: "
                "pip install -U 'onnxruntime>=1.25'"
            ) from error

    def __call__(self, images: UInt8Array) -> Lesson:
        return _as_lesson([torch.from_numpy(array) for array in self._session.run(None, {"images": images})])


def _as_lesson(outputs: list[Tensor] | tuple[Tensor, ...]) -> Lesson:
    return Lesson(list(outputs[:LEVELS]), list(outputs[LEVELS:-1]), outputs[-1])
