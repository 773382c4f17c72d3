"""Ground truth as MOTChallenge keeps it: ``gt.txt``, and a whole sequence around it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import cv2

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks.files import UnbufferedFile
from edge_fairmot.types import Frame, Tracks, Truth

LEAST_VISIBILITY = 0.1
"""Whoever is seen less is written with confidence 0, the mark for boxes that are not to be scored: nobody can
find them."""

JPEG_QUALITY = 95


def truth_lines(frame_number: int, truth: Truth) -> str:
    """Ground truth of one frame as MOTChallenge text.

    Parameters
    ----------
    frame_number : int
        From 1.
    truth : Truth

    Returns
    -------
    str
        ``frame,id,left,top,width,height,confidence,1,visibility``, a line each; 1 is the class of people.
    """
    rows = zip(truth.ids.tolist(), truth.xyxy.tolist(), truth.visibility.tolist(), strict=True)
    return "".join(
        f"{frame_number},{identity},{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f},"
        f"{int(visibility >= LEAST_VISIBILITY)},1,{visibility:.3f}\n"
        for identity, (left, top, right, bottom), visibility in rows
    )


class TruthSink(AbstractContextManager["TruthSink"]):
    """Writes the ground truth of the frames that a run goes through, whatever it finds in them.

    Parameters
    ----------
    path : str or Path
        Replaced where it exists; its folder is made where it does not.
    truth : callable
        Gives the truth about a frame from its index.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def __init__(self, path: str | Path, truth: Callable[[int], Truth]) -> None:
        self._file = UnbufferedFile(path)
        self._truth = truth

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Write the truth about one frame; the operating system has it when this returns.

        Raises
        ------
        SinkError
            If it cannot be written.
        """
        self._file.write(truth_lines(frame.index + 1, self._truth(frame.index)).encode())

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()


class SequenceWriter(AbstractContextManager["SequenceWriter"]):
    """Writes a MOTChallenge sequence: ``img1/000001.jpg`` and on, ``gt/gt.txt`` and ``seqinfo.ini``.

    ``seqinfo.ini`` is written by :meth:`close`, for the frames that there are then: a run that ends early
    leaves a shorter sequence.

    Parameters
    ----------
    folder : str or Path
        Made where it does not exist. Its name is the sequence's.
    frame_rate : float

    Raises
    ------
    SinkError
        If there is a sequence already, or it cannot be written there.
    """

    def __init__(self, folder: str | Path, frame_rate: float) -> None:
        self._folder, self._frame_rate = Path(folder), frame_rate
        self._size, self._count = (0, 0), 0
        taken = next((name for name in ("img1", "seqinfo.ini") if (self._folder / name).exists()), None)
        if taken is not None:
            raise SinkError(f"{self._folder} holds a sequence already ({taken}): choose another folder")
        self._truth = UnbufferedFile(self._folder / "gt" / "gt.txt")
        self._closed = False

    def write(self, frame: Frame, truth: Truth) -> None:
        """Write one frame and the truth about it.

        Raises
        ------
        SinkError
            If it cannot be written.
        """
        _, data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        picture = UnbufferedFile(self._folder / "img1" / f"{frame.index + 1:06d}.jpg")
        try:
            picture.write(data.tobytes())
        finally:
            picture.close()
        self._truth.write(truth_lines(frame.index + 1, truth).encode())
        height, width = frame.image.shape[:2]
        self._size, self._count = (width, height), self._count + 1

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the sequence. May be called twice.

        Raises
        ------
        SinkError
            If ``seqinfo.ini`` cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        self._truth.close()
        lines = (
            f"[Sequence]\nname={self._folder.resolve().name}\nimDir=img1\nframeRate={self._frame_rate:g}\n"
            f"seqLength={self._count}\nimWidth={self._size[0]}\nimHeight={self._size[1]}\nimExt=.jpg\n"
        )
        information = UnbufferedFile(self._folder / "seqinfo.ini")
        try:
            information.write(lines.encode())
        finally:
            information.close()
