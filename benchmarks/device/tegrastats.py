"""NVIDIA's ``tegrastats``: the power of a Jetson, by its own sensors."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERVAL_MS = 100

FIRST_LINE_WITHIN_S = 3.0
"""It prints every interval; a tool that prints nothing is not it."""

_RAIL = re.compile(r"\b((?:VDD|VIN|POM|CV)\w*) (\d+)(?:mW)?/\d+(?:mW)?")
_WHOLE = ("VDD_IN", "POM_5V_IN")


def parse_power_w(line: str) -> float:
    """Power of the board, watts: the rail that feeds it, or the sum of all rails where none does.

    Parameters
    ----------
    line : str
        As ``tegrastats`` prints it: ``VDD_IN 4940mW/4940mW``, before JetPack 5 without units.
    """
    rails = {name: int(now) / 1e3 for name, now in _RAIL.findall(line)}
    whole = next((rails[name] for name in _WHOLE if name in rails), None)
    return sum(rails.values()) if whole is None else whole


class Tegrastats:
    """The newest line of a running ``tegrastats``.

    Parameters
    ----------
    process : subprocess.Popen
        Whose standard output is read.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._line = ""
        self._process = process
        self.started = threading.Event()
        threading.Thread(target=self._read, name="edge-fairmot tegrastats", daemon=True).start()

    @property
    def power_w(self) -> float:
        """Power of the board now."""
        return parse_power_w(self._line)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._line = line
            self.started.set()


@contextmanager
def opened_tegrastats() -> Iterator[Tegrastats | None]:
    """Start ``tegrastats``; None where there is none."""
    program = shutil.which("tegrastats")
    if program is None:
        yield None
        return
    with subprocess.Popen(
        [program, "--interval", str(INTERVAL_MS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            stats = Tegrastats(process)
            yield stats if stats.started.wait(FIRST_LINE_WITHIN_S) else None
        finally:
            process.terminate()
