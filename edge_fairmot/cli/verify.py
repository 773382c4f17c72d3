"""``edge-fairmot verify``: a candidate against its reference, level by level."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeGuard

import typer

from edge_fairmot.cli.console import frame_progress, stdout, warn
from edge_fairmot.cli.run_flags import (
    CacheFolderFlag,
    DeviceIdFlag,
    HintFlag,
    PrecisionFlag,
    RuntimeFlag,
    ThreadsFlag,
    advise_on_precision,
    runtime_options,
)
from edge_fairmot.errors import EvaluationError, InvalidInputError, MissingDependencyError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import certificate_fault, read_onnx_file
from edge_fairmot.model_file import certify as write_certificate

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.observation import Observer
    from edge_fairmot.benchmarks.parity_report import ParityReport, Subject

PICTURES = 6
"""Frames in the HTML report."""


def verify(
    candidate: Annotated[Path, typer.Argument(help="ONNX file made by edge-fairmot convert.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Compare with this checkpoint, run by PyTorch in float32.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Compare with recorded reference outputs (.npz), another ONNX file, or torch "
            "(with --checkpoint)."
        ),
    ] = None,
    video: Annotated[
        list[str] | None, typer.Option(help="Video, image folder or sequence folder; may be repeated.")
    ] = None,
    ground_truth: Annotated[
        list[Path] | None, typer.Option("--gt", help="gt.txt; once for each --video, in order.")
    ] = None,
    runtime: RuntimeFlag = None,
    device_id: DeviceIdFlag = None,
    threads: ThreadsFlag = None,
    precision: PrecisionFlag = None,
    hint: HintFlag = None,
    cache_folder: CacheFolderFlag = None,
    frames: Annotated[int | None, typer.Option("--max-frames", help="Maximum frames of each video.")] = None,
    score_threshold: Annotated[float, typer.Option(help="Peaks and tracks need a higher score.")] = 0.4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html_path: Annotated[
        Path | None, typer.Option("--html", help="Write the report as HTML, with images.")
    ] = None,
    certify: Annotated[
        bool, typer.Option("--certify", help="Write the figures into the file, if it is within budget.")
    ] = False,
) -> None:
    """Compare a model file with its reference.

    Exit status 1 when it is over budget.

    The flags of the runtime are for the candidate; another ONNX file as reference runs on cpu.
    """
    videos, truth_files = video or [], ground_truth or []
    _check_arguments(checkpoint, reference, videos, truth_files, frames, score_threshold)
    if html_path:
        check_writable(html_path)
    options = runtime_options(device_id, threads, precision, hint, cache_folder)
    from edge_fairmot.benchmarks.mot_text import read_ground_truth
    from edge_fairmot.benchmarks.observation import RuntimeObserver, check_same_network
    from edge_fairmot.benchmarks.parity_budget import budget_between
    from edge_fairmot.benchmarks.parity_check import ParityCheck, check_reference_outputs, check_source
    from edge_fairmot.benchmarks.parity_report import render_parity_page
    from edge_fairmot.benchmarks.reference_outputs import read_reference_outputs
    from edge_fairmot.runtimes import open_runtime
    from edge_fairmot.sources import open_source

    # Everything that the arguments name is checked before a network is loaded.
    manifest = read_onnx_file(candidate).manifest
    recorded = read_reference_outputs(Path(reference)) if _is_recorded(reference) else None
    theirs = recorded.manifest if recorded else _reference_manifest(checkpoint, reference, manifest)
    check_same_network(theirs, manifest, f"the reference {checkpoint or reference}")
    check = ParityCheck(budget_between(theirs, manifest), score_threshold, PICTURES if html_path else 0)
    truths = [read_ground_truth(path) for path in truth_files]
    fault = certificate_fault(candidate, manifest)
    with ExitStack() as stack:
        sources = [stack.enter_context(closing(open_source(name))) for name in videos]
        opened = open_runtime(candidate, runtime or "auto", options, integrity_check=False)  # told below
        observer = stack.enter_context(closing(RuntimeObserver(opened, candidate)))
        advise_on_precision(opened)
        if fault:
            warn(fault)
        if recorded is not None:
            subject = _subject(str(reference), f"recorded ({recorded.runtime})", theirs, recorded.details)
            with frame_progress("verifying", len(recorded.frames[:frames])) as on_frame:
                check_reference_outputs(check, recorded, observer, max_frames=frames, on_frame=on_frame)
        else:
            other, subject = _open_reference(checkpoint, reference, manifest)
            stack.callback(other.close)
            counts = [source.info.frame_count for source in sources]
            known = [min(count, frames or count) for count in counts if count is not None]
            total = sum(known) if len(known) == len(counts) else None
            with frame_progress("verifying", total) as on_frame:
                for source, truth in zip_longest(sources, truths):
                    check_source(
                        check, other, observer, source, truth=truth, max_frames=frames, on_frame=on_frame
                    )
        details = {"certificate": fault or "of this graph"}
        report = check.report(subject, _subject(str(candidate), observer.name, manifest, details))
    print_report(report, as_json=as_json)
    if html_path:
        _write(html_path, render_parity_page(report, check.worst_frames()))
    if not report.passed:
        raise typer.Exit(1)
    if certify:
        write_certificate(candidate, replace(manifest, parity=report.measured, parity_basis=report.basis))


def check_writable(path: Path) -> None:
    """Refuse a path in a folder that does not exist."""
    if not path.parent.is_dir():
        raise EvaluationError(f"{path.parent} is not a folder: mkdir -p {path.parent}")


def check_checkpoint(path: Path) -> None:
    """Refuse a checkpoint that does not exist, before PyTorch is loaded."""
    if not path.is_file():
        raise InvalidInputError(f"no checkpoint at {path}: give a FairMOT .pth file")


def print_report(report: ParityReport, *, as_json: bool = False) -> None:
    """Print the levels, figure by figure, and the verdict; or all of it as JSON."""
    if as_json:
        stdout.print_json(report.to_json())
        return
    from rich.table import Table

    table = Table(box=None)
    for name in ("level", "figure", "value", "budget", ""):
        table.add_column(name, justify="right" if name in ("value", "budget") else "left")
    level = ""
    for check in report.checks:
        style = "bold red" if not check.passed else None
        shown = "" if check.level == level else check.level
        level = check.level
        row = (shown, check.figure, check.value_text, check.threshold_text, check.verdict)
        table.add_row(*row, style=style)
    stdout.print(table)
    peaks = report.figures.peaks
    lines = [
        f"{report.frames} frames, {peaks.reference_peaks} peaks of the reference "
        f"({report.reference.runtime}, {report.reference.details.get('deform_conv', report.reference.name)}) "
        f"and {peaks.candidate_peaks} of the candidate ({report.candidate.runtime})",
        f"{peaks.missed} missed, {peaks.extra} extra, {peaks.undecided} within "
        f"{report.budget.score_margin:g} of the score threshold and counted neither way, "
        f"{peaks.tied} in a neighbouring cell of the same score",
        f"within the {report.budget.name} budget"
        if report.passed
        else f"the {report.budget.name} budget is broken: {', '.join(report.failed_levels)}",
    ]
    for line in lines:
        stdout.print(line, highlight=False, soft_wrap=True)
    truth = report.figures.truth
    if truth is None:
        return
    table = Table(box=None)
    for name in ("against ground truth", "HOTA", "MOTA", "95 %", "IDF1", "95 %", "IDSW", "FP", "FN"):
        table.add_column(name, justify="left" if name.startswith("against") else "right")
    for role, accuracy in (("reference", truth.reference), ("candidate", truth.candidate)):
        mota, idf1 = (
            f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
            if (interval := getattr(truth.intervals.get(name), role, None))
            else "too few frames"
            for name in ("mota", "idf1")
        )
        table.add_row(
            role,
            f"{100 * accuracy.hota:.1f}",
            *(f"{100 * accuracy.mota:.1f}", mota),
            *(f"{100 * accuracy.idf1:.1f}", idf1),
            *map(str, (accuracy.idsw, accuracy.fp, accuracy.fn)),
        )
    stdout.print(table)


def _is_recorded(reference: str | None) -> TypeGuard[str]:
    return reference is not None and reference.endswith(".npz")


def _check_arguments(
    checkpoint: Path | None,
    reference: str | None,
    videos: Sequence[str],
    truth_files: Sequence[Path],
    frames: int | None,
    score_threshold: float,
) -> None:
    if checkpoint is None and reference in (None, "torch"):
        raise InvalidInputError(
            "there is nothing to compare with: give --checkpoint fairmot.pth, --reference reference.npz "
            "or --reference other.onnx"
        )
    if checkpoint is not None and reference not in (None, "torch"):
        raise InvalidInputError("--checkpoint and --reference are two references: give one of them")
    if _is_recorded(reference):
        if videos or truth_files:
            raise InvalidInputError("reference outputs hold their own frames: leave out --video and --gt")
    elif not videos:
        raise InvalidInputError("there are no frames to compare on: give --video street.mp4")
    if truth_files and len(truth_files) != len(videos):
        raise InvalidInputError(
            f"{len(videos)} of --video and {len(truth_files)} of --gt: give one --gt for each --video"
        )
    if frames is not None and frames < 1:
        raise InvalidInputError(f"--max-frames must be at least 1, not {frames}")
    if not 0 < score_threshold < 1:
        raise InvalidInputError(f"score threshold must be between 0 and 1, not {score_threshold}")
    if truth_files and find_spec("scipy") is None:
        raise MissingDependencyError("scipy", "eval", "to compare with ground truth")


def _reference_manifest(
    checkpoint: Path | None, reference: str | None, candidate: ModelManifest
) -> ModelManifest:
    """Return the reference's manifest; that of a checkpoint is the candidate's with the file's hash."""
    if checkpoint is None:
        return read_onnx_file(str(reference)).manifest
    check_checkpoint(checkpoint)
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return replace(candidate, checkpoint_sha256=sha256)


def _open_reference(
    checkpoint: Path | None, reference: str | None, manifest: ModelManifest
) -> tuple[Observer, Subject]:
    if checkpoint is not None:
        from edge_fairmot.convert.reference import TorchReference

        torch = TorchReference(checkpoint, manifest.input_size, max_detections=manifest.max_detections)
        return torch, _subject(str(checkpoint), torch.name, torch.manifest, torch.details)
    from edge_fairmot.benchmarks.observation import RuntimeObserver
    from edge_fairmot.runtimes import open_runtime

    path = Path(str(reference))
    observer = RuntimeObserver(open_runtime(path, "cpu"), path)
    return observer, _subject(str(path), observer.name, observer.manifest)


def _subject(
    name: str, runtime: str, manifest: ModelManifest, details: Mapping[str, str] | None = None
) -> Subject:
    from edge_fairmot.benchmarks.parity_report import Subject

    return Subject(name, runtime, manifest.checkpoint_sha256, manifest.default_precision, details or {})


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"cannot write {path}: {error.strerror}; choose another place") from error
