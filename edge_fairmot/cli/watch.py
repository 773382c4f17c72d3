"""Supervision of a run: signals that end it, and stages that hang."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from edge_fairmot.cli.console import ENDING_SIGNALS, INTERRUPTED, warn

END_S = 4.0
"""A run that has not ended this long after a signal is ended with the process."""

HEALTH_FILE = "EDGE_FAIRMOT_HEALTH_FILE"
"""Environment variable: a file that is touched while a run is alive, for the health check of a container."""

_NOUNS = {
    "decode": "the decoder",
    "letterbox": "the letterbox",
    "inference": "the detector",
    "turn": "the detector of all cameras",
    "association": "the tracker",
    "sinks": "an output",
}

_SIGNALS = (*ENDING_SIGNALS, signal.SIGINT)


def stall_of(busy_s: Mapping[str, float], after_s: float) -> str:
    """Return a message about a stage that has worked longer than ``after_s``; empty if there is none."""
    stage = max(busy_s, key=busy_s.__getitem__, default="")
    if not stage or busy_s[stage] < after_s:
        return ""
    return f"{_NOUNS[stage]} has not returned for more than {after_s:g} s"


class StallWatch(AbstractContextManager["StallWatch"]):
    """Calls ``tell`` in its own thread: with a message when a run stalls, and with "" when it continues.

    The health file is touched while ``is_working()``; without it, while nothing stalls.
    """

    def __init__(
        self,
        stalled: Callable[[], str],
        tell: Callable[[str], None],
        after_s: float,
        is_working: Callable[[], bool] | None = None,
    ) -> None:
        self._stalled, self._tell, self._pause_s = stalled, tell, min(1.0, after_s / 4)
        self._is_working = is_working
        self._health = Path(path) if (path := os.environ.get(HEALTH_FILE)) else None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edge-fairmot watch", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        told = ""
        while True:
            stall = self._stalled()
            if stall != told:
                told = stall
                self._tell(stall)
            works = not stall if self._is_working is None else self._is_working()
            if works and self._health is not None:
                with suppress(OSError):
                    self._health.touch()
            if self._ended.wait(self._pause_s):
                return

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class EndingSignals(AbstractContextManager["EndingSignals"]):
    """Lets Ctrl-C, SIGTERM and SIGHUP end a run; a second one raises KeyboardInterrupt.

    The first one calls ``stop``, or raises KeyboardInterrupt while there is none. If the process has not left
    the context END_S later, ``give_up`` is called from another thread, and the process ends.
    """

    def __init__(self) -> None:
        self.stop: Callable[[], None] | None = None
        self.give_up: Callable[[], None] = lambda: None
        self.asked = False
        self._ended = threading.Event()
        # The signal is written here at once, also while the main thread is inside a library.
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="edge-fairmot signals", daemon=True)

    def __enter__(self) -> EndingSignals:
        self._thread.start()
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._ended.set()
        self._sender.close()
        self._thread.join()
        self._receiver.close()

    def _ask(self, number: int, frame: object) -> None:
        for one in _SIGNALS:
            signal.signal(one, signal.default_int_handler)
        self.asked = True
        if self.stop is None:
            raise KeyboardInterrupt
        self.stop()

    def _watch(self) -> None:
        while received := self._receiver.recv(64):
            if not set(_SIGNALS).isdisjoint(received) and not self._ended.wait(END_S):
                try:
                    warn("the run does not end by itself: it is ended now")
                    self.give_up()
                finally:
                    os._exit(INTERRUPTED)
