"""``edge-fairmot record-reference``: what PyTorch sees, for devices without it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli.console import frame_progress, print_pairs, warn
from edge_fairmot.cli.convert import parse_size
from edge_fairmot.cli.verify import check_writable
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources import open_source

USUAL_THRESHOLD = 0.4
"""The score threshold of ``verify``, unless told otherwise."""


def record_reference(
    checkpoint: Annotated[Path, typer.Argument(help="FairMOT DLA-34 checkpoint (.pth).")],
    video: Annotated[str, typer.Option(help="Video file, image folder or MOTChallenge sequence folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Golden to write.")] = Path("golden.npz"),
    size: Annotated[str, typer.Option(help="Input size, WIDTHxHEIGHT, multiples of 32.")] = "1088x608",
    frames: Annotated[int, typer.Option(help="How many.")] = 20,
    start: Annotated[int, typer.Option(help="The first of them, counted from 1.")] = 1,
    max_detections: Annotated[int, typer.Option(help="Detections kept of each frame, the best.")] = 100,
    device: Annotated[
        str | None, typer.Option(help="cuda or cpu; cuda where there is one, when not given.")
    ] = None,
) -> None:
    """Run a checkpoint in PyTorch float32 and record what it sees; 'verify --reference' compares with it."""
    if device not in (None, "cuda", "cpu"):
        raise InvalidInputError(f"--device {device!r}: choose from cuda and cpu")
    for name, value in (("--frames", frames), ("--start", start), ("--max-detections", max_detections)):
        if value < 1:
            raise InvalidInputError(f"{name} must be at least 1, not {value}")
    input_size = parse_size(size)
    check_writable(output)
    from edge_fairmot.benchmarks.golden import Golden, write_golden
    from edge_fairmot.benchmarks.verification import record_frames
    from edge_fairmot.convert.reference import TorchReference

    with ExitStack() as stack:
        source = open_source(video)
        stack.callback(source.close)
        reference = TorchReference(checkpoint, input_size, device=device)
        stack.callback(reference.close)
        on_frame = stack.enter_context(frame_progress("recording", frames))
        recorded = record_frames(
            reference, source, frames, max_detections, first_frame=start - 1, on_frame=on_frame
        )
        golden = Golden(
            source=Path(source.info.name).name,
            source_size=source.info.frame_size,
            frame_rate=source.info.frame_rate,
            runtime=reference.name,
            details=reference.details,
            manifest=reference.manifest,
            frames=tuple(recorded),
        )
    write_golden(output, golden)
    best = max(float(frame.observation.detections.scores.max()) for frame in golden.frames)
    if best <= USUAL_THRESHOLD:
        warn(
            f"no frame holds a detection above {USUAL_THRESHOLD} (the best is {best:.2f}), so verify has "
            "nothing to compare: record frames with people, see --start"
        )
    print_pairs(
        (
            ("written", f"{output} ({output.stat().st_size / 1e6:.1f} MB)"),
            ("frames", f"{len(golden.frames)} of {golden.source}, {size}"),
            ("reference", golden.runtime),
            *golden.details.items(),
        )
    )
