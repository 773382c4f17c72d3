"""Which layers must stay float, so that an int8 file decides as the float one does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from time import perf_counter

import onnx
import onnxruntime

from edge_fairmot.benchmarks.parity_budget import ParityBudget
from edge_fairmot.benchmarks.peak_matching import PeakStatistics, match_peaks
from edge_fairmot.convert.calibration import Ranges
from edge_fairmot.convert.deploy import OUTPUT_NAMES
from edge_fairmot.convert.quantization import convolution_layers, quantize
from edge_fairmot.errors import ConversionError
from edge_fairmot.runtimes.ort import make_session_options
from edge_fairmot.types import RawDetections, UInt8Array

ATTRIBUTION_FRAMES = 6
"""Frames on which a single layer is judged: its error is a mean over thousands of activations already."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """How a candidate decides, beside the float model, on some frames.

    Attributes
    ----------
    recall, precision : float or None
        Of sure peaks; None where there are none.
    iou_mean, cosine_mean : float or None
        Over matched peaks.
    score_drift : float
        Standard deviation of the scores' differences.
    """

    recall: float | None
    precision: float | None
    iou_mean: float | None
    cosine_mean: float | None
    score_drift: float

    @property
    def error(self) -> float:
        """One number to rank layers by: what is missing to perfect agreement, plus the score drift."""
        agreement = (self.recall, self.precision, self.iou_mean, self.cosine_mean)
        return sum(1 - value for value in agreement if value is not None) + self.score_drift

    def within(self, budget: ParityBudget) -> bool:
        """Whether every figure holds; one that cannot be told does not break the budget."""
        pairs = (
            (self.recall, budget.recall),
            (self.precision, budget.precision),
            (self.iou_mean, budget.iou_mean),
            (self.cosine_mean, budget.cosine_mean),
        )
        return all(value is None or least is None or value >= least for value, least in pairs)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What one layer's int8 costs and saves.

    Attributes
    ----------
    name : str
    macs : int
    error : float
        :attr:`Decisions.error` when it is the only layer in int8.
    saved_ms : float
        By how much a frame takes longer, on this machine, when it is the only layer in float; noisy, and
        negative where int8 is slower.
    """

    name: str
    macs: int
    error: float
    saved_ms: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What the search found.

    Attributes
    ----------
    model : onnx.ModelProto
    float_layers : tuple of str
        Layers left float, in the order in which they were.
    decisions : Decisions
        Of the model, on the frames of the search.
    costs : tuple of LayerCost
        The dearest first; empty where int8 throughout was within the budget.
    """

    model: onnx.ModelProto
    float_layers: tuple[str, ...]
    decisions: Decisions
    costs: tuple[LayerCost, ...]


class DriftSearch:
    """Compares quantized variants of one float model with it.

    Parameters
    ----------
    model : onnx.ModelProto
        Float32, batch size 1.
    ranges : Ranges
    images : uint8 (N, H, W, 3)
        Frames to judge by; not those of the calibration.
    budget : ParityBudget
    score_threshold : float
    """

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
        (self._reference,), _ = _detect([model], images)

    def run(
        self, always_float: Collection[str] = (), on_step: Callable[[str], None] = lambda step: None
    ) -> SearchResult:
        """Quantize all layers; where the budget is broken, leave the dearest float, one after the other.

        Parameters
        ----------
        always_float : collection of str
            Layers to leave float in any case.
        on_step : callable, optional
            Called with a few words as each step begins.

        Raises
        ------
        ConversionError
            If there is nothing to compare, or the budget is broken with every layer float.
        """
        if self._decisions(self._reference).recall is None:
            raise ConversionError(
                f"the float model finds nobody with a score above {self._threshold} in the "
                f"{len(self._images)} frames that judge, so there is nothing to compare: calibrate on "
                "footage with people in it"
            )
        kept = list(always_float)
        on_step("quantizing")
        model, decisions = self._try(kept)
        if decisions.within(self._budget):
            return SearchResult(model, tuple(kept), decisions, ())
        costs = self._attribute(model, kept, on_step)
        for cost in costs:
            kept.append(cost.name)
            on_step(f"leaving {cost.name} float")
            model, decisions = self._try(kept)
            if decisions.within(self._budget):
                return SearchResult(model, tuple(kept), decisions, tuple(costs))
        raise ConversionError(
            f"no choice of float layers keeps the budget (recall {decisions.recall}, precision "
            f"{decisions.precision}, IoU {decisions.iou_mean}, cosine {decisions.cosine_mean}): "
            "calibrate on more frames, or give a wider --budget"
        )

    def _attribute(
        self, quantized: onnx.ModelProto, kept: Collection[str], on_step: Callable[[str], None]
    ) -> list[LayerCost]:
        layers = [layer for layer in convolution_layers(self._model) if layer.quantizable]
        layers = [layer for layer in layers if layer.name not in kept]
        names = {layer.name for layer in layers} | set(kept)
        frames = self._images[:ATTRIBUTION_FRAMES]
        costs = []
        for number, layer in enumerate(layers, 1):
            on_step(f"judging layer {number} of {len(layers)}")
            alone = quantize(self._model, self._ranges, float_layers=names - {layer.name})
            (found,), _ = _detect([alone], frames)
            without = quantize(self._model, self._ranges, float_layers=[*kept, layer.name])
            _, (with_ms, without_ms) = _detect([quantized, without], frames)
            error = self._decisions(found).error
            costs.append(LayerCost(layer.name, layer.macs, error, without_ms - with_ms))
        return sorted(costs, key=lambda cost: -cost.error)

    def _try(self, float_layers: Collection[str]) -> tuple[onnx.ModelProto, Decisions]:
        model = quantize(self._model, self._ranges, float_layers=float_layers)
        (found,), _ = _detect([model], self._images)
        return model, self._decisions(found)

    def _decisions(self, found: Sequence[RawDetections]) -> Decisions:
        statistics = PeakStatistics()
        for ours, theirs in zip(self._reference, found, strict=False):
            statistics.add(match_peaks(ours, theirs, self._threshold, self._budget.score_margin))
        peaks = statistics.peaks()
        return Decisions(
            recall=peaks.recall,
            precision=peaks.precision,
            iou_mean=statistics.boxes().mean,
            cosine_mean=statistics.embeddings().mean,
            score_drift=peaks.score_shift_std or 0.0,
        )


def _detect(
    models: Sequence[onnx.ModelProto], images: UInt8Array
) -> tuple[list[list[RawDetections]], list[float]]:
    """Run models in turn, picture by picture: what each finds, and its least time for one."""
    options = make_session_options()
    # A model's waiting threads would spin on the processors that the next one needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions = [
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for model in models
    ]
    found: list[list[RawDetections]] = [[] for _ in models]
    times_ms: list[list[float]] = [[] for _ in models]
    for image in images:
        for session, detections, times in zip(sessions, found, times_ms, strict=True):
            started = perf_counter()
            detections.append(RawDetections(*session.run(OUTPUT_NAMES, {"images": image[None]})))
            times.append(1e3 * (perf_counter() - started))
    return found, [min(times) for times in times_ms]
