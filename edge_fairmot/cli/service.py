"""Notifications to systemd: readiness, status, and the watchdog that restarts a service that hangs.

The protocol is that of ``sd_notify(3)``: a datagram of ``NAME=value`` lines to the socket ``NOTIFY_SOCKET``.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from threading import Event, Thread

PINGS_PER_LIMIT = 3
"""Watchdog notifications in the watchdog's time: one may be late."""

_log = logging.getLogger(__name__)


class ServiceManager(AbstractContextManager["ServiceManager"]):
    """Notifies systemd if this process is one of its services; otherwise does nothing.

    ``watchdog_s`` is systemd's limit, 0 without a watchdog.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = environment.get("NOTIFY_SOCKET", "")
        is_main = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if is_main else 0.0
        self._ended = Event()
        self._thread: Thread | None = None

    def notify(self, **values: str | int) -> None:
        """Send ``NAME=value`` lines, as in ``notify(READY=1, STATUS="tracking")``."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(f"{name}={value}" for name, value in values.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.connect(address)
                sender.sendall(message.encode())
        except OSError as error:
            _log.warning("systemd cannot be notified (%s)", error.strerror)

    def start_watchdog(self, is_alive: Callable[[], bool], status: Callable[[], str]) -> None:
        """Notify the watchdog while ``is_alive()``, with ``status()`` for ``systemctl status``.

        Both are called from another thread and must return at once.
        """
        if not self._address or not self.watchdog_s:
            return

        def ping() -> None:
            while not self._ended.wait(self.watchdog_s / PINGS_PER_LIMIT):
                if is_alive():
                    self.notify(WATCHDOG=1, STATUS=status())

        self._thread = Thread(target=ping, name="edge-fairmot watchdog", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
