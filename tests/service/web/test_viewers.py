"""Who watches gets the newest scene, as fast as they can take it, and costs the loop nothing."""

import json
import threading
import time
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from edge_fairmot.counting import CountingConfig, parse_line
from edge_fairmot.service.web import WebConfig
from edge_fairmot.service.web.feed import Feed
from edge_fairmot.service.web.scene import LENGTH, Scene
from edge_fairmot.service.web.viewers import MOST_VIEWERS, WINDOW
from edge_fairmot.types import Frame

from .browser import wait_until
from .conftest import tracks_of


def watch(run):
    return connect(f"ws://127.0.0.1:{run.port}/ws", proxy=None, max_size=None)


def next_scene(socket, timeout=10):
    """Head and picture of the next scene; statuses in between are passed over."""
    ends_s = time.monotonic() + timeout
    while True:
        message = socket.recv(timeout=max(0, ends_s - time.monotonic()))
        if isinstance(message, bytes):
            (length,) = LENGTH.unpack_from(message)
            picture = np.frombuffer(message, np.uint8, offset=LENGTH.size + length)
            head = json.loads(message[LENGTH.size : LENGTH.size + length])
            return head, cv2.imdecode(picture, cv2.IMREAD_COLOR)


def hear_everything(socket):
    while True:
        socket.recv(timeout=10)


def viewers_of(run):
    return json.loads(run.ask("GET", "/api/status")[2])["viewers"]


def next_status(socket):
    message = b""
    while isinstance(message, bytes):
        message = socket.recv(timeout=10)
    return json.loads(message)


def drawn(socket, head):
    socket.send(str(head["number"]))


def test_a_picture_comes_with_the_boxes_of_its_frame_and_no_others(serve):
    run = serve()
    with watch(run) as socket:
        for number in range(1, 30):
            run.show(number, [(number, 100 + number, 80)])
            head, picture = next_scene(socket)
            drawn(socket, head)
            assert abs(int(picture.mean().round()) - head["number"] % 250) <= 1
            assert [(track["id"], track["xyxy"][0]) for track in head["tracks"]] == [
                (head["number"], 92.0 + head["number"])
            ]


def test_a_viewer_who_comes_late_sees_the_last_frame_of_a_lost_camera(serve):
    run = serve()
    for number in range(1, 9):
        run.show(number)
    for _ in range(2):
        with watch(run) as socket:
            assert next_scene(socket)[0]["number"] == 8


def test_a_slow_viewer_is_sent_no_more_than_it_has_drawn_and_then_the_newest(serve):
    run = serve()
    with watch(run) as slow, watch(run) as quick:
        held = []
        for number in range(1, 41):
            run.show(number)
            head, _ = next_scene(quick)
            drawn(quick, head)
            assert head["number"] == number
            if number == WINDOW:
                held = [next_scene(slow)[0] for _ in range(WINDOW)]
        with pytest.raises(TimeoutError):
            next_scene(slow, timeout=0.2)
        assert [head["number"] for head in held] == [1, 2]
        drawn(slow, held[0])
        assert next_scene(slow)[0]["number"] == 40


def test_the_delay_goes_from_the_camera_to_the_page_that_has_drawn_it(serve):
    run = serve()
    with watch(run) as socket:
        for number in range(1, 4):
            image = np.zeros((180, 320, 3), np.uint8)
            run.web.write(Frame(image, number, time.monotonic() - 0.4), tracks_of([]))
            drawn(socket, next_scene(socket)[0])
        status = json.loads(run.ask("GET", "/api/status")[2])
        assert 400 <= status["page_delay_ms"] < 5000
    assert b'edge_fairmot_page_delay_seconds{quantile="0.99"} 0.' in run.ask("GET", "/metrics")[2]


@pytest.mark.parametrize("time_s", [-1e9, 1e12, float("nan"), float("inf")])
def test_a_frame_with_the_time_of_another_clock_is_as_old_as_the_loop_has_it(time_s):
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 0, time_s)
    assert Scene(1, frame, tracks_of([]), {}, {}, 100.0).seen_s == 100.0


def test_ten_who_draw_nothing_leave_the_others_and_the_loop_alone(serve):
    run = serve()
    with ExitStack() as stack, watch(run) as quick:
        for _ in range(10):
            stack.enter_context(watch(run))
        for number in range(1, 101):
            run.show(number)
            head, _ = next_scene(quick)
            drawn(quick, head)
        assert head["number"] == 100
        assert viewers_of(run) == 11
    wait_until(lambda: viewers_of(run) == 0)


def test_nobody_watching_encodes_nothing():
    encoded = []
    feed = Feed(lambda scene: encoded.append(scene.number) or b"")
    delivered = threading.Semaphore(0)
    thread = threading.Thread(target=feed.run, args=(lambda *_: delivered.release(),))
    thread.start()
    scenes = [
        Scene(n, Frame(np.zeros((2, 2, 3), np.uint8), n, n), tracks_of([]), {}, {}, 0.0) for n in range(1, 8)
    ]
    feed.show(scenes[0])
    feed.show(scenes[1])
    feed.want(True)
    assert delivered.acquire(timeout=10)
    feed.want(False)
    for scene in scenes[2:5]:
        feed.show(scene)
    feed.want(True)
    assert delivered.acquire(timeout=10)
    feed.want(False)
    feed.close()
    thread.join(10)
    assert encoded == [2, 5]


def test_a_picture_that_cannot_be_encoded_is_not_the_last(serve, caplog):
    run = serve()
    with watch(run) as socket:
        run.show(1)
        drawn(socket, next_scene(socket)[0])
        run.web.write(Frame(np.zeros((0, 0, 3), np.uint8), 1, 0.2), tracks_of([]))
        while not caplog.records:
            time.sleep(0.01)
        run.show(3)
        assert next_scene(socket)[0]["frame"] == 3
    assert "frame 2 cannot be shown" in caplog.text


@pytest.mark.parametrize("message", ["nonsense", "", "-1", "99", "1e3", b"\x00\x01", "1" * 65])
def test_whoever_says_something_else_is_sent_away(serve, message):
    run = serve()
    run.show(1)
    with watch(run) as socket:
        next_scene(socket)
        socket.send(message)
        with pytest.raises(ConnectionClosed):
            hear_everything(socket)
    assert run.ask("GET", "/healthz")[0] == 200


def test_there_is_an_end_to_how_many_may_watch(serve):
    run = serve()
    with ExitStack() as stack:
        for _ in range(MOST_VIEWERS):
            stack.enter_context(watch(run)).recv(timeout=10)
        with watch(run) as late, pytest.raises(ConnectionClosed, match="are watching already"):
            late.recv(timeout=10)


def test_a_drawing_reaches_the_counter_and_every_viewer(serve, tmp_path):
    run = serve(WebConfig(counting_file=tmp_path / "shop.toml"))
    drawing = {"revision": 1, "line": [{"name": "door", "start": [0.5, 0], "end": [0.5, 1]}], "zone": []}
    with watch(run) as socket:
        assert next_status(socket)["counting"]["line"] == []
        run.show(1, [(4, 200, 80)])
        status, _, body = run.ask(
            "PUT", "/api/counting", json.dumps(drawing), content_type="application/json"
        )
        assert (status, json.loads(body)["revision"]) == (200, 2)
        told = next_status(socket)
        while not told["counting"]["line"]:
            told = next_status(socket)
        assert told["counting"]["saved_to"].endswith("shop.toml")
        run.show(2, [(4, 200, 80)])
        run.show(3, [(4, 100, 80)])
    assert run.counter.lines["door"].inwards == 1
    status, _, body = run.ask("PUT", "/api/counting", json.dumps(drawing), content_type="application/json")
    assert (status, json.loads(body)["revision"]) == (409, 2)  # somebody changed it since
    assert CountingConfig((parse_line("door:0.5,0,0.5,1"),)) == run.counter.config


def test_it_ends_while_somebody_watches_and_takes_nothing(serve):
    run = serve()
    with watch(run) as socket:
        run.show(1)
        next_scene(socket)
        run.web.close()
        with pytest.raises(ConnectionClosed):
            hear_everything(socket)
