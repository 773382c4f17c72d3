from contextlib import ExitStack, suppress

import numpy as np
import pytest

from edge_fairmot.service.recording import RecordingConfig, RecordingSink
from edge_fairmot.service.recording.files import recorded_files
from edge_fairmot.sinks import JsonLinesHeader, read_json_lines
from edge_fairmot.types import CountingEvent, Frame, FrameResult, Tracks

SIZE = (64, 48)
HEADER = JsonLinesHeader("camera", SIZE, 10.0, settings={"score_threshold": 0.4})
EVENT = CountingEvent("in", "door", 7, 105.9)


def result(index, people=1, *, size=SIZE, rate=10.0, events=()):
    """A result whose image shows its index: ones are the brightness of the left half, tens of the right."""
    image = np.empty((size[1], size[0], 3), np.uint8)
    image[:, : size[0] // 2], image[:, size[0] // 2 :] = 25 * (index % 10), 25 * (index // 10 % 10)
    return FrameResult(Frame(image, index, 100 + index / rate), tracks_of(people), events)


def index_of(image):
    """Index that an image shows."""
    left, right = image[:, :4].mean(), image[:, -4:].mean()
    return round(left / 25) + 10 * round(right / 25)


def tracks_of(count):
    xyxy = np.tile(np.array([[10, 10, 30, 40]], np.float32), (count, 1))
    ids = np.arange(1, count + 1)
    return Tracks(ids, xyxy, np.ones(count, np.float32), np.zeros(count, np.int64), np.zeros(count, bool))


def trouble(sink):
    return str(sink.health["recording"]["trouble"])


def missed(sink):
    """Lost frames and events."""
    health = sink.health["recording"]
    return health["missed_frames"], health["missed_events"]


def recorded_numbers(folder, stem="tracks"):
    """Frame numbers in the JSON Lines files of tracks."""
    return [
        number
        for path in recorded_files(folder, stem)
        if path.suffixes == [".jsonl"]
        for number, _, _ in read_json_lines(path)[1]
    ]


def fill(path):
    """Use all the space that is left."""
    with path.open("wb", 0) as file, suppress(OSError):
        while file.write(bytes(1024)):
            pass


@pytest.fixture
def record(tmp_path):
    """Make sinks; they record JSON Lines in the test's folder, unless told otherwise."""
    with ExitStack() as stack:

        def make(**settings):
            config = RecordingConfig(**{"path": tmp_path / "tracks.jsonl", "keep_free": "0B"} | settings)
            return stack.enter_context(RecordingSink(config, HEADER))

        yield make


@pytest.fixture
def small_disk(disk_of):
    """A disk of 1 MiB."""
    return disk_of("1m")
