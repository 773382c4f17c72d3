"""What systemd is told about a running service, and how it notices one that hangs.

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
"""How often in the watchdog's time a sign of life is due: one may be late."""

_log = logging.getLogger(__name__)


class ServiceManager(AbstractContextManager["ServiceManager"]):
    """Talks to systemd, where it is there; otherwise does nothing.

    Parameters
    ----------
    environment : mapping, optional
        ``os.environ`` when not given.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = environment.get("NOTIFY_SOCKET", "")
        meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.limit_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if meant else 0.0
        self._ended = Event()
        self._thread: Thread | None = None

    def tell(self, **values: str | int) -> None:
        """Send ``NAME=value`` lines, as in ``tell(READY=1, STATUS="tracking")``."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(f"{name}={value}" for name, value in values.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.connect(address)
                sender.sendall(message.encode())
        except OSError as error:
            _log.warning("systemd cannot be told anything (%s)", error.strerror)

    def watch(self, is_alive: Callable[[], bool], status: Callable[[], str]) -> None:
        """Give signs of life from a thread of its own, for as long as ``is_alive`` says so.

        Parameters
        ----------
        is_alive : callable
            Quick, and safe from any thread.
        status : callable
            What ``systemctl status`` shows; as quick and as safe.
        """
        if not self._address or not self.limit_s:
            return

        def ping() -> None:
            while not self._ended.wait(self.limit_s / PINGS_PER_LIMIT):
                if is_alive():
                    self.tell(WATCHDOG=1, STATUS=status())

        self._thread = Thread(target=ping, name="edge-fairmot watchdog", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
