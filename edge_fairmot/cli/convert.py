"""``edge-fairmot convert``: a checkpoint to an ONNX file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli.console import print_pairs, stderr, warn
from edge_fairmot.errors import InvalidInputError

DEFORM_CONV = {"auto": "native", "native": "native", "gridsample": "gridsample", "gather": "gather"}
"""``auto`` is native: the fastest, and ONNX Runtime from 1.25 and TensorRT from 10.1 run it."""


def parse_size(text: str) -> tuple[int, int]:
    """Read ``WIDTHxHEIGHT``."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if match is None:
        raise InvalidInputError(f"--size {text!r} is not WIDTHxHEIGHT, as in 576x320")
    return int(match[1]), int(match[2])


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="FairMOT DLA-34 checkpoint (.pth).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.")] = Path(
        "fairmot.onnx"
    ),
    size: Annotated[str, typer.Option(help="Input size, WIDTHxHEIGHT, multiples of 32.")] = "1088x608",
    deform_conv: Annotated[
        str,
        typer.Option(
            help="How deformable convolutions are lowered: auto, native (opset 19), gridsample or gather "
            "(opset 18, for runtimes without DeformConv)."
        ),
    ] = "auto",
    class_name: Annotated[
        list[str] | None, typer.Option(help="Name of a class; once for each class, in order.")
    ] = None,
    max_detections: Annotated[int, typer.Option(help="Detections a picture, at most.")] = 500,
    batch_size: Annotated[int, typer.Option(help="Pictures per inference; track needs 1.")] = 1,
    late_heads: Annotated[
        bool, typer.Option(help="Compute boxes and embeddings at the peaks only (exact).")
    ] = True,
    shuffle_upsampling: Annotated[
        bool, typer.Option(help="Pixel shuffles in place of transposed convolutions (exact).")
    ] = True,
    dense_heads: Annotated[
        bool, typer.Option("--dense-heads", help="Add the dense heads as outputs, for debugging.")
    ] = False,
) -> None:
    """Convert a FairMOT checkpoint to one self-describing ONNX file, checked against PyTorch."""
    if deform_conv not in DEFORM_CONV:
        raise InvalidInputError(f"--deform-conv {deform_conv!r}: choose from {', '.join(DEFORM_CONV)}")
    from edge_fairmot.convert import GraphOptions
    from edge_fairmot.convert import convert as convert_checkpoint

    options = GraphOptions(
        input_size=parse_size(size),
        deform_conv=DEFORM_CONV[deform_conv],
        max_detections=max_detections,
        batch_size=batch_size,
        late_heads=late_heads,
        shuffle_upsampling=shuffle_upsampling,
        dense_heads=dense_heads,
    )
    with stderr.status("starting") as status:
        result = convert_checkpoint(
            checkpoint,
            output,
            options,
            class_names=tuple(class_name or ()),
            on_step=lambda step: status.update(f"{step} ..."),
        )
    for message in result.warnings:
        warn(message)
    parity = result.manifest.parity
    print_pairs(
        (
            ("written", f"{result.path} ({result.size_bytes / 1e6:.1f} MB, opset {result.manifest.opset})"),
            ("deformable convolutions", f"{len(result.manifest.deform_conv)} as {options.deform_conv}"),
            (
                "against PyTorch",
                f"{parity['peaks_matched']:.1%} of peaks, scores within {parity['score_error']:.1e}, "
                f"boxes within {parity['box_error_px']:.1e} px, "
                f"embeddings within {parity['cosine_error']:.1e} of cosine 1",
            ),
        )
    )
