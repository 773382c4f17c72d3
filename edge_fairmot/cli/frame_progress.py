"""A progress bar of frames, on stderr, where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge_fairmot.cli.console import stderr


@contextmanager
def frame_progress(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show frames done, speed and time left; nothing when stderr is no terminal.

    Parameters
    ----------
    what : str
        One word.
    total : int or None
        None where it is unknown.

    Yields
    ------
    callable
        To be called after each frame, with a few words to show beside it where there are some.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    )
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total, rate="", remark="")

        def on_frame(remark: str = "") -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:.1f} fps" if speed else ""
            progress.update(task, advance=1, rate=rate, remark=remark)

        yield on_frame
