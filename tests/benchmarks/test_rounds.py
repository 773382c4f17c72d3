"""Contenders in processes of their own, on a real file and real frames."""

import importlib.util
import os
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fairmot.benchmarks.speed.camera import FirstFrames, LivePlayback
from edge_fairmot.benchmarks.speed.contender import Job
from edge_fairmot.benchmarks.speed.contender_process import ContenderFailedError, ContenderProcess
from edge_fairmot.benchmarks.speed.rounds import measure
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.tape import read_tape
from edge_fairmot.types import Frame

_SPEC = importlib.util.spec_from_file_location("moody", Path(__file__).parents[1] / "moody_runtime.py")
moody = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(moody)

FRAMES = 14
BLOCK = 3


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
    """Noise that drifts, in two folders: what a network of random weights takes for people moves with it."""
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
        slug = runtime.replace(":", "-")
        tapes = tuple(tmp_path / f"{slug}-{number}.npz" for number in range(sources))
        (tmp_path / slug).mkdir(exist_ok=True)
        return Job(model, runtime, tuple(pictures[:sources]), tapes, tmp_path / slug, frames, 0.3, 1, 1)

    return make


def test_a_contender_times_every_frame_of_every_source_and_records_it(job):
    with closing(ContenderProcess(job("cpu", sources=2))) as contender:
        blocks = []
        while (block := contender.run_block(BLOCK)).frames:
            blocks.append(block.frames)

        assert contender.start.open_ms > 0 < contender.start.first_ms
        assert contender.peak_mb() > contender.start.before_mb > 10

    # Blocks end with their source.
    assert [len(block) for block in blocks] == [3, 3, 3, 3, 2] * 2
    frames = [frame for block in blocks for frame in block]
    assert all(before.at_s < after.at_s for before, after in pairwise(frames))
    assert all(len(frame.stage_ms) == 5 and min(frame.stage_ms) >= 0 < frame.cpu_ms for frame in frames)
    inference = [frame.stage_ms[2] for frame in frames]
    assert np.median(inference) > 0.5  # a network of 80 MB of weights, whatever the machine
    for tape in (job("cpu", sources=2)).tapes:
        recorded = read_tape(tape)
        assert len(recorded) == FRAMES
        assert recorded.header.score_threshold == pytest.approx(0.28)
        assert len(recorded.score) > FRAMES


def test_the_product_s_loop_runs_in_it_too(job):
    with closing(ContenderProcess(job("cpu"))) as contender:
        frames, wall_s = contender.run_pipelined()
        live = contender.run_live(0.25)

    assert frames == FRAMES
    assert wall_s > 0
    assert live.played == 7  # at 25 a second, up to a quarter of one
    assert len(live.age_ms) + live.dropped == live.played
    assert min(live.age_ms) > 0


def test_contenders_take_turns_and_each_is_first_once_in_a_while(job):
    turns = []
    measured = measure(
        [job("cpu"), job("moody")],
        BLOCK,
        0.1,
        on_turn=lambda measurement, what: turns.append((measurement.job.runtime, what)),
    )

    assert [m.frames for m in measured] == [FRAMES, FRAMES]
    assert all(m.finished and m.pipelined and m.live and not m.failure for m in measured)
    a, b = "cpu", "moody"
    assert turns[:2] == [(a, "opened"), (b, "opened")]
    assert [name for name, what in turns if what == "block"][:8] == [a, b, b, a, a, b, b, a]
    assert turns[-4:] == [(a, "pipelined"), (b, "pipelined"), (b, "live"), (a, "live")]


def test_who_fails_leaves_and_the_others_go_on(job):
    measured = measure([job("moody:unwilling"), job("moody:fails"), job("moody:dies"), job("cpu")], BLOCK, 0)

    unwilling, fails, dies, good = measured
    assert unwilling.failure == "moody is unwilling today: ask again tomorrow"
    assert fails.failure == "ValueError: a number of no use (infer)"
    assert dies.failure.startswith("its process died of SIGKILL")
    assert not any(m.finished for m in (unwilling, fails, dies))
    assert (good.failure, good.frames, good.finished, good.live) == ("", FRAMES, True, None)


def test_an_unknown_runtime_and_a_damaged_file_say_why(job, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x08\x01garbage")

    unknown, broken = measure([job("tpu"), job("cpu", model=damaged)], BLOCK, 0)

    assert "no runtime called 'tpu'" in unknown.failure
    assert "not an ONNX file" in broken.failure


def test_energy_is_that_of_the_timed_frames(job):
    class Meter:
        """Ten joules between any two readings."""

        name = "made up"
        read = 0.0

        def energy_j(self):
            self.read += 10
            return self.read

    (measured,) = measure([job("cpu", frames=9)], BLOCK, 0, meter=Meter())

    assert measured.energy_j == 30.0  # three turns; the one that finds the end has no frames


def test_energy_is_not_known_where_a_turn_was_not_metered(job):
    class Meter:
        """Ten joules between any two readings, of which one fails."""

        name = "made up"
        read = 0.0

        def energy_j(self):
            self.read += 10
            return None if self.read == 30 else self.read

    (measured,) = measure([job("cpu", frames=9)], BLOCK, 0, meter=Meter())

    assert (measured.finished, measured.energy_j) == (True, None)


def test_a_closed_contender_has_gone(job):
    contender = ContenderProcess(job("cpu"))
    process = contender._process

    contender.close()
    contender.close()

    assert process.poll() is not None
    with pytest.raises(ContenderFailedError):
        contender.warm_up()


class StillSource:
    """Frames of one grey, at given times."""

    def __init__(self, times_s):
        self.info = SourceInfo("still", (8, 6), 10.0, len(times_s))
        self.times_s, self.closed = times_s, False

    def __iter__(self):
        for index, time_s in enumerate(self.times_s):
            yield Frame(np.zeros((6, 8, 3), np.uint8), index, time_s)

    def close(self):
        self.closed = True


def test_the_first_frames_are_the_first_frames():
    source = StillSource([0.0, 0.1, 0.2, 0.3])

    few = FirstFrames(source, 3)

    assert [frame.index for frame in few] == [0, 1, 2]
    assert few.info.frame_count == 3
    assert FirstFrames(StillSource([0.0]), 5).info.frame_count == 1
    assert list(FirstFrames(StillSource([0.0]), 0)) == []
    few.close()
    assert source.closed


def test_a_file_is_played_at_its_own_pace_and_no_further_than_asked():
    source = LivePlayback(StillSource([7.0, 7.05, 7.1, 7.4]), 0.2)

    ages = [source.age_s(frame) for frame in source]

    assert source.info.live
    assert source.played == len(ages) == 3
    assert min(ages) >= 0  # no frame is given before its moment
