"""What belongs to one run at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path

from edge_fairmot.errors import SinkError


class RunLock:
    """Holds a file until it is closed, or the process ends, however it ends.

    Parameters
    ----------
    path : Path
        Made where it is not there, with its folder; it stays when all is over.
    what : str
        What it stands for, as in ``"the folder out"``.
    remedy : str
        What helps who comes second.

    Raises
    ------
    SinkError
        If another run holds it, or it cannot be made.
    """

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w")
        except OSError as error:
            raise SinkError(
                f"{what} cannot be used ({error.strerror}): check the folder and its permissions "
                "or choose another place"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SinkError(f"{what} belongs to another run: {remedy}") from error

    def close(self) -> None:
        """Let it go. May be called twice."""
        self._file.close()
