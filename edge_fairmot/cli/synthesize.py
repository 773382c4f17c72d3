"""``edge-fairmot synthesize``: the synthetic street as a MOTChallenge sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.benchmarks.street import parse_street
from edge_fairmot.cli.console import frame_progress, print_pairs
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sinks import SequenceWriter
from edge_fairmot.sources import SyntheticSource


def synthesize(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the sequence.")],
    street: Annotated[
        str,
        typer.Argument(
            help="synthetic:NAME=VALUE,... with seed, frames, size (WxH), fps, people, shake (of the camera, "
            "% of the height) and light (0 to 1: how much it changes)."
        ),
    ] = "synthetic:",
) -> None:
    """Draw a street of people as a MOTChallenge sequence, with ground truth and visibility."""
    options = parse_street(street)
    if options.frames is None:
        raise InvalidInputError(
            "an endless street does not fit a disk: give frames=500, or as many as wanted"
        )
    with (
        SyntheticSource(options) as source,
        SequenceWriter(output, options.fps) as writer,
        frame_progress("drawing", options.frames) as show,
    ):
        for frame in source:
            writer.write(frame, source.truth(frame.index))
            show()
    print_pairs(
        (
            ("street", source.info.name),
            ("frames", str(options.frames)),
            ("written to", str(output)),
        )
    )
