"""Pairs of model and runtime in processes of their own, on a real file and real frames."""

import importlib.util
import os
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fairmot.benchmarks.correctness import CachedSource
from edge_fairmot.benchmarks.soak import Sample, measure_growth, soak
from edge_fairmot.benchmarks.turns import SWITCH_PAUSE_S, measure
from edge_fairmot.benchmarks.worker import Job, WorkerError, WorkerProcess
from edge_fairmot.runtimes import RuntimeOptions

_SPEC = importlib.util.spec_from_file_location("moody", Path(__file__).parents[1] / "moody_runtime.py")
moody = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(moody)

FRAMES = 14


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    moody.install(folder)
    return folder


@pytest.fixture(autouse=True)
def installed(site, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise that drifts, in two folders: the detections of a network of random weights move with it."""
    folders = []
    for number in range(2):
        folder = tmp_path_factory.mktemp(f"pictures-{number}")
        noise = np.random.default_rng(number).integers(0, 256, (30, 60, 3), np.uint8)
        noise = cv2.resize(noise, (240, 120), interpolation=cv2.INTER_LINEAR)
        for n in range(FRAMES):
            cv2.imwrite(str(folder / f"{n:02}.png"), noise[4:104, n : n + 200])
        folders.append(str(folder))
    return folders


@pytest.fixture
def job(small_model, pictures, tmp_path):
    def make(runtime, sources=1, frames=FRAMES, model=small_model):
        scratch = tmp_path / runtime.replace(":", "-")
        scratch.mkdir(exist_ok=True)
        return Job(
            model=model,
            runtime=runtime,
            sources=tuple(pictures[:sources]),
            caches=tuple(scratch / f"cache-{number}" for number in range(sources)),
            scratch=scratch,
            frames=frames,
            block=3,
            chunk=5,
            score_threshold=0.3,
            threads=1,
            warm_up=1,
        )

    return make


def test_a_worker_measures_every_frame_of_every_source_and_caches_it(job):
    with closing(WorkerProcess(job("cpu", sources=2))) as worker:
        blocks, chunks = [], []
        while (block := worker.call("run_block")).frames:
            blocks.append(block.frames)
        while (chunk := worker.call("run_chunk")) is not None:
            chunks.append(chunk)
        live = worker.call("run_live", 0.25)

        assert worker.start.open_ms > 0 < worker.start.first_ms
        assert worker.call("peak_mb") > worker.start.before_mb > 10

    # Blocks and chunks end with their source; a chunk is measured from its first result.
    assert [len(block) for block in blocks] == [3, 3, 3, 3, 2] * 2
    assert [frames for frames, _ in chunks] == [4, 4, 3] * 2
    assert min(seconds for _, seconds in chunks) > 0
    frames = [frame for block in blocks for frame in block]
    assert all(before.at_s < after.at_s for before, after in pairwise(frames))
    assert all(len(frame.stage_ms) == 5 and min(frame.stage_ms) >= 0 < frame.cpu_ms for frame in frames)
    assert np.median([frame.stage_ms[2] for frame in frames]) > 0.1  # inference, whatever the machine
    for folder in job("cpu", sources=2).caches:
        cached = CachedSource.read(folder, 0.3)
        assert len(cached) == FRAMES
        assert cached.info.score_threshold == pytest.approx(0.28)
        assert sum(map(len, cached.detections)) > FRAMES
    assert live.played == 14  # at 25 a second, up to a quarter of one; of two sources
    assert len(live.age_ms) + live.dropped == live.played
    assert min(live.age_ms) > 0


def test_pairs_take_turns_and_the_first_one_changes(job):
    turns = []
    measured = measure(
        [job("cpu"), job("moody")],
        0.1,
        on_turn=lambda measurement, what: turns.append((measurement.job.runtime, what)),
    )

    assert [m.frames for m in measured] == [FRAMES, FRAMES]
    assert all(m.finished and len(m.chunks) == 3 and m.live and not m.failure for m in measured)
    a, b = "cpu", "moody"
    assert turns[:2] == [(a, "opened"), (b, "opened")]
    for what in ("stages", "throughput"):
        assert [name for name, turn in turns if turn == what][:8] == [a, b, b, a, a, b, b, a]
    assert turns[-2:] == [(b, "live"), (a, "live")]

    # Before every turn of another pair its threads get a pause to stop spinning.
    taken = sorted(
        (block[0].at_s, block[-1].at_s + sum(block[-1].stage_ms) / 1e3)
        for m in measured
        for block, _ in m.blocks
    )
    assert min(after - end for (_, end), (after, _) in pairwise(taken)) >= SWITCH_PAUSE_S > 0.2


def test_a_pair_that_fails_leaves_and_the_others_go_on(job, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x08\x01garbage")
    jobs = [job("moody:unwilling"), job("moody:fails"), job("moody:dies"), job("cpu"), job("tpu")]

    unwilling, fails, dies, good, unknown, broken = measure([*jobs, job("cpu", model=damaged)], 0)

    assert unwilling.failure == "moody is unwilling today: ask again tomorrow"
    assert fails.failure == "ValueError: a number of no use (infer)"
    assert dies.failure.startswith("its process died of SIGKILL")
    assert "no runtime called 'tpu'" in unknown.failure
    assert "not an ONNX file" in broken.failure
    assert not any(m.finished for m in (unwilling, fails, dies, unknown, broken))
    assert (good.failure, good.frames, good.finished, good.live) == ("", FRAMES, True, None)


@pytest.mark.parametrize(("missing_j", "energy_j"), [(None, 30.0), (30, None)])
def test_energy_is_that_of_the_timed_frames(job, missing_j, energy_j):
    class Meter:
        """Ten joules between any two readings, of which one may fail."""

        name = "made up"
        read = 0.0

        def energy_j(self):
            self.read += 10
            return None if self.read == missing_j else self.read

    (measured,) = measure([job("cpu", frames=9)], 0, meter=Meter())

    # Three turns; the one that finds the end has no frames. Without one of them, all is unknown.
    assert (measured.finished, measured.energy_j) == (True, energy_j)


def test_a_closed_worker_has_ended(job):
    worker = WorkerProcess(job("cpu"))
    process = worker._process

    worker.close()
    worker.close()

    assert process.poll() is not None
    with pytest.raises(WorkerError):
        worker.call("warm_up")


def test_memory_that_grows_is_told_from_memory_that_does_not(small_model, monkeypatch):
    def growth(megabytes):
        return measure_growth([Sample(5.0 * i, 10 * i, value, 4, 9) for i, value in enumerate(megabytes)])

    settled = 300 + np.random.default_rng(0).normal(0, 0.5, 240) - 50 * np.exp(-np.arange(240) / 10)
    flat, leaking = growth(settled), growth(settled + np.arange(240) * 0.05)
    assert abs(flat.slope_mb_per_hour) < 3 * flat.error_mb_per_hour
    assert leaking.slope_mb_per_hour == pytest.approx(36, rel=0.1)
    assert leaking.slope_mb_per_hour > 3 * leaking.error_mb_per_hour

    monkeypatch.setattr("edge_fairmot.benchmarks.soak.INTERVAL_S", 0.2)
    street = "synthetic:frames=5,size=128x96,people=2"
    samples = soak(street, small_model, "cpu", RuntimeOptions(threads=1), 1.5)
    assert len(samples) >= 2
    assert samples[-1].frames > 5
    assert all(sample.resident_mb > 20 and sample.threads > 1 and sample.files > 2 for sample in samples)
