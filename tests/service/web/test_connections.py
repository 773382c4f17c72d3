"""Connections that ask for nothing: a page and a process that outlive them."""

import http.client
import json
import os
import socket
import time
from contextlib import ExitStack, closing, suppress

import pytest
from websockets.sync.client import connect

from edge_fairmot.service.web import connections
from edge_fairmot.service.web.connections import MOST_CONNECTIONS
from edge_fairmot.service.web.server import _listen

from .browser import wait_until

IMPATIENCE_S = 0.5
"""In place of ten seconds."""


@pytest.fixture
def impatient(serve, monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_S", IMPATIENCE_S)
    run = serve()
    run.show(1)
    return run


def call(run):
    return socket.create_connection(("127.0.0.1", run.port), timeout=10 * IMPATIENCE_S)


def is_closed(caller):
    """Wait for the end of a connection; False where nothing comes, not even that."""
    try:
        while caller.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def is_over_now(caller):
    caller.setblocking(False)
    try:
        return caller.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("said", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_connection_that_does_not_ask_is_closed(impatient, said):
    with call(impatient) as caller:
        caller.sendall(said)
        assert is_closed(caller)


def test_a_letter_now_and_then_is_no_request(impatient):
    with call(impatient) as caller:
        for _ in range(20):
            with suppress(ConnectionError):
                caller.sendall(b"G")
            time.sleep(IMPATIENCE_S / 5)
        assert is_over_now(caller)


def test_a_second_request_that_is_never_finished_ends_the_connection(impatient):
    with call(impatient) as caller:
        caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert caller.recv(4096).startswith(b"HTTP/1.1 200")
        caller.sendall(b"G")  # which ends the time that uvicorn gives between requests
        assert is_closed(caller)


def test_whoever_asks_again_and_again_keeps_the_connection(impatient):
    with closing(http.client.HTTPConnection("127.0.0.1", impatient.port, timeout=10)) as connection:
        connection.connect()
        caller = connection.sock
        for _ in range(4):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            time.sleep(IMPATIENCE_S / 2)
        assert connection.sock is caller


def test_a_drawing_that_comes_slowly_is_waited_for(impatient):
    body = json.dumps({"revision": 1, "line": [], "zone": []}).encode()
    head = f"PUT /api/counting HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with call(impatient) as caller:
        caller.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        time.sleep(2 * IMPATIENCE_S)
        caller.sendall(body)
        assert caller.recv(4096).startswith(b"HTTP/1.1 200")


def test_who_watches_is_left_alone(impatient):
    with connect(f"ws://127.0.0.1:{impatient.port}/ws", proxy=None) as watcher:
        ends_s = time.monotonic() + 4 * IMPATIENCE_S
        while time.monotonic() < ends_s:
            assert watcher.recv(timeout=10)


def test_more_connections_than_are_borne_are_closed_at_once_and_cost_no_files(serve, monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_S", 600.0)
    run = serve()
    run.show(1)
    before = len(os.listdir("/proc/self/fd"))
    with ExitStack() as stack:
        silent = [stack.enter_context(closing(call(run))) for _ in range(MOST_CONNECTIONS + 200)]
        wait_until(lambda: sum(map(is_over_now, silent)) == 200)
        assert len(os.listdir("/proc/self/fd")) - before <= len(silent) + MOST_CONNECTIONS + 10
    wait_until(lambda: run.ask("GET", "/healthz")[0] == 200)


def test_the_page_is_back_when_those_who_said_nothing_are_gone(impatient):
    with ExitStack() as stack:
        silent = [stack.enter_context(closing(call(impatient))) for _ in range(MOST_CONNECTIONS)]
        wait_until(lambda: all(map(is_over_now, silent)))
        assert impatient.ask("GET", "/healthz")[0] == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="a limit of Linux")
def test_a_viewer_whose_network_is_gone_is_noticed():
    with closing(_listen("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 6
