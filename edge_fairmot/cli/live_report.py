"""What a live run says about itself: in its log, to systemd, and in its summary."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from typing import Any

import edge_fairmot
from edge_fairmot.cli.counting import totals_for_summary
from edge_fairmot.cli.live_run import LiveRun
from edge_fairmot.cli.logs import FIELDS
from edge_fairmot.cli.service import ServiceManager
from edge_fairmot.cli.summary_file import write_summary
from edge_fairmot.errors import SinkError

_log = logging.getLogger(__name__)


class LiveReport:
    """Logs how it goes now and then, says whether it goes on at all, and writes the summary.

    Parameters
    ----------
    run : LiveRun
    service : ServiceManager
        Told what is logged.
    """

    def __init__(self, run: LiveRun, service: ServiceManager) -> None:
        self._run, self._service = run, service
        self._told_s = self._seen_s = time.monotonic()

    def after_frame(self) -> None:
        """Take note of a frame that went through."""
        self._seen_s = time.monotonic()
        if 0 < self._run.settings.log_every_s <= self._seen_s - self._told_s:
            self._told_s = self._seen_s
            self.log()

    def is_alive(self) -> bool:
        """Whether frames go through; while none come in, whether there is somebody waiting for them."""
        state = self._run.state()
        if state.status != "running":
            return True
        return time.monotonic() - max(self._seen_s, state.since_s) < self._service.watchdog_s

    def status(self) -> str:
        """Tell in a line how it is going; from any thread."""
        summary, state = self._run.summary(), self._run.state()
        rate = f"{summary.frame_rate:.1f} frames/s, {summary.identities} identities"
        return f"{state.status}: {state.message or rate}" + _troubles(self._run.outputs())

    def log(self) -> None:
        """Log what was done up to now."""
        summary, state = self._run.summary(), self._run.state()
        fields: dict[str, Any] = {
            "frames": summary.frames,
            "frame_rate": round(summary.frame_rate, 2),
            "dropped": summary.dropped,
            "identities": summary.identities,
            "reconnects": state.reconnects,
            "source": state.status,
        }
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items())
        if self._run.counter is not None:
            fields["counts"] = totals_for_summary(self._run.counter)
            words += "".join(
                f"; {name}: in {line.inwards}, out {line.outwards}"
                for name, line in self._run.counter.lines.items()
            )
            words += "".join(
                f"; {name}: {zone.occupancy} now" for name, zone in self._run.counter.zones.items()
            )
        outputs = self._run.outputs()
        fields |= outputs
        words += _troubles(outputs)
        self._service.notify(STATUS=self.status())
        _log.info("%s", words, extra={FIELDS: fields})

    def close(self, ended: str) -> None:
        """Log the last of it and write the summary, if there is to be one.

        Parameters
        ----------
        ended : str
            What ended the run, if it was not asked to end.

        Raises
        ------
        SinkError
            If the summary cannot be written; only logged where another error ended the run.
        """
        self.log()
        path = self._run.settings.summary
        if path is None:
            return
        try:
            write_summary(path, _summary(self._run, ended))
        except SinkError as error:
            if not ended:
                raise
            _log.error("%s", error)


def _troubles(outputs: dict[str, dict[str, Any]]) -> str:
    """Put it in words, to follow others; nothing where all is well."""
    words = ""
    for name, output in outputs.items():
        told = [
            str(value) if key == "trouble" else f"{key.replace('_', ' ')} {value}"
            for key, value in output.items()
            if value
        ]
        words += f"; {name}: {', '.join(told)}" if told else ""
    return words


def _summary(run: LiveRun, ended: str) -> dict[str, Any]:
    state, summary = run.state(), run.summary()
    content: dict[str, Any] = {
        "schema_version": 1,
        "edge_fairmot": edge_fairmot.__version__,
        "complete": not ended,
        "ended": ended,
        "source": asdict(run.source.info),
        "reconnects": state.reconnects,
        "model": {
            "path": str(run.settings.model),
            "checkpoint_sha256": run.runtime.manifest.checkpoint_sha256,
        },
        "runtime": run.runtime.name,
        "tracker": asdict(run.tracker),
        **asdict(summary),
        "frame_rate": summary.frame_rate,
    }
    if run.counter is not None:
        content["counts"] = totals_for_summary(run.counter)
    return content | run.outputs()
