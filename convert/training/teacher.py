"""A teacher's features and heads on images, and how far a student is from them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import onnxruntime
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.deploy import decode_boxes, extents_of, find_peaks, heads_at
from edge_fairmot.convert.export import export_module
from edge_fairmot.convert.network import LEVELS, FairMOT, normalise_images, set_lowering
from edge_fairmot.errors import ConversionError
from edge_fairmot.types import UInt8Array

PEAKS = 32
"""Number of the teacher's highest peaks per image. Each counts by its score: the tail adds little."""

MIN_SIDE_PX = 8.0
"""The error of a smaller box is relative to this."""


@dataclass(frozen=True, slots=True)
class TeacherOutputs:
    """Outputs of a teacher for N images."""

    levels: list[Tensor]  # of the backbone, float32 (N, C, H / s, W / s), strides 4 to 32: the neck's input
    maps: list[Tensor]  # of the neck; the last are the features that the heads take
    heatmap: Tensor  # float32 (N, classes, H / 4, W / 4), before the sigmoid


Teacher: TypeAlias = Callable[[UInt8Array], TeacherOutputs]
"""Takes uint8 (N, H, W, 3), BGR."""


def make_teacher(network: FairMOT, image_shape: tuple[int, int, int]) -> Teacher:
    """Make a teacher of a network, for images of N, H and W; by ONNX Runtime on a CPU, else by torch."""
    if next(network.parameters()).device.type == "cpu":
        return _OnnxTeacher(network, image_shape)
    return TorchTeacher(network)


def compare_maps(maps: Sequence[Tensor], outputs: TeacherOutputs) -> Tensor:
    """Compute how far a student's neck is from the teacher's: mean square errors, relative, averaged.

    ``maps`` are the last maps of the neck, as many as both networks have in common.
    """
    pairs = zip(maps, outputs.maps[-len(maps) :], strict=True)
    errors = [F.mse_loss(a.float(), b) / b.square().mean().clamp_min(1e-12) for a, b in pairs]
    return torch.stack(errors).mean()


def compare_heads(
    student: FairMOT, teacher: FairMOT, features: Tensor, outputs: TeacherOutputs
) -> dict[str, Tensor]:
    """Compute how far a student's heads on its features are from the teacher's; 0 where they agree.

    ``heatmap``: Kullback-Leibler divergence of the scores by their sum. At the teacher's peaks, ``boxes``:
    mean distance of a side by the box's mean side, and ``embeddings``: 1 - cosine.
    """
    theirs, ours = outputs.maps[-1], features.float()
    scores, class_ids, cells = find_peaks(
        torch.sigmoid(outputs.heatmap), min(PEAKS, outputs.heatmap[0].numel())
    )
    weight = scores / scores.sum().clamp_min(1e-6)
    with torch.no_grad():
        boxes, embeddings = _at_peaks(teacher, theirs, cells, class_ids)
    own_boxes, own_embeddings = _at_peaks(student, ours, cells, class_ids)
    side = ((boxes[..., 2:] - boxes[..., :2]).abs().mean(dim=2)).clamp_min(MIN_SIDE_PX)
    distance = (own_boxes - boxes).abs().mean(dim=2) / side
    cosine = F.cosine_similarity(own_embeddings, embeddings, dim=2)
    return {
        "heatmap": _divergence(student.hm(ours).float(), outputs.heatmap),
        "boxes": (weight * distance).sum(),
        "embeddings": (weight * (1 - cosine)).sum(),
    }


def _at_peaks(network: FairMOT, features: Tensor, cells: Tensor, class_ids: Tensor) -> tuple[Tensor, Tensor]:
    wh, reg, embedding = heads_at(features, cells, (network.wh, network.reg, network.id), len(features))
    wh = extents_of(wh.float(), class_ids)
    return decode_boxes(cells, wh, reg.float(), features.shape[3]), embedding.float()


def _divergence(ours: Tensor, theirs: Tensor) -> Tensor:
    scores = torch.sigmoid(theirs)
    entropy = F.binary_cross_entropy_with_logits(theirs, scores, reduction="sum")
    crossed = F.binary_cross_entropy_with_logits(ours, scores, reduction="sum")
    return (crossed - entropy) / scores.sum().clamp_min(1.0)


class _Outputs(nn.Module):
    """The network with all of :class:`TeacherOutputs` as outputs, in order."""

    def __init__(self, network: FairMOT) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        network = self.network
        levels = network.levels(normalise_images(images))
        maps = network.neck(levels)
        return (*levels, *maps, network.hm(maps[-1]))


class TorchTeacher:
    """A teacher by torch, on any device."""

    def __init__(self, network: FairMOT) -> None:
        self._outputs = _Outputs(network)
        self._device = next(network.parameters()).device

    def __call__(self, images: UInt8Array) -> TeacherOutputs:
        """Compute the outputs on uint8 (N, H, W, 3), BGR."""
        with torch.no_grad():
            return _pack(self._outputs(torch.from_numpy(images).to(self._device)))


class _OnnxTeacher:
    """Runs by ONNX Runtime: on a CPU, its ``DeformConv`` is twenty times as fast as torch's lowering."""

    def __init__(self, network: FairMOT, image_shape: tuple[int, int, int]) -> None:
        outputs = _Outputs(copy.deepcopy(network).eval().requires_grad_(False))
        set_lowering(outputs, "native")
        example = torch.zeros(*image_shape, 3, dtype=torch.uint8)
        names = [f"output_{i}" for i in range(LEVELS + len(network.map_channels) + 1)]
        model = export_module(outputs, {"images": example}, names, "native")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Between calls, spinning threads would take the processors from the student.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its C++ side throws under many names
            raise ConversionError(
                f"onnxruntime {onnxruntime.__version__} cannot run DeformConv on the CPU: "
                "pip install -U 'onnxruntime>=1.25'"
            ) from error

    def __call__(self, images: UInt8Array) -> TeacherOutputs:
        return _pack([torch.from_numpy(array) for array in self._session.run(None, {"images": images})])


def _pack(outputs: Sequence[Tensor]) -> TeacherOutputs:
    return TeacherOutputs(list(outputs[:LEVELS]), list(outputs[LEVELS:-1]), outputs[-1])
