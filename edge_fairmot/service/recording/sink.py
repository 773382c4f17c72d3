"""The recording sink: files that follow each other, and clips of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from edge_fairmot.errors import SinkError
from edge_fairmot.protocols import OutputHealth
from edge_fairmot.service.recording.clips import ClipRecorder, OnClip
from edge_fairmot.service.recording.config import RecordingConfig
from edge_fairmot.service.recording.files import (
    CLIP,
    EVENTS,
    TEXT,
    TRACKS,
    FileNames,
    RotatingFile,
)
from edge_fairmot.service.recording.retention import Retention
from edge_fairmot.service.run import utc_now, wall_time
from edge_fairmot.sinks.events import event_lines, events_header_line, rfc3339
from edge_fairmot.sinks.files import require_finite
from edge_fairmot.sinks.text import JsonLinesHeader, frame_line, header_line, mot_lines
from edge_fairmot.system import FileLock
from edge_fairmot.types import FrameResult


class RecordingSink(AbstractContextManager["RecordingSink"]):
    """Records tracks, events, and a clip of every event.

    A disk that is full or gone pauses the recording and not the tracking. Recording continues when there is
    space; lost frames and events are counted. Every JSON Lines file begins with the header, whose
    ``settings.recording`` holds the time when the file was begun, UTC and by the source's clock. The next
    file continues the frame numbers. A file of events begins with the camera, the model and the time when it
    was begun; events of a live run have their wall-clock time.

    Parameters
    ----------
    config : RecordingConfig
    header : JsonLinesHeader
        Header of the run.
    on_clip : callable, optional
        Called from another thread with the path of each finished clip, and the times of its first and last
        frame.

    Raises
    ------
    MissingDependencyError
        If clips are asked for and PyAV, of the extra ``video``, is not installed.
    SinkError
        If the folder cannot be used, or another run records there under the same name.
    """

    def __init__(
        self, config: RecordingConfig, header: JsonLinesHeader, on_clip: OnClip | None = None
    ) -> None:
        self._config, self._header = config, header
        self._time_s, self._closed = 0.0, False
        self._missed_frames = self._missed_events = 0
        header_line(header)  # a header that is not JSON is an error now
        self._lock = FileLock(
            config.folder / f".{config.stem}.lock",
            f"the recording {config.folder / config.stem}",
            "give each run another name to record to",
        )
        # A live run has the machine's clock beside the source's: its events say the time of day.
        self._time_of = wall_time if "clock" in header.settings else None
        self._names = FileNames(config.folder, config.stem)
        self._tracks = self._rotating(TRACKS, self._first_line) if config.json_lines else None
        self._text = self._rotating(TEXT) if config.mot_text else None
        self._events = self._rotating(EVENTS, self._first_event_line)
        self._clips: ClipRecorder | None = None
        self._retention = Retention(config, self._writing)
        if config.has_clips:
            try:
                self._clips = ClipRecorder(
                    config, header.frame_rate, partial(self._new_path, CLIP), self._retention.pause, on_clip
                )
            except BaseException:
                self.close()
                raise

    @property
    def health(self) -> Mapping[str, OutputHealth]:
        """``recording``: the reason why it is paused, and the numbers of lost frames and events."""
        return {
            "recording": {
                "trouble": self._retention.trouble,
                "missed_frames": self._missed_frames,
                "missed_events": self._missed_events,
            }
        }

    def write(self, result: FrameResult) -> None:
        """Record one frame; the operating system has its tracks and events when this returns.

        Raises
        ------
        SinkError
            If a number is not finite, or after :meth:`close`. Errors of the disk are counted and not raised.
        """
        if self._closed:
            raise SinkError(
                f"the recording in {self._config.folder} is closed: open a new sink to write more"
            )
        require_finite(result)
        self._time_s = result.frame.time_s
        recorded_events = self._write_events(result)
        if self._clips is not None:
            self._clips.write(result if recorded_events else replace(result, events=()))
        if self._retention.trouble or not self._write_tracks(result):
            self._missed_frames += 1

    def _write_events(self, result: FrameResult) -> bool:
        if not result.events:
            return True
        if not self._retention.trouble:
            try:
                self._events.write(event_lines(result, self._time_of))
                return True
            except SinkError as error:
                self._retention.pause(error)
        self._missed_events += len(result.events)
        return False

    def _write_tracks(self, result: FrameResult) -> bool:
        frame = result.frame
        has_new_size = frame.size != self._header.frame_size
        self._header = replace(self._header, frame_size=frame.size)
        try:
            if self._tracks is not None:
                if has_new_size:
                    self._tracks.close()
                self._tracks.write(frame_line(result))
            if self._text is not None:
                self._text.write(mot_lines(frame.number, result.tracks, result.class_names))
            return True
        except SinkError as error:
            self._retention.pause(error)
            return False

    def _rotating(self, suffix: str, header: Callable[[], bytes] = bytes) -> RotatingFile:
        config = self._config
        return RotatingFile(
            partial(self._new_path, suffix), header, config.bytes_of("file_size"), config.file_s
        )

    def _new_path(self, suffix: str) -> Path:
        self._retention.wake()
        return self._names.next(suffix)

    def _first_line(self) -> bytes:
        begun = rfc3339(utc_now())
        settings = {**self._header.settings, "recording": {"begun": begun, "time_s": self._time_s}}
        return header_line(replace(self._header, settings=settings)).encode()

    def _first_event_line(self) -> bytes:
        return events_header_line(self._header, utc_now()).encode()

    def _writing(self) -> set[Path]:
        parts = (self._tracks, self._text, self._events, self._clips)
        return {path for part in parts if part is not None and (path := part.path) is not None}

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish all files. May be called twice.

        Raises
        ------
        SinkError
            If the disk reports only now that it is full. All files are closed first.
        """
        self._closed = True
        with ExitStack() as stack:  # closes the last one first
            for part in (self._lock, self._retention, self._events, self._text, self._tracks, self._clips):
                if part is not None:
                    stack.callback(part.close)
