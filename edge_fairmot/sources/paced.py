"""A file, a folder or the synthetic street at its own speed, as a camera would give it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import Event

from edge_fairmot.contracts import Source, SourceInfo
from edge_fairmot.sources.state import SourceState, SourceStatus
from edge_fairmot.types import Frame

LARGEST_DELAY_S = 1.0
"""What is late by more (a slow decoder, a machine that slept) is not made up for."""


class PacedSource(AbstractContextManager["PacedSource"]):
    """Gives each frame of another source when its time has come; live.

    ``time_s`` is on ``time.monotonic``'s clock.

    Parameters
    ----------
    source : Source
        Closed with this one.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._closed = Event()
        self._info = replace(source.info, live=True)
        self._state = SourceState("starting", time.monotonic())

    @property
    def info(self) -> SourceInfo:
        """What the other source says, but live."""
        return self._info

    def state(self) -> SourceState:
        """Tell how it is doing; from any thread."""
        return self._state

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once, each at its time.

        Raises
        ------
        SourceError
            As the other source.
        """
        start_s: float | None = None
        self._turn("running")
        try:
            for frame in self._source:
                now_s = time.monotonic()
                if start_s is None or now_s - (start_s + frame.time_s) > LARGEST_DELAY_S:
                    start_s = now_s - frame.time_s
                due_s = start_s + frame.time_s
                if self._closed.wait(max(0.0, due_s - now_s)):
                    return
                yield replace(frame, time_s=due_s)
        finally:
            self._turn("ended")

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration. May be called twice, from any thread."""
        self._closed.set()
        self._source.close()

    def _turn(self, status: SourceStatus) -> None:
        self._state = SourceState(status, time.monotonic())
