"""What systemd is told, by a socket of its kind."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_fairmot.cli.service import ServiceManager

Receive = Callable[[], str]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[str, Receive]]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(20)
        yield address, lambda: receiver.recv(4096).decode()


def test_it_is_told_in_lines(manager: tuple[str, Receive]) -> None:
    address, receive = manager
    with ServiceManager({"NOTIFY_SOCKET": address}) as service:
        service.notify(READY=1, STATUS="running")
    assert receive() == "READY=1\nSTATUS=running"


def test_an_abstract_socket_is_understood() -> None:
    name = f"edge-fairmot-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(20)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).notify(STOPPING=1)
        assert receiver.recv(100) == b"STOPPING=1"


def test_signs_of_life_end_when_there_is_none(manager: tuple[str, Receive]) -> None:
    address, receive = manager
    answers = [False, True, True]

    def is_alive() -> bool:
        return bool(answers) and answers.pop()

    with ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000"}) as service:
        assert service.watchdog_s == 0.06
        service.start_watchdog(is_alive, lambda: "well")
        assert [receive(), receive()] == 2 * ["WATCHDOG=1\nSTATUS=well"]
        service.notify(STOPPING=1)
        assert receive() == "STOPPING=1"


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "1000"}, {"NOTIFY_SOCKET": "/no/such/socket"}])
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    with ServiceManager(environment) as service:
        service.notify(READY=1)
        service.start_watchdog(lambda: True, lambda: "well")


def test_a_watchdog_that_is_another_process_s_is_left_alone() -> None:
    other = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert ServiceManager(other).watchdog_s == 0
