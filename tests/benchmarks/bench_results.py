"""Results as a benchmark leaves them, made up."""

from dataclasses import replace
from functools import cache

import numpy as np

from edge_fairmot.benchmarks.device.conditions import Conditions, Reading
from edge_fairmot.benchmarks.device.machine import Machine
from edge_fairmot.benchmarks.results import Entry, Footage, ModelFile, Results, Settings
from edge_fairmot.benchmarks.scores import Agreement, Correctness, DeviceSpeedScore, Tally, TrackScore
from edge_fairmot.benchmarks.speed.figures import FrameTimes, Live, Memory, Speed
from edge_fairmot.benchmarks.speed.summary import spread
from edge_fairmot.pipeline import STAGES

MACHINE = Machine(
    *(
        "Made-up board",
        "aarch64",
        4,
        8192,
        "Linux",
        "6.1",
        "performance",
        False,
        (),
        "3.11",
        {"numpy": "2"},
        {},
    )
)
FRAMES = 200
COUNTS = np.full(FRAMES, 5)


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
    return Speed(times, stages, 1e3 / median_ms, live, 400.0, 200.0, Memory(60, 300, 0.5), 180.0, None)


def tally(matched=4, identified=4):
    return Tally(
        truth=tuple(COUNTS.tolist()),
        results=tuple(COUNTS.tolist()),
        matched=(matched,) * FRAMES,
        switches=(0,) * FRAMES,
        identified=(identified,) * FRAMES,
    )


def correctness(hota=0.5, *, tallies=None, live=0.4):
    tallies = tallies or (tally(),)
    counts = tallies[0].counts()
    score = TrackScore(hota, counts.mota, counts.idf1, 3, 10, 20)
    seen = [DeviceSpeedScore(1, replace(score, hota=live), 0.6, 10.0, 150.0)]
    seen.append(DeviceSpeedScore(3, replace(score, hota=live + 0.05), 0.0, 8.0, 60.0))
    return Correctness(score, tuple(seen), Agreement(1.0, 0.99, 0.98, 0.999, 0.97, 0.95, 0.01), tallies)


def entry(name="fairmot.onnx", runtime="cpu", **changes):
    found = Entry(model(name), runtime, 0, "", speed(), correctness())
    return replace(found, **changes)


def results(*entries, **changes):
    made = Results(
        made_at="2026-11-23T12:00:00+00:00",
        ended="",
        machine=MACHINE,
        settings=Settings(),
        footage=(Footage("street.mp4", (640, 480), 25.0, FRAMES, "sha", "gt.txt"),),
        reference=entries[0].name if entries else "",
        entries=entries,
        conditions=(Conditions((Reading(1.0, 50.0, 1500.0, False, 0.01),)),),
    )
    return replace(made, **changes)
