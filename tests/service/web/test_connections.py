"""Connections that send no request neither stop the page nor use up the open files of the process."""

import http.client
import json
import os
import socket
import time
from contextlib import ExitStack, closing, suppress

import pytest
from websockets.exceptions import ConnectionClosedError

from edge_fairmot.service.web import server
from edge_fairmot.service.web.server import listen

from .browser import wait_until

DEADLINE_S = 0.5
"""Instead of ten seconds."""


@pytest.fixture
def run(serve, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_S", DEADLINE_S)
    run = serve()
    run.show(1)
    return run


def connected(run):
    return socket.create_connection(("127.0.0.1", run.port), timeout=10 * DEADLINE_S)


def is_closed(connection):
    """Wait for the end of a connection; False if nothing comes at all."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def is_closed_now(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_a_connection_whose_request_is_not_finished_is_closed(run, first, sent):
    with connected(run) as connection:
        if first:
            connection.sendall(first)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(sent or b"G" * bool(first))  # a byte ends uvicorn's own time between requests
        assert is_closed(connection)


def test_a_letter_now_and_then_is_not_a_request(run):
    with connected(run) as connection:
        for _ in range(20):
            with suppress(ConnectionError):
                connection.sendall(b"G")
            time.sleep(DEADLINE_S / 5)
        assert is_closed_now(connection)


def test_a_connection_with_many_requests_stays_open(run):
    with closing(http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)) as connection:
        connection.connect()
        opened = connection.sock
        for _ in range(4):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            time.sleep(DEADLINE_S / 2)
        assert connection.sock is opened


def test_a_slow_body_is_waited_for(run):
    body = json.dumps({"revision": 1, "line": [], "zone": []}).encode()
    head = f"PUT /api/counting HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += f"Authorization: Bearer {run.token}\r\nContent-Type: application/json\r\n\r\n"
    with connected(run) as connection:
        connection.sendall(head.encode())
        time.sleep(2 * DEADLINE_S)
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_websocket_has_no_deadline(run):
    with run.watch() as client:
        ends_s = time.monotonic() + 4 * DEADLINE_S
        while time.monotonic() < ends_s:
            assert client.recv(timeout=10)


def test_too_many_connections_are_closed_at_once_and_silent_ones_soon(serve, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 40)
    monkeypatch.setattr(server, "REQUEST_S", 3.0)
    run = serve()
    run.show(1)
    before = len(os.listdir("/proc/self/fd"))
    with ExitStack() as stack:
        silent = [stack.enter_context(closing(connected(run))) for _ in range(100)]
        wait_until(lambda: sum(map(is_closed_now, silent)) >= 60)  # later also those that stay silent
        assert len(os.listdir("/proc/self/fd")) - before <= 100 + 40 + 10  # both ends are in this process
        wait_until(lambda: all(map(is_closed_now, silent)))
        assert run.ask("GET", "/healthz")[0] == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="a limit of Linux")
def test_a_client_whose_network_is_gone_is_noticed():
    with closing(listen("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            for option, value in (
                (socket.TCP_KEEPIDLE, 60),
                (socket.TCP_KEEPINTVL, 10),
                (socket.TCP_KEEPCNT, 6),
            ):
                assert accepted.getsockopt(socket.IPPROTO_TCP, option) == value


def test_a_message_that_is_not_utf8_ends_the_connection_and_writes_nothing_to_the_log(run, caplog):
    with run.watch() as client:
        client.send(b"\xff" * 10, text=True)
        with pytest.raises(ConnectionClosedError) as closed:
            list(client)
    assert closed.value.rcvd.code == 1007
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
