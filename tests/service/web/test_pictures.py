"""The Motion JPEG stream: read as a camera card reads it."""

import base64
import http.client
import time

import cv2
import numpy as np
import pytest

from edge_fairmot.service.web.pictures import MAX_STREAMS

from .browser import wait_until


class Watcher:
    """A client of the stream."""

    def __init__(self, run, query="", **headers):
        self._connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)
        self._connection.request("GET", f"/stream.mjpg{query}", headers=headers or run.headers())
        self.answer = self._connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer.close()
        self._connection.close()

    def picture(self):
        """Next image of the stream; reads to the boundary after it, and no byte further."""
        while (line := self.answer.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        image = self.answer.read(length)
        assert self.answer.readline() == b"\r\n"
        assert self.answer.readline() == b"--frame\r\n"
        return cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)


def shade(image):
    return float(np.median(image))


def test_a_stream_shows_new_frames_with_or_without_boxes(serve):
    run = serve()
    run.show(1, shade=30)
    with Watcher(run) as plain, Watcher(run, "?boxes") as boxed:
        kind = plain.answer.headers["content-type"]
        assert (plain.answer.status, kind) == (200, "multipart/x-mixed-replace; boundary=frame")
        assert np.ptp(plain.picture()) <= 4
        assert np.ptp(boxed.picture()) > 50
        run.show(2, shade=200)
        assert shade(plain.picture()) == pytest.approx(200, abs=2)
        assert shade(boxed.picture()) == pytest.approx(200, abs=2)


def test_the_last_picture_is_repeated_while_the_camera_is_away(serve, monkeypatch):
    monkeypatch.setattr("edge_fairmot.service.web.pictures.REPEAT_S", 0.2)
    run = serve()
    run.show(1, shade=30)
    with Watcher(run) as watcher:
        assert [shade(watcher.picture()) for _ in range(3)] == pytest.approx([30] * 3, abs=2)


def test_a_client_that_reads_late_gets_the_newest_picture_and_holds_up_nobody(serve):
    run = serve()
    noise = np.random.default_rng(1).integers(0, 250, (180, 320, 3), np.uint8)
    run.show(1)
    with Watcher(run) as sleeper, Watcher(run) as reader:
        for number in range(2, 30):
            run.show(number, shade=noise)
            reader.picture()
        run.show(30, shade=77)
        wait_until(lambda: abs(shade(reader.picture()) - 77) < 3)
        wait_until(lambda: abs(shade(sleeper.picture()) - 77) < 3)


def test_streams_are_bounded_and_a_closed_one_makes_room(serve):
    run = serve()
    run.show(1)
    watchers = [Watcher(run) for _ in range(MAX_STREAMS)]
    try:
        for watcher in watchers:
            assert watcher.picture() is not None
        status, _, body = run.ask("GET", "/stream.mjpg")
        assert (status, b"close one" in body) == (503, True)
        assert run.ask("HEAD", "/stream.mjpg")[0] == 503
        watchers.pop().__exit__()
        wait_until(lambda: run.ask("HEAD", "/stream.mjpg")[0] == 200)
    finally:
        for watcher in watchers:
            watcher.__exit__()


def test_the_run_ends_while_somebody_watches(serve):
    run = serve()
    run.show(1)
    with Watcher(run) as watcher:
        watcher.picture()
        began_s = time.monotonic()
        run.web.close()
        assert time.monotonic() - began_s < 10


def test_the_token_may_be_a_password_as_home_assistant_sends_it(serve):
    run = serve()
    run.show(1)

    def basic(password):
        return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()

    with Watcher(run, authorization=basic(run.token)) as watcher:
        assert watcher.picture() is not None
    for wrong in (basic("wrong"), basic(""), "Basic " + run.token, "Basic \xe4", "Basic"):
        with Watcher(run, authorization=wrong) as watcher:
            assert watcher.answer.status == 401
