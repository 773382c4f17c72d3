"""``edge-fairmot live``: a camera goes in, tracks and counts come out, until the run is stopped."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_fairmot.cli import run_flags as flags
from edge_fairmot.cli.console import (
    FIELDS,
    start_logging,
    stdout,
)
from edge_fairmot.cli.run import Run, open_run, reason_of, summary_document, write_summary
from edge_fairmot.cli.run_config import RunConfig, read_run_config
from edge_fairmot.cli.service import ServiceManager
from edge_fairmot.cli.watch import EndingSignals, StallWatch, stall_of
from edge_fairmot.errors import EdgeFairmotError, InferenceError, InvalidInputError
from edge_fairmot.protocols import OutputHealth, Sink, SourceState, output_health
from edge_fairmot.service.mqtt import MqttSink
from edge_fairmot.service.recording import RecordingSink
from edge_fairmot.service.web import WebSink
from edge_fairmot.sinks.text import counts_document
from edge_fairmot.sources import open_live_source, redacted_name

_log = logging.getLogger(__name__)


def live(
    source: Annotated[
        str | None,
        typer.Argument(
            help="picamera2:, /dev/video0, rtsp://..., http://..., gstreamer:..., synthetic:, or a file."
        ),
    ] = None,
    model: flags.ModelFlag = None,
    runtime: flags.RuntimeFlag = None,
    device_id: flags.DeviceIdFlag = None,
    threads: flags.ThreadsFlag = None,
    precision: flags.PrecisionFlag = None,
    hint: flags.HintFlag = None,
    cache_folder: flags.CacheFolderFlag = None,
    integrity_check: flags.IntegrityFlag = None,
    stall_after: flags.StallAfterFlag = None,
    classes: flags.ClassesFlag = None,
    score_threshold: flags.ScoreThresholdFlag = None,
    track_buffer: flags.TrackBufferFlag = None,
    preset: flags.PresetFlag = None,
    crowded: flags.CrowdedFlag = False,
    moving_camera: flags.MovingCameraFlag = None,
    detect_every: flags.DetectEveryFlag = None,
    target_fps: flags.TargetFpsFlag = None,
    line: flags.LineFlag = None,
    zone: flags.ZoneFlag = None,
    ignore: flags.IgnoreFlag = None,
    web: Annotated[bool | None, typer.Option("--web/--no-web", help="Serve a page.")] = None,
    web_host: Annotated[
        str | None, typer.Option(help="Address of the page; 0.0.0.0 is every network. [default: 127.0.0.1]")
    ] = None,
    web_port: Annotated[int | None, typer.Option(help="Port of the page. [default: 8080]")] = None,
    web_open: Annotated[
        bool | None,
        typer.Option("--web-open", help="Page without a token: everyone on the network can see it."),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(metavar="mqtt[s]://HOST[:PORT]", help="Publish counts and events to this broker."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Record to NAME.jsonl, NAME.txt (MOTChallenge), or a folder: both and clips."
        ),
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the summary of the run to this file, JSON.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="debug|info|warning|error", help="[default: info]")
    ] = None,
    log_format: Annotated[str | None, typer.Option(metavar="text|json", help="[default: text]")] = None,
    config: flags.ConfigFlag = None,
    setting: flags.SetFlag = None,
) -> None:
    """Track people in front of a camera until stopped.

    Every setting has a key in the file of --config, and --set sets any key: see edge-fairmot config.
    """
    given = flags.runtime_flags(runtime, device_id, threads, precision, hint, cache_folder) | {
        "source": source,
        "model": model,
        "stall_after_s": stall_after,
        "runtime.integrity_check": integrity_check,
        **flags.class_flags(classes, score_threshold),
        "tracker.track_buffer": track_buffer,
        "tracker.preset": flags.chosen_preset(preset, crowded),
        "tracker.camera_motion": "sparse" if moving_camera else None,
        "schedule.every": detect_every,
        "schedule.target_fps": target_fps,
        "web.serve": web,
        "web.host": web_host,
        "web.port": web_port,
        "web.open_access": web_open,
        "mqtt.broker": mqtt,
        "record.path": record,
        "output.summary": summary,
        "log.level": log_level,
        "log.format": log_format,
    }
    settings = read_run_config(config, setting or (), given, line or (), zone or (), ignore or ())
    start_logging(settings.log.level, settings.log.format)
    try:
        _run(settings, config)
    except KeyboardInterrupt:
        _log.info("stopped")
    except EdgeFairmotError as error:
        _log.error("%s", error)
        raise typer.Exit(1) from None


def _run(settings: RunConfig, config: Path | None) -> None:
    _check_written(settings, config)
    with ExitStack() as stack:
        signals = stack.enter_context(EndingSignals())
        service = stack.enter_context(ServiceManager())
        service.notify(STATUS=f"opening {redacted_name(settings.source)}")
        source = open_live_source(settings.source, settings.camera, settings.camera.network)
        stack.callback(source.close)
        service.notify(STATUS=f"opening {settings.model_path.name}")
        run = open_run(settings, source, stack, drawn=settings.web.serve)
        state = stall_aware(source.state, run)
        sinks = open_sinks(run, state)
        report = _Report(run, state, sinks, service)
        signals.give_up = lambda: report.close("the run did not end when it was stopped")
        signals.stop = run.pipeline.stop
        ended = "the run was ended from outside"
        try:
            service.notify(READY=1, STATUS="running")
            service.start_watchdog(report.is_alive, report.status)
            with StallWatch(report.stall, report.log_stall, settings.stall_after_s):
                run.pipeline.run(sinks, lambda result: report.after_frame())
            if not run.pipeline.busy_s().keys().isdisjoint(("letterbox", "inference")):
                raise InferenceError("the detector did not return when the run was stopped")
            ended = ""
        except BaseException as error:
            ended = reason_of(error)
            raise
        finally:
            service.notify(STOPPING=1)
            report.close(ended)
            signals.give_up = lambda: None


def stall_aware(state: Callable[[], SourceState], run: Run) -> Callable[[], SourceState]:
    """Return a function that returns the state of the source, or ``stalled`` if the run hangs."""

    def read() -> SourceState:
        found, busy_s = state(), run.pipeline.busy_s()
        # A run that waits for a lost camera, or for the first frame, is not stalled.
        running_s = time.monotonic() - found.since_s if found.status == "running" else 0.0
        busy_s["decode"] = min(busy_s.get("decode", 0.0), running_s)
        stall = stall_of(busy_s, run.config.stall_after_s)
        if not stall:
            return found
        return replace(
            found, status="stalled", since_s=time.monotonic() - max(busy_s.values()), message=stall
        )

    return read


def _check_written(settings: RunConfig, config: Path | None) -> None:
    """Refuse to write the summary or the outbox over a file that the run reads."""
    mqtt = settings.mqtt
    read = [settings.model_path, Path(settings.source), config]
    written = [("--summary", settings.output.summary)]
    if mqtt is not None:
        read += [mqtt.credentials, mqtt.ca_certs, mqtt.certfile, mqtt.keyfile]
        written.append(("mqtt.outbox", mqtt.outbox))
    for name, path in written:
        if path is not None and path.resolve() in {one.resolve() for one in read if one is not None}:
            raise InvalidInputError(f"{name} {path} is read by this run: choose another name")


def open_sinks(run: Run, state: Callable[[], SourceState]) -> list[Sink]:
    """Open every output that the settings ask for; those before one that cannot be opened are closed."""
    settings = run.config
    openers: list[Callable[[], Sink]] = []
    sinks: list[Sink] = []

    def outputs() -> dict[str, OutputHealth]:
        return output_health(sinks)

    if settings.mqtt is not None:
        mqtt = settings.mqtt
        openers.append(lambda: MqttSink(mqtt, run.pipeline.summary, state, run.counts, outputs=outputs))
    if settings.record is not None:
        recording = settings.record
        clock = {
            "utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "time_s": time.monotonic(),
        }
        openers.append(lambda: RecordingSink(recording, run.header(clock=clock)))
    if settings.web.serve:
        openers.append(lambda: _open_page(run, state, outputs))
    with ExitStack() as stack:
        for opener in openers:
            sinks.append(opener())
            stack.callback(sinks[-1].close)
        stack.pop_all()
    return sinks


def _open_page(
    run: Run, state: Callable[[], SourceState], outputs: Callable[[], dict[str, OutputHealth]]
) -> WebSink:
    """Serve the page and print its address, once with the token where a person reads it."""
    page = WebSink(
        run.config.web,
        run.pipeline.summary,
        state,
        run.counter,
        source=run.source.info.name,
        outputs=outputs,
        ignored=run.ignored,
    )
    page.start()
    _log.info("page at %s", page.address)
    if page.login_address is not None and sys.stdout.isatty():  # in no log: a service's stdout is one
        stdout.print(f"To open the page: {page.login_address}", soft_wrap=True, highlight=False)
    elif run.config.web.token_path is not None:
        _log.info("the page's token is in %s", run.config.web.token_path)
    return page


class _Report:
    """Logs the state of a run, reports it to systemd, and writes the summary."""

    def __init__(
        self, run: Run, state: Callable[[], SourceState], sinks: list[Sink], service: ServiceManager
    ) -> None:
        self._run, self._state, self._sinks, self._service = run, state, sinks, service
        self._logged_s = self._frame_s = time.monotonic()

    def after_frame(self) -> None:
        """Note that a frame has a result."""
        self._frame_s = time.monotonic()
        if 0 < self._run.config.log.every_s <= self._frame_s - self._logged_s:
            self._logged_s = self._frame_s
            self.log()

    def is_alive(self) -> bool:
        """Return whether results come, or the source is being opened again."""
        state = self._state()
        if state.status not in ("running", "stalled"):
            return True
        return time.monotonic() - max(self._frame_s, state.since_s) < self._service.watchdog_s

    def status(self) -> str:
        """Return the state in a line; from any thread."""
        summary, state = self._run.pipeline.summary(), self._state()
        rate = f"{summary.frame_rate:.1f} frames/s, {summary.identities} identities"
        return f"{state.status}: {state.message or rate}{_troubles(output_health(self._sinks))}"

    def stall(self) -> str:
        """Return a message about the stage that hangs; empty if there is none."""
        state = self._state()
        return state.message if state.status == "stalled" else ""

    def log_stall(self, stall: str) -> None:
        """Log that the run stalls, or continues."""
        if stall:
            _log.warning("stalled: %s", stall)
        else:
            _log.info("the run goes on after a stall")
        self._service.notify(STATUS=self.status())

    def log(self) -> None:
        """Log the figures up to now."""
        summary, state = self._run.pipeline.summary(), self._state()
        fields: dict[str, Any] = {
            "frames": summary.frames,
            "frame_rate": round(summary.frame_rate, 2),
            "dropped": summary.dropped,
            "identities": summary.identities,
            "reconnects": state.reconnects,
            "source": state.status,
        }
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items())
        counts = self._run.counts
        if counts is not None:
            fields["counts"] = counts_document(counts)
            for name, line in counts.lines.items():
                words += f"; {name}: in {line.inwards}, out {line.outwards}"
            for name, zone in counts.zones.items():
                words += f"; {name}: {zone.occupancy} now"
        outputs = output_health(self._sinks)
        self._service.notify(STATUS=self.status())
        _log.info("%s", words + _troubles(outputs), extra={FIELDS: fields | outputs})

    def close(self, ended: str) -> None:
        """Log the last figures and write the summary, if one is asked for."""
        self.log()
        path = self._run.config.output.summary
        if path is not None:
            document = summary_document(
                self._run,
                ended,
                reconnects=self._state().reconnects,
                outputs=output_health(self._sinks),
            )
            write_summary(path, document, ended)


def _troubles(outputs: dict[str, OutputHealth]) -> str:
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
