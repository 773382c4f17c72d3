"""Results as a benchmark writes them, made up."""

from dataclasses import replace
from functools import cache

import numpy as np

from edge_fairmot.benchmarks.conditions import Conditions, Reading
from edge_fairmot.benchmarks.frame_counts import FrameCounts
from edge_fairmot.benchmarks.machine import Machine
from edge_fairmot.benchmarks.results import (
    Agreement,
    Correctness,
    DeviceSpeedScore,
    Entry,
    MeasuredSource,
    ModelFile,
    Results,
    Settings,
    TrackScore,
)
from edge_fairmot.benchmarks.speed import FrameTimes, Live, Memory, Speed, measure_throughput, spread
from edge_fairmot.stages import STAGES

MACHINE = Machine(
    *("Made-up board", "aarch64", 4, 8192, "Linux", "6.1", "performance", False, (), "3.11", {"numpy": "2"}),
    environment={},
)
FRAMES = 200


def model(name, precision="fp32", size=(576, 320)):
    return ModelFile(name, 80_000_000, f"graph of {name}", "checkpoint", precision, size, "native", (), "")


@cache
def speed(median_ms=100.0, seed=0, frames=FRAMES, noise=0.05):
    """Times whose inference is log-normal about a median, in blocks of ten."""
    inference = median_ms * np.exp(np.random.default_rng(seed).normal(0, noise, frames))
    stage_ms = dict.fromkeys(STAGES, (0.5,) * frames) | {"inference": tuple(inference.tolist())}
    block = np.arange(frames) // 10
    cpu_ms = tuple((1.8 * inference).tolist())
    times = FrameTimes(tuple(np.arange(frames) * 0.3), tuple(block.tolist()), stage_ms, cpu_ms)
    stages = {stage: spread(np.array(ms), block) for stage, ms in stage_ms.items()}
    stages["frame"] = spread(np.array(times.frame_ms), block)
    live = Live(100, 40, 60, spread(np.full(40, 150.0), None))
    throughput = measure_throughput([(20, median_ms / 50)] * 6)
    return Speed(times, stages, throughput, live, 400.0, 200.0, Memory(60, 300, 0.5), 180.0, None)


def slowed(found, change):
    """The same times after ``change`` of the inference times."""
    inference = np.array(found.times.stage_ms["inference"])
    change(inference)
    stage_ms = dict(found.times.stage_ms) | {"inference": tuple(inference.tolist())}
    return replace(found, times=replace(found.times, stage_ms=stage_ms))


def counts(matched=4, identified=4, frames=FRAMES):
    each = {"truth": 5, "results": 5, "matched": matched, "switches": 0, "identified": identified}
    return {name: (value,) * frames for name, value in each.items()}


def correctness(hota=0.5, *, source=None, live=0.4):
    source = source or counts()
    total = FrameCounts.of(source)
    score = TrackScore(hota, total.mota, total.idf1, 3, 10, 20)
    seen = [DeviceSpeedScore(1, replace(score, hota=live), 0.6, 10.0, 150.0)]
    seen.append(DeviceSpeedScore(3, replace(score, hota=live + 0.05), 0.0, 8.0, 60.0))
    return Correctness(score, tuple(seen), Agreement(1.0, 0.99, 0.98, 0.999, 0.97, 0.95, 0.01), (source,))


def entry(name="fairmot.onnx", runtime="cpu", **changes):
    found = Entry(model(name), runtime, 0, "", speed(), correctness())
    return replace(found, **changes)


def results(*entries, **changes):
    made = Results(
        made_at="2026-11-23T12:00:00+00:00",
        ended="",
        machine=MACHINE,
        settings=Settings(),
        sources=(MeasuredSource("street.mp4", (640, 480), 25.0, FRAMES, "sha", "gt.txt"),),
        reference=entries[0].name if entries else "",
        entries=entries,
        conditions=(Conditions((Reading(1.0, 50.0, 1500.0, False, 0.01),)),),
    )
    return replace(made, **changes)
