"""What ``live`` reports: lines in the log, the state for systemd and containers, and the summary."""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Any

import edge_fairmot
from edge_fairmot.cli.cameras import Camera
from edge_fairmot.cli.console import FIELDS
from edge_fairmot.cli.run import SUMMARY_VERSION, summary_document, write_summary
from edge_fairmot.cli.service import ServiceManager
from edge_fairmot.protocols import OutputHealth
from edge_fairmot.service.run import SLOW
from edge_fairmot.sinks.text import counts_document

_log = logging.getLogger(__name__)

FIRST_S = 5.0
"""The first figures are logged after so long."""

SUMMED = (
    *("frames", "detected", "predicted", "dropped", "identities", "detections", "unknown_motion"),
    "frame_rate",
)
"""Figures of which the summary of several cameras has the sums."""


class Report:
    """Logs the state of a run, reports it to systemd, and writes the summary."""

    def __init__(self, cameras: Sequence[Camera], service: ServiceManager) -> None:
        self._cameras, self._service = cameras, service
        self._settings = cameras[0].run.config
        now_s = time.monotonic()
        every_s = self._settings.log.every_s
        first_s = now_s - every_s + min(every_s, FIRST_S)  # soon: is it running, and how fast?
        self._logged_s, self._frame_s = dict.fromkeys(cameras, first_s), dict.fromkeys(cameras, now_s)

    def after_frame(self, camera: Camera) -> None:
        """Note that a frame has a result; from the thread of its camera."""
        now_s = self._frame_s[camera] = time.monotonic()
        if 0 < self._settings.log.every_s <= now_s - self._logged_s[camera]:
            self._logged_s[camera] = now_s
            self._log(camera)

    def is_alive(self) -> bool:
        """Return whether results come from any camera, or none could come: each is being opened again."""
        limit_s, now_s = self._service.watchdog_s, time.monotonic()
        states = {camera: camera.state() for camera in self._cameras}
        working = [camera for camera, state in states.items() if state.status in ("running", "stalled")]
        return not working or any(
            now_s - max(self._frame_s[camera], states[camera].since_s) < limit_s for camera in working
        )

    def is_working(self) -> bool:
        """Return whether any camera that runs does not stall, or none runs."""
        states = {camera.state().status for camera in self._cameras}
        return "running" in states or "stalled" not in states

    def status(self) -> str:
        """Return the state in a line; from any thread."""
        return "; ".join(
            f"{camera.name} {words}" if camera.name else words
            for camera in self._cameras
            for words in (_status(camera),)
        )

    def stall(self) -> str:
        """Return a message about the stages that hang; empty if there is none."""
        states = [(camera.name, camera.state()) for camera in self._cameras]
        return "; ".join(
            f"{name}: {state.message}" if name else state.message
            for name, state in states
            if state.status == "stalled"
        )

    def log_stall(self, stall: str) -> None:
        """Log that the run stalls, or continues."""
        if stall:
            _log.warning("stalled: %s", stall)
        else:
            _log.info("the run goes on after a stall")
        self._service.notify(STATUS=self.status())

    def _log(self, camera: Camera) -> None:
        """Log the figures of a camera up to now."""
        summary, state = camera.run.pipeline.summary(), camera.state()
        fields: dict[str, Any] = {
            "frames": summary.frames,
            "frame_rate": round(summary.frame_rate, 2),
            "dropped": summary.dropped,
            "identities": summary.identities,
            "reconnects": state.reconnects,
            "source": state.status,
        }
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items())
        if camera.name:
            words, fields = f"{camera.name}: {words}", {"camera": camera.name} | fields
        counts = camera.run.counts
        if counts is not None:
            fields["counts"] = counts_document(counts)
            for name, line in counts.lines.items():
                words += f"; {name}: in {line.inwards}, out {line.outwards}"
            for name, zone in counts.zones.items():
                words += f"; {name}: {zone.shown} now"
        if summary.frame_rate < SLOW and summary.dropped > summary.frames:
            words += (
                f"; too slow to count well, {summary.dropped} frames dropped: try --runtime openvino, "
                "-m people-light or --detect-every 3"
            )
        outputs = camera.outputs()
        self._service.notify(STATUS=self.status())
        _log.info("%s", words + _troubles(outputs), extra={FIELDS: fields | outputs})

    def close(self, ended: str) -> None:
        """Log the last figures and write the summary, if one is asked for."""
        for camera in self._cameras:
            self._log(camera)
        path = self._settings.output.summary
        if path is None:
            return
        documents = {
            camera.name: summary_document(
                camera.run,
                camera.failure or ended,
                reconnects=camera.state().reconnects,
                outputs=camera.outputs(),
            )
            for camera in self._cameras
        }
        write_summary(path, documents.get("") or cameras_document(documents, ended), ended)


def cameras_document(cameras: Mapping[str, Mapping[str, Any]], ended: str) -> dict[str, Any]:
    """Return the summary of several cameras: the sums, and the summary of each by its name."""
    failed = [name for name, camera in cameras.items() if not camera["complete"]]
    ended = ended or (f"ended by an error: {', '.join(failed)}" if failed else "")
    by_class: Tally[str] = Tally()
    for camera in cameras.values():
        by_class.update(camera["identities_by_class"])
    return {
        "schema_version": SUMMARY_VERSION,
        "edge_fairmot": edge_fairmot.__version__,
        "complete": not ended,
        "ended": ended,
        **{name: sum(camera[name] for camera in cameras.values()) for name in SUMMED},
        "identities_by_class": dict(by_class),
        "cameras": dict(cameras),
    }


def _status(camera: Camera) -> str:
    summary, state = camera.run.pipeline.summary(), camera.state()
    rate = f"{summary.frame_rate:.1f} frames/s, {summary.identities} identities"
    return f"{state.status}: {state.message or rate}{_troubles(camera.outputs())}"


def _troubles(outputs: Mapping[str, OutputHealth]) -> str:
    """Return the errors of the outputs, to be appended to a line; empty if there are none."""
    words = ""
    for name, health in outputs.items():
        told = [
            str(value) if key == "trouble" else f"{key.replace('_', ' ')} {value}"
            for key, value in health.items()
            if value
        ]
        words += f"; {name}: {', '.join(told)}" if told else ""
    return words
