"""Recording a tape: rows go to disk frame by frame, and become one ``.npz`` when the run ends.

While a run goes on, its rows are in the folder ``tape.npz.recording``, a plain file a key, handed to the
operating system frame by frame: memory does not grow, and a killed process loses no whole frame. When the
run ends, be it by Ctrl-C, SIGTERM or an error, the files become the members of ``tape.npz``, which takes the
tape's size once more on disk until the folder goes. After SIGKILL or a crash the folder stays, and
:func:`finish_tape` makes the tape of it; only the frame that was being written is lost. Loss of power may
take what the operating system had not yet brought to the disk, from the end.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge_fairmot.errors import InvalidInputError, ManifestError, SinkError, TapeError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.sinks.files import UnbufferedFile
from edge_fairmot.tape import (
    COLUMNS,
    DETECTION_COLUMNS,
    TAPE_SCHEMA_VERSION,
    TAPE_SUFFIX,
    TapeHeader,
    finishing_command,
    spool_folder,
)
from edge_fairmot.types import Frame, RawDetections

_HEADER_NAME = "header.json"

_COPIED_AT_ONCE = 1 << 20  # bytes

# Those of a frame come last: a frame whose own rows are there is whole.
_WRITE_ORDER = (*DETECTION_COLUMNS, "frame_offset", "time_s", "frame_index")


class TapeRecorder(AbstractContextManager["TapeRecorder"]):
    """Records what a network finds; :func:`edge_fairmot.tape.read_tape` gives it back, bit for bit.

    Parameters
    ----------
    path : str or Path
        Ends in ``.npz``. An earlier tape there is removed; its folder is made where it does not exist.
    header : TapeHeader

    Raises
    ------
    TapeError
        If the name has another ending.
    SinkError
        If it cannot be written there.
    """

    def __init__(self, path: str | Path, header: TapeHeader) -> None:
        self._path = Path(path)
        check_tape_name(self._path)
        self._header = header
        self._letterbox = Letterbox(header.frame_size, header.manifest.input_size)
        self._frames = self._detections = 0
        self._last = (-1, -float("inf"))
        self._closed = False
        self._files = _open_spool(self._path, header)

    def record(self, frame: Frame, raw: RawDetections) -> None:
        """Take what was found in one frame; it survives a crash right after.

        Frames in which nothing was looked for are left out.

        Parameters
        ----------
        frame : Frame
            As it came from the source, later than the one before.
        raw : RawDetections
            What the runtime gave for it.

        Raises
        ------
        TapeError
            If it cannot be on this tape: another size, a step back in time, numbers that are not finite or
            do not fit the manifest.
        SinkError
            If it cannot be written, or the recorder is closed.
        """
        count = int((raw.scores[0] > self._header.score_threshold).sum())
        rows: dict[str, NDArray[Any]] = {
            "input_boxes_xyxy": np.asarray(raw.boxes[0, :count], np.float32),
            "score": np.asarray(raw.scores[0, :count], np.float32),
            "class_id": np.asarray(raw.class_ids[0, :count], np.int64),
            "embedding": np.asarray(raw.embeddings[0, :count], np.float32),
        }
        rows["boxes_xyxy"] = self._letterbox.to_source(rows["input_boxes_xyxy"])
        self._check(frame, rows)
        rows["frame_offset"] = np.array(self._detections + count, np.int64)
        rows["time_s"] = np.array(frame.time_s, np.float64)
        rows["frame_index"] = np.array(frame.index, np.int64)
        try:
            for name in _WRITE_ORDER:
                self._files[name].write(rows[name].tobytes())
        except BaseException:
            self._close_files()  # nothing may follow half a row
            raise
        self._frames += 1
        self._detections += count
        self._last = (frame.index, frame.time_s)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Make the tape. May be called twice. A run without a frame leaves none.

        Raises
        ------
        SinkError
            If there is no room for it; what was recorded is kept, and the message says how to go on.
        """
        if self._closed:
            return
        self._closed = True
        self._close_files()
        if self._frames:
            finish_tape(self._path)
        else:
            shutil.rmtree(spool_folder(self._path), ignore_errors=True)

    def _close_files(self) -> None:
        with ExitStack() as stack:  # all of them, also where one fails
            for file in self._files.values():
                stack.callback(file.close)

    def _check(self, frame: Frame, rows: Mapping[str, NDArray[Any]]) -> None:
        height, width = frame.image.shape[:2]
        number, manifest = frame.index + 1, self._header.manifest
        if (width, height) != self._header.frame_size:
            raise TapeError(
                f"frame {number} is {width}x{height} pixels, the tape of frames of "
                f"{'x'.join(map(str, self._header.frame_size))}: record a source of one size"
            )
        if not (frame.index > self._last[0] and self._last[1] < frame.time_s < float("inf")):
            raise TapeError(
                f"frame {number} at {frame.time_s} s does not come after frame {self._last[0] + 1} at "
                f"{self._last[1]} s: a tape takes one run, in order; record another"
            )
        score, dimension = rows["score"], rows["embedding"].shape[-1]
        if len(score) > manifest.max_detections or dimension != manifest.embedding_dim:
            raise TapeError(
                f"frame {number} has {len(score)} detections with embeddings of {dimension}, its "
                f"manifest allows {manifest.max_detections} of {manifest.embedding_dim}: "
                "correct the runtime's manifest"
            )
        finite = all(np.isfinite(column).all() for column in rows.values())
        if not finite or (score[1:] > score[:-1]).any():
            raise TapeError(
                f"frame {number} has numbers that are not finite, or scores that do not descend: "
                "the file or its precision is broken on this device; try an fp32 file, or --runtime cpu"
            )


def check_tape_name(path: Path) -> None:
    """Refuse a name under which a tape would not be known again.

    Raises
    ------
    TapeError
        If it does not end in ``.npz``, or is a folder's.
    """
    if path.suffix != TAPE_SUFFIX or path.is_dir():
        raise TapeError(f"a tape is a file that ends in {TAPE_SUFFIX}, not {path}: give --record tape.npz")


def finish_tape(path: str | Path) -> None:
    """Make a tape of the rows that a run has left in ``PATH.recording``, and remove that folder.

    Parameters
    ----------
    path : str or Path
        Of the tape.

    Raises
    ------
    TapeError
        If nothing was recorded there, or it is damaged.
    SinkError
        If the tape cannot be written; the rows stay where they are.
    """
    path = Path(path)
    spool, partial = spool_folder(path), path.with_name(f".{path.name}.partial")
    header = _read_header(spool)
    lengths = _whole_rows(spool, header)
    try:
        with ExitStack() as stack:
            stack.callback(partial.unlink, missing_ok=True)
            with zipfile.ZipFile(partial, "w") as archive:
                _write_header(archive, header)
                for name, shape in lengths.items():
                    _copy_column(archive, name, shape, spool / name)
            os.replace(partial, path)
        shutil.rmtree(spool)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written ({error.strerror or error}): free space there, and then "
            f"{finishing_command(path)}"
        ) from error


def _open_spool(path: Path, header: TapeHeader) -> Mapping[str, UnbufferedFile]:
    folder = spool_folder(path)
    content = {
        "schema_version": TAPE_SCHEMA_VERSION,
        "source": header.source,
        "frame_size": header.frame_size,
        "frame_rate": header.frame_rate,
        "score_threshold": header.score_threshold,
        "manifest": header.manifest.to_json(),
    }
    try:
        path.unlink(missing_ok=True)  # it would belong to another run
        if folder.is_dir():
            shutil.rmtree(folder)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written ({error.strerror}): check the folder and its permissions"
        ) from error
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        files = {}
        for name in (_HEADER_NAME, *_WRITE_ORDER):
            files[name] = UnbufferedFile(folder / name)
            stack.callback(files[name].close)
        files[_HEADER_NAME].write(json.dumps(content).encode())
        files["frame_offset"].write(np.int64(0).tobytes())
        stack.pop_all()
    return MappingProxyType(files)


def _read_header(spool: Path) -> TapeHeader:
    try:
        content = json.loads((spool / _HEADER_NAME).read_text())
        if content["schema_version"] != TAPE_SCHEMA_VERSION:
            raise InvalidInputError(f"schema {content['schema_version']}, not {TAPE_SCHEMA_VERSION}")
        width, height = content["frame_size"]
        return TapeHeader(
            content["source"],
            (width, height),
            content["frame_rate"],
            content["score_threshold"],
            ModelManifest.from_json(content["manifest"]),
        )
    except (OSError, ValueError, TypeError, KeyError, ManifestError) as error:
        raise TapeError(
            f"{spool} does not hold a recording that can be finished ({error}): record it again"
        ) from error


def _whole_rows(spool: Path, header: TapeHeader) -> Mapping[str, tuple[int, ...]]:
    """Shape of each column, up to the last frame of which everything is there."""
    width = {"boxes_xyxy": 4, "input_boxes_xyxy": 4, "embedding": header.manifest.embedding_dim}
    try:
        there = {}
        for name, (dtype, _) in COLUMNS.items():
            row_bytes = np.dtype(dtype).itemsize * width.get(name, 1)
            there[name] = (spool / name).stat().st_size // row_bytes
        ends = np.fromfile(spool / "frame_offset", np.int64)
    except OSError as error:
        raise TapeError(
            f"{spool} does not hold a recording that can be finished ({error.strerror}): record it again"
        ) from error
    rows = min(there[name] for name in DETECTION_COLUMNS)
    frames = min(there["time_s"], there["frame_index"], int(np.searchsorted(ends, rows, "right")) - 1)
    if frames < 1:
        raise TapeError(f"{spool} holds no whole frame: record it again")
    count = {"frame_index": frames, "time_s": frames, "frame_offset": frames + 1}
    return {
        name: (count.get(name, int(ends[frames])), *((width[name],) if name in width else ()))
        for name in COLUMNS
    }


def _write_header(archive: zipfile.ZipFile, header: TapeHeader) -> None:
    for name, value in (
        ("schema_version", np.array(TAPE_SCHEMA_VERSION, np.int64)),
        ("manifest", np.array(header.manifest.to_json())),
        ("source", np.array(header.source)),
        ("frame_size", np.array(header.frame_size, np.int64)),
        ("frame_rate", np.array(header.frame_rate, np.float64)),
        ("score_threshold", np.array(header.score_threshold, np.float64)),
    ):
        with _member(archive, name) as file:
            npy.write_array(file, value, allow_pickle=False)


def _copy_column(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], rows: Path) -> None:
    dtype = np.dtype(COLUMNS[name][0])
    left = dtype.itemsize * int(np.prod(shape))
    with rows.open("rb") as source, _member(archive, name) as file:
        npy.write_array_header_1_0(
            file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        while left:
            part = source.read(min(left, _COPIED_AT_ONCE))
            if not part:
                raise TapeError(f"{rows} was cut short while it was read: record it again")
            file.write(part)
            left -= len(part)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # A ZipInfo of its own has no clock: two recordings of one run are the same bytes.
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)
