"""Recording for months: files that follow each other, within a budget, and a disk that may be full."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from edge_fairmot.counting import Event
from edge_fairmot.errors import SinkError
from edge_fairmot.service.recording.clips import ClipRecorder
from edge_fairmot.service.recording.config import RecordingConfig
from edge_fairmot.service.recording.disk_keeper import DiskKeeper
from edge_fairmot.service.recording.names import CLIP, EVENTS, TEXT, TRACKS, FileNames
from edge_fairmot.service.recording.rotating_file import RotatingFile
from edge_fairmot.sinks.files import require_finite
from edge_fairmot.sinks.text import JsonLinesHeader, event_document, frame_line, header_line, mot_lines
from edge_fairmot.system import FileLock
from edge_fairmot.types import Frame, Tracks, UInt8Array


class RecordingSink(AbstractContextManager["RecordingSink"]):
    """Records tracks, and events as :meth:`take_event` is told of them.

    A disk that is full, or gone, stops the recording and not the tracking; it goes on when there is room, and
    what is lost meanwhile is counted.
    JSON Lines begin with a header in every file, whose ``settings.recording`` has the time it was begun, UTC,
    and the source's at that moment. Frames are counted on from file to file.

    Parameters
    ----------
    config : RecordingConfig
    header : JsonLinesHeader
        Of the run.
    overlay : callable, optional
        Draws more on each picture of a clip, uint8 (H, W, 3) BGR; called from another thread.

    Raises
    ------
    MissingDependencyError
        If clips are asked for and PyAV, which the extra ``video`` brings, is not installed.
    SinkError
        If the folder cannot be used, or another run records there under the same name.

    Attributes
    ----------
    missed, missed_events : int
        Frames that were not recorded, and events, with their clips.
    """

    def __init__(
        self,
        config: RecordingConfig,
        header: JsonLinesHeader,
        overlay: Callable[[UInt8Array], None] | None = None,
    ) -> None:
        self._config, self._header = config, header
        self._time_s, self._closed = 0.0, False
        self.missed = self.missed_events = 0
        header_line(header)  # what cannot be written is told now
        self._lock = FileLock(
            config.folder / f".{config.stem}.lock",
            f"the recording {config.folder / config.stem}",
            "give each a name of its own",
        )
        self._names = FileNames(config.folder, config.stem)
        self._tracks = self._rotating(TRACKS, self._first_line) if config.json_lines else None
        self._text = self._rotating(TEXT) if config.mot_text else None
        self._events = self._rotating(EVENTS)
        self._clips: ClipRecorder | None = None
        self._keeper = DiskKeeper(config, self._writing)
        if config.clips is not None:
            try:
                self._clips = ClipRecorder(
                    config.clips, header.frame_rate, lambda: self._new_path(CLIP), self._keeper.stop, overlay
                )
            except BaseException:
                self.close()
                raise

    @property
    def trouble(self) -> str:
        """Why nothing is recorded now, one line; empty while it is."""
        return self._keeper.trouble

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Record one frame; the operating system has its tracks when this returns.

        Raises
        ------
        SinkError
            If it is not finite, or comes after the end. What the disk does not take is counted, not raised.
        """
        if self._closed:
            raise SinkError(
                f"the recording in {self._config.folder} is closed: open a new sink to write more"
            )
        require_finite(frame, tracks)
        if self._clips is not None:
            self._clips.offer(frame, tracks)
        if self._keeper.trouble:
            self.missed += 1
            return
        self._time_s = frame.time_s
        height, width = frame.image.shape[:2]
        changed = (width, height) != self._header.frame_size
        if changed:
            self._header = replace(self._header, frame_size=(width, height))
        try:
            if self._tracks is not None:
                if changed:
                    self._tracks.close()
                self._tracks.write(frame_line(frame, tracks).encode())
            if self._text is not None:
                self._text.write(mot_lines(frame.index + 1, tracks).encode())
        except SinkError as error:
            self.missed += 1
            self._keeper.stop(error)

    def take_event(self, frame: Frame, event: Event) -> None:
        """Record an event, and a clip of it; to be given to :class:`edge_fairmot.sinks.EventsSink`."""
        if self._keeper.trouble:
            self.missed_events += 1
            return
        try:
            line = json.dumps(event_document(frame.index + 1, event), allow_nan=False) + "\n"
            self._events.write(line.encode())
        except SinkError as error:
            self.missed_events += 1
            self._keeper.stop(error)
            return
        if self._clips is not None:
            self._clips.trigger(frame.time_s)

    def _rotating(self, suffix: str, header: Callable[[], bytes] = bytes) -> RotatingFile:
        config = self._config
        return RotatingFile(lambda: self._new_path(suffix), header, config.file_bytes, config.file_s)

    def _new_path(self, suffix: str) -> Path:
        self._keeper.begun()
        return self._names.next(suffix)

    def _first_line(self) -> bytes:
        begun = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        settings = {**self._header.settings, "recording": {"begun": begun, "time_s": self._time_s}}
        return header_line(replace(self._header, settings=settings)).encode()

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
            If the disk says only now that it has not got everything. All are closed first.
        """
        self._closed = True
        with ExitStack() as stack:  # which closes the last first
            for part in (self._lock, self._keeper, self._events, self._text, self._tracks, self._clips):
                if part is not None:
                    stack.callback(part.close)
