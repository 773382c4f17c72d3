"""Figures for Prometheus, read when they are asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import Outputs
from edge_fairmot.service.web.feed import Feed
from edge_fairmot.service.web.run import WatchedRun
from edge_fairmot.service.web.scene import Scene
from edge_fairmot.service.web.viewers import Viewers
from edge_fairmot.system import warmest_zone

PREFIX = "edge_fairmot_"

QUANTILES = (0.5, 0.99)


def metrics_writer(run: WatchedRun, feed: Feed, viewers: Viewers) -> Callable[[], bytes]:
    """Make what writes all figures in Prometheus's text format: of the run, its counts and this process."""
    registry = CollectorRegistry()
    registry.register(RunCollector(run, feed, viewers))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


class RunCollector(Collector):
    """Turns what is known of a run into metrics; keeps nothing."""

    def __init__(self, run: WatchedRun, feed: Feed, viewers: Viewers) -> None:
        self._run, self._feed, self._viewers = run, feed, viewers

    def collect(self) -> Iterator[Metric]:
        """Give every metric as it is now."""
        yield from _of_the_loop(self._run.summary())
        state = self._run.state()
        yield _gauge("source_up", "1 while frames come.", float(state.status == "running"))
        yield _counter("source_reconnects", "How often frames came again.", state.reconnects)
        yield from _of_the_outputs(self._run.outputs())
        yield _gauge("viewers", "Who watch the page.", len(self._viewers))
        yield self._delays()
        zone = warmest_zone()
        if zone is not None:
            yield _gauge("device_temperature_celsius", "Of the warmest thermal zone.", zone.celsius)
        if self._feed.latest is not None:
            yield from _of_the_scene(self._feed.latest)

    def _delays(self) -> Metric:
        delays = GaugeMetricFamily(
            PREFIX + "page_delay_seconds",
            "From the camera to a page that has drawn it, of the last thousand scenes.",
            labels=["quantile"],
        )
        for quantile in QUANTILES:
            delay_s = self._viewers.delay_s(quantile)
            if delay_s is not None:
                delays.add_metric([str(quantile)], delay_s)
        return delays


def _of_the_loop(summary: RunSummary) -> Iterator[Metric]:
    yield _counter("frames", "Frames that went through.", summary.frames)
    yield _counter("frames_predicted", "Those in which nobody was looked for.", summary.predicted)
    yield _counter("frames_dropped", "Frames that there was no time for.", summary.dropped)
    yield _counter("identities", "Different people by the tracker.", summary.identities)
    stages = CounterMetricFamily(
        PREFIX + "stage_busy_seconds", "Time that each stage was busy.", labels=["stage"]
    )
    for stage, ms in summary.stage_ms.items():
        stages.add_metric([stage], ms * summary.frames / 1e3)
    yield stages


def _of_the_outputs(outputs: Outputs) -> Iterator[Metric]:
    up = GaugeMetricFamily(PREFIX + "output_up", "1 unless it is in trouble.", labels=["output"])
    missed = CounterMetricFamily(
        PREFIX + "output_missed", "What was lost while it was in trouble.", labels=["output", "what"]
    )
    for name, output in outputs.items():
        up.add_metric([name], float(not output["trouble"]))
        for key, value in output.items():
            if key.startswith("missed_"):
                missed.add_metric([name, key.removeprefix("missed_")], value)
    yield from (up, missed)


def _of_the_scene(scene: Scene) -> Iterator[Metric]:
    yield _gauge("people", "Tracks in the newest frame.", len(scene.tracks))
    yield _gauge(
        "frame_age_seconds", "Since the loop had the newest frame.", time.monotonic() - scene.taken_s
    )
    crossings = CounterMetricFamily(
        PREFIX + "line_crossings", "Crossings of a line.", labels=["line", "direction"]
    )
    for name, line in scene.lines.items():
        crossings.add_metric([name, "in"], line.inwards)
        crossings.add_metric([name, "out"], line.outwards)
    yield crossings
    occupancy = GaugeMetricFamily(PREFIX + "zone_occupancy", "Who are in a zone.", labels=["zone"])
    entries = CounterMetricFamily(PREFIX + "zone_entries", "Entries to a zone.", labels=["zone"])
    dwells = CounterMetricFamily(
        PREFIX + "zone_dwell_seconds", "Length of all stays that have ended.", labels=["zone"]
    )
    stays = CounterMetricFamily(PREFIX + "zone_stays", "Stays that have ended.", labels=["zone"])
    for name, zone in scene.zones.items():
        occupancy.add_metric([name], zone.occupancy)
        entries.add_metric([name], zone.entries)
        stays.add_metric([name], zone.stays)
        dwells.add_metric([name], zone.mean_dwell_s * zone.stays)
    yield from (occupancy, entries, stays, dwells)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, meaning, value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, meaning, value)
