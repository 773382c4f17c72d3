"""A soak plays a source over and over, and tells memory that grows from memory that does not."""

import numpy as np
import pytest

from edge_fairmot.benchmarks.soak import Sample, measure_growth, soak
from edge_fairmot.benchmarks.speed.camera import LoopedSource
from edge_fairmot.runtimes import RuntimeOptions
from edge_fairmot.sources import open_source

STREET = "synthetic:frames=5,size=128x96,people=2"


def samples_of(megabytes):
    return [Sample(5.0 * i, 10 * i, value, 4, 9) for i, value in enumerate(megabytes)]


def test_a_source_goes_on_from_its_start_with_numbers_and_times_that_rise():
    looped = LoopedSource(lambda: open_source(STREET), 60.0)
    frames = []
    for frame in looped:
        frames.append(frame)
        if len(frames) == 12:
            looped.close()
    # Five a round: the one that was begun when it was closed may be finished, no other is begun.
    assert 12 <= len(frames) <= 15
    assert [frame.index for frame in frames] == list(range(len(frames)))
    steps = np.diff([frame.time_s for frame in frames])
    np.testing.assert_allclose(steps, 1 / looped.info.frame_rate)
    np.testing.assert_array_equal(frames[0].image, frames[5].image)
    assert looped.info.frame_count is None


def test_it_ends_by_the_clock():
    assert len(list(LoopedSource(lambda: open_source(STREET), 0.0))) == 0


def test_what_grows_is_told_from_what_does_not():
    noise = np.random.default_rng(0).normal(0, 0.5, 240)
    warm_up = 50 * np.exp(-np.arange(240) / 10)
    flat = measure_growth(samples_of(300 + noise - warm_up))
    assert abs(flat.slope_mb_per_hour) < 3 * flat.error_mb_per_hour
    leaking = measure_growth(samples_of(300 + noise - warm_up + np.arange(240) * 0.05))
    assert leaking.slope_mb_per_hour == pytest.approx(36, rel=0.1)
    assert leaking.slope_mb_per_hour > 3 * leaking.error_mb_per_hour
    assert leaking.peak_mb == max(300 + noise - warm_up + np.arange(240) * 0.05)


def test_a_short_soak_tracks_and_samples(small_model, monkeypatch):
    monkeypatch.setattr("edge_fairmot.benchmarks.soak.INTERVAL_S", 0.2)
    samples = soak(STREET, small_model, "cpu", RuntimeOptions(threads=1), 2.0)
    assert len(samples) >= 2
    assert samples[-1].frames > 5
    assert all(sample.resident_mb > 20 and sample.threads > 1 and sample.files > 2 for sample in samples)
