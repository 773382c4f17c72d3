"""``edge-fairmot demo``: the bundled model on a drawn street, scored. It needs no video and no camera."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.benchmarks.street import parse_street
from edge_fairmot.cli.console import stderr, stdout
from edge_fairmot.cli.eval import accuracy_table
from edge_fairmot.cli.runtime_flags import RuntimeFlag
from edge_fairmot.cli.track import track
from edge_fairmot.cli.track_folder import TEXT_NAME, TRUTH_NAME, VIDEO_NAME
from edge_fairmot.errors import InvalidInputError, MissingDependencyError
from edge_fairmot.tape import read_tape
from edge_fairmot.tracking import TrackerConfig

BASELINE = "baseline"

TAPE_NAME = "detections.npz"

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
    track(street, model, output, runtime, crowded=True, record=output / TAPE_NAME)
    from edge_fairmot.benchmarks.accuracy import evaluate, evaluate_tracks
    from edge_fairmot.benchmarks.baseline import track_motion
    from edge_fairmot.benchmarks.device_speed import track_tape
    from edge_fairmot.benchmarks.mot_text import MotRows, read_mot_text

    with stderr.status("what a tracker without a network makes of it ..."):
        track_motion(street, output / BASELINE)
    with stderr.status("scoring ..."):
        tape = read_tape(output / TAPE_NAME)
        config = TrackerConfig(frame_rate=tape.header.frame_rate)
        own = MotRows.of_tracks(track_tape(tape, config))
        truth = output / TRUTH_NAME
        rows = {
            "FairMOT, --crowded": evaluate(output / TEXT_NAME, truth),
            "FairMOT's own rules": evaluate_tracks(own, read_mot_text(truth, ground_truth=True)),
            "what moves, by overlap": evaluate(output / BASELINE / TEXT_NAME, truth),
        }
    stdout.print(accuracy_table(rows))
    stdout.print(
        f"see {output / VIDEO_NAME}; the same live: edge-fairmot live synthetic: --web", highlight=False
    )
