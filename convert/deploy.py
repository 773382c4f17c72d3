"""The deploy graph: uint8 images in, decoded detections out (graph contract, one static size)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edge_fairmot.convert.network import SIZE_MULTIPLE, STRIDE, FairMOT, set_lowering
from edge_fairmot.convert.rewrites import (
    fold_batch_norms,
    fold_focus,
    fold_normalisation,
    shuffle_upsampling,
)
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.manifest import CORE, FULL, GRAPHS
from edge_fairmot.runtimes.host_decoder import CORE_OUTPUTS

OUTPUT_NAMES = ("boxes", "scores", "class_ids", "embeddings")
DENSE_OUTPUT_NAMES = ("hm", "wh", "reg", "id")

MAX_CELLS = 2**21
"""Most cells times classes. Up to twice as many, float32 index arithmetic is exact."""


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """How the deploy graph is built.

    Attributes
    ----------
    input_size : (int, int)
        Width and height, pixels; multiples of 32.
    deform_conv : str
        ``native``, ``gridsample``, ``gather`` or ``im2col``, for every deformable layer.
    max_detections : int
        K, at most the number of cells.
    batch_size : int
        N.
    late_heads : bool
        Compute ``wh``, ``reg`` and ``id`` at the K peaks only.
    shuffle_upsampling : bool
        Rewrite transposed convolutions, except those of a core graph: NPUs have them, and no shuffling.
    dense_heads : bool
        Add the dense heads as extra outputs, for debugging.
    graph : str
        ``full``; or ``core`` to end at the heatmap and the features, from float32 (N, 3, H, W), BGR, 0 to
        255. The host decodes them, with late heads.
    """

    input_size: tuple[int, int] = (1088, 608)
    deform_conv: str = "native"
    max_detections: int = 500
    batch_size: int = 1
    late_heads: bool = True
    shuffle_upsampling: bool = True
    dense_heads: bool = False
    graph: str = FULL

    def __post_init__(self) -> None:
        width, height = self.input_size
        if min(width, height) < SIZE_MULTIPLE or width % SIZE_MULTIPLE or height % SIZE_MULTIPLE:
            raise InvalidInputError(
                f"input size {width}x{height} does not fit: width and height must be multiples of "
                f"{SIZE_MULTIPLE}, as in 576x320, 864x480 or 1088x608"
            )
        for name, value in (("max_detections", self.max_detections), ("batch_size", self.batch_size)):
            if value < 1:
                raise InvalidInputError(f"{name} must be at least 1, not {value}")
        if self.graph not in GRAPHS:
            raise InvalidInputError(f"graph {self.graph!r}: choose from {', '.join(GRAPHS)}")
        if self.graph == CORE and (self.dense_heads or not self.late_heads):
            raise InvalidInputError(
                "a core graph has no dense heads, because the host computes late ones: leave "
                "--dense-heads and --no-late-heads out"
            )

    @property
    def shuffles(self) -> bool:
        """Whether transposed convolutions are rewritten."""
        return self.shuffle_upsampling and self.graph != CORE

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """Shape of the graph's input."""
        width, height = self.input_size
        if self.graph == CORE:
            return self.batch_size, 3, height, width
        return self.batch_size, height, width, 3

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in order."""
        if self.graph == CORE:
            return CORE_OUTPUTS
        return OUTPUT_NAMES + (DENSE_OUTPUT_NAMES if self.dense_heads else ())

    def top_k(self, num_classes: int) -> int:
        """K of a network with so many classes: ``max_detections``, or the number of cells."""
        width, height = self.input_size
        return min(self.max_detections, (width // STRIDE) * (height // STRIDE) * num_classes)


class DeployGraph(nn.Module):
    """A rewritten copy of the network, from the images to the decoded detections."""

    def __init__(self, network: FairMOT, options: GraphOptions) -> None:
        super().__init__()
        network = copy.deepcopy(network).eval().requires_grad_(False)
        fold_batch_norms(network)
        self.folds_focus = fold_focus(network)
        fold_normalisation(network)
        if options.shuffles:
            shuffle_upsampling(network)
        set_lowering(network, options.deform_conv)
        width, height = options.input_size
        cells = (width // STRIDE) * (height // STRIDE) * network.spec.num_classes
        if cells > MAX_CELLS:
            raise InvalidInputError(
                f"{network.spec.num_classes} classes at {width}x{height} are {cells} cells, "
                f"at most {MAX_CELLS} can be decoded: choose a smaller --size"
            )
        self.top_k = options.top_k(network.spec.num_classes)
        self.options = options
        self.network = network
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 (N, H, W, 3) BGR to the outputs of the graph contract, then the dense heads if wanted.

        A core graph maps float32 (N, 3, H, W) BGR to the heatmap before the sigmoid and the features.
        """
        network = self.network
        if self.options.graph == CORE:
            features = network.features(images)
            return network.hm(features), features
        features = network.features(images.float().permute(0, 3, 1, 2))
        hm = network.hm(features)
        scores, class_ids, cells = find_peaks(torch.sigmoid(hm), self.top_k)
        if self.options.late_heads:
            wh, reg, embedding = heads_at(
                features, cells, (network.wh, network.reg, network.id), self.options.batch_size
            )
        else:
            wh, reg, embedding = (
                gather_cells(head(features), cells) for head in (network.wh, network.reg, network.id)
            )
        boxes = decode_boxes(cells, extents_of(wh, class_ids), reg, features.shape[3])
        outputs: tuple[Tensor, ...] = (boxes, scores, class_ids, _unit_norm(embedding))
        if self.options.dense_heads:
            outputs += (hm, network.wh(features), network.reg(features), network.id(features))
        return outputs


def count_macs(graph: DeployGraph) -> int:
    """Count the multiply-adds of products (convolutions, matrices) of one image, with those of the host."""
    options = graph.options
    width, height = options.input_size
    graph = copy.deepcopy(graph).to("meta")
    graph.options = replace(options, graph=FULL)
    set_lowering(graph.network, "gridsample")  # torch knows the arithmetic of no opaque operator
    with FlopCounterMode(display=False) as counter:
        graph(torch.zeros(options.batch_size, height, width, 3, dtype=torch.uint8, device="meta"))
    return int(counter.get_total_flops()) // (2 * options.batch_size)


def decode(
    heads: dict[str, Tensor], max_detections: int, tie: float = 0.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Decode dense heads as the original does: the boxes, scores, class ids and embeddings of the contract.

    ``tie`` is that of :func:`find_peaks`.
    """
    hm = heads["hm"]
    top_k = min(max_detections, hm[0].numel())
    scores, class_ids, cells = find_peaks(torch.sigmoid(hm), top_k, tie)
    wh, reg, embedding = (gather_cells(heads[name], cells) for name in ("wh", "reg", "id"))
    boxes = decode_boxes(cells, extents_of(wh, class_ids), reg, hm.shape[3])
    return boxes, scores, class_ids, _unit_norm(embedding)


def find_peaks(heatmap: Tensor, top_k: int, tie: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Find the K highest cells that are the maximum of their 3x3 neighbourhood (CenterNet's decoding).

    Maps a heatmap (N, C, H, W) after the sigmoid to scores, descending and 0 where there are fewer than K
    peaks, class ids and row-major cell indices, all (N, K). A cell is a maximum up to ``tie`` below it.
    """
    highest = F.max_pool2d(heatmap, 3, stride=1, padding=1)
    is_peak = highest - heatmap <= tie if tie else highest == heatmap
    peaks = torch.where(is_peak, heatmap, 0.0)
    scores, index = torch.topk(peaks.flatten(1), top_k)
    size = heatmap.shape[2] * heatmap.shape[3]
    class_ids = _whole_quotient(index, size)
    return scores, class_ids, index - class_ids * size


def gather_cells(dense: Tensor, cells: Tensor) -> Tensor:
    """Pick the values of a dense head, (N, C, H, W), at the cells (N, K): (N, K, C)."""
    index = cells.unsqueeze(1).expand(-1, dense.shape[1], -1)
    return torch.gather(dense.flatten(2), 2, index).transpose(1, 2)


def heads_at(
    features: Tensor, cells: Tensor, heads: tuple[nn.Sequential, ...], batch_size: int
) -> tuple[Tensor, ...]:
    """Late heads: compute heads (3x3 convolution, ReLU or SiLU, 1x1 convolution) at some cells only, exactly.

    Gathers the 3x3 patches of features (N, C, H, W) at the cells (N, K) and multiplies them by the heads'
    weights. Returns (N, K, outputs) for each head. N is static: ``batch_size``.
    """
    channels, height, width = features.shape[1:]
    top_k, stride = cells.shape[1], width + 2
    table = F.pad(features, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, channels)
    row = _whole_quotient(cells, width)
    corner = (
        cells + 2 * row + torch.arange(batch_size, device=cells.device).view(-1, 1) * (stride * (height + 2))
    )
    side = torch.arange(3, device=cells.device)
    tap = side.view(3, 1) * stride + side.view(1, 3)
    patches = table.index_select(0, (corner.unsqueeze(2) + tap.view(1, 1, 9)).flatten())
    patches = patches.view(batch_size, top_k, 9 * channels)
    outputs = []
    for head in heads:
        first, last = head[0], head[2]
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        hidden = F.linear(patches, first.weight.permute(0, 2, 3, 1).flatten(1), first.bias)
        activate = F.silu if isinstance(head[1], nn.SiLU) else F.relu
        outputs.append(F.linear(activate(hidden), last.weight.flatten(1), last.bias))
    return tuple(outputs)


def extents_of(wh: Tensor, class_ids: Tensor) -> Tensor:
    """Pick the width and height of each peak's class, (N, K, 2), from those of all classes, (N, K, 2 * C).

    CenterNet's ``cat_spec_wh``. Extents of all classes alike, (N, K, 4 or 2), are returned as they are.
    """
    if wh.shape[2] in (2, 4):
        return wh
    index = (2 * class_ids).unsqueeze(2) + torch.arange(2, device=wh.device)
    return torch.gather(wh, 2, index)


def decode_boxes(cells: Tensor, wh: Tensor, reg: Tensor, width: int) -> Tensor:
    """Turn cells (N, K), extents (N, K, 4 or 2) and centre offsets (N, K, 2) into boxes (N, K, 4).

    Cells are row-major indices into a map of ``width`` cells a row. Extents (left, top, right, bottom, or
    width and height) and offsets (x, y) are in cells. Boxes are xyxy in input pixels.
    """
    row = _whole_quotient(cells, width)
    centre = torch.stack((cells - row * width, row), dim=2).float() + reg
    low, high = (wh[..., :2], wh[..., 2:]) if wh.shape[2] == 4 else (wh / 2, wh / 2)
    return torch.cat((centre - low, centre + high), dim=2) * STRIDE


def _unit_norm(embedding: Tensor) -> Tensor:
    # Not torch.linalg.norm: ReduceL2 needs opset 18, which TensorRT 8.6 does not promise.
    return embedding / (embedding * embedding).sum(dim=2, keepdim=True).clamp_min(1e-24).sqrt()


def _whole_quotient(index: Tensor, divisor: int) -> Tensor:
    """Divide int64 indices and round down, in float32: integer division is a dozen operators when exported.

    The added half keeps every quotient 0.5 / divisor away from an integer, so the result is right as well in
    a runtime that multiplies by 1 / divisor. Exact up to twice ``MAX_CELLS``.
    """
    return torch.floor((index.float() + 0.5) / divisor).long()
