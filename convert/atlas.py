"""The offset atlas: how far deformable layers reach on frames, and what plain ones would lose there."""

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

from edge_fairmot.convert.deform_conv import TAPS, fold_taps
from edge_fairmot.convert.network import DCN, FairMOT, check_sides, deformable_layers, normalise_images
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float32Array, UInt8Array

PERCENTILES = (50, 90, 99)

SAMPLES = 4096
"""Offsets kept of a picture, for the percentiles; mean and largest are of all."""


@dataclass(frozen=True, slots=True)
class LayerDeformation:
    """What one deformable layer does, over all frames.

    Offsets are in pixels of the layer's own map, and there is one a cell and tap.

    Attributes
    ----------
    offset_mean, offset_largest : float
        Length.
    offset_percentiles : dict of str to float
        ``p50``, ``p90`` and ``p99`` of the length.
    tap_offset : tuple of (float, float)
        Mean (dy, dx) of each of the nine taps, in row-major order.
    tap_mask : tuple of float
        Mean mask of each tap.
    mask_deviation : float
        Standard deviation of the mask within its tap.
    mask_error, shift_error : float
        What is lost by a plain convolution in its place: root of the mean square difference, as a share of
        the output's standard deviation. With the mean masks folded into its weights; with the mean offsets
        folded too.
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
        """Whether the plain convolution is nearer with the mean offsets folded."""
        return self.shift_error < self.mask_error

    @property
    def error(self) -> float:
        """The lesser of the two errors."""
        return min(self.mask_error, self.shift_error)


def plain_weights(layer: DCN, deformation: LayerDeformation) -> Tensor:
    """Make the weights with which a plain convolution starts in the layer's place, float32 (O, C, 3, 3)."""
    return _folded(layer, deformation.tap_offset, deformation.tap_mask, deformation.shift_pays)


def measure_atlas(
    network: FairMOT, images: UInt8Array, on_frame: Callable[[], None] = lambda: None
) -> dict[str, LayerDeformation]:
    """Look at every deformable layer while the network looks at frames. Each frame is run twice.

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
    dict of str to LayerDeformation
        By the layer's name in the checkpoint, in the network's order.

    Raises
    ------
    InvalidInputError
        If there is no frame, or no deformable layer, or the network takes no frames of that size.
    """
    layers = deformable_layers(network)
    if not layers:
        raise InvalidInputError("this network has no deformable layer: give the checkpoint of a teacher")
    if not len(images):
        raise InvalidInputError("there are no frames to look at: give --frames street.mp4")
    check_sides(width=images.shape[2], height=images.shape[1])
    reaches = {name: _Reach() for name in layers}
    with _hooked({layer.conv_offset_mask: reaches[name].see for name, layer in layers.items()}):
        _run(network, images, on_frame)
    losses = {name: _Loss(layer, reaches[name]) for name, layer in layers.items()}
    with _hooked({layer: losses[name].see for name, layer in layers.items()}):
        _run(network, images, on_frame)
    return {name: _sum_up(reaches[name], losses[name]) for name in layers}


class _Reach:
    """Offsets and masks, summed up frame by frame."""

    def __init__(self) -> None:
        self.count = 0
        self.length = self.largest = self.mask_squares = 0.0
        self.offset = torch.zeros(TAPS, 2, dtype=torch.float64)
        self.mask = torch.zeros(TAPS, dtype=torch.float64)
        self.samples: list[Float32Array] = []

    def see(self, x: Tensor, offset_mask: Tensor) -> None:
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


class _Loss:
    """The difference that two plain convolutions make, summed up frame by frame."""

    def __init__(self, layer: DCN, reach: _Reach) -> None:
        self._bias = layer.bias
        self._weights = [
            _folded(layer, reach.tap_offset, reach.tap_mask, with_offset) for with_offset in (False, True)
        ]
        self._squares = torch.zeros(2, dtype=torch.float64)
        self._total: Tensor | float = 0.0
        self._energy: Tensor | float = 0.0
        self._count = 0

    def see(self, x: Tensor, y: Tensor) -> None:
        for i, weight in enumerate(self._weights):
            self._squares[i] += (F.conv2d(x, weight, self._bias, padding=1) - y).double().square().sum().cpu()
        values = y.double()
        self._total = self._total + values.sum(dim=(0, 2, 3))
        self._energy = self._energy + values.square().sum(dim=(0, 2, 3))
        self._count += y.numel() // y.shape[1]

    def errors(self) -> list[float]:
        spread = torch.as_tensor(self._energy - self._total**2 / self._count).sum().cpu()
        return [float(error) for error in (self._squares / spread.clamp_min(1e-30)).sqrt()]


def _sum_up(reach: _Reach, loss: _Loss) -> LayerDeformation:
    samples = np.concatenate(reach.samples)
    tap_mask = np.asarray(reach.tap_mask)
    mask_error, shift_error = loss.errors()
    return LayerDeformation(
        offset_mean=reach.length / reach.count,
        offset_percentiles={f"p{p}": float(np.percentile(samples, p)) for p in PERCENTILES},
        offset_largest=reach.largest,
        tap_offset=reach.tap_offset,
        tap_mask=reach.tap_mask,
        mask_deviation=float(np.sqrt(max(0.0, reach.mask_squares / reach.count - (tap_mask**2).mean()))),
        mask_error=mask_error,
        shift_error=shift_error,
    )


def _folded(
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
def _hooked(see: Mapping[nn.Module, Callable[[Tensor, Tensor], None]]) -> Iterator[None]:
    def call(
        look: Callable[[Tensor, Tensor], None], module: nn.Module, args: tuple[Any, ...], output: Tensor
    ) -> None:
        look(args[0], output)

    hooks = [module.register_forward_hook(partial(call, look)) for module, look in see.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
