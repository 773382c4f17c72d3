"""``edge-fairmot live``: a camera goes in, tracks and counts come out, for as long as it is let."""

from __future__ import annotations

import inspect
import logging
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_fairmot.cli.interruption import stopped_by_signals, terminated_as_interrupted
from edge_fairmot.cli.live_report import LiveReport
from edge_fairmot.cli.live_run import LiveRun, check_summary, open_sinks
from edge_fairmot.cli.live_settings import LiveSettings, read_live_settings
from edge_fairmot.cli.logs import begin_logging
from edge_fairmot.cli.runtime_flags import runtime_options
from edge_fairmot.cli.service import ServiceManager
from edge_fairmot.cli.settings import flags
from edge_fairmot.counting import Counter, CountingConfig
from edge_fairmot.errors import EdgeFairmotError
from edge_fairmot.pipeline import DetectionSchedule, Pipeline
from edge_fairmot.sources import open_live_source, shown_name
from edge_fairmot.tracking import Tracker, TrackerConfig

_log = logging.getLogger(__name__)


def live(config: Path | None = None, **given: Any) -> None:
    """Track people before a camera until stopped.

    Every option can stand in a TOML file, under the key at the end of its description; flags override it.
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
        tracker = tracker.bytetrack() if settings.crowded else tracker
        counts = bool(counting.lines or counting.zones or settings.web)  # or will be drawn on the page
        counter = Counter(counting, source.info.frame_size) if counts else None
        run = LiveRun(settings, source, runtime, tracker, counter, config)
        check_summary(settings)
        run.sinks = open_sinks(run)
        run.pipeline = Pipeline(source, runtime, Tracker(tracker), run.sinks, schedule=schedule)
        _loop(run, run.pipeline, service)


def _loop(run: LiveRun, pipeline: Pipeline, service: ServiceManager) -> None:
    report = LiveReport(run, service)
    ended = ""
    try:
        with stopped_by_signals(pipeline.stop):
            service.tell(READY=1, STATUS="running")
            service.watch(report.is_alive, report.status)
            pipeline.run(lambda frame, tracks: report.after_frame())
    except KeyboardInterrupt:  # told twice to stop
        ended = "interrupted"
        raise
    except Exception as error:
        ended = str(error)
        raise
    finally:
        service.tell(STOPPING=1)
        report.close(ended)
