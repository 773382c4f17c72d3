"""``edge-fairmot demo``: the bundled model on a drawn street, scored. It needs no video and no camera."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli.console import stderr, stdout
from edge_fairmot.cli.eval import accuracy_table
from edge_fairmot.cli.runtime_flags import RuntimeFlag
from edge_fairmot.cli.track import track
from edge_fairmot.cli.track_folder import TEXT_NAME, TRUTH_NAME, VIDEO_NAME
from edge_fairmot.errors import InvalidInputError, MissingDependencyError
from edge_fairmot.street import parse_street

BASELINE = "baseline"

NEEDED = (("av", "video", "to write video"), ("trackeval", "eval", "to score tracks"))


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("demo"),
    street: Annotated[
        str, typer.Option(help="synthetic:NAME=VALUE,... as for track; another seed is another street.")
    ] = "synthetic:seed=7,frames=250",
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Another model than the bundled one.")
    ] = None,
    runtime: RuntimeFlag = "cpu",
) -> None:
    """Track people on a drawn street whose truth is known: tracks, video, scores, and how fast it went."""
    if parse_street(street).frames is None:
        raise InvalidInputError(f"{street} never ends: give frames=250, or as many as wanted")
    for package, extra, purpose in NEEDED:
        if find_spec(package) is None:
            raise MissingDependencyError(package, extra, purpose)
    track(street, model, output, runtime)
    from edge_fairmot.benchmarks.accuracy import evaluate
    from edge_fairmot.benchmarks.baseline import track_motion

    with stderr.status("what a tracker without a network makes of it ..."):
        track_motion(street, output / BASELINE)
    with stderr.status("scoring ..."):
        rows = {
            name: evaluate(folder / TEXT_NAME, output / TRUTH_NAME)
            for name, folder in (("FairMOT", output), ("what moves, by overlap", output / BASELINE))
        }
    stdout.print(accuracy_table(rows))
    stdout.print(
        f"see {output / VIDEO_NAME}; the same live: edge-fairmot live synthetic: --web", highlight=False
    )
