"""Offset statistics: how far deformable layers sample on given frames, and the error of plain layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.deform_conv import TAPS
from edge_fairmot.convert.network import DCN, FairMOT, check_sides, deformable_layers, normalise_images
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float32Array, UInt8Array

PERCENTILES = (50, 90, 99)

SAMPLES = 4096
"""Offsets kept of each frame for the percentiles. Mean and maximum are of all offsets."""


@dataclass(frozen=True, slots=True)
class OffsetStatistics:
    """Offsets and masks of one deformable layer over all frames.

    Attributes
    ----------
    offset_mean, offset_largest : float
        Length of an offset, in cells of the layer's own map. Each cell has nine.
    offset_percentiles : dict of str to float
        ``p50``, ``p90`` and ``p99`` of the length.
    tap_offset : tuple of (float, float)
        Mean (dy, dx) of each of the nine taps, in row-major order.
    tap_mask : tuple of float
        Mean mask of each tap.
    mask_deviation : float
        Standard deviation of the mask within its tap.
    mask_error, shift_error : float
        Error of a plain convolution in the layer's place: root mean square difference, as a share of the
        output's standard deviation. ``mask_error``: the mean masks are folded into its weights.
        ``shift_error``: the mean offsets are folded into them too.
    """

    offset_mean: float
    offset_percentiles: Mapping[str, float]
    offset_largest: float
    tap_offset: tuple[tuple[float, float], ...]
    tap_mask: tuple[float, ...]
    mask_deviation: float
    mask_error: float
    shift_error: float

    @property
    def shift_pays(self) -> bool:
        """Whether folding the mean offsets lowers the error."""
        return self.shift_error < self.mask_error

    @property
    def error(self) -> float:
        """The lesser of the two errors."""
        return min(self.mask_error, self.shift_error)


def measure_offsets(
    network: FairMOT, images: UInt8Array, on_frame: Callable[[], None] = lambda: None
) -> dict[str, OffsetStatistics]:
    """Measure the offset statistics of every deformable layer. Runs each frame twice.

    Parameters
    ----------
    network : FairMOT
        In evaluation mode.
    images : uint8 (N, H, W, 3)
        BGR, letterboxed.
    on_frame : callable, optional
        Called after each of 2 N runs.

    Returns
    -------
    dict of str to OffsetStatistics
        By the layer's name in the checkpoint, in the network's order.

    Raises
    ------
    InvalidInputError
        If there is no frame or no deformable layer, or the frames do not fit the network.
    """
    layers = deformable_layers(network)
    if not layers:
        raise InvalidInputError("this network has no deformable layer: give the checkpoint of a teacher")
    if not len(images):
        raise InvalidInputError("there are no frames to measure on: give --frames street.mp4")
    check_sides(width=images.shape[2], height=images.shape[1])
    offsets = {name: _OffsetSums() for name in layers}
    with _hooked({layer.conv_offset_mask: offsets[name].add for name, layer in layers.items()}):
        _run(network, images, on_frame)
    errors = {name: _PlainError(layer, offsets[name]) for name, layer in layers.items()}
    with _hooked({layer: errors[name].add for name, layer in layers.items()}):
        _run(network, images, on_frame)
    return {name: _summarise(offsets[name], errors[name]) for name in layers}


def plain_weights(layer: DCN, statistics: OffsetStatistics) -> Tensor:
    """Weights of the plain convolution that is nearest to the layer on those frames, float32 (O, C, 3, 3)."""
    return _fold_means(layer, statistics.tap_offset, statistics.tap_mask, statistics.shift_pays)


def fold_taps(weight: Tensor, tap_offset: Tensor, tap_mask: Tensor) -> Tensor:
    """Fold constant offsets (9, 2) and masks (9,) into plain 3x3 weights, (O, C, 3, 3).

    A bilinear sample is a weighted sum of the four cells around it, so the weight of a tap is spread over
    them. Exact if all four are among the nine cells of the kernel; what falls outside is dropped.
    """
    tap = torch.arange(TAPS, device=weight.device)
    place = torch.stack((tap // 3, tap % 3), dim=1).to(weight.dtype)
    distance = (place + tap_offset)[:, None] - place  # (from, to, 2)
    share = (1 - distance.abs()).clamp_min(0).prod(dim=2) * tap_mask[:, None]
    return (weight.flatten(2) @ share).view_as(weight)


class _OffsetSums:
    """Sums of the offsets and masks of one layer."""

    def __init__(self) -> None:
        self.count = 0
        self.length = self.largest = self.mask_squares = 0.0
        self.offset = torch.zeros(TAPS, 2, dtype=torch.float64)
        self.mask = torch.zeros(TAPS, dtype=torch.float64)
        self.samples: list[Float32Array] = []

    def add(self, x: Tensor, offset_mask: Tensor) -> None:
        offset = offset_mask[:, : 2 * TAPS].double()
        offset = offset.view(len(x), TAPS, 2, *x.shape[2:])
        mask = torch.sigmoid(offset_mask[:, 2 * TAPS :].double())
        length = offset.norm(dim=2).flatten()
        self.count += length.numel()
        self.length += float(length.sum())
        self.largest = max(self.largest, float(length.max()))
        self.offset += offset.sum(dim=(0, 3, 4)).cpu()
        self.mask += mask.sum(dim=(0, 2, 3)).cpu()
        self.mask_squares += float((mask**2).sum())
        stride = max(1, length.numel() // SAMPLES)
        self.samples.append(length[::stride].float().cpu().numpy())

    @property
    def tap_offset(self) -> tuple[tuple[float, float], ...]:
        return tuple((dy, dx) for dy, dx in (self.offset * TAPS / self.count).tolist())

    @property
    def tap_mask(self) -> tuple[float, ...]:
        return tuple((self.mask * TAPS / self.count).tolist())


class _PlainError:
    """Sums of the squared differences between one layer and two plain convolutions."""

    def __init__(self, layer: DCN, offsets: _OffsetSums) -> None:
        self._bias = layer.bias
        self._weights = [
            _fold_means(layer, offsets.tap_offset, offsets.tap_mask, with_offset)
            for with_offset in (False, True)
        ]
        self._squares = torch.zeros(2, dtype=torch.float64)
        self._total: Tensor | float = 0.0
        self._energy: Tensor | float = 0.0
        self._count = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        for i, weight in enumerate(self._weights):
            self._squares[i] += (F.conv2d(x, weight, self._bias, padding=1) - y).double().square().sum().cpu()
        values = y.double()
        self._total = self._total + values.sum(dim=(0, 2, 3))
        self._energy = self._energy + values.square().sum(dim=(0, 2, 3))
        self._count += y.numel() // y.shape[1]

    def shares(self) -> list[float]:
        spread = torch.as_tensor(self._energy - self._total**2 / self._count).sum().cpu()
        return [float(error) for error in (self._squares / spread.clamp_min(1e-30)).sqrt()]


def _summarise(offsets: _OffsetSums, error: _PlainError) -> OffsetStatistics:
    samples = np.concatenate(offsets.samples)
    tap_mask = np.asarray(offsets.tap_mask)
    mask_error, shift_error = error.shares()
    return OffsetStatistics(
        offset_mean=offsets.length / offsets.count,
        offset_percentiles={f"p{p}": float(np.percentile(samples, p)) for p in PERCENTILES},
        offset_largest=offsets.largest,
        tap_offset=offsets.tap_offset,
        tap_mask=offsets.tap_mask,
        mask_deviation=float(np.sqrt(max(0.0, offsets.mask_squares / offsets.count - (tap_mask**2).mean()))),
        mask_error=mask_error,
        shift_error=shift_error,
    )


def _fold_means(
    layer: DCN, tap_offset: tuple[tuple[float, float], ...], tap_mask: tuple[float, ...], with_offset: bool
) -> Tensor:
    weight = layer.weight.detach()
    offset = torch.tensor(tap_offset).to(weight) if with_offset else weight.new_zeros(TAPS, 2)
    return fold_taps(weight, offset, torch.tensor(tap_mask).to(weight))


def _run(network: FairMOT, images: UInt8Array, on_frame: Callable[[], None]) -> None:
    device = next(network.parameters()).device
    with torch.inference_mode():
        for image in images:
            network.features(normalise_images(torch.from_numpy(image[None]).to(device)))
            on_frame()


@contextmanager
def _hooked(add: Mapping[nn.Module, Callable[[Tensor, Tensor], None]]) -> Iterator[None]:
    """Call a function with input and output of each module while the context is open."""

    def call(
        function: Callable[[Tensor, Tensor], None], module: nn.Module, args: tuple[Any, ...], output: Tensor
    ) -> None:
        function(args[0], output)

    hooks = [module.register_forward_hook(partial(call, function)) for module, function in add.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
