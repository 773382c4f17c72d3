"""Mixed precision: which layers stay float, so that an int8 file detects what the float file detects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from edge_fairmot.benchmarks.parity_budget import ParityBudget
from edge_fairmot.benchmarks.peak_matching import PeakMatch, PeakStatistics, match_peaks
from edge_fairmot.convert.calibration import Ranges
from edge_fairmot.convert.deploy import OUTPUT_NAMES
from edge_fairmot.convert.quantization import convolution_layers, quantize
from edge_fairmot.errors import ConversionError
from edge_fairmot.runtimes.ort import make_session_options
from edge_fairmot.types import RawDetections, UInt8Array

ATTRIBUTION_FRAMES = 6
"""Frames on which single layers are compared: those with the most sure peaks. Few are enough, because an
error is a mean over thousands of activations."""


@dataclass(frozen=True, slots=True)
class DetectionParity:
    """How the detections of a candidate agree with those of the float model.

    Attributes
    ----------
    peaks : int
        Sure peaks of the float model: score above the threshold by more than the margin.
    recall, precision : float or None
        Of sure peaks; None if there are none.
    iou_mean, cosine_mean : float or None
        Over matched peaks; None if there are none.
    score_drift : float
        Standard deviation of the differences of scores.
    """

    peaks: int
    recall: float | None
    precision: float | None
    iou_mean: float | None
    cosine_mean: float | None
    score_drift: float

    @property
    def error(self) -> float:
        """One number that ranks layers: the sum of what each figure lacks to 1, plus the score drift."""
        agreement = (self.recall, self.precision, self.iou_mean, self.cosine_mean)
        return sum(1 - value for value in agreement if value is not None) + self.score_drift

    def within(self, budget: ParityBudget) -> bool:
        """Whether every known figure is within the budget."""
        pairs = (
            (self.recall, budget.recall),
            (self.precision, budget.precision),
            (self.iou_mean, budget.iou_mean),
            (self.cosine_mean, budget.cosine_mean),
        )
        return all(value is None or least is None or value >= least for value, least in pairs)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """A layer, its multiply-adds, and :attr:`DetectionParity.error` if it is the only layer in int8."""

    name: str
    macs: int
    error: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The quantized model.

    Attributes
    ----------
    model : onnx.ModelProto
    float_layers : tuple of str
        Layers left float, in the order in which they were added.
    parity : DetectionParity
        Of the model, on the validation frames.
    costs : tuple of LayerCost
        The largest error first; empty if int8 in all layers is within the budget.
    """

    model: onnx.ModelProto
    float_layers: tuple[str, ...]
    parity: DetectionParity
    costs: tuple[LayerCost, ...]


class MixedPrecisionSearch:
    """Compares quantized variants of a float model of batch size 1 with it, on validation frames."""

    def __init__(
        self,
        model: onnx.ModelProto,
        ranges: Ranges,
        images: UInt8Array,
        budget: ParityBudget,
        score_threshold: float,
    ) -> None:
        self._model = model
        self._ranges = ranges
        self._images = images
        self._budget = budget
        self._threshold = score_threshold
        self._reference = _detect(model, images)
        self._sure_peaks = [int(self._match(found, found).sure_reference.sum()) for found in self._reference]

    def run(
        self, always_float: Collection[str] = (), on_step: Callable[[str], None] = lambda step: None
    ) -> SearchResult:
        """Quantize all layers; while the budget is exceeded, leave the layer with the largest error float.

        Layers in ``always_float`` stay float in any case. Raises ConversionError if the float model finds no
        sure peak, or the budget is exceeded with every layer float.
        """
        if not any(self._sure_peaks):
            raise ConversionError(
                f"the float model finds no person with a score above {self._threshold} in the "
                f"{len(self._images)} validation frames, so there is nothing to compare: calibrate on "
                "frames with people in them"
            )
        kept = list(always_float)
        on_step("quantizing")
        model, parity = self._try(kept)
        if parity.within(self._budget):
            return SearchResult(model, tuple(kept), parity, ())
        layers = [layer for layer in convolution_layers(self._model) if layer.quantizable]
        layers = [layer for layer in layers if layer.name not in kept]
        names = {layer.name for layer in layers} | set(kept)
        on_step("comparing with every layer float")
        _, parity = self._try(names)
        if not parity.within(self._budget):
            raise ConversionError(
                "the budget is exceeded with every layer float, because weights stored as int8 alone "
                f"give recall {_figure(parity.recall)}, precision {_figure(parity.precision)}, IoU "
                f"{_figure(parity.iou_mean)} and cosine {_figure(parity.cosine_mean)}: give a wider --budget"
            )
        most_peaks = np.argsort(self._sure_peaks, kind="stable")[::-1]
        frames = sorted(most_peaks[:ATTRIBUTION_FRAMES].tolist())
        costs = []
        for number, layer in enumerate(layers, 1):
            on_step(f"measuring layer {number} of {len(layers)}")
            _, parity = self._try(names - {layer.name}, frames)
            costs.append(LayerCost(layer.name, layer.macs, parity.error))
        costs.sort(key=lambda cost: -cost.error)
        for cost in costs:
            kept.append(cost.name)
            on_step(f"leaving {cost.name} float")
            model, parity = self._try(kept)
            if parity.within(self._budget):
                break
        return SearchResult(model, tuple(kept), parity, tuple(costs))

    def _try(
        self, float_layers: Collection[str], frames: Sequence[int] | None = None
    ) -> tuple[onnx.ModelProto, DetectionParity]:
        """Quantize, and compare with the float model on some frames or all."""
        model = quantize(self._model, self._ranges, float_layers=float_layers)
        rows = list(range(len(self._images)) if frames is None else frames)
        statistics = PeakStatistics()
        for n, found in zip(rows, _detect(model, self._images[rows]), strict=True):
            statistics.add(self._match(self._reference[n], found))
        peaks = statistics.peaks()
        return model, DetectionParity(
            peaks=peaks.reference_peaks,
            recall=peaks.recall,
            precision=peaks.precision,
            iou_mean=statistics.boxes().mean,
            cosine_mean=statistics.embeddings().mean,
            score_drift=peaks.score_shift_std or 0.0,
        )

    def _match(self, reference: RawDetections, found: RawDetections) -> PeakMatch:
        return match_peaks(reference, found, self._threshold, self._budget.score_margin)


def _detect(model: onnx.ModelProto, images: UInt8Array) -> list[RawDetections]:
    """Run a model on images (N, H, W, 3), one by one."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), make_session_options(), providers=["CPUExecutionProvider"]
    )
    return [RawDetections(*session.run(OUTPUT_NAMES, {"images": image[None]})) for image in images]


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
