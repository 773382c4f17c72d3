"""What ends a run from outside: Ctrl-C, and SIGTERM like it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit status after Ctrl-C or SIGTERM, by the shells' convention."""


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: files closed, summary written."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM call ``stop``, which ends the run between two frames; a second ends it at once.

    Parameters
    ----------
    stop : callable
        Quick; called in a signal handler.
    """

    def ask(number: int, _: object) -> None:
        for one in before:
            signal.signal(one, signal.default_int_handler)
        stop()

    before = {one: signal.signal(one, ask) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
