"""Clients get the newest frame, as fast as they draw it, and never slow down the loop."""

import json
import threading
import time
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from edge_fairmot.service.web.clients import MAX_CLIENTS, WINDOW
from edge_fairmot.service.web.frames import HEADER_LENGTH, LatestFrame, WebFrame
from edge_fairmot.types import Frame, FrameResult

from .browser import wait_until
from .conftest import tracks_of


def next_frame(client, timeout=10):
    """Header and image of the next frame; status messages are skipped."""
    ends_s = time.monotonic() + timeout
    while True:
        message = client.recv(timeout=max(0, ends_s - time.monotonic()))
        if isinstance(message, bytes):
            (length,) = HEADER_LENGTH.unpack_from(message)
            image = np.frombuffer(message, np.uint8, offset=HEADER_LENGTH.size + length)
            header = json.loads(message[HEADER_LENGTH.size : HEADER_LENGTH.size + length])
            return header, cv2.imdecode(image, cv2.IMREAD_COLOR)


def receive_all(client):
    while True:
        client.recv(timeout=10)


def next_status(client):
    message = b""
    while isinstance(message, bytes):
        message = client.recv(timeout=10)
    return json.loads(message)


def drawn(client, header):
    client.send(str(header["number"]))


def number_of_clients(run):
    return json.loads(run.ask("GET", "/api/status")[2])["viewers"]


def web_frame(number, time_s=0.0, received_s=0.0):
    frame = Frame(np.zeros((2, 2, 3), np.uint8), number - 1, time_s)
    return WebFrame(number, FrameResult(frame, tracks_of([])), received_s)


def test_an_image_comes_with_the_boxes_of_its_own_frame(serve):
    run = serve()
    with run.watch() as client:
        for number in range(1, 30):
            run.show(number, [(number, 100 + number, 80)])
            header, image = next_frame(client)
            drawn(client, header)
            assert abs(int(image.mean().round()) - header["number"] % 250) <= 1
            assert [(track["id"], track["xyxy"][0]) for track in header["tracks"]] == [
                (header["number"], 92.0 + header["number"])
            ]


def test_a_late_client_gets_the_last_frame_of_a_lost_camera(serve):
    run = serve()
    for number in range(1, 9):
        run.show(number)
    for _ in range(2):
        with run.watch() as client:
            assert next_frame(client)[0]["number"] == 8


def test_a_slow_client_gets_only_as_much_as_it_draws_and_then_the_newest_frame(serve):
    run = serve()
    with ExitStack() as stack, run.watch() as slow, run.watch() as quick:
        for _ in range(8):  # and others that draw nothing
            stack.enter_context(run.watch())
        held = []
        for number in range(1, 41):
            run.show(number)
            header, _ = next_frame(quick)
            drawn(quick, header)
            assert header["number"] == number
            if number == WINDOW:
                held = [next_frame(slow)[0] for _ in range(WINDOW)]
        with pytest.raises(TimeoutError):
            next_frame(slow, timeout=0.2)
        assert [header["number"] for header in held] == [1, 2]
        drawn(slow, held[0])
        assert next_frame(slow)[0]["number"] == 40
        assert number_of_clients(run) == 10
    wait_until(lambda: number_of_clients(run) == 0)


def test_the_delay_is_from_capture_to_the_drawn_page(serve):
    run = serve()
    run.counter = None
    with run.watch() as client:
        for number in range(3):
            frame = Frame(np.zeros((180, 320, 3), np.uint8), number, time.monotonic() - 0.4)
            run.write(frame, tracks_of([]))
            drawn(client, next_frame(client)[0])
        status = json.loads(run.ask("GET", "/api/status")[2])
        assert 400 <= status["page_delay_ms"] < 5000
    assert b'edge_fairmot_page_delay_seconds{quantile="0.99"} 0.' in run.ask("GET", "/metrics")[2]


@pytest.mark.parametrize("time_s", [-1e9, 1e12, float("nan"), float("inf")])
def test_a_frame_time_of_another_clock_is_not_used(time_s):
    assert web_frame(1, time_s, received_s=100.0).captured_s == 100.0


def test_nothing_is_encoded_without_a_client():
    encoded = []
    slot = LatestFrame(lambda frame: encoded.append(frame.number) or b"")
    delivered = threading.Semaphore(0)
    thread = threading.Thread(target=slot.run, args=(lambda *_: delivered.release(),))
    thread.start()
    for batch in ((1, 2), (3, 4, 5)):
        for number in batch:
            slot.put(web_frame(number))
        slot.want(True)
        assert delivered.acquire(timeout=10)
        slot.want(False)
    slot.close()
    thread.join(10)
    assert encoded == [2, 5]


def test_the_page_goes_on_after_an_image_that_cannot_be_encoded(serve, caplog):
    run = serve()
    run.counter = None
    with run.watch() as client:
        run.show(1)
        drawn(client, next_frame(client)[0])
        run.write(Frame(np.zeros((0, 0, 3), np.uint8), 1, 0.2), tracks_of([]))
        wait_until(lambda: "frame 2 cannot be shown" in caplog.text)
        run.show(3)
        assert next_frame(client)[0]["frame"] == 3


@pytest.mark.parametrize("message", ["nonsense", "", "-1", "99", "1e3", b"\x00\x01", "1" * 65])
def test_a_client_that_sends_anything_else_is_disconnected(page, message):
    with page.watch() as client:
        next_frame(client)
        client.send(message)
        with pytest.raises(ConnectionClosed):
            receive_all(client)
    assert page.ask("GET", "/healthz")[0] == 200


def test_the_number_of_clients_is_limited(page):
    with ExitStack() as stack:
        for _ in range(MAX_CLIENTS):
            stack.enter_context(page.watch()).recv(timeout=10)
        with page.watch() as late, pytest.raises(ConnectionClosed, match="clients are connected already"):
            late.recv(timeout=10)


def test_a_drawing_reaches_the_counter_and_every_client(serve, state):
    run = serve()
    drawing = {"revision": 1, "line": [{"name": "door", "start": [0.5, 0], "end": [0.5, 1]}], "zone": []}
    headers = {"content_type": "application/json"}
    with run.watch() as client:
        assert next_status(client)["counting"]["line"] == []
        run.show(1, [(4, 200, 80)])
        status, _, body = run.ask("PUT", "/api/counting", json.dumps(drawing), **headers)
        assert (status, json.loads(body)["revision"]) == (200, 2)
        told = next_status(client)
        while not told["counting"]["line"]:
            told = next_status(client)
        assert told["counting"]["saved_to"] == str(state / "drawing.json")
        run.show(2, [(4, 200, 80)])
        run.show(3, [(4, 100, 80)])
    assert run.counter.counts.lines["door"].inwards == 1
    status, _, body = run.ask("PUT", "/api/counting", json.dumps(drawing), **headers)
    assert (status, json.loads(body)["revision"]) == (409, 2)  # another page has changed it


def test_close_disconnects_a_client_that_draws_nothing(serve):
    run = serve()
    with run.watch() as client:
        run.show(1)
        next_frame(client)
        run.web.close()
        with pytest.raises(ConnectionClosed):
            receive_all(client)
