"""How a live source is doing, for whoever watches it from outside the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

SourceStatus: TypeAlias = Literal["starting", "running", "lost", "ended"]


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is known about a source at one moment.

    Attributes
    ----------
    status : str
        ``starting`` until the first frame, ``running`` while frames come, ``lost`` while it is waited for or
        opened again, ``ended`` when nothing more will come.
    since_s : float
        When that began, on ``time.monotonic``'s clock.
    reconnects : int
        How often frames came again after they had stopped.
    message : str
        One line about it, without credentials; empty where there is nothing to say.
    """

    status: SourceStatus
    since_s: float
    reconnects: int = 0
    message: str = ""
