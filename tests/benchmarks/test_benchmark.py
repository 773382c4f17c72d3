"""A benchmark that is resumed in the folder of an earlier run; nothing is inferred."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fairmot.benchmarks.benchmark import CACHE_MISSING, NOT_BEGUN, Benchmark, PairSpec
from edge_fairmot.benchmarks.results import Settings
from edge_fairmot.benchmarks.turns import Measurement
from edge_fairmot.benchmarks.worker import TimedFrame
from edge_fairmot.errors import EvaluationError

from .made_results import correctness, entry, model, speed
from .recordings import FRAMES, recording, write_cache

SETTINGS = Settings(frames=FRAMES)
FIRST, SECOND, THIRD = "first.onnx on cpu", "second.onnx on cpu", "third.onnx on cpu"
EARLIER_SCORE = correctness(hota=0.123)
"""A score of the earlier run; a row that is scored again has another."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.zeros((192, 320, 3), np.uint8))
    return str(folder)


@pytest.fixture
def resume(tmp_path, pictures):
    """Opens the benchmark of three files, the first the reference, of which some left their caches."""

    def resume(*recorded):
        begun = Benchmark(tmp_path, [pictures], (), SETTINGS).results()
        for name in recorded:
            write_cache(cache_of(tmp_path, name), recording().cached)
        times = speed(frames=FRAMES)
        rows = (name.removesuffix(" on cpu") for name in (FIRST, SECOND, THIRD))
        entries = tuple(entry(name, speed=times, correctness=EARLIER_SCORE) for name in rows)
        earlier = replace(begun, reference=FIRST, entries=entries)
        return Benchmark(tmp_path, [pictures], (), SETTINGS, earlier=earlier)

    return resume


def cache_of(folder, name):
    return folder / "detections" / f"{name.replace(' ', '-')}-1"


def rows_of(benchmark):
    """Entries by name, and the reference's name."""
    results = benchmark.results()
    return {found.name: found for found in results.entries}, results.reference


def changed(path):
    """The first file, made again: with another graph."""
    return PairSpec(replace(model("first.onnx"), graph_sha256="another"), path, "cpu")


def test_scores_stay_while_the_reference_has_its_cache(resume):
    benchmark = resume(FIRST, SECOND)

    benchmark.score()

    rows, reference = rows_of(benchmark)
    assert reference == FIRST
    assert all(row.correctness == EARLIER_SCORE for row in rows.values())


def test_a_reference_without_its_cache_is_replaced_and_all_are_scored_again(resume):
    benchmark = resume(SECOND, THIRD)

    benchmark.score()

    rows, reference = rows_of(benchmark)
    assert reference == SECOND
    assert rows[SECOND].correctness.agreement.idf1 == rows[THIRD].correctness.agreement.idf1 == 1
    assert EARLIER_SCORE not in (rows[SECOND].correctness, rows[THIRD].correctness)
    # It cannot be scored, and is measured on the next run.
    assert (rows[FIRST].correctness, rows[FIRST].failure) == (None, CACHE_MISSING)
    assert not benchmark.is_done(PairSpec(rows[FIRST].model, Path("first.onnx"), "cpu"))


def test_without_any_cache_scores_stay(resume):
    benchmark = resume()

    benchmark.score()

    rows, reference = rows_of(benchmark)
    assert reference == FIRST
    assert all(row.done for row in rows.values())


def test_a_reference_made_again_and_interrupted_is_replaced(resume, tmp_path, monkeypatch):
    benchmark = resume(FIRST, SECOND, THIRD)

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_fairmot.benchmarks.benchmark.measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        benchmark.measure([changed(tmp_path)])
    benchmark.score()

    rows, reference = rows_of(benchmark)
    assert reference == SECOND
    assert rows[FIRST].failure == NOT_BEGUN
    assert EARLIER_SCORE not in (rows[SECOND].correctness, rows[THIRD].correctness)


def test_rows_are_scored_again_by_a_reference_that_was_made_again(resume, tmp_path, monkeypatch):
    benchmark = resume(FIRST, SECOND)
    timed = TimedFrame(0.0, (1.0, 2.0, 50.0, 3.0, 0.5), 90.0)

    def measured(jobs, live_s, *, meter, on_turn):
        (job,) = jobs
        write_cache(job.caches[0], recording(missing=range(10)).cached)
        blocks = [((timed,) * FRAMES, 300.0)]
        on_turn(Measurement(job, blocks=blocks, chunks=[(FRAMES, 1.0)], finished=True), "throughput")

    monkeypatch.setattr("edge_fairmot.benchmarks.benchmark.measure", measured)
    benchmark.measure([changed(tmp_path)])

    rows, reference = rows_of(benchmark)
    assert reference == FIRST
    assert rows[FIRST].correctness.agreement.idf1 == 1
    assert rows[SECOND].correctness != EARLIER_SCORE
    assert rows[SECOND].correctness.agreement.idf1 < 1
    assert rows[THIRD].failure == CACHE_MISSING


def test_ground_truth_goes_by_the_frame_numbers_of_a_sequence(tmp_path):
    pytest.importorskip("scipy")
    sequence, numbers = tmp_path / "late", range(301, 301 + 5 * FRAMES, 5)
    (sequence / "img1").mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(sequence / "img1" / f"{number:06}.png"), np.zeros((192, 320, 3), np.uint8))
    (sequence / "seqinfo.ini").write_text("[Sequence]\nframeRate=25\nimWidth=320\nimHeight=192\n")
    truth, far = tmp_path / "gt.txt", tmp_path / "far.txt"
    boxes = [(301 + 5 * n, person, 20 + 80 * person + n) for n in range(FRAMES) for person in range(3)]
    truth.write_text("".join(f"{number},{person},{left},40,30,90,1,1,1\n" for number, person, left in boxes))
    far.write_text("5,1,0,0,9,9,1,1,1\n")

    with pytest.raises(EvaluationError, match=r"far\.txt has no box in the first 50 frames"):
        Benchmark(tmp_path, [str(sequence)], [far], SETTINGS)
    begun = Benchmark(tmp_path, [str(sequence)], [truth], SETTINGS).results()
    cached = replace(recording().cached, numbers=tuple(numbers))
    write_cache(cache_of(tmp_path, FIRST), cached)
    entries = tuple(entry(f"{name}.onnx", speed=speed(frames=FRAMES)) for name in ("first", "second"))
    earlier = replace(begun, reference=SECOND, entries=entries)  # which left no cache: all is scored again
    resumed = Benchmark(tmp_path, [str(sequence)], [truth], SETTINGS, earlier=earlier)
    resumed.score()

    score = rows_of(resumed)[0][FIRST].correctness.score
    assert (score.mota, score.fp, score.fn) == (1, 0, 0)
