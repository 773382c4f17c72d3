"""Figures of a run: the status in JSON, its health, and the metrics for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import edge_fairmot
from edge_fairmot.classes import count_by_class
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.service.run import SLOW, RateMeter, Rates, RunView
from edge_fairmot.service.web.clients import Clients
from edge_fairmot.service.web.frames import LatestFrame, WebFrame
from edge_fairmot.sources.address import redact, redact_text
from edge_fairmot.system import warmest_zone
from edge_fairmot.types import Counts, LineCounts, ZoneCounts

ShapeCounts = TypeVar("ShapeCounts", LineCounts, ZoneCounts)

SLOW_S = 10.0
"""A run is too slow to count if it was so over this time."""

STALLED_S = 30.0
"""A run with a running source is stalled after this time without a frame."""

PREFIX = "edge_fairmot_"

QUANTILES = (0.5, 0.99)

TEMPERATURE = "device_temperature_celsius"


class StatusBoard:
    """Reads the status of a run; ``source`` is the name of its source."""

    def __init__(self, run: RunView, source: str, slot: LatestFrame) -> None:
        self._run, self._source, self._slot = run, redact(source), slot
        self._rates, self._pace = RateMeter(), RateMeter(SLOW_S)

    def read(self) -> dict[str, Any]:
        """Return all figures as JSON takes them, without credentials."""
        summary, state = self._run.summary(), self._run.state()
        rates, pace = self._rates.read(summary), self._pace.read(summary)
        zone = warmest_zone()
        return {
            "version": edge_fairmot.__version__,
            "source": {
                "name": self._source,
                "status": state.status,
                "for_s": round(time.monotonic() - state.since_s, 1),
                "reconnects": state.reconnects,
                "message": redact_text(state.message),
            },
            "frame_rate": round(rates.frame_rate, 2),
            "too_slow": _too_slow(pace) if state.status == "running" else "",
            "stage_ms": {stage: round(ms, 2) for stage, ms in rates.stage_ms.items()},
            "frames": summary.frames,
            "predicted": summary.predicted,
            "dropped": summary.dropped,
            "identities": summary.identities,
            "running_s": round(summary.wall_s, 1),
            "outputs": self._run.output_health(),
            "temperature_c": None if zone is None else round(zone.celsius, 1),
        }

    def health(self) -> tuple[bool, str]:
        """Return whether frames are processed, and the status of the source or ``stalled``."""
        state, frame = self._run.state(), self._slot.frame
        if state.status != "running":
            return False, state.status
        received_s = state.since_s if frame is None else max(frame.received_s, state.since_s)
        stalled = time.monotonic() - received_s > STALLED_S
        return not stalled, "stalled" if stalled else "running"


def _too_slow(pace: Rates) -> str:
    """Return what to do about a run that drops most frames and sees too few to count; else an empty text."""
    if pace.frame_rate >= SLOW or pace.dropped_rate <= pace.frame_rate:
        return ""
    offered = pace.frame_rate + pace.dropped_rate
    return (
        f"Too slow to count: {pace.frame_rate:.2g} of {offered:.0f} frames/s; "
        "try --runtime openvino or --detect-every 3"
    )


def metrics_writer(run: Collector) -> Callable[[], bytes]:
    """Return a function that writes all metrics of the run and the process in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(run)
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


class RunCollector(Collector):
    """Computes the metrics on request; keeps no state."""

    def __init__(self, run: RunView, slot: LatestFrame, clients: Clients) -> None:
        self._run, self._slot, self._clients = run, slot, clients

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from _loop_metrics(self._run.summary())
        state = self._run.state()
        yield _gauge("source_up", "1 while frames come.", float(state.status == "running"))
        yield _counter("source_reconnects", "Times that frames came again.", state.reconnects)
        yield from _output_metrics(self._run.output_health())
        yield _gauge("viewers", "Clients of the page.", len(self._clients))
        delays = ((q, self._clients.delay_s(q)) for q in QUANTILES)
        yield _gauges(
            "page_delay_seconds",
            "From capture to drawing on a page, over the last 1000 frames.",
            ["quantile"],
            (((str(quantile),), delay_s) for quantile, delay_s in delays if delay_s is not None),
        )
        zone = warmest_zone()
        if zone is not None:
            yield _gauge(TEMPERATURE, "Of the warmest thermal zone.", zone.celsius)
        if self._slot.frame is not None:
            yield from _frame_metrics(self._slot.frame)


class CamerasCollector(Collector):
    """The metrics of several cameras, by name, with a label ``camera``; of the device without one."""

    def __init__(self, cameras: Mapping[str, Collector]) -> None:
        self._cameras = cameras

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once, with the samples of all cameras."""
        found: dict[str, Metric] = {}
        for camera, collector in self._cameras.items():
            for metric in collector.collect():
                if metric.name == PREFIX + TEMPERATURE:
                    found.setdefault(metric.name, metric)
                    continue
                samples = [one._replace(labels={"camera": camera, **one.labels}) for one in metric.samples]
                first = found.setdefault(metric.name, metric)
                first.samples = samples if first is metric else first.samples + samples
        yield from found.values()


def _loop_metrics(summary: RunSummary) -> Iterator[Metric]:
    yield _counter("frames", "Processed frames.", summary.frames)
    yield _counter("frames_predicted", "Frames without detection.", summary.predicted)
    yield _counter("frames_dropped", "Frames that a newer one replaced.", summary.dropped)
    yield _counter("identities", "Distinct track ids.", summary.identities)
    yield _counters(
        "stage_busy_seconds",
        "Busy time of each stage.",
        ["stage"],
        (((stage,), ms * summary.frames / 1e3) for stage, ms in summary.stage_ms.items()),
    )


def _output_metrics(outputs: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    up = (((name,), float(not output["trouble"])) for name, output in outputs.items())
    yield _gauges("output_up", "1 unless the output has an error.", ["output"], up)
    missed = (
        ((name, key.removeprefix("missed_")), value)
        for name, output in outputs.items()
        for key, value in output.items()
        if key.startswith("missed_")
    )
    yield _counters("output_missed", "Items that an output has lost.", ["output", "what"], missed)


def _frame_metrics(frame: WebFrame) -> Iterator[Metric]:
    yield _gauge("people", "Tracks in the newest frame.", len(frame.result.tracks))
    yield _gauge("frame_age_seconds", "Age of the newest result.", time.monotonic() - frame.received_s)
    result = frame.result
    in_view = count_by_class(result.tracks.class_id, result.class_names)
    if in_view:
        yield _gauges("tracks", "Tracks of a class in the newest frame.", ["class"], _keyed(in_view))
    counts, label = result.counts or Counts(), ["class"] if in_view else []
    crossings = (
        ((*names, direction), value)
        for names, line in _by_class(counts.lines)
        for direction, value in (("in", line.inwards), ("out", line.outwards))
    )
    yield _counters("line_crossings", "Crossings of a line.", ["line", *label, "direction"], crossings)
    zones = list(_by_class(counts.zones))
    for gauge, meaning, persons in (
        ("zone_occupancy", "Persons seen in a zone.", ((names, zone.occupancy) for names, zone in zones)),
        ("zone_unseen", "Persons last seen in a zone.", ((names, zone.unseen) for names, zone in zones)),
    ):
        yield _gauges(gauge, meaning, ["zone", *label], persons)
    for metric, meaning, values in (
        ("zone_entries", "Entries to a zone.", (zone.entries for _, zone in zones)),
        ("zone_stays", "Stays that have ended.", (zone.stays for _, zone in zones)),
        ("zone_dwell_seconds", "Sum of the stays.", (zone.mean_dwell_s * zone.stays for _, zone in zones)),
    ):
        found = zip((names for names, _ in zones), values, strict=True)
        yield _counters(metric, meaning, ["zone", *label], found)


def _by_class(shapes: Mapping[str, ShapeCounts]) -> Iterator[tuple[tuple[str, ...], ShapeCounts]]:
    """Yield counts by the name of a shape; of several classes, by its name and that of each class."""
    for name, shape in shapes.items():
        if not shape.by_class:
            yield (name,), shape
        for class_name, one in shape.by_class.items():
            yield (name, class_name), one


def _keyed(values: Mapping[str, float]) -> Iterator[tuple[tuple[str, ...], float]]:
    return (((name,), value) for name, value in values.items())


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, meaning, value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, meaning, value)


def _gauges(
    name: str, meaning: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, meaning, labels=labels), values)


def _counters(
    name: str, meaning: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, meaning, labels=labels), values)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    for keys, value in values:
        family.add_metric(keys, value)
    return family
