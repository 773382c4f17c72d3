"""``edge-fairmot record-reference``: outputs of a checkpoint in PyTorch, for devices without it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli.console import frame_progress, print_pairs, warn
from edge_fairmot.cli.verify import check_checkpoint, check_writable
from edge_fairmot.errors import InvalidInputError

USUAL_THRESHOLD = 0.4
"""The default score threshold of ``verify``."""


def record_reference(
    checkpoint: Annotated[Path, typer.Argument(help="FairMOT checkpoint (.pth).")],
    video: Annotated[str, typer.Option(help="Video file, image folder or MOTChallenge sequence folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("reference.npz"),
    size: Annotated[str, typer.Option(help="Input size, WIDTHxHEIGHT, multiples of 32.")] = "1088x608",
    frames: Annotated[int, typer.Option("--max-frames", help="Number of frames.")] = 20,
    start: Annotated[int, typer.Option("--first-frame", help="The first frame, counted from 1.")] = 1,
    max_detections: Annotated[int, typer.Option(help="Detections kept of each frame, the best.")] = 100,
    device: Annotated[
        str | None, typer.Option(help="cuda or cpu. [default: cuda where PyTorch finds it]")
    ] = None,
) -> None:
    """Save outputs of a checkpoint as a reference.

    They are computed in PyTorch float32; verify --reference compares with them.
    """
    if device not in (None, "cuda", "cpu"):
        raise InvalidInputError(f"--device {device!r}: choose from cuda and cpu")
    for name, value in (
        ("--max-frames", frames),
        ("--first-frame", start),
        ("--max-detections", max_detections),
    ):
        if value < 1:
            raise InvalidInputError(f"{name} must be at least 1, not {value}")
    check_writable(output)
    check_checkpoint(checkpoint)
    from edge_fairmot.sources import open_source
    from edge_fairmot.sources.address import parse_size

    input_size = parse_size(size)
    with closing(open_source(video)) as source:
        count = source.info.frame_count
        if count is not None and start > count:
            raise InvalidInputError(f"--first-frame {start}: {video} has {count} frames")
        from edge_fairmot.benchmarks.reference_outputs import (
            ReferenceOutputs,
            record_frames,
            write_reference_outputs,
        )
        from edge_fairmot.convert.reference import TorchReference

        with (
            closing(TorchReference(checkpoint, input_size, device=device)) as reference,
            frame_progress("recording", frames) as on_frame,
        ):
            recorded = ReferenceOutputs(
                source=Path(source.info.name).name,
                source_size=source.info.frame_size,
                frame_rate=source.info.frame_rate,
                runtime=reference.name,
                details=reference.details,
                manifest=reference.manifest,
                frames=tuple(
                    record_frames(
                        reference, source, frames, max_detections, first_frame=start - 1, on_frame=on_frame
                    )
                ),
            )
    write_reference_outputs(output, recorded)
    best = max(float(frame.observation.detections.scores.max()) for frame in recorded.frames)
    if best <= USUAL_THRESHOLD:
        warn(
            f"no frame holds a detection above {USUAL_THRESHOLD} (the best is {best:.2f}), so verify has "
            "nothing to compare: record frames with people, see --first-frame"
        )
    print_pairs(
        (
            ("written", f"{output} ({output.stat().st_size / 1e6:.1f} MB)"),
            ("frames", f"{len(recorded.frames)} of {recorded.source}, {size}"),
            ("reference", recorded.runtime),
            *recorded.details.items(),
        )
    )
