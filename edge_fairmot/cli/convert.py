"""``edge-fairmot convert``: a checkpoint to an ONNX file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from edge_fairmot.cli.console import print_pairs, stdout, step_progress, warn
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.manifest import CORE, PRECISIONS, ModelManifest
from edge_fairmot.sources import open_images
from edge_fairmot.sources.address import format_size, parse_size

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.parity_budget import ParityBudget
    from edge_fairmot.convert import CalibrationFrames, Conversion
    from edge_fairmot.runtimes.lowering import Choice

BUDGETED = ("recall", "precision", "iou_mean", "cosine_mean")
"""Figures of the budget that the search for float layers compares."""


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="FairMOT checkpoint (.pth).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.")] = Path(
        "fairmot.onnx"
    ),
    size: Annotated[
        str | None,
        typer.Option(
            help="Input size, WIDTHxHEIGHT, multiples of 32. [default: that of train or distill; 1088x608 of "
            "another checkpoint]"
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="RUNTIME",
            help="Choose graph, lowering and precision for a runtime: cpu, openvino, cuda, tensorrt, "
            "opencv, ncnn or mnn; of an older version cpu@1.23 or tensorrt@10.3.",
        ),
    ] = None,
    deform_conv: Annotated[
        str,
        typer.Option(
            help="Lowering, instead of --for: native or im2col (opset 19), gridsample or gather (opset 18, "
            "for runtimes without DeformConv); auto is native."
        ),
    ] = "auto",
    graph: Annotated[
        str,
        typer.Option(
            help="full; or core, for NPUs: from float32 (N, 3, H, W) to heatmap and features, which the "
            "host decodes."
        ),
    ] = "full",
    class_name: Annotated[
        list[str] | None, typer.Option(help="Name of a class; give one for each class, in order.")
    ] = None,
    max_detections: Annotated[int, typer.Option(help="Most detections of an image.")] = 500,
    batch_size: Annotated[int, typer.Option(help="Images per inference; track needs 1.")] = 1,
    late_heads: Annotated[
        bool, typer.Option(help="Compute boxes and embeddings at the peaks only (exact).")
    ] = True,
    shuffle_upsampling: Annotated[
        bool, typer.Option(help="Replace transposed convolutions by interleaved ones (exact).")
    ] = True,
    dense_heads: Annotated[
        bool, typer.Option("--dense-heads", help="Add the dense heads as outputs, for debugging.")
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Precision of the file: fp32, fp16 (for GPUs) or int8. [default: by --for; int8 with "
            "--calibrate; else fp32]"
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibrate", help="For int8: video, image folder or sequence of what the camera will see."
        ),
    ] = None,
    calibration_frames: Annotated[
        int, typer.Option(help="Frames taken at equal intervals; half calibrate, half validate.")
    ] = 64,
    calibration_method: Annotated[str, typer.Option(help="minmax, percentile or entropy.")] = "minmax",
    budget: Annotated[
        str,
        typer.Option(
            help="Least agreement of int8 with float32, as in recall=0.99,iou_mean=0.97; layers stay float "
            "until it holds. [default: recall=0.98,precision=0.98,iou_mean=0.95,cosine_mean=0.99]"
        ),
    ] = "",
    float_layer: Annotated[
        list[str] | None, typer.Option(help="Layer that stays float; may be repeated.")
    ] = None,
) -> None:
    """Convert a FairMOT checkpoint to an ONNX file.

    The file describes itself, and its outputs are checked against PyTorch.
    """
    if precision not in (None, *PRECISIONS):
        raise InvalidInputError(f"--precision {precision!r}: choose from {', '.join(PRECISIONS)}")
    if precision is not None and (precision == "int8") != (calibration is not None):
        raise InvalidInputError(
            "--precision int8 and --calibrate VIDEO belong together: give both or neither"
        )
    from edge_fairmot.convert import GraphOptions, Int8Options
    from edge_fairmot.convert import convert as convert_checkpoint

    chosen = _choose(deform_conv, target, precision, calibrated=calibration is not None)
    lowering, precision = chosen.lowering, chosen.precision
    options = GraphOptions(
        input_size=_trained_size(checkpoint) if size is None else parse_size(size),
        deform_conv=lowering,
        max_detections=max_detections,
        batch_size=batch_size,
        late_heads=late_heads,
        shuffle_upsampling=shuffle_upsampling,
        dense_heads=dense_heads,
        graph=CORE if chosen.graph == CORE else graph,
    )
    int8 = None
    if calibration is not None:
        int8 = Int8Options(
            frames=_calibration_frames(calibration, options.input_size, calibration_frames),
            method=calibration_method,
            budget=parse_budget(budget),
            float_layers=tuple(float_layer or ()),
        )
    with step_progress("starting") as on_step:
        result = convert_checkpoint(
            checkpoint,
            output,
            options,
            class_names=tuple(class_name or ()),
            precision=precision,
            int8=int8,
            on_step=on_step,
        )
    for message in result.warnings:
        warn(message)
    if precision == "fp16" and target is None:
        warn("this file is for GPUs: a CPU computes it in float32, and the figures below are from the CPU")
    manifest = result.manifest
    rows = [
        ("written", f"{result.path} ({result.size_bytes / 1e6:.1f} MB, opset {manifest.opset})"),
        ("network", f"FairMOT on {manifest.network}"),
        ("deformable convolutions", _deformable_layers(manifest, lowering)),
    ]
    if target is not None:
        given = f"--size {format_size(options.input_size)} --deform-conv {lowering} --precision {precision}"
        given += f" --graph {options.graph}" if options.graph == CORE else ""
        calibrate = f" --calibrate {calibration}" if calibration else ""
        rows += [
            ("because", chosen.reason),
            ("the same as", f"edge-fairmot convert {checkpoint} -o {output} {given}{calibrate}"),
        ]
    print_pairs([*rows, *(_int8_rows(manifest) if int8 else _float_rows(manifest))])
    if chosen.advice:
        stdout.print(chosen.advice, highlight=False)
    if result.costs:
        _print_costs(result)


def _choose(deform_conv: str, target: str | None, precision: str | None, *, calibrated: bool) -> Choice:
    """Return what the flags and ``--for`` choose."""
    from edge_fairmot.runtimes.lowering import PRECISION_ADVICE, Choice, choose, parse_lowering

    lowering = parse_lowering(deform_conv)
    if target is None:
        return Choice(lowering, precision or ("int8" if calibrated else "fp32"), "", "")
    if deform_conv != "auto":
        raise InvalidInputError(
            f"--for {target} and --deform-conv {deform_conv} both choose the lowering: give one"
        )
    chosen = choose(target, calibrated=calibrated)
    if precision is not None:
        chosen = chosen._replace(precision=precision, advice="")
    advice = PRECISION_ADVICE.get((re.split("[:@]", target)[0], chosen.precision))
    if advice:
        warn(advice)
    return chosen


def _trained_size(checkpoint: Path) -> tuple[int, int]:
    """Return the input size that a checkpoint was trained for, or the original's."""
    from edge_fairmot.convert import GraphOptions
    from edge_fairmot.convert.checkpoint import read_checkpoint

    return read_checkpoint(checkpoint).input_size or GraphOptions().input_size


def _deformable_layers(manifest: ModelManifest, lowering: str) -> str:
    lowered = f"{len(manifest.deform_conv)} as {lowering}" if manifest.deform_conv else "none"
    plain = len(manifest.plain_layers)
    return f"{lowered}, {plain} plain ones in their place" if plain else lowered


def _float_rows(manifest: ModelManifest) -> list[tuple[str, str]]:
    parity = manifest.parity
    agreement = (
        f"{parity['peaks_matched']:.1%} of peaks, scores within {parity['score_error']:.1e}, "
        f"boxes within {parity['box_error_px']:.1e} px, "
        f"embeddings within {parity['cosine_error']:.1e} of cosine 1"
    )
    return [("against PyTorch", agreement)]


def _int8_rows(manifest: ModelManifest) -> list[tuple[str, str]]:
    parity = manifest.parity
    figures = ("peak_recall", "peak_precision", "iou_mean", "cosine_mean")
    agreement = ", ".join(f"{name} {parity[name]:.4f}" for name in figures if name in parity)
    return [
        ("int8", f"{manifest.int8_share:.0%} of the plain convolutions' multiply-adds"),
        ("calibrated on", manifest.calibration),
        ("against", f"{manifest.parity_basis}: {agreement}"),
    ]


def _print_costs(result: Conversion) -> None:
    table = Table(box=None, title="error if only this layer is int8", title_justify="left")
    for name in ("layer", "error", "multiply-adds", ""):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for cost in result.costs:
        kept = "float" if cost.name in result.manifest.precision else ""
        table.add_row(cost.name, f"{cost.error:.4f}", f"{cost.macs / 1e6:.0f} M", kept)
    stdout.print(table)


def _calibration_frames(spec: str, input_size: tuple[int, int], count: int) -> CalibrationFrames:
    from edge_fairmot.benchmarks.frame_sources import sample_frames
    from edge_fairmot.convert import CalibrationFrames

    with open_images(spec) as source:
        return CalibrationFrames(sample_frames(source, input_size, count), Path(spec).name)


def parse_budget(text: str) -> ParityBudget:
    """Read ``recall=0.99,iou_mean=0.97``: the int8 budget with some figures changed."""
    from edge_fairmot.benchmarks.parity_budget import INT8_BUDGET

    changes: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            changes[name.strip()] = float(value)
        except ValueError:
            raise InvalidInputError(f"--budget {part!r} is not NAME=VALUE, as in recall=0.99") from None
        if name.strip() not in BUDGETED or not 0 <= changes[name.strip()] <= 1:
            raise InvalidInputError(
                f"--budget {part!r}: choose from {', '.join(BUDGETED)}, each between 0 and 1"
            )
    return replace(INT8_BUDGET, **changes)
