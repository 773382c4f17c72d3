"""The driver against scripted workers: retries, lost workers, hangs; and what it keeps on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_fairmot.benchmarks.driver_cost import SimulatedWorkers
from edge_fairmot.errors import InvalidInputError, SinkError, WorkerError
from edge_fairmot.fleet import Driver, Job, Results, make_plan
from edge_fairmot.fleet.results import read_index

NAMES = [f"video{number}" for number in range(9)]


def jobs_of(names=NAMES, fingerprint="same"):
    return [Job(name, f"{name}.mp4", f"/gone/{name}.mp4", 1, fingerprint) for name in names]


def drive(workers: SimulatedWorkers, most: int = 2, names=NAMES, **settings):
    ended, warnings = {}, []

    def keep(running, outcome, tries, seconds):
        assert running.job.name not in ended
        ended[running.job.name] = (outcome.error, tries)
        return outcome.error

    driver = Driver(workers, most, keep, warn=warnings.append, clock=workers.clock, **settings)
    driver.run(jobs_of(names))
    assert workers.at_work == {}  # closed, or ended when they were not needed
    assert driver.done + driver.failed == len(ended) == len(names)
    return ended, warnings


def test_a_lost_video_is_tried_again_and_one_that_kills_its_workers_fails():
    def fate(name: str, tries: int) -> str:
        return {"video1": "dies" if tries < 3 else "done", "video2": "dies", "video3": "fails"}.get(
            name, "done"
        )

    workers = SimulatedWorkers(fate)
    ended, warnings = drive(workers)
    assert ended.pop("video1") == ("", 3)
    assert ended.pop("video2") == ("its worker died 3 times: it was killed", 3)
    assert ended.pop("video3") == ("the video is broken", 1)
    assert set(ended.values()) == {("", 1)}
    assert (workers.begun["video1"], workers.begun["video2"], workers.begun["video3"]) == (3, 3, 1)
    assert warnings == []


def test_only_workers_that_have_answered_get_videos():
    # The second, third and fourth find no place, as after the loss of a machine.
    workers = SimulatedWorkers(openings=["opened", None, None, None])
    ended, _ = drive(workers, most=4)
    assert set(ended.values()) == {("", 1)}


def test_a_worker_that_refuses_is_one_less_and_without_any_the_reason_is_the_error():
    ended, warnings = drive(SimulatedWorkers(openings=["refused", "opened"]))
    assert set(ended.values()) == {("", 1)}
    assert warnings == ["one worker less: host 1"]
    with pytest.raises(WorkerError, match="host 2"):
        drive(SimulatedWorkers(openings=["refused", "refused"]))


def test_workers_that_die_before_they_answer_end_the_run():
    workers = SimulatedWorkers(openings=["died"] * 20)
    with pytest.raises(WorkerError, match="3 workers died before their first answer"):
        drive(workers)
    assert workers.started < 8
    ended, warnings = drive(SimulatedWorkers(openings=["died", "died", "opened"]))
    assert set(ended.values()) == {("", 1)}
    assert warnings == []


def test_a_run_without_workers_waits_and_says_so():
    class LateWorkers(SimulatedWorkers):
        def wait(self, timeout_s):
            if self.now_s > 100 and not self.begun:
                self._answers += [Answer(worker, "opened", "late") for worker in self.at_work]
            return super().wait(timeout_s)

    from edge_fairmot.fleet import Message as Answer

    ended, warnings = drive(LateWorkers(openings=[None, None]))
    assert set(ended.values()) == {("", 1)}
    assert warnings == ["no worker has answered for 60 s: no machine may be free for one"]


def test_a_video_that_hangs_fails_and_its_worker_is_replaced():
    workers = SimulatedWorkers(lambda name, _: "hangs" if name == "video4" else "done")
    ended, _ = drive(workers, most=1, give_up_after_s=30)
    assert ended.pop("video4") == ("no new frame for 30 s after frame 0", 1)
    assert workers.now_s < 35
    assert set(ended.values()) == {("", 1)}


def run_once(folder: Path, jobs, script=lambda name, tries: "done", **plan_options):
    """Track into a folder; returns the plan and the workers."""
    results = Results(folder, ("summary.json",))
    try:
        plan = make_plan(folder, jobs, **{"retry_failed": False} | plan_options)
        results.begin(plan.records)
        workers = SimulatedWorkers(script)
        Driver(workers, 2, results.keep, results.prepare).run(plan.jobs)
        results.finish()
    finally:
        results.close()
    return plan, workers


def test_a_run_goes_on_where_it_was(tmp_path):
    fate = {"video2": "fails", "video5": "vanishes"}
    _, workers = run_once(tmp_path, jobs_of(), lambda name, _: fate.get(name, "done"))
    assert set(workers.begun) == set(NAMES)
    index = {record.name: record for record in read_index(tmp_path)}
    assert {name for name, record in index.items() if record.state == "done"} == set(NAMES) - fate.keys()
    assert "share the folder" in index["video5"].error
    assert not list(tmp_path.glob(".parts*"))
    assert len((tmp_path / "index.jsonl").read_text().splitlines()) == len(NAMES)
    assert (tmp_path / "summary.csv").read_text().splitlines()[1].startswith("video0,video0.mp4,done,10,2,")

    # Nothing is left; the failed ones only on request.
    plan, workers = run_once(tmp_path, jobs_of())
    assert (plan.count("done"), plan.count("failed"), len(workers.begun)) == (7, 2, 0)
    plan, workers = run_once(tmp_path, jobs_of(), retry_failed=True)
    assert set(workers.begun) == set(fate)
    assert plan.again["video2"] == "failed before: the video is broken"

    # Other settings, a result that is gone, and one that is not complete: again. A torn index is no harm.
    (tmp_path / "video1" / "summary.json").unlink()
    (tmp_path / "video3" / "summary.json").write_text('{"complete": false, "fingerprint": "same"}')
    with (tmp_path / "index.jsonl").open("a") as file:
        file.write('{"name": "video1", "sta')
    _, workers = run_once(tmp_path, jobs_of())
    assert set(workers.begun) == {"video1", "video3"}
    (tmp_path / "index.jsonl").unlink()
    assert run_once(tmp_path, jobs_of())[0].count("done") == 9
    _, workers = run_once(tmp_path, jobs_of(NAMES[:2], fingerprint="other"))
    assert set(workers.begun) == {"video0", "video1"}
    assert len(list(read_index(tmp_path))) == 9  # the others stay in the index


def test_no_folder_with_other_files_and_no_other_video_s_results_are_replaced(tmp_path):
    (tmp_path / "video0").mkdir()
    (tmp_path / "video0" / "mine.txt").write_text("mine")
    run_once(tmp_path, jobs_of())
    assert [path.name for path in (tmp_path / "video0").iterdir()] == ["mine.txt"]
    errors = [record.error for record in read_index(tmp_path) if record.state == "failed"]
    assert len(errors) == 1
    assert "mine.txt" in errors[0]

    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text(name)
    run_once(tmp_path, [Job("same", str(tmp_path / "a.mp4"), str(tmp_path / "a.mp4"), 5)])
    with pytest.raises(InvalidInputError, match=r"belongs to .*a\.mp4"):
        make_plan(tmp_path, [Job("same", "b.mp4", str(tmp_path / "b.mp4"), 5)], retry_failed=False)


def test_a_part_of_a_video_does_not_replace_its_complete_result(tmp_path):
    from edge_fairmot.fleet import Outcome, Running

    def keep(results: Results, complete: bool, error: str) -> None:
        job = results.prepare(Job("video", "video.mp4", "/gone", 1, "same"))
        Path(job.folder).mkdir()
        summary = {"complete": complete, "frames": 1}
        (Path(job.folder) / "summary.json").write_text(json.dumps(summary))
        assert results.keep(Running(job, "host", 0.0, 0.0), Outcome(error, summary), 1, 1.0) == error

    results = Results(tmp_path, ("summary.json",))
    for complete, error, expected in ((False, "cut off", False), (True, "", True), (False, "cut off", True)):
        keep(results, complete, error)
        assert json.loads((tmp_path / "video" / "summary.json").read_text())["complete"] is expected
    with pytest.raises(SinkError, match="belongs to another run"):
        Results(tmp_path, ())
    results.close()


def test_videos_leave_nothing_in_memory():
    import tracemalloc

    sizes = []

    def on_change() -> None:
        if driver.done % 500 == 0:
            sizes.append(tracemalloc.get_traced_memory()[0])

    jobs = jobs_of([f"video{number}" for number in range(2000)])
    tracemalloc.start()
    try:
        driver = Driver(SimulatedWorkers(), 100, lambda *_: "")
        driver.run(jobs, on_change)
    finally:
        tracemalloc.stop()
    assert driver.done == 2000
    # The simulation counts the tries of each video; the queue shrinks meanwhile.
    assert sizes[-1] - sizes[0] < 100 * 2000
