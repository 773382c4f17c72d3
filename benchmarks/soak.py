"""Whether a run that does not end grows: a video over and over, through the product's loop.

``python -m edge_fairmot.benchmarks.soak street.mp4 --model fairmot.onnx --minutes 20`` prints memory, threads
and open files as it goes, and at the end the slope of memory. Text is written as ``track`` does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.speed.camera import LoopedSource
from edge_fairmot.benchmarks.speed.summary import SETTLED_FROM
from edge_fairmot.errors import EdgeFairmotError, MissingDependencyError
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.protocols import Sink
from edge_fairmot.runtimes import RuntimeOptions, open_runtime
from edge_fairmot.sinks import JsonLinesHeader, JsonLinesSink, MotTextSink
from edge_fairmot.sources import open_source
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Float64Array

INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment.

    Attributes
    ----------
    at_s : float
        Since the first frame.
    frames : int
        Tracked up to then.
    resident_mb : float
    threads, files : int
        Running, and open.
    """

    at_s: float
    frames: int
    resident_mb: float
    threads: int
    files: int


@dataclass(frozen=True, slots=True)
class Growth:
    """How memory went, once it had settled.

    Attributes
    ----------
    slope_mb_per_hour : float
    error_mb_per_hour : float
        Standard error of the slope.
    peak_mb : float
        Of the whole run.
    """

    slope_mb_per_hour: float
    error_mb_per_hour: float
    peak_mb: float


def soak(source: str, model: Path, runtime: str, options: RuntimeOptions, seconds: float) -> list[Sample]:
    """Track a video over and over.

    Parameters
    ----------
    source : str
        As for :func:`edge_fairmot.sources.open_source`.
    model : Path
    runtime : str
    options : RuntimeOptions
    seconds : float
        How long.

    Returns
    -------
    list of Sample
        One every five seconds.

    Raises
    ------
    EdgeFairmotError
        If anything cannot be opened, or fails on the way.
    """
    try:
        import psutil  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("psutil", "bench", "to read memory") from error
    process: Any = psutil.Process()
    samples = [Sample(0.0, 0, 0.0, 0, 0)]
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(LoopedSource(lambda: open_source(source), seconds)) as looped,
        closing(open_runtime(model, runtime, options)) as opened,
    ):
        info = looped.info
        sinks: list[Sink] = [
            MotTextSink(Path(folder, "tracks.txt")),
            JsonLinesSink(
                Path(folder, "tracks.jsonl"), JsonLinesHeader(info.name, info.frame_size, info.frame_rate)
            ),
        ]
        tracker = Tracker(TrackerConfig(frame_rate=info.frame_rate))
        pipeline, began_s = Pipeline(looped, opened, tracker, sinks), perf_counter()
        for frame, _ in pipeline:
            at_s = perf_counter() - began_s
            if at_s - samples[-1].at_s >= INTERVAL_S:
                resident_mb = process.memory_info().rss / 2**20
                samples.append(
                    Sample(at_s, frame.index + 1, resident_mb, process.num_threads(), process.num_fds())
                )
                print(_line(samples[-1]), flush=True)
        for sink in sinks:
            sink.close()
    return samples[1:]


def measure_growth(samples: Sequence[Sample]) -> Growth:
    """Fit a line to memory over time.

    Parameters
    ----------
    samples : sequence of Sample
        At least eight.
    """
    settled = samples[int(SETTLED_FROM * len(samples)) :]
    hours: Float64Array = np.array([sample.at_s for sample in settled]) / 3600
    resident_mb = np.array([sample.resident_mb for sample in settled])
    (slope, _), covariance = np.polyfit(hours, resident_mb, 1, cov=True)
    peak_mb = max(sample.resident_mb for sample in samples)
    return Growth(float(slope), float(np.sqrt(covariance[0, 0])), peak_mb)


def _line(sample: Sample) -> str:
    return (
        f"{sample.at_s:7.0f} s {sample.frames:8d} frames {sample.resident_mb:8.1f} MB "
        f"{sample.threads:4d} threads {sample.files:4d} files"
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m edge_fairmot.benchmarks.soak", description=__doc__)
    parser.add_argument("source", help="video, picture folder, MOTChallenge sequence or synthetic:")
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
        sys.exit("error: too short to tell a slope: give more --minutes")
    growth = measure_growth(samples)
    print(
        f"{samples[-1].frames} frames in {samples[-1].at_s:.0f} s, peak {growth.peak_mb:.1f} MB, "
        f"{growth.slope_mb_per_hour:+.2f} MB an hour (standard error {growth.error_mb_per_hour:.2f})"
    )


if __name__ == "__main__":
    main()
