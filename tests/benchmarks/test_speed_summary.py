"""Percentiles, intervals and slopes of samples that are known."""

from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.benchmarks.speed.contender import Job, LiveRun
from edge_fairmot.benchmarks.speed.rounds import LONGEST_BLOCK, Measurement, block_length
from edge_fairmot.benchmarks.speed.stage_timing import TimedFrame
from edge_fairmot.benchmarks.speed.summary import spread, summarise

JOB = Job(Path("m.onnx"), "cpu", ("v",), (Path("t.npz"),), Path(), 100, 0.4, None, 3)


def test_percentiles_are_those_of_the_samples():
    found = spread(np.arange(1.0, 102.0), np.arange(101) // 10)

    assert (found.mean, found.p50, found.p90, found.p99) == (51.0, 51.0, 91.0, 100.0)
    assert found.interval.low < 51 < found.interval.high


def test_a_99th_percentile_needs_a_hundred_frames():
    assert spread(np.arange(99.0), None).p99 is None
    assert spread(np.arange(100.0), None).p99 is not None


def test_the_interval_is_of_turns_not_of_frames():
    """Ten turns at ten speeds: a thousand frames make them no more certain."""
    generator = np.random.default_rng(0)
    moods = generator.normal(100, 10, 10)
    one_each = spread(moods, np.arange(10)).interval
    many_each = spread(np.repeat(moods, 100), np.repeat(np.arange(10), 100)).interval

    assert many_each.high - many_each.low > 0.7 * (one_each.high - one_each.low)


def test_a_handful_of_turns_has_no_interval():
    assert spread(np.arange(40.0), np.arange(40) // 10).interval is None
    assert spread(np.arange(50.0), np.arange(50) // 10).interval is not None


@pytest.mark.parametrize(("frames", "length"), [(5, 1), (24, 2), (71, 5), (300, 10), (10_000, LONGEST_BLOCK)])
def test_short_footage_is_cut_into_shorter_turns(frames, length):
    assert block_length(frames) == length


def measurement(blocks=20, growth_mb=0.0, **changes):
    made = Measurement(JOB, 500.0, 200.0, 60.0, 310.0, **changes)
    for number in range(blocks):
        frames = [TimedFrame(10.0 + number, (1.0, 2.0, 50.0 + number, 3.0, 0.5), 90.0) for _ in range(10)]
        made.blocks.append((tuple(frames), 300.0 + growth_mb * number))
    return made


def test_a_measurement_is_summed_up():
    live = LiveRun(100, 60, tuple([80.0] * 40))
    found = summarise(measurement(energy_j=600.0, pipelined=(200, 10.0), live=live), origin_s=10.0)

    assert found.times.at_s[:11] == (0.0,) * 10 + (1.0,)
    assert found.times.block[9:11] == (0, 1)
    assert found.stages["inference"].p50 == pytest.approx(59.5)
    assert found.stages["frame"].p50 == pytest.approx(66.0)
    assert found.throughput_fps == 20.0
    assert (found.live.played, found.live.tracked, found.live.dropped) == (100, 40, 60)
    assert found.live.age_ms.p50 == 80.0
    assert found.energy_j == 3.0
    assert (found.cpu_ms, found.open_ms, found.first_ms) == (90.0, 500.0, 200.0)
    assert (found.memory.before_mb, found.memory.peak_mb) == (60.0, 310.0)


def test_what_was_not_come_to_is_not_there():
    found = summarise(measurement(blocks=2), origin_s=0.0)

    assert found.throughput_fps is found.live is found.energy_j is found.memory.slope_kb_per_frame is None


def test_memory_s_slope_is_that_of_the_settled_run():
    assert summarise(measurement(growth_mb=1.0), 0.0).memory.slope_kb_per_frame == pytest.approx(102.4)
    assert summarise(measurement(), 0.0).memory.slope_kb_per_frame == pytest.approx(0.0, abs=1e-6)
    # What grows at the beginning only is a cache that fills.
    filling = measurement(blocks=40)
    filling.blocks[:8] = [(frames, 100.0 + 10 * i) for i, (frames, _) in enumerate(filling.blocks[:8])]
    assert summarise(filling, 0.0).memory.slope_kb_per_frame == pytest.approx(0.0, abs=1e-6)
    assert summarise(filling, 0.0).memory.peak_mb == 310.0
