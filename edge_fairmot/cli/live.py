"""``edge-fairmot live``: a camera goes in, tracks and counts come out, for as long as it is let."""

from __future__ import annotations

import inspect
import json
import logging
import os
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import edge_fairmot
from edge_fairmot.cli.counting import totals_for_summary
from edge_fairmot.cli.interruption import stopped_by_signals, terminated_as_interrupted
from edge_fairmot.cli.live_run import LiveRun, check_outputs, open_sinks
from edge_fairmot.cli.live_settings import LiveSettings, read_live_settings
from edge_fairmot.cli.logs import FIELDS, begin_logging
from edge_fairmot.cli.runtime_flags import runtime_options
from edge_fairmot.cli.service import ServiceManager
from edge_fairmot.cli.settings import flags
from edge_fairmot.counting import Counter, CountingConfig
from edge_fairmot.errors import EdgeFairmotError, SinkError
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.schedule import DetectionSchedule
from edge_fairmot.sources import open_live_source, shown_name
from edge_fairmot.tracking import Tracker, TrackerConfig

_log = logging.getLogger(__name__)


def live(config: Path | None = None, **given: Any) -> None:
    """Track people before a camera until stopped.

    Every option can stand in a TOML file, under the key at the end of its description; flags go before it.
    """
    settings, counting = read_live_settings(config, given)
    begin_logging(settings.log_level, settings.log_format)
    try:
        _run(settings, counting, config)
    except KeyboardInterrupt:
        _log.info("stopped")
    except EdgeFairmotError as error:
        _log.error("%s", error)
        raise typer.Exit(1) from None


_CONFIG = Annotated[Path | None, typer.Option("--config", help="TOML file of any of these settings.")]
live.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        *flags(LiveSettings, "source"),
        inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_CONFIG),
    ]
)


def _run(settings: LiveSettings, counting: CountingConfig, config: Path | None) -> None:
    from edge_fairmot.runtimes import open_runtime

    assert settings.model is not None
    schedule = DetectionSchedule(settings.detect_every, settings.target_fps)
    options = runtime_options(
        settings.device_id, settings.threads, settings.precision, settings.hint, settings.cache_folder
    )
    with ExitStack() as stack:
        stack.enter_context(terminated_as_interrupted())
        service = stack.enter_context(ServiceManager())
        service.tell(STATUS=f"opening {settings.model.name}")
        runtime = stack.enter_context(closing(open_runtime(settings.model, settings.runtime, options)))
        service.tell(STATUS=f"opening {shown_name(settings.source)}")
        source = open_live_source(settings.source, settings.reconnect, settings.network)
        stack.callback(source.close)
        tracker = TrackerConfig(
            score_threshold=settings.score_threshold,
            track_buffer=settings.track_buffer,
            frame_rate=source.info.frame_rate,
        )
        counts = bool(counting.lines or counting.zones or settings.web)  # or will be drawn on the page
        counter = Counter(counting, source.info.frame_size) if counts else None
        run = LiveRun(settings, source, runtime, tracker, counter, config)
        check_outputs(settings)
        sinks = open_sinks(run)
        run.pipeline = Pipeline(source, runtime, Tracker(tracker), sinks, schedule=schedule)
        _loop(run, run.pipeline, service)


def _loop(run: LiveRun, pipeline: Pipeline, service: ServiceManager) -> None:
    report = _Report(run, service)
    ended = "crashed"
    try:
        with stopped_by_signals(pipeline.stop):
            service.tell(READY=1, STATUS="running")
            service.watch(report.is_alive)
            pipeline.run(lambda frame, tracks: report.after_frame())
        ended = ""
    except KeyboardInterrupt:  # told twice to stop
        ended = "interrupted"
        raise
    except EdgeFairmotError as error:
        ended = str(error)
        raise
    finally:
        service.tell(STOPPING=1)
        report.log()
        if run.settings.summary is not None:
            _write_summary(run.settings.summary, run, ended)


class _Report:
    """Logs how it goes now and then, and says whether the loop goes on at all."""

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
        return time.monotonic() - max(self._seen_s, state.since_s) < self._service.limit_s

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
        self._service.tell(STATUS=words)
        _log.info("%s", words, extra={FIELDS: fields})


def _write_summary(path: Path, run: LiveRun, ended: str) -> None:
    """Write what the run did, whole or not at all."""
    state, summary = run.state(), run.summary()
    content = {
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
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(json.dumps(content, indent=2, default=str) + "\n")
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise SinkError(f"cannot write {path}: {error.strerror}; choose another place") from error
