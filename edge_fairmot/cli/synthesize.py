"""``edge-fairmot synthesize``: the synthetic street as a MOTChallenge sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli.console import frame_progress, print_pairs
from edge_fairmot.errors import InvalidInputError


def synthesize(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the sequence.")],
    street: Annotated[
        str,
        typer.Argument(
            help="synthetic:NAME=VALUE,... with seed, frames, size (WxH), fps, people, shake and handheld "
            "(of the camera, % of the image height), pan (% of the width a second), zoom, and light (how "
            "much daylight changes, 0 to 1)."
        ),
    ] = "synthetic:",
) -> None:
    """Write a synthetic street with ground truth.

    The sequence has ground truth with visibility.
    """
    from edge_fairmot.benchmarks.street import SyntheticSource, parse_street
    from edge_fairmot.benchmarks.street.ground_truth import SequenceWriter

    options = parse_street(street)
    if options.frames is None:
        raise InvalidInputError("an endless street does not fit on a disk: give a length, as in frames=500")
    with (
        SyntheticSource(options) as source,
        SequenceWriter(output, options.fps) as writer,
        frame_progress("drawing", options.frames) as show,
    ):
        for frame in source:
            writer.write(frame, source.truth(frame.index))
            show()
    frames = str(options.frames)
    print_pairs((("street", source.info.name), ("frames", frames), ("written to", str(output))))
