"""A benchmark that is taken up again, in a folder as an earlier run left it; nothing is inferred."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fairmot.benchmarks.benchmark import NOT_BEGUN, UNRECORDED, Benchmark
from edge_fairmot.benchmarks.contenders import Starter
from edge_fairmot.benchmarks.results import Settings
from edge_fairmot.benchmarks.speed.rounds import Measurement
from edge_fairmot.benchmarks.speed.stage_timing import TimedFrame

from .bench_results import correctness, entry, model, speed
from .recordings import FRAMES, recording, write_tape

SETTINGS = Settings(frames=FRAMES)
FIRST, SECOND, THIRD = "first.onnx on cpu", "second.onnx on cpu", "third.onnx on cpu"
EARLIER_SCORE = correctness(hota=0.123)
"""What was judged earlier; whoever is judged again scores something else."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.zeros((192, 320, 3), np.uint8))
    return str(folder)


@pytest.fixture
def take_up(tmp_path, pictures):
    """Opens the benchmark of three files, the first the reference, of which some left their tapes."""

    def take_up(*recorded):
        begun = Benchmark(tmp_path, [pictures], (), SETTINGS).results()
        for name in recorded:
            write_tape(tape_of(tmp_path, name), recording().tape)
        times = speed(frames=FRAMES)
        rows = (name.removesuffix(" on cpu") for name in (FIRST, SECOND, THIRD))
        entries = tuple(entry(name, speed=times, correctness=EARLIER_SCORE) for name in rows)
        earlier = replace(begun, reference=FIRST, entries=entries)
        return Benchmark(tmp_path, [pictures], (), SETTINGS, earlier=earlier)

    return take_up


def tape_of(folder, name):
    return folder / "tapes" / f"{name.replace(' ', '-')}-1.npz"


def judged(benchmark):
    """Entries by name, and the reference's name."""
    results = benchmark.results()
    return {found.name: found for found in results.entries}, results.reference


def changed(path):
    """The first file, made again: with another graph."""
    return Starter(replace(model("first.onnx"), graph_sha256="another"), path, "cpu")


def test_rows_stay_as_they_were_judged_while_their_reference_has_its_recording(take_up):
    benchmark = take_up(FIRST, SECOND)

    benchmark.judge()

    rows, reference = judged(benchmark)
    assert reference == FIRST
    assert all(row.correctness == EARLIER_SCORE for row in rows.values())


def test_a_reference_whose_recording_is_gone_is_replaced_and_all_are_judged_again(take_up):
    benchmark = take_up(SECOND, THIRD)

    benchmark.judge()

    rows, reference = judged(benchmark)
    assert reference == SECOND
    assert rows[SECOND].correctness.agreement.idf1 == rows[THIRD].correctness.agreement.idf1 == 1
    assert EARLIER_SCORE not in {rows[SECOND].correctness, rows[THIRD].correctness}
    # It cannot be judged, and says so, and is measured on the next run.
    assert (rows[FIRST].correctness, rows[FIRST].failure) == (None, UNRECORDED)
    assert not benchmark.is_done(Starter(rows[FIRST].model, Path("first.onnx"), "cpu"))


def test_without_any_recording_rows_stay_as_they_were_judged(take_up):
    benchmark = take_up()

    benchmark.judge()

    rows, reference = judged(benchmark)
    assert reference == FIRST
    assert all(row.done for row in rows.values())


def test_a_reference_made_again_and_interrupted_is_replaced(take_up, tmp_path, monkeypatch):
    benchmark = take_up(FIRST, SECOND, THIRD)

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_fairmot.benchmarks.benchmark.measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        benchmark.measure([changed(tmp_path)])
    benchmark.judge()

    rows, reference = judged(benchmark)
    assert reference == SECOND
    assert rows[FIRST].failure == NOT_BEGUN
    assert EARLIER_SCORE not in {rows[SECOND].correctness, rows[THIRD].correctness}


def test_rows_are_judged_again_by_a_reference_that_was_made_again(take_up, tmp_path, monkeypatch):
    benchmark = take_up(FIRST, SECOND)
    timed = TimedFrame(0.0, (1.0, 2.0, 50.0, 3.0, 0.5), 90.0)

    def measured(jobs, block, live_s, *, meter, on_turn):
        (job,) = jobs
        job.tapes[0].unlink()
        write_tape(job.tapes[0], recording(missing=range(10)).tape)
        blocks = [((timed,) * FRAMES, 300.0)]
        on_turn(Measurement(job, blocks=blocks, pipelined=(FRAMES, 1.0), finished=True), "pipelined")

    monkeypatch.setattr("edge_fairmot.benchmarks.benchmark.measure", measured)
    benchmark.measure([changed(tmp_path)])

    rows, reference = judged(benchmark)
    assert reference == FIRST
    assert rows[FIRST].correctness.agreement.idf1 == 1
    assert rows[SECOND].correctness != EARLIER_SCORE
    assert rows[SECOND].correctness.agreement.idf1 < 1
    assert rows[THIRD].failure == UNRECORDED
