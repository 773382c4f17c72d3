"""Asks a runtime which lowerings of the deformable convolution it computes, how rightly and how fast.

Each question is put in a process of its own (this module, run), because a driver may take its process down,
or never answer: that then is the answer.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_fairmot.errors import EdgeFairmotError
from edge_fairmot.runtimes.checks import check_outputs
from edge_fairmot.runtimes.probe_layer import LOWERINGS, draw_picture, expected_output, probe_file
from edge_fairmot.runtimes.registry import open_runtime

EXACT_WITHIN = 2e-5
"""Of the largest output: float32 through nine normalised coordinates errs by 5e-6, float16 ones by 1e-3."""

TIME_LIMIT_S = 180.0
"""For one answer: an engine builder may take a minute, a driver that hangs does not come back."""

TIMED_RUNS, TIMED_S = 50, 1.0
"""At most; the first run is for warmth, and not among them."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one runtime made of one lowering.

    Attributes
    ----------
    runtime : str
        As ``--runtime`` takes it.
    lowering : str
    error : float or None
        Largest difference from the definition, as a share of the largest output; None if it did not run.
    best_ms : float or None
        The shortest of some runs, which other work on the machine disturbs least.
    reason : str
        Why it did not run; empty if it did.
    """

    runtime: str
    lowering: str
    error: float | None
    best_ms: float | None
    reason: str = ""

    @property
    def exact(self) -> bool:
        """Whether it computes the operator, to the rounding of float32."""
        return self.error is not None and self.error <= EXACT_WITHIN


def probe(runtime: str, *, time_limit_s: float = TIME_LIMIT_S) -> Iterator[ProbeResult]:
    """Probe one runtime, lowering by lowering.

    Parameters
    ----------
    runtime : str
        As ``open_runtime`` takes it, as in ``openvino:GPU``.
    time_limit_s : float
        For each answer.

    Yields
    ------
    ProbeResult
        One a lowering. A runtime that refuses, fails, hangs or crashes is one as well.
    """
    for lowering in LOWERINGS:
        yield _ask(runtime, lowering, time_limit_s)


def _ask(runtime: str, lowering: str, time_limit_s: float) -> ProbeResult:
    with tempfile.TemporaryDirectory() as folder:
        # In a file: what a driver prints on its way is not the answer.
        answer = Path(folder, "answer.json")
        command = [sys.executable, "-m", "edge_fairmot.runtimes.probe", runtime, lowering, str(answer)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=time_limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return ProbeResult(runtime, lowering, None, None, f"no answer within {time_limit_s:g} s")
        if answer.exists():
            return ProbeResult(**json.loads(answer.read_text()))
        return ProbeResult(runtime, lowering, None, None, _explain_death(done.returncode, done.stderr))


def _explain_death(status: int, output: bytes) -> str:
    lines = output.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    if status < 0:
        return f"crashed ({signal.Signals(-status).name}): {last}"
    return f"ended with status {status}: {last}"


def _answer(runtime: str, lowering: str) -> ProbeResult:
    try:
        error, best_ms = _measure(runtime, lowering)
    except EdgeFairmotError as refusal:
        reason = str(refusal).replace(f"{probe_file(lowering).parent}/", "")
        return ProbeResult(runtime, lowering, None, None, reason)
    except Exception as failure:  # of a runtime that edge-fairmot does not know
        reason = " ".join(f"{type(failure).__name__}: {failure}".split())
        return ProbeResult(runtime, lowering, None, None, reason)
    return ProbeResult(runtime, lowering, error, best_ms)


def _measure(runtime: str, lowering: str) -> tuple[float, float]:
    picture, expected = draw_picture(), expected_output()
    with closing(open_runtime(probe_file(lowering), runtime)) as opened:
        output = check_outputs(opened.infer(picture), opened.name).embeddings.reshape(expected.shape)
        error = float(np.abs(output - expected).max() / np.abs(expected).max())
        times_s: list[float] = []
        while len(times_s) < TIMED_RUNS and sum(times_s) < TIMED_S:
            began = time.perf_counter()
            opened.infer(picture)
            times_s.append(time.perf_counter() - began)
    return error, 1e3 * min(times_s)


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(asdict(_answer(sys.argv[1], sys.argv[2]))))
