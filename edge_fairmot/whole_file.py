"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Give a place beside a file to write to, which takes the file's name at the end; after an error it goes.

    Parameters
    ----------
    path : Path
        Of the file, new or to be replaced.

    Raises
    ------
    OSError
        If it cannot take the name.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
