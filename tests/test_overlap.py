"""Stages overlap in threads: results are those of one frame after the other, and every ending is clean."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
import time
import traceback
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_fairmot.stages
from edge_fairmot import Frame, Pipeline, RawDetections, Tracker, TrackerConfig
from edge_fairmot.detector import FairMotDetector, select_detections
from edge_fairmot.errors import SourceError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.schedule import DetectionSchedule

SIZE = (96, 64)
INPUT_SIZE = (64, 64)
FAILING = 7
MOST_IN_FLIGHT = 10
"""Two frames in each of the two queues, one in the third, one in each of four hands, and one to spare."""


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("edge-fairmot")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert our_threads() == []


def no_delay(index):
    pass


class GreySource:
    """Every frame has its own array, of one grey, which is its index."""

    def __init__(self, frames, *, delay=no_delay, live=False, fails_at=None, size=SIZE):
        self.info = SourceInfo("grey", size, 10.0, frames, live)
        self.delay, self.fails_at, self.given = delay, fails_at, 0

    def __iter__(self):
        for index in range(self.info.frame_count):
            self.delay(index)
            if index == self.fails_at:
                raise SourceError("the source failed")
            self.given = index + 1
            width, height = self.info.frame_size
            yield Frame(np.full((height, width, 3), index, np.uint8), index, index / 10)

    def close(self):
        pass


class GreyRuntime:
    """Finds one walker at a place that depends on the grey: another frame has another place."""

    name = "grey"
    manifest = ModelManifest(INPUT_SIZE, 4, 2, ("person",), 2, "0" * 64, "0")

    def __init__(self, *, delay=no_delay):
        self.delay, self.seen = delay, []

    def infer(self, images):
        grey = int(images[0, 32, 32, 0])
        self.seen.append(grey)
        self.delay(grey)
        assert (images[0, 20:40] == grey).all()  # the batch was not overwritten meanwhile
        return RawDetections(
            boxes=np.float32([[[10 + grey % 16, 20, 20 + grey % 16, 40]]]),
            scores=np.float32([[0.9]]),
            class_ids=np.zeros((1, 1), np.int64),
            embeddings=np.float32([[[1, 0]]]),
        )

    def close(self):
        pass


class Ledger:
    """A sink that keeps what it is given."""

    def __init__(self, *, delay=no_delay):
        self.delay, self.rows, self.closed = delay, [], 0

    def write(self, result):
        self.delay(result.frame.index)
        self.rows.append((result.frame.index, result.tracks))

    def close(self):
        self.closed += 1

    @property
    def indices(self):
        return [index for index, _ in self.rows]


def one_after_the_other(frames, runtime, tracker, every=1):
    """What the loop must give: no threads, nothing shared."""
    size = None
    for frame in frames:
        last, size = size, frame.image.shape[1::-1]
        if last not in (None, size):
            tracker.rescale((size[0] / last[0], size[1] / last[1]))
        if frame.index % every:
            yield frame.index, tracker.predict(frame.time_s)
            continue
        letterbox = Letterbox(frame.image.shape[1::-1], runtime.manifest.input_size)
        raw = runtime.infer(letterbox.apply(frame.image)[None])
        detections = select_detections(raw, letterbox, tracker.config.score_threshold)
        yield frame.index, tracker.update(detections, frame.time_s)


def pipeline_of(source, runtime, tracker=None, **options):
    tracker = tracker or Tracker()
    return Pipeline(source, FairMotDetector(runtime, tracker.config.lowest_score), tracker, **options)


def assert_same(found, expected):
    found, expected = list(found), list(expected)
    assert [index for index, _ in found] == [index for index, _ in expected]
    for (_, tracks), (_, wanted) in zip(found, expected, strict=True):
        for name in ("track_id", "xyxy", "score", "class_id", "predicted"):
            np.testing.assert_array_equal(getattr(tracks, name), getattr(wanted, name))
            assert getattr(tracks, name).dtype == getattr(wanted, name).dtype


delays_ms = st.lists(st.sampled_from([0, 0, 0, 0.2, 1]), min_size=1, max_size=12)


def sleeping(delays):
    return lambda index: time.sleep(delays[index % len(delays)] / 1e3)


@given(
    delays=st.tuples(delays_ms, delays_ms, delays_ms, delays_ms),
    frames=st.integers(0, 12),
    every=st.sampled_from([1, 1, 2, 5]),
)
@settings(max_examples=40)
def test_no_delay_of_any_stage_changes_what_comes_out(delays, frames, every):
    decoding, inferring, writing, using = delays
    ledger, use = Ledger(delay=sleeping(writing)), sleeping(using)
    runtime = GreyRuntime(delay=sleeping(inferring))
    pipeline = pipeline_of(
        GreySource(frames, delay=sleeping(decoding)), runtime, schedule=DetectionSchedule(every)
    )
    summary = pipeline.run([ledger], lambda result: use(result.frame.index))
    assert_same(ledger.rows, one_after_the_other(GreySource(frames), GreyRuntime(), Tracker(), every))
    assert runtime.seen == list(range(0, frames, every))
    assert (summary.frames, summary.dropped) == (frames, 0)


@pytest.mark.parametrize("every", [1, 3])
def test_real_frames_give_the_same_tracks_bit_for_bit(trained_model, shared, every):
    from edge_fairmot.runtimes import open_runtime
    from edge_fairmot.sources import open_source

    with open_source(shared / "mot15" / "TUD-Campus") as source:
        info, frames = source.info, list(itertools.islice(source, 12))

    class Again:
        def __init__(self):
            self.info = info

        def __iter__(self):
            return iter(frames)

    config = TrackerConfig(frame_rate=info.frame_rate)
    with closing(open_runtime(trained_model)) as runtime:
        expected = list(one_after_the_other(frames, runtime, Tracker(config), every))
        pipeline = pipeline_of(Again(), runtime, Tracker(config), schedule=DetectionSchedule(every))
        assert_same(((result.frame.index, result.tracks) for result in pipeline), expected)
    assert sum(len(tracks) for _, tracks in expected) > 12


def test_frames_of_another_size_are_followed():
    class Growing(GreySource):
        def __iter__(self):
            for frame in super().__iter__():
                side = 64 + 32 * (frame.index % 3)
                yield Frame(np.full((side, side, 3), frame.index, np.uint8), frame.index, frame.time_s)

    found = pipeline_of(Growing(12), GreyRuntime())
    assert_same(
        ((result.frame.index, result.tracks) for result in found),
        one_after_the_other(Growing(12), GreyRuntime(), Tracker()),
    )


class DefectError(Exception):
    """An error of a user's own code, not one of this package."""


def fail_when_it_is_time(index):
    if index == FAILING:
        raise DefectError(f"at {index}")


class BadPicture(GreySource):
    def __iter__(self):
        for frame in super().__iter__():
            image = frame.image.astype(np.float32) if frame.index == FAILING else frame.image
            yield Frame(image, frame.index, frame.time_s)


class BadClock(GreySource):
    def __iter__(self):
        for frame in super().__iter__():
            yield Frame(frame.image, frame.index, 0.0 if frame.index == FAILING else frame.time_s)


@pytest.mark.parametrize("frames", [FAILING + 1, FAILING + 40])
@pytest.mark.parametrize(
    ("stage", "message", "raiser"),
    [
        ("source", "the source failed", "__iter__"),
        ("letterbox", "letterbox was made for uint8", "apply"),
        ("runtime", "at 7", "fail_when_it_is_time"),
        ("tracker", "time_s must be later", "periods_until"),
        ("sink", "at 7", "fail_when_it_is_time"),
        ("user", "at 7", "fail_when_it_is_time"),
    ],
)
def test_an_error_of_any_stage_ends_the_run_after_the_frames_before_it(stage, message, raiser, frames):
    kind = {"letterbox": BadPicture, "tracker": BadClock}.get(stage, GreySource)
    source = kind(frames, fails_at=FAILING if stage == "source" else None)
    runtime = GreyRuntime(delay=fail_when_it_is_time if stage == "runtime" else no_delay)
    ledger = Ledger(delay=fail_when_it_is_time if stage == "sink" else no_delay)
    last = Ledger()
    pipeline = pipeline_of(source, runtime)
    use = fail_when_it_is_time if stage == "user" else no_delay
    with pytest.raises(Exception, match=message) as caught:
        pipeline.run([ledger, last], lambda result: use(result.frame.index))
    written = FAILING + (stage == "user")
    assert ledger.indices == last.indices == list(range(written))
    assert (ledger.closed, last.closed) == (1, 1)
    assert pipeline.summary().frames == pipeline.summary().detections == written
    assert raiser in [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert our_threads() == []


def test_an_exit_asked_for_in_a_thread_is_raised_where_the_loop_runs():
    with pytest.raises(SystemExit):
        pipeline_of(GreySource(9), GreyRuntime(delay=lambda index: sys.exit(3))).run()


def test_leaving_the_loop_early_ends_the_threads():
    source = GreySource(250)
    for result in pipeline_of(source, GreyRuntime()):
        if result.frame.index == 5:
            break
    assert our_threads() == []
    assert source.given <= 6 + MOST_IN_FLIGHT


def test_an_error_in_a_loop_of_one_s_own_ends_the_threads_before_the_source_is_closed():
    left_at_close = []

    class Closing(GreySource):
        def close(self):
            left_at_close.extend(our_threads())

    with pytest.raises(DefectError) as caught, closing(Closing(250)) as source:  # noqa: PT012
        for result in pipeline_of(source, GreyRuntime()):
            fail_when_it_is_time(result.frame.index)
    assert str(caught.value) == "at 7"
    assert left_at_close == []


def test_closing_the_iterator_ends_the_threads_also_before_the_first_frame():
    closing_early = iter(pipeline_of(GreySource(9), GreyRuntime()))
    closing_early.close()
    with closing(iter(pipeline_of(GreySource(9), GreyRuntime()))) as pairs:
        next(pairs)
    assert our_threads() == []


@pytest.mark.parametrize("every", [1, 100])
def test_few_frames_are_read_ahead_of_a_slow_user(every):
    ahead = threading.Event()

    def note(index):
        if index > MOST_IN_FLIGHT:
            ahead.set()

    source = GreySource(250, delay=note)
    pipeline = pipeline_of(source, GreyRuntime(), schedule=DetectionSchedule(every))
    with closing(iter(pipeline)) as pairs:
        next(pairs)
        assert not ahead.wait(0.01)
        # And some are, or nothing would overlap.
        while source.given < MOST_IN_FLIGHT - 2:
            time.sleep(1e-3)


def test_decoding_inference_and_sinks_overlap():
    """Each waits for the two others, with frames of its own: one after the other, they would never meet."""
    meeting = threading.Barrier(3, timeout=30)

    def meet_at(own):
        return lambda index: meeting.wait() if index == own else None

    source, runtime, sink = (
        GreySource(6, delay=meet_at(3)),
        GreyRuntime(delay=meet_at(1)),
        Ledger(delay=meet_at(0)),
    )
    pipeline_of(source, runtime).run([sink])
    assert sink.indices == list(range(6))


@pytest.mark.parametrize("where", ["waiting", "writing"])
def test_ctrl_c_leaves_whole_frames_and_no_thread(where):
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(index):
        if index == FAILING:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    runtime = GreyRuntime(delay=interrupt if where == "waiting" else no_delay)
    ledger = Ledger(delay=interrupt if where == "writing" else no_delay)
    pipeline = pipeline_of(GreySource(250), runtime)
    try:
        with pytest.raises(KeyboardInterrupt):
            pipeline.run([ledger])
    finally:
        signal.signal(signal.SIGINT, before)
    assert our_threads() == []
    assert ledger.closed == 1
    assert ledger.indices == list(range(len(ledger.indices)))
    assert pipeline.summary().frames == len(ledger.indices) <= FAILING + MOST_IN_FLIGHT


class Camera(GreySource):
    """Yields its second frame when the network has begun with the first, and then the others at once."""

    def __init__(self, frames):
        self.first_is_inferred, self.all_given = threading.Event(), threading.Event()
        super().__init__(frames, delay=self.before_frame, live=True)

    def __iter__(self):
        yield from super().__iter__()
        self.all_given.set()

    def before_frame(self, index):
        assert index != 1 or self.first_is_inferred.wait(30)

    def while_inferring(self, index):
        if index == 0:
            self.first_is_inferred.set()
            assert self.all_given.wait(30)


def test_a_live_source_is_followed_by_its_newest_frame():
    camera, ledger = Camera(40), Ledger()
    pipeline = pipeline_of(camera, GreyRuntime(delay=camera.while_inferring))
    summary = pipeline.run([ledger])
    assert ledger.indices == [0, 39]
    assert (summary.frames, summary.detected, summary.dropped) == (2, 2, 38)


@pytest.mark.parametrize("schedule", [DetectionSchedule(every=3), DetectionSchedule(target_fps=1e-3)])
def test_every_live_frame_is_tracked_or_counted_as_dropped(schedule):
    camera, ledger = Camera(40), Ledger()
    pipeline = pipeline_of(camera, GreyRuntime(delay=camera.while_inferring), schedule=schedule)
    summary = pipeline.run([ledger])
    assert (ledger.indices[0], ledger.indices[-1]) == (0, 39)
    assert ledger.indices == sorted(set(ledger.indices))
    assert summary.frames == len(ledger.rows) == summary.detected + summary.predicted
    assert summary.frames + summary.dropped == 40


def test_a_live_source_that_is_slower_than_the_network_loses_nothing():
    used = threading.Semaphore(1)

    def wait_until_used(index):
        assert used.acquire(timeout=30)

    ledger = Ledger()
    pipeline = pipeline_of(GreySource(30, delay=wait_until_used, live=True), GreyRuntime())
    summary = pipeline.run([ledger], lambda result: used.release())
    assert ledger.indices == list(range(30))
    assert summary.dropped == 0


def test_a_camera_that_never_answers_again_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(edge_fairmot.stages, "JOIN_TIMEOUT_S", 0.005)
    answer = threading.Event()

    def hang(index):
        assert index < 3 or answer.wait(30)

    with closing(iter(pipeline_of(GreySource(9, delay=hang, live=True), GreyRuntime()))) as pairs:
        next(pairs)
    (left,) = our_threads()
    assert left.daemon
    answer.set()
    left.join()


def test_what_a_live_source_passes_over_itself_counts_as_dropped():
    class Skipping(GreySource):
        def __iter__(self):
            for frame in super().__iter__():
                if frame.index not in (3, 4, 9):
                    yield frame

    pipeline = pipeline_of(Skipping(12, live=True, delay=sleeping([20])), GreyRuntime())
    summary = pipeline.run()
    assert summary.frames + summary.dropped == 12
    assert summary.dropped >= 3
