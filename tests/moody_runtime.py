"""A runtime for tests, installed for real: ONNX Runtime's, with moods.

``install`` makes of this file what pip would: a module and its entry point, in a folder for PYTHONPATH.
"""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

from edge_fairmot.errors import InferenceError
from edge_fairmot.runtimes.checks import RuntimeOptions
from edge_fairmot.runtimes.ort import CpuRuntime

REPEATS = "MOODY_REPEATS"
"""Environment variable: every image is computed this many times."""


class MoodyRuntime:
    """Mood by device: none, ``unwilling``, ``fails``, ``dies``, ``naps`` (3 s) or ``hangs`` (at the 12th
    image), ``wrong`` (boxes).
    """

    name = "moody"

    def __init__(self, path, options=None):
        options = options or RuntimeOptions()
        self._mood = options.device
        if self._mood == "unwilling":
            raise InferenceError("moody is unwilling today: ask again tomorrow")
        self._runtime = CpuRuntime(path, replace(options, device="", threads=1))
        self.manifest = self._runtime.manifest
        self._seen = 0

    def infer(self, images):
        self._seen += 1
        if self._seen == 12 and self._mood == "fails":
            raise ValueError("a number of\nno use")
        if self._seen == 12 and self._mood == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._seen == 12 and self._mood in ("naps", "hangs"):
            time.sleep(3 if self._mood == "naps" else 1e6)
        for _ in range(int(os.environ.get(REPEATS, "1"))):
            raw = self._runtime.infer(images)
        return replace(raw, boxes=raw.boxes + 9) if self._mood == "wrong" else raw

    def close(self):
        self._runtime.close()


def install(folder):
    """Install this file in a folder."""
    shutil.copy(__file__, Path(folder) / "moody_runtime.py")
    info = Path(folder) / "moody_runtime-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody-runtime\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edge_fairmot.runtimes]\nmoody = moody_runtime:MoodyRuntime\n")
