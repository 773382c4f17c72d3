"""The cameras of a ``live`` run: opened side by side, run each in its thread, none waits for another."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from threading import Thread

from edge_fairmot.cli.console import stdout
from edge_fairmot.cli.run import Run, open_run, open_shared_network, reason_of
from edge_fairmot.cli.run_config import RunConfig
from edge_fairmot.cli.watch import stall_of
from edge_fairmot.errors import EdgeFairmotError, InferenceError, InvalidInputError, SinkError, SourceError
from edge_fairmot.protocols import OutputHealth, Sink, SourceState, output_health
from edge_fairmot.service.history import History, HistorySink, HistoryStore, history_path
from edge_fairmot.service.mqtt import MqttSink
from edge_fairmot.service.recording import RecordingSink
from edge_fairmot.service.run import RunView, wall_time
from edge_fairmot.service.web import CameraHistory, CameraPage, WebMosaic, WebSink
from edge_fairmot.sources import open_live_source
from edge_fairmot.sources.address import redact
from edge_fairmot.sources.live import LONGEST_OPENING_S, LiveSource
from edge_fairmot.stages import TURN

PATIENCE_S = 5.0
"""The first frames of several cameras wait this long for a camera that opens slowly. Its frame rate is then
assumed, and it is awaited while the others run."""

DETECTING = ("letterbox", "inference", TURN)

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Camera:
    """One camera of a run; ``name`` is "" for the only one without a name, ``failure`` why it ended."""

    name: str
    source: LiveSource
    run: Run
    sinks: list[Sink] = field(default_factory=list)
    failure: str = ""
    stopped: bool = False

    def state(self) -> SourceState:
        """Return the state of the source, ``stalled`` if the run hangs, ``ended`` if it failed."""
        found, busy_s = self.source.state(), self.run.pipeline.busy_s()
        if self.failure:
            return replace(found, status="ended", message=self.failure)
        # A run that waits for a lost camera, or for the first frame, is not stalled.
        running_s = time.monotonic() - found.since_s if found.status == "running" else 0.0
        busy_s["decode"] = min(busy_s.get("decode", 0.0), running_s)
        stall = stall_of(busy_s, self.run.config.stall_after_s)
        if not stall:
            return found
        return replace(
            found, status="stalled", since_s=time.monotonic() - max(busy_s.values()), message=stall
        )

    def outputs(self) -> dict[str, OutputHealth]:
        """Return the health of every output of this camera."""
        return output_health(self.sinks)

    def follow(self, after_frame: Callable[[Camera], None]) -> None:
        """Run until the source ends or the run is stopped; closes the outputs."""
        self.run.pipeline.run(self.sinks, lambda result: after_frame(self))
        if not self.run.pipeline.busy_s().keys().isdisjoint(DETECTING):
            raise InferenceError("the detector did not return when the run was stopped")


def open_sources(configs: Mapping[str, RunConfig], stack: ExitStack) -> dict[str, LiveSource]:
    """Open the sources, several at once; the stack closes them. Raises the error of the first that fails."""
    patience_s = LONGEST_OPENING_S if len(configs) == 1 else PATIENCE_S

    def open_one(name: str, config: RunConfig) -> LiveSource:
        try:
            source = open_live_source(
                config.source, config.camera, config.camera.network, patience_s=patience_s
            )
        except EdgeFairmotError as error:
            if not name:
                raise
            raise SourceError(f"camera {name}: {error}") from error
        stack.callback(source.close)
        return source

    if len(configs) == 1:  # in this thread, which a signal interrupts
        return {name: open_one(name, config) for name, config in configs.items()}
    with ThreadPoolExecutor(len(configs)) as pool:
        opening = {name: pool.submit(open_one, name, config) for name, config in configs.items()}
    return {name: opened.result() for name, opened in opening.items()}


def open_cameras(
    configs: Mapping[str, RunConfig], sources: Mapping[str, LiveSource], stack: ExitStack
) -> list[Camera]:
    """Open the network, once, and the tracker and the counter of each camera; the stack closes them."""
    shared = None if "" in configs else open_shared_network(list(configs.values()), stack)
    cameras, store = [], _open_store(next(iter(configs.values())), stack)
    for name, config in configs.items():
        known_as = name or sources[name].info.name
        history = _open_history(store, redact(known_as), stack) if store is not None else None
        drawn = known_as if config.web.serve else ""
        try:
            run = open_run(config, sources[name], stack, drawn=drawn, shared=shared, history=history)
        except InvalidInputError as error:  # as a class that the model does not have
            raise InvalidInputError(f"camera {name}: {error}" if name else str(error)) from error
        cameras.append(Camera(name, sources[name], run, [history] if history and run.counter else []))
    return cameras


def _open_store(config: RunConfig, stack: ExitStack) -> HistoryStore | None:
    """Open the history of counts; a run that cannot have one goes on without it."""
    if not config.history.keep_days:
        return None
    try:
        store = HistoryStore(history_path(config.history.folder), config.history.keep_days)
    except SinkError as error:
        _log.warning("counts end with this run: %s", error)
        return None
    stack.callback(store.close)
    return store


def _open_history(store: HistoryStore, name: str, stack: ExitStack) -> HistorySink | None:
    try:
        history = HistorySink(store, name)
    except SinkError as error:
        _log.warning("counts of %s end with this run: %s", name, error)
        return None
    stack.callback(history.close)
    return history


def open_outputs(cameras: Sequence[Camera], stack: ExitStack) -> None:
    """Open every output that the settings ask for; the stack closes them."""
    for camera in cameras:
        settings, pipeline = camera.run.config, camera.run.pipeline
        if settings.mqtt is not None:
            counts, outputs = camera.run.counts, camera.outputs
            _keep(
                camera,
                MqttSink(
                    settings.mqtt,
                    pipeline.summary,
                    camera.state,
                    counts,
                    outputs=outputs,
                    time_of=wall_time,
                ),
                stack,
            )
        if settings.record is not None:
            clock = {
                "utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                "time_s": time.monotonic(),
            }
            named = {"camera": camera.name} if camera.name else {}
            header = camera.run.header(clock=clock, **named)
            history = _history_sink(camera)
            on_clip = None if history is None else history.add_clip
            _keep(camera, RecordingSink(settings.record, header, on_clip), stack)
    if cameras[0].run.config.web.serve:
        _open_page(cameras, stack)


def _keep(camera: Camera, sink: Sink, stack: ExitStack) -> None:
    camera.sinks.append(sink)
    stack.callback(sink.close)


def _open_page(cameras: Sequence[Camera], stack: ExitStack) -> None:
    """Serve the page and print its address, once with the token where a person reads it."""
    config = cameras[0].run.config.web
    page: WebSink | WebMosaic
    if not cameras[0].name:
        (camera,) = cameras
        page = WebSink(
            config,
            camera.run.pipeline.summary,
            camera.state,
            camera.run.counter,
            source=camera.run.source.info.name,
            outputs=camera.outputs,
            ignored=camera.run.ignored,
            history=_history_of(camera),
        )
        _keep(camera, page, stack)
    else:
        page = WebMosaic(config, [_page_of(camera) for camera in cameras])
        stack.callback(page.close)
        for camera in cameras:
            camera.sinks.append(page.feeds[camera.name])
    page.start()
    _log.info("page at %s", page.address)
    if page.login_address is not None and sys.stdout.isatty():  # in no log: a service's stdout is one
        stdout.print(f"To open the page: {page.login_address}", soft_wrap=True, highlight=False)
    elif config.token_path is not None:
        _log.info("the page's token is in %s", config.token_path)


def _page_of(camera: Camera) -> CameraPage:
    view = RunView(camera.run.pipeline.summary, camera.state, camera.outputs)
    run = camera.run
    return CameraPage(camera.name, run.source.info.name, view, run.counter, run.ignored, _history_of(camera))


def _history_sink(camera: Camera) -> HistorySink | None:
    return next((sink for sink in camera.sinks if isinstance(sink, HistorySink)), None)


def _history_of(camera: Camera) -> CameraHistory | None:
    """Return what the page reads of a camera whose counts are kept."""
    if _history_sink(camera) is None:
        return None
    path = history_path(camera.run.config.history.folder)
    return CameraHistory(History(path), redact(camera.name or camera.run.source.info.name))


def stop(cameras: Sequence[Camera]) -> None:
    """End the runs of all cameras after their current results; safe in a signal handler."""
    for camera in cameras:
        camera.stopped = True
        camera.run.pipeline.stop()


def run_all(cameras: Sequence[Camera], after_frame: Callable[[Camera], None]) -> None:
    """Run all cameras to their ends. The error of one ends no other."""
    if not cameras[0].name:
        cameras[0].follow(after_frame)
        return
    threads = [
        Thread(
            target=partial(_run_one, camera, after_frame),
            name=f"edge-fairmot camera {camera.name}",
            daemon=True,
        )
        for camera in cameras
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _run_one(camera: Camera, after_frame: Callable[[Camera], None]) -> None:
    try:
        camera.follow(after_frame)
        if not camera.stopped:
            _log.info("%s has ended", camera.name)
    except EdgeFairmotError as error:
        camera.failure = reason_of(error)
        _log.error("%s: %s", camera.name, error)
    except BaseException as error:  # this thread's alone: the other cameras go on
        camera.failure = reason_of(error)
        _log.exception("%s ended by an error", camera.name)
    finally:
        camera.source.close()
