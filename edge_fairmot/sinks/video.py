"""Annotated video."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from edge_fairmot.sinks.annotation import Annotator
from edge_fairmot.sinks.encoding import FragmentedMp4
from edge_fairmot.types import Frame, Tracks, UInt8Array

TRAIL_S = 2.0
"""How long a trail stays visible."""


class VideoSink(AbstractContextManager["VideoSink"]):
    """Draws the tracks on each frame and writes an H.264 MP4 that keeps the frames' times.

    The file plays in browsers, and after a crash it can be read up to the last finished second.

    Parameters
    ----------
    path : str or Path
        Replaced where it exists; its folder is made where it does not.
    size : (int, int)
        Width and height of the frames, pixels.
    frame_rate : float
        Frames per second, about.
    overlay : callable, optional
        Draws more on each annotated picture, uint8 (H, W, 3) BGR.

    Raises
    ------
    MissingDependencyError
        If PyAV, which the extra ``video`` brings, is not installed.
    InvalidInputError
        If the size or the rate is not positive.
    SinkError
        If the file cannot be made.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        frame_rate: float,
        overlay: Callable[[UInt8Array], None] | None = None,
    ) -> None:
        self._file = FragmentedMp4(path, size, frame_rate)
        self._overlay = overlay
        self._annotator = Annotator(trail_length=max(1, round(TRAIL_S * frame_rate)))

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Draw and encode one frame. ``frame.image`` is not changed.

        Raises
        ------
        SinkError
            If it has another size, or the file cannot be written.
        """
        canvas = self._annotator.draw(frame.image, tracks)
        if self._overlay is not None:
            self._overlay(canvas)
        self._file.write(canvas, frame.time_s)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the file. May be called twice.

        Raises
        ------
        SinkError
            If the last frames cannot be written.
        """
        self._file.close()
