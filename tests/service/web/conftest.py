"""A page that is served for a test, and a street with its true tracks to show on it."""

import http.client
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from edge_fairmot.counting import Counter, CountingConfig
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.web import WebConfig, WebSink
from edge_fairmot.types import Frame, Tracks

SIZE = (320, 180)


@dataclass
class Run:
    """A run to be watched, whose summary, state and outputs a test sets."""

    summary: RunSummary
    state: SourceState
    counter: Counter
    web: WebSink
    outputs: dict = field(default_factory=dict)

    def show(self, number, people=((1, 100, 80),), shade=None):
        """Give the page a frame of one shade, with people of (id, x, y) of their feet."""
        width, height = SIZE
        image = np.full((height, width, 3), number % 250 if shade is None else shade, np.uint8)
        frame = Frame(image, number - 1, number / 10)
        tracks = tracks_of(people)
        self.counter.update(tracks, frame.time_s)
        self.web.write(frame, tracks)

    def ask(self, method, path, body=None, **headers):
        """One request; gives status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    @property
    def port(self):
        return int(self.web.address.rstrip("/").rpartition(":")[2])


def tracks_of(people):
    table = np.array(people, np.float64).reshape(-1, 3)
    x, y = table[:, 1], table[:, 2]
    count = len(table)
    return Tracks(
        table[:, 0].astype(np.int64),
        np.stack([x - 8, y - 40, x + 8, y], axis=1).astype(np.float32),
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )


@contextmanager
def _served(config=None, counting=None, size=SIZE, source="street"):
    counter = Counter(counting or CountingConfig(), size)
    nothing = RunSummary(0, 0, 0, 0, 0, 0, 0.0, {"inference": 0.0})
    run = Run(nothing, SourceState("running", time.monotonic()), counter, None)
    config = replace(config or WebConfig(), port=0)
    told = (lambda: run.summary, lambda: run.state, counter)
    run.web = WebSink(config, *told, source=source, outputs=lambda: run.outputs)
    with run.web:
        run.web.start()
        yield run


@pytest.fixture(scope="module")
def open_page():
    """One page for all tests of a file that leave it as it is."""
    with _served() as run:
        run.show(1)
        yield run


@pytest.fixture
def serve():
    """Serve a page for the length of a test; takes a configuration and what is counted."""
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(_served(*args, **kwargs))
