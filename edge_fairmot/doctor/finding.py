"""What an examination found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about this device.

    Attributes
    ----------
    area : str
        As in ``cameras``.
    verdict : str
        ``ok``; ``note`` for what is missing or may matter, but to some only; ``mend`` for what stands in the
        way.
    text : str
        One line.
    remedy : str
        The command that mends it, or what else does; empty where nothing has to be mended.
    """

    area: str
    verdict: Literal["ok", "note", "mend"]
    text: str
    remedy: str = ""
