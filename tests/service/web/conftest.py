"""A page that is served for a test."""

import http.client
import itertools
import json
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from websockets.sync.client import connect

from edge_fairmot.counting import Counter, CountingConfig
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.web import WebConfig, WebSink
from edge_fairmot.sources import open_source
from edge_fairmot.types import Frame, FrameResult, Tracks

from .browser import opened_browser

SIZE = (320, 180)
STREET_SIZE, FPS, LENGTH = (576, 324), 10.0, 60
NOTHING = RunSummary(0, 0, 0, 0, 0, 0, 0.0, {"inference": 0.0})


@dataclass
class Run:
    """A run with a page, whose summary, state and outputs a test sets. Requests carry the token."""

    summary: RunSummary
    state: SourceState
    counter: Counter | None
    web: WebSink | None
    outputs: dict = field(default_factory=dict)
    class_names: tuple[str, ...] = ("person",)

    def write(self, frame, tracks):
        """Count and write one frame, as the pipeline does."""
        if self.counter is None:
            self.web.write(FrameResult(frame, tracks))
        else:
            events = self.counter.update(tracks, frame.time_s, frame.size)
            self.web.write(FrameResult(frame, tracks, events, self.counter.counts, self.class_names))

    def show(self, number, people=((1, 100, 80),), shade=None):
        """Write a frame of one shade, with people of (id, x, y) of their feet."""
        width, height = SIZE
        image = np.full((height, width, 3), number % 250 if shade is None else shade, np.uint8)
        self.write(Frame(image, number - 1, number / 10), tracks_of(people))

    def ask(self, method, path, body=None, *, login=True, **headers):
        """Send a request; returns status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, self.headers(login, headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def watch(self, *, login=True, **headers):
        """Open the WebSocket."""
        address = f"ws://127.0.0.1:{self.port}/ws"
        named = self.headers(login, headers)
        return connect(address, additional_headers=named, proxy=None, max_size=None)

    def headers(self, login=True, given=()):
        named = {name.replace("_", "-"): value for name, value in dict(given).items()}
        return {"authorization": f"Bearer {self.token}"} | named if login and self.token else named

    @property
    def revision(self):
        """Of the drawing."""
        return json.loads(self.ask("GET", "/api/counting")[2])["revision"]

    @property
    def token(self):
        address = self.web.login_address
        return "" if address is None else address.rpartition("=")[2]

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
def served(config, counting=None, size=SIZE, *, source="street", class_names=("person",), **more):
    counter = Counter(counting or CountingConfig(), size, class_names)
    state = SourceState("running", time.monotonic())
    run = Run(NOTHING, state, counter, None, class_names=class_names)
    read = (lambda: run.summary, lambda: run.state, counter)
    config = replace(config, port=more.pop("port", 0))
    run.web = WebSink(config, *read, source=source, outputs=lambda: run.outputs, **more)
    with run.web:
        run.web.start()
        yield run


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """One page for all tests of a file that leave it as it is."""
    folder = tmp_path_factory.mktemp("state")
    with served(WebConfig(token_file=folder / "token", drawing_file=folder / "drawing.json")) as run:
        run.show(1)
        yield run


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """Folder of the state of runs."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def serve():
    """Serve a page for the length of a test; takes a configuration, counting and a source."""
    with ExitStack() as stack:
        yield lambda config=None, **more: stack.enter_context(served(config or WebConfig(), **more))


@pytest.fixture(scope="module")
def browse():
    with opened_browser() as open_tab:
        yield open_tab


@pytest.fixture(scope="module")
def street():
    """The street and its first frames with their true tracks."""
    width, height = STREET_SIZE
    with open_source(f"synthetic:seed=1,size={width}x{height},fps={FPS},frames={LENGTH}") as source:
        return [(frame.image, true_tracks(source, frame.index)) for frame in source]


@pytest.fixture
def play(street):
    """Show the street on a page again and again, faster than its clock."""
    ended, threads = threading.Event(), []

    def play_on(run):
        for number in itertools.count():
            image, tracks = street[number % LENGTH]
            run.write(Frame(image, number % LENGTH, number / FPS), tracks)
            if ended.wait(0.04):
                return

    def start(run):
        threads.append(threading.Thread(target=play_on, args=(run,)))
        threads[-1].start()
        return run

    yield start
    ended.set()
    for thread in threads:
        thread.join(10)


def true_tracks(source, index):
    truth = source.truth(index)
    rows = truth.visibility > 0.3
    count = int(rows.sum())
    return Tracks(
        truth.ids[rows],
        truth.xyxy[rows],
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )
