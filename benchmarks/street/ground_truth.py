"""Ground truth on disk: a MOTChallenge sequence."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import cv2

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks.files import UnbufferedFile
from edge_fairmot.sinks.text import truth_lines
from edge_fairmot.types import Frame, GroundTruth

JPEG_QUALITY = 95


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
