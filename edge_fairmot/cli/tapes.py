"""What ``edge-fairmot track`` does with tapes: records one, and holds a run against the one it plays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_fairmot.bundled import bundled_model
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import Runtime, SourceInfo
from edge_fairmot.tape import TAPE_SUFFIX, TapeHeader
from edge_fairmot.tape_recorder import TapeRecorder, check_tape_name
from edge_fairmot.types import Frame, RawDetections


class TapeObserver:
    """Takes what the network finds to the tapes of a run, if it has any.

    Parameters
    ----------
    source : SourceInfo
    runtime : Runtime
        One that plays a tape is held against it, frame by frame.
    score_threshold : float
        Of the run.

    Raises
    ------
    TapeError
        If the run is not one that the tape can be played in.
    """

    def __init__(self, source: SourceInfo, runtime: Runtime, score_threshold: float) -> None:
        from edge_fairmot.runtimes.replay import ReplayCheck, ReplayRuntime

        self._check: Callable[[Frame, RawDetections], None] | None = None
        if isinstance(runtime, ReplayRuntime):
            self._check = ReplayCheck(runtime.tape, source, score_threshold)
        self._source, self._manifest, self._score_threshold = source, runtime.manifest, score_threshold
        self._recorder: TapeRecorder | None = None

    def record(self, path: Path) -> None:
        """Begin a tape.

        Raises
        ------
        SinkError
            If it cannot be written there.
        """
        source = self._source
        header = TapeHeader(
            source.name, source.frame_size, source.frame_rate, self._score_threshold, self._manifest
        )
        self._recorder = TapeRecorder(path, header)

    def __call__(self, frame: Frame, raw: RawDetections) -> None:
        """Take what was found in one frame.

        Raises
        ------
        TapeError
            If the tape that is played has another frame here, or this one cannot be recorded.
        SinkError
            If it cannot be written.
        """
        if self._check is not None:
            self._check(frame, raw)
        if self._recorder is not None:
            self._recorder.record(frame, raw)

    def close(self) -> None:
        """Finish the tape that was begun. May be called twice."""
        if self._recorder is not None:
            self._recorder.close()


def choose_model(given: Path | None, source: str, runtime: str) -> tuple[Path, str]:
    """Choose what looks at the frames, and what runs it: a tape is played, as the model or as the source.

    Parameters
    ----------
    given : Path or None
        Of ``--model``.
    source, runtime : str
        ``cpu``, which is what not to give any comes to, is ``replay`` where there is a tape to play.

    Raises
    ------
    InvalidInputError
        If a network is to look at a tape, whose pictures are grey.
    """
    source_is_tape = Path(source).suffix == TAPE_SUFFIX
    model = given or (Path(source) if source_is_tape else bundled_model())
    if model.suffix == TAPE_SUFFIX:
        return model, "replay" if runtime == "cpu" else runtime
    if source_is_tape:
        raise InvalidInputError(
            f"{source} is a tape and has no pictures to show to {model.name}: leave --model out to play it"
        )
    return model, runtime


def check_record_path(path: Path, *inputs: Path) -> None:
    """Refuse to record where no tape can be, or over what the run reads.

    Raises
    ------
    TapeError, InvalidInputError
    """
    check_tape_name(path)
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise InvalidInputError(f"--record {path} would write over the input: choose another name")
