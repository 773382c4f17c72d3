"""Memory, threads and open files of a run without end: a video over and over, through the pipeline.

``python -m edge_fairmot.benchmarks.soak street.mp4 --model fairmot.onnx --minutes 20`` prints them as it runs
and the slope of memory at the end. It writes text as ``track`` does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.frame_sources import LoopedSource
from edge_fairmot.benchmarks.speed import SETTLED_FROM
from edge_fairmot.detector import FairMotDetector
from edge_fairmot.errors import EdgeFairmotError, MissingDependencyError
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.runtimes import RuntimeOptions, open_runtime
from edge_fairmot.sinks import JsonLinesHeader, JsonLinesSink, MotTextSink
from edge_fairmot.sources import open_source
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Float64Array

INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment."""

    at_s: float  # since the first frame
    frames: int  # tracked up to then
    resident_mb: float
    threads: int
    files: int

    def __str__(self) -> str:
        return (
            f"{self.at_s:7.0f} s {self.frames:8d} frames {self.resident_mb:8.1f} MB "
            f"{self.threads:4d} threads {self.files:4d} files"
        )


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of memory after its first quarter."""

    slope_mb_per_hour: float
    error_mb_per_hour: float  # standard error of the slope
    peak_mb: float  # of the whole run


def soak(source: str, model: Path, runtime: str, options: RuntimeOptions, seconds: float) -> list[Sample]:
    """Track a source over and over; returns a sample every five seconds."""
    try:
        import psutil  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("psutil", "bench", "to read memory") from error
    process: Any = psutil.Process()
    samples = [Sample(0.0, 0, 0.0, 0, 0)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        looped = stack.enter_context(closing(LoopedSource(lambda: open_source(source), seconds)))
        opened = stack.enter_context(closing(open_runtime(model, runtime, options)))
        header = JsonLinesHeader(looped.info.name, looped.info.frame_size, looped.info.frame_rate)
        text = stack.enter_context(MotTextSink(folder / "tracks.txt"))
        lines = stack.enter_context(JsonLinesSink(folder / "tracks.jsonl", header))
        tracker = Tracker(TrackerConfig(frame_rate=looped.info.frame_rate))
        began_s = perf_counter()
        for result in Pipeline(looped, FairMotDetector(opened), tracker):
            text.write(result)
            lines.write(result)
            at_s = perf_counter() - began_s
            if at_s - samples[-1].at_s >= INTERVAL_S:
                resident_mb = process.memory_info().rss / 2**20
                counts = process.num_threads(), process.num_fds()
                samples.append(Sample(at_s, result.frame.number, resident_mb, *counts))
                print(samples[-1], flush=True)
    return samples[1:]


def measure_growth(samples: Sequence[Sample]) -> Growth:
    """Fit a line to memory over time, of at least eight samples."""
    settled = samples[int(SETTLED_FROM * len(samples)) :]
    hours: Float64Array = np.array([sample.at_s for sample in settled]) / 3600
    resident_mb = np.array([sample.resident_mb for sample in settled])
    (slope, _), covariance = np.polyfit(hours, resident_mb, 1, cov=True)
    peak_mb = max(sample.resident_mb for sample in samples)
    return Growth(float(slope), float(np.sqrt(covariance[0, 0])), peak_mb)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m edge_fairmot.benchmarks.soak", description=__doc__)
    parser.add_argument("source", help="video, image folder, MOTChallenge sequence or synthetic:")
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("--runtime", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--minutes", type=float, default=20.0)
    arguments = parser.parse_args()
    try:
        options = RuntimeOptions(threads=arguments.threads)
        seconds = 60 * arguments.minutes
        samples = soak(arguments.source, arguments.model, arguments.runtime, options, seconds)
    except EdgeFairmotError as error:
        sys.exit(f"error: {error}")
    if len(samples) < 8:
        sys.exit("error: too short for a slope: give more --minutes")
    growth = measure_growth(samples)
    print(
        f"{samples[-1].frames} frames in {samples[-1].at_s:.0f} s, peak {growth.peak_mb:.1f} MB, "
        f"{growth.slope_mb_per_hour:+.2f} MB an hour (standard error {growth.error_mb_per_hour:.2f})"
    )


if __name__ == "__main__":
    main()
