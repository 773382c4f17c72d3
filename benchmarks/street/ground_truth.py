"""Ground truth in MOTChallenge files: ``gt.txt``, and whole sequences."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import cv2

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks.files import UnbufferedFile
from edge_fairmot.types import Frame, FrameResult, GroundTruth

LEAST_VISIBILITY = 0.1
"""A person less visible has confidence 0 in ``gt.txt``, the mark of boxes that are not scored."""

JPEG_QUALITY = 95


def truth_lines(frame_number: int, truth: GroundTruth) -> str:
    """Lines ``frame,id,left,top,width,height,confidence,1,visibility``; 1 is the class of people."""
    rows = zip(truth.ids.tolist(), truth.xyxy.tolist(), truth.visibility.tolist(), strict=True)
    return "".join(
        f"{frame_number},{identity},{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f},"
        f"{int(visibility >= LEAST_VISIBILITY)},1,{visibility:.3f}\n"
        for identity, (left, top, right, bottom), visibility in rows
    )


class TruthSink(AbstractContextManager["TruthSink"]):
    """Writes ``gt.txt`` with the ground truth of the frames of a run, whatever the tracks are.

    ``truth`` is that of :class:`edge_fairmot.protocols.HasGroundTruth`. A file that exists is replaced, and a
    missing folder is made. Every failure is a SinkError.
    """

    def __init__(self, path: str | Path, truth: Callable[[int], GroundTruth]) -> None:
        self._file = UnbufferedFile(path)
        self._truth = truth

    def write(self, result: FrameResult) -> None:
        """Write the ground truth of one frame; the operating system has it when this returns."""
        frame = result.frame
        self._file.write(truth_lines(frame.number, self._truth(frame.index)).encode())

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()


class SequenceWriter(AbstractContextManager["SequenceWriter"]):
    """Writes a MOTChallenge sequence: ``img1/000001.jpg`` and on, ``gt/gt.txt`` and ``seqinfo.ini``.

    :meth:`close` writes ``seqinfo.ini`` for the frames written so far: a run that ends early leaves a shorter
    sequence. The name of the folder is that of the sequence; SinkError if it holds a sequence already.
    """

    def __init__(self, folder: str | Path, frame_rate: float) -> None:
        self._folder, self._frame_rate = Path(folder), frame_rate
        self._size, self._count = (0, 0), 0
        taken = next((name for name in ("img1", "seqinfo.ini") if (self._folder / name).exists()), None)
        if taken is not None:
            raise SinkError(f"{self._folder} holds a sequence already ({taken}): choose another folder")
        self._truth = UnbufferedFile(self._folder / "gt" / "gt.txt")
        self._closed = False

    def write(self, frame: Frame, truth: GroundTruth) -> None:
        """Write one frame and its ground truth."""
        _, data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        self._write_file(f"img1/{frame.number:06d}.jpg", data.tobytes())
        self._truth.write(truth_lines(frame.number, truth).encode())
        self._size, self._count = frame.size, self._count + 1

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the sequence. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._truth.close()
        information = (
            f"[Sequence]\nname={self._folder.resolve().name}\nimDir=img1\nframeRate={self._frame_rate:g}\n"
            f"seqLength={self._count}\nimWidth={self._size[0]}\nimHeight={self._size[1]}\nimExt=.jpg\n"
        )
        self._write_file("seqinfo.ini", information.encode())

    def _write_file(self, name: str, data: bytes) -> None:
        file = UnbufferedFile(self._folder / name)
        try:
            file.write(data)
        finally:
            file.close()
