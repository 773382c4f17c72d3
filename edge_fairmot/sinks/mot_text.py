"""MOTChallenge text: one line a track and frame, what evaluation tools read."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from edge_fairmot.sinks.finite import require_finite
from edge_fairmot.sinks.unbuffered_file import UnbufferedFile
from edge_fairmot.types import Frame, Tracks


def mot_lines(frame_number: int, tracks: Tracks) -> str:
    """Tracks of one frame as MOTChallenge text.

    Parameters
    ----------
    frame_number : int
        From 1.
    tracks : Tracks
        Source pixels.

    Returns
    -------
    str
        ``frame,id,left,top,width,height,score,-1,-1,-1``, three decimals, a line each.
    """
    rows = zip(tracks.track_id.tolist(), tracks.xyxy.tolist(), tracks.score.tolist(), strict=True)
    return "".join(
        f"{frame_number},{track_id},{left:.3f},{top:.3f},{right - left:.3f},{bottom - top:.3f},{score:.3f}"
        ",-1,-1,-1\n"
        for track_id, (left, top, right, bottom), score in rows
    )


class MotTextSink(AbstractContextManager["MotTextSink"]):
    """Writes MOTChallenge text. A frame without tracks leaves no line.

    Parameters
    ----------
    path : str or Path
        Replaced where it exists; its folder is made where it does not.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = UnbufferedFile(path)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Write the tracks of one frame; the operating system has them when this returns.

        Raises
        ------
        SinkError
            If they are not finite or cannot be written.
        """
        require_finite(frame, tracks)
        self._file.write(mot_lines(frame.index + 1, tracks).encode())

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()
