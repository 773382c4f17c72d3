"""Percentiles, intervals, throughput and slopes of samples that are known."""

from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.benchmarks.speed import measure_throughput, spread, summarize
from edge_fairmot.benchmarks.turns import LONGEST_BLOCK, Measurement, block_length, chunk_length
from edge_fairmot.benchmarks.worker import Job, LiveRun, Start, TimedFrame

JOB = Job(Path("m.onnx"), "cpu", ("v",), (Path("c"),), Path(), 100, 10, 25, 0.4, None, 3)


def test_percentiles_are_those_of_the_samples():
    found = spread(np.arange(1.0, 102.0), np.arange(101) // 10)

    assert (found.mean, found.p50, found.p90, found.p99) == (51.0, 51.0, 91.0, 100.0)
    assert found.interval.low < 51 < found.interval.high
    assert spread(np.arange(99.0), None).p99 is None


def test_the_interval_is_of_turns_not_of_frames():
    """Ten turns at ten speeds: a thousand frames make them no more certain."""
    generator = np.random.default_rng(0)
    moods = generator.normal(100, 10, 10)
    one_each = spread(moods, np.arange(10)).interval
    many_each = spread(np.repeat(moods, 100), np.repeat(np.arange(10), 100)).interval

    assert many_each.high - many_each.low > 0.7 * (one_each.high - one_each.low)
    # A handful of turns has no interval.
    assert spread(np.arange(40.0), np.arange(40) // 10).interval is None
    assert spread(np.arange(50.0), np.arange(50) // 10).interval is not None


def test_throughput_is_of_all_frames_and_its_interval_of_chunks():
    assert measure_throughput([]) is None
    even, uneven = (
        [(20, second) for second in seconds] for seconds in ([2.0] * 6, [1.0, 1.0, 1.0, 1.0, 4.0, 4.0])
    )
    assert measure_throughput(even).fps == measure_throughput(uneven).fps == 10
    assert measure_throughput(even[:4]).interval is None
    narrow, wide = measure_throughput(even).interval, measure_throughput(uneven).interval
    assert (narrow.low, narrow.high) == (10, 10)
    assert 5 <= wide.low < 8
    assert 15 < wide.high <= 20


@pytest.mark.parametrize(
    ("frames", "block", "chunk"),
    [(5, 1, 5), (24, 2, 5), (71, 5, 11), (300, 10, 25), (10_000, LONGEST_BLOCK, 25)],
)
def test_few_frames_are_cut_into_shorter_turns(frames, block, chunk):
    assert (block_length(frames), chunk_length(frames)) == (block, chunk)


def measurement(blocks=20, growth_mb=0.0, **changes):
    made = Measurement(JOB, Start(500.0, 200.0, 60.0), peak_mb=310.0, **changes)
    for number in range(blocks):
        frames = [TimedFrame(10.0 + number, (1.0, 2.0, 50.0 + number, 3.0, 0.5), 90.0) for _ in range(10)]
        made.blocks.append((tuple(frames), 300.0 + growth_mb * number))
    return made


def test_a_measurement_is_summed_up():
    live = LiveRun(100, 60, tuple([80.0] * 40))
    found = summarize(measurement(energy_j=600.0, chunks=[(100, 5.0)] * 2, live=live), origin_s=10.0)

    assert found.times.at_s[:11] == (0.0,) * 10 + (1.0,)
    assert found.times.block[9:11] == (0, 1)
    assert found.stages["inference"].p50 == pytest.approx(59.5)
    assert found.stages["frame"].p50 == pytest.approx(66.0)
    assert found.throughput.fps == 20.0
    assert (found.live.played, found.live.tracked, found.live.dropped) == (100, 40, 60)
    assert found.live.age_ms.p50 == 80.0
    assert found.energy_j == 3.0
    assert (found.cpu_ms, found.open_ms, found.first_ms) == (90.0, 500.0, 200.0)
    assert (found.memory.before_mb, found.memory.peak_mb) == (60.0, 310.0)

    cut = summarize(measurement(blocks=2), origin_s=0.0)
    assert cut.throughput is cut.live is cut.energy_j is cut.memory.slope_kb_per_frame is None


def test_memory_s_slope_is_that_of_the_settled_run():
    assert summarize(measurement(growth_mb=1.0), 0.0).memory.slope_kb_per_frame == pytest.approx(102.4)
    assert summarize(measurement(), 0.0).memory.slope_kb_per_frame == pytest.approx(0.0, abs=1e-6)
    # Growth at the beginning only is a cache that fills.
    filling = measurement(blocks=40)
    filling.blocks[:8] = [(frames, 100.0 + 10 * i) for i, (frames, _) in enumerate(filling.blocks[:8])]
    assert summarize(filling, 0.0).memory.slope_kb_per_frame == pytest.approx(0.0, abs=1e-6)
    assert summarize(filling, 0.0).memory.peak_mb == 310.0
