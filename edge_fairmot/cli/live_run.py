"""What a live run is made of, and the sinks that its settings ask for."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_fairmot.cli.console import stdout
from edge_fairmot.cli.live_answers import mqtt_config, recording_config
from edge_fairmot.cli.live_settings import LiveSettings, drawing_file
from edge_fairmot.counting import Counter
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.pipeline import Pipeline, RunSummary
from edge_fairmot.protocols import Runtime, Sink
from edge_fairmot.service.mqtt import MqttConfig, MqttSink
from edge_fairmot.service.recording import RecordingConfig, RecordingSink
from edge_fairmot.service.web import WebConfig, WebSink
from edge_fairmot.sinks import CountingOverlay, EventsSink, JsonLinesHeader
from edge_fairmot.sinks.text import EventListener
from edge_fairmot.sources import SourceState
from edge_fairmot.sources.live import LiveSource
from edge_fairmot.tracking import TrackerConfig

_log = logging.getLogger(__name__)

_NOTHING_YET = RunSummary(0, 0, 0, 0, 0, 0, 0.0, {})


@dataclass(slots=True)
class LiveRun:
    """The parts of a run, for its sinks and its report.

    Attributes
    ----------
    settings : LiveSettings
    source : ReconnectingSource or PacedSource
    runtime : Runtime
    tracker : TrackerConfig
    counter : Counter or None
        None where nothing is to be counted.
    config : Path or None
        The file of the settings.
    pipeline : Pipeline or None
        None until there is one.
    sinks : sequence of Sink
        Those of the pipeline.
    """

    settings: LiveSettings
    source: LiveSource
    runtime: Runtime
    tracker: TrackerConfig
    counter: Counter | None
    config: Path | None = None
    pipeline: Pipeline | None = None
    sinks: Sequence[Sink] = ()

    def summary(self) -> RunSummary:
        """Tell what was done up to now; from any thread."""
        return _NOTHING_YET if self.pipeline is None else self.pipeline.summary()

    def state(self) -> SourceState:
        """Tell how the source is doing; from any thread."""
        return self.source.state()

    def outputs(self) -> dict[str, dict[str, Any]]:
        """Tell what is wrong with each output that goes on after an error, and what was lost by it."""
        outputs: dict[str, dict[str, Any]] = {}
        for sink in self.sinks:
            if isinstance(sink, RecordingSink):
                outputs["recording"] = {
                    "trouble": sink.trouble,
                    "missed_frames": sink.missed,
                    "missed_events": sink.missed_events,
                }
            elif isinstance(sink, MqttSink):
                outputs["mqtt"] = {"trouble": sink.trouble}
        return outputs

    def header(self) -> JsonLinesHeader:
        """First line of a file of tracks: with what ``time_s`` is counted from."""
        info = self.source.info
        settings: dict[str, Any] = asdict(self.tracker)
        settings["schedule"] = {"every": self.settings.detect_every, "target_fps": self.settings.target_fps}
        settings["clock"] = {
            "utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "time_s": time.monotonic(),
        }
        manifest = self.runtime.manifest
        model = {
            "file": self.settings.model and self.settings.model.name,
            "checkpoint_sha256": manifest.checkpoint_sha256,
        }
        return JsonLinesHeader(info.name, info.frame_size, info.frame_rate, model, settings)


def check_summary(settings: LiveSettings) -> None:
    """Refuse to write the summary over what the run reads.

    Raises
    ------
    InvalidInputError
    """
    read = {path.resolve() for path in (settings.model, Path(settings.source)) if path is not None}
    if settings.summary is not None and settings.summary.resolve() in read:
        raise InvalidInputError(f"--summary {settings.summary} is read by this run: choose another name")


def open_sinks(run: LiveRun) -> list[Sink]:
    """Open every sink that the settings ask for: each kind is a line here.

    Counting comes first, so that those after it read the counts of their frame.

    Raises
    ------
    SinkError
        If one cannot be opened; those before it are closed.
    """
    settings, counter = run.settings, run.counter
    openers: list[Callable[[], Sink]] = []
    listeners: list[EventListener] = []
    mqtt, recording = mqtt_config(settings), recording_config(settings)

    def open_mqtt(config: MqttConfig) -> Sink:
        sink = MqttSink(config, run.summary, run.state, counter, run.outputs)
        listeners.append(sink.take_event)
        return sink

    def open_recording(config: RecordingConfig) -> Sink:
        sink = RecordingSink(config, run.header(), None if counter is None else CountingOverlay(counter))
        listeners.append(sink.take_event)
        return sink

    if mqtt is not None:
        openers.append(lambda: open_mqtt(mqtt))
    if recording is not None:
        openers.append(lambda: open_recording(recording))
    if settings.web:
        openers.append(lambda: _open_page(run))
    sinks: list[Sink] = []
    with ExitStack() as stack:
        for opener in openers:
            sinks.append(opener())
            stack.callback(sinks[-1].close)
        if counter is not None:
            sinks.insert(0, EventsSink(None, counter, listeners))
        stack.pop_all()
    return sinks


def _open_page(run: LiveRun) -> WebSink:
    """Serve the page, and say where: the first time with the token, if people read that."""
    settings = run.settings
    drawing = drawing_file(settings, run.config)
    config = WebConfig(
        settings.web_host,
        settings.web_port,
        settings.web_token_file,
        settings.web_quality,
        settings.web_widest,
        drawing,
    )
    page = WebSink(
        config, run.summary, run.state, run.counter, source=run.source.info.name, outputs=run.outputs
    )
    page.start()
    _log.info("page at %s", page.address)
    if drawing is not None and drawing != run.config:
        _log.info("what is drawn is kept in %s, and goes before the lines and zones of --config", drawing)
    if page.invitation is not None and sys.stdout.isatty():  # once, and in no log: a service's stdout is one
        stdout.print(f"To open the page elsewhere: {page.invitation}", soft_wrap=True, highlight=False)
    elif page.token_file is not None:
        _log.info("the page's token is in %s", page.token_file)
    return page
