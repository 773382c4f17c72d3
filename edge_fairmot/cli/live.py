"""``edge-fairmot live``: a camera goes in, tracks and counts come out, until the run is stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli import run_flags as flags
from edge_fairmot.cli.camera_config import read_live_configs
from edge_fairmot.cli.cameras import open_cameras, open_outputs, open_sources, run_all, stop
from edge_fairmot.cli.console import start_logging
from edge_fairmot.cli.live_report import Report
from edge_fairmot.cli.run import reason_of
from edge_fairmot.cli.run_config import RunConfig
from edge_fairmot.cli.service import ServiceManager
from edge_fairmot.cli.watch import EndingSignals, StallWatch
from edge_fairmot.errors import EdgeFairmotError, InvalidInputError
from edge_fairmot.sources import redacted_name

_log = logging.getLogger(__name__)


def live(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help="picamera2:, /dev/video0, rtsp://..., http://..., gstreamer:..., synthetic:, or a file. "
            "Several cameras: NAME=SOURCE of each.",
        ),
    ] = None,
    model: flags.ModelFlag = None,
    runtime: flags.RuntimeFlag = None,
    device_id: flags.DeviceIdFlag = None,
    threads: flags.ThreadsFlag = None,
    precision: flags.PrecisionFlag = None,
    hint: flags.HintFlag = None,
    cache_folder: flags.CacheFolderFlag = None,
    no_integrity_check: flags.NoIntegrityFlag = False,
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
        typer.Option(metavar="URL", help="Publish counts and events to this broker, mqtt[s]://HOST[:PORT]."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Record to NAME.jsonl, NAME.txt (MOTChallenge), or a folder: both and clips."
        ),
    ] = None,
    keep_days: Annotated[
        int | None,
        typer.Option(metavar="N", help="Days that counts and events are kept; 0 keeps none. [default: 400]"),
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the summary of the run to this file, JSON.")
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL", help="Least level logged: debug, info, warning or error. [default: info]"
        ),
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Log lines as text or as json. [default: text]")
    ] = None,
    config: flags.ConfigFlag = None,
    setting: flags.SetFlag = None,
) -> None:
    """Track people before cameras until stopped.

    Every setting has a key in the file of --config, and --set sets any key: see edge-fairmot config.
    """
    given = flags.runtime_flags(runtime, device_id, threads, precision, hint, cache_folder) | {
        "model": model,
        "stall_after_s": stall_after,
        "runtime.integrity_check": False if no_integrity_check else None,
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
        "history.keep_days": keep_days,
        "output.summary": summary,
        "log.level": log_level,
        "log.format": log_format,
    }
    shapes = (line or (), zone or (), ignore or ())
    configs = read_live_configs(config, setting or (), given, source or (), *shapes)
    log = next(iter(configs.values())).log
    start_logging(log.level, log.format)
    try:
        _run(configs, config)
    except KeyboardInterrupt:
        _log.info("stopped")
    except EdgeFairmotError as error:
        _log.error("%s", error)
        raise typer.Exit(1) from None


def _run(configs: Mapping[str, RunConfig], config: Path | None) -> None:
    for settings in configs.values():
        _check_written(settings, config)
    with ExitStack() as stack:
        signals = stack.enter_context(EndingSignals())
        service = stack.enter_context(ServiceManager())
        shown = ", ".join(redacted_name(settings.source) for settings in configs.values())
        service.notify(STATUS=f"opening {shown}")
        sources = open_sources(configs, stack)
        service.notify(STATUS=f"opening {settings.model_path.name}")
        cameras = open_cameras(configs, sources, stack)
        open_outputs(cameras, stack)
        report = Report(cameras, service)
        signals.give_up = lambda: report.close("the run did not end when it was stopped")
        signals.stop = lambda: stop(cameras)
        ended = "the run was ended from outside"
        try:
            service.notify(READY=1, STATUS="running")
            service.start_watchdog(report.is_alive, report.status)
            with StallWatch(report.stall, report.log_stall, settings.stall_after_s, report.is_working):
                run_all(cameras, report.after_frame)
            ended = ""
        except BaseException as error:
            ended = reason_of(error)
            raise
        finally:
            service.notify(STOPPING=1)
            report.close(ended)
            signals.give_up = lambda: None
    failed = [camera.name for camera in cameras if camera.failure]
    if failed:
        raise EdgeFairmotError(f"ended by an error, {len(failed)} of {len(cameras)}: {', '.join(failed)}")


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
