"""``edge-fairmot verify``: a candidate against its reference, rung by rung."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

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
from edge_fairmot.model_file import certificate_fault
from edge_fairmot.model_file import certify as write_certificate
from edge_fairmot.sources import open_source

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.golden import Golden
    from edge_fairmot.benchmarks.ladder import ParityLadder
    from edge_fairmot.benchmarks.ladder_report import LadderReport, Subject
    from edge_fairmot.benchmarks.observation import Observer

PICTURES = 6
"""In the HTML report: what one looks at, not scrolls through."""


@dataclass(frozen=True, slots=True)
class _Footage:
    """Where frames come from, when not from a golden."""

    videos: Sequence[str]
    ground_truth: Sequence[Path]
    frames: int | None


def verify(
    candidate: Annotated[Path, typer.Argument(help="ONNX file made by edge-fairmot convert.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Compare with this checkpoint, run by PyTorch in float32.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Compare with a golden (.npz), another ONNX file, or torch (with --checkpoint)."),
    ] = None,
    video: Annotated[
        list[str] | None, typer.Option(help="Video, image folder or sequence folder; may be repeated.")
    ] = None,
    ground_truth: Annotated[
        list[Path] | None, typer.Option("--gt", help="gt.txt; once for each --video, in order.")
    ] = None,
    runtime: RuntimeFlag = "cpu",
    device_id: DeviceIdFlag = None,
    threads: ThreadsFlag = None,
    precision: PrecisionFlag = "",
    hint: HintFlag = "latency",
    cache_folder: CacheFolderFlag = None,
    frames: Annotated[int | None, typer.Option(help="Of each video, at most.")] = None,
    score_threshold: Annotated[float, typer.Option(help="Peaks and tracks must score more.")] = 0.4,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON.")] = None,
    html_path: Annotated[
        Path | None, typer.Option("--html", help="Write the report as HTML, with pictures.")
    ] = None,
    certify: Annotated[
        bool, typer.Option("--certify", help="Write the figures into the file, if its budget holds.")
    ] = False,
) -> None:
    """Hold a converted file against its reference on real frames; exit status 1 when a budget is broken.

    The flags of the runtime are for the candidate; another ONNX file as reference runs on cpu.
    """
    _check_arguments(checkpoint, reference, video, ground_truth)
    for path in filter(None, (json_path, html_path)):
        check_writable(path)
    if frames is not None and frames < 1:
        raise InvalidInputError(f"--frames must be at least 1, not {frames}")
    if not 0 < score_threshold < 1:
        raise InvalidInputError(f"score threshold must be between 0 and 1, not {score_threshold}")
    if ground_truth and find_spec("trackeval") is None:
        raise MissingDependencyError("trackeval", "eval", "to compare with ground truth")
    from edge_fairmot.benchmarks.ladder import ParityLadder
    from edge_fairmot.benchmarks.ladder_html import render_html
    from edge_fairmot.benchmarks.observation import RuntimeObserver
    from edge_fairmot.benchmarks.parity_budget import budget_between
    from edge_fairmot.runtimes import open_runtime

    footage = _Footage(video or (), ground_truth or (), frames)
    options = runtime_options(device_id, threads, precision, hint, cache_folder)
    with ExitStack() as stack:
        opened = open_runtime(candidate, runtime, options)
        observer = RuntimeObserver(opened, candidate)
        stack.callback(observer.close)
        advise_on_precision(opened)
        manifest = observer.manifest
        fault = certificate_fault(candidate, manifest)
        if fault:
            warn(fault)

        def begin(theirs: ModelManifest) -> ParityLadder:
            budget = budget_between(theirs, manifest)
            return ParityLadder(budget, score_threshold, PICTURES if html_path else 0)

        if reference is not None and reference.endswith(".npz"):
            ladder, theirs = _climb_golden(begin, Path(reference), observer, frames)
        else:
            ladder, theirs = _climb_videos(begin, checkpoint, reference, observer, footage)
        details = {"certificate": fault or "of this graph"}
        report = ladder.report(theirs, _subject(str(candidate), observer.name, manifest, details))
    print_report(report)
    if json_path:
        _write(json_path, report.to_json() + "\n")
    if html_path:
        _write(html_path, render_html(report, ladder.worst_frames()))
    if not report.passed:
        raise typer.Exit(1)
    if certify:
        write_certificate(candidate, replace(manifest, parity=report.measured, parity_basis=report.basis))


def check_writable(path: Path) -> None:
    """Refuse a path whose folder is absent, before an hour's work.

    Raises
    ------
    EvaluationError
        If there is no such folder.
    """
    if not path.parent.is_dir():
        raise EvaluationError(f"{path.parent} is not a folder: mkdir -p {path.parent}")


def print_report(report: LadderReport) -> None:
    """Print the rungs, figure by figure, and the verdict."""
    from edge_fairmot.benchmarks.ladder_html import format_threshold, format_value, verdict_of

    table = Table(box=None)
    for name, justify in (("rung", "left"), ("figure", "left"), ("value", "right"), ("budget", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    table.add_column("")
    rung = ""
    for check in report.checks:
        style = "bold red" if not check.passed else None
        shown = "" if check.rung == rung else check.rung
        rung = check.rung
        row = (shown, check.figure, format_value(check), format_threshold(check), verdict_of(check))
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
        else f"the {report.budget.name} budget is broken: {', '.join(report.failed_rungs)}",
    ]
    for line in lines:
        stdout.print(line, highlight=False, soft_wrap=True)
    _print_truth(report)


def _print_truth(report: LadderReport) -> None:
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
            else "too short to tell"
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


def _check_arguments(
    checkpoint: Path | None,
    reference: str | None,
    video: list[str] | None,
    ground_truth: list[Path] | None,
) -> None:
    if checkpoint is None and reference in (None, "torch"):
        raise InvalidInputError(
            "there is nothing to compare with: give --checkpoint fairmot.pth, --reference golden.npz "
            "or --reference other.onnx"
        )
    if checkpoint is not None and reference not in (None, "torch"):
        raise InvalidInputError("--checkpoint and --reference are two references: give one of them")
    if reference is not None and reference.endswith(".npz"):
        if video or ground_truth:
            raise InvalidInputError("a golden holds its own frames: leave out --video and --gt")
    elif not video:
        raise InvalidInputError("there are no frames to compare on: give --video street.mp4")
    if ground_truth and len(ground_truth) != len(video or ()):
        raise InvalidInputError(
            f"{len(video or ())} of --video and {len(ground_truth)} of --gt: give one --gt for each --video"
        )


def _climb_golden(
    begin: Callable[[ModelManifest], ParityLadder], path: Path, candidate: Observer, frames: int | None
) -> tuple[ParityLadder, Subject]:
    from edge_fairmot.benchmarks.golden import read_golden
    from edge_fairmot.benchmarks.verification import climb_golden

    golden: Golden = read_golden(path)
    ladder = begin(golden.manifest)
    with frame_progress("verifying", len(golden.frames[:frames])) as on_frame:
        climb_golden(ladder, golden, candidate, max_frames=frames, on_frame=on_frame)
    return ladder, _subject(str(path), f"golden ({golden.runtime})", golden.manifest, golden.details)


def _climb_videos(
    begin: Callable[[ModelManifest], ParityLadder],
    checkpoint: Path | None,
    reference: str | None,
    candidate: Observer,
    footage: _Footage,
) -> tuple[ParityLadder, Subject]:
    from edge_fairmot.benchmarks.mot_text import read_mot_text
    from edge_fairmot.benchmarks.verification import climb_source

    truths = [read_mot_text(path, ground_truth=True) for path in footage.ground_truth]
    with ExitStack() as stack:
        sources = []
        for name in footage.videos:
            sources.append(open_source(name))
            stack.callback(sources[-1].close)
        observer, subject = _open_reference(checkpoint, reference, candidate.manifest)
        stack.callback(observer.close)
        ladder = begin(observer.manifest)
        counts = [source.info.frame_count for source in sources]
        known = [count for count in counts if count is not None]
        limit = footage.frames
        total = sum(min(count, limit or count) for count in known) if len(known) == len(counts) else None
        on_frame: Callable[[], None] = stack.enter_context(frame_progress("verifying", total))
        for source, truth in zip_longest(sources, truths):
            climb_source(
                ladder, observer, candidate, source, truth=truth, max_frames=limit, on_frame=on_frame
            )
    return ladder, subject


def _open_reference(
    checkpoint: Path | None, reference: str | None, manifest: ModelManifest
) -> tuple[Observer, Subject]:
    if checkpoint is not None:
        from edge_fairmot.convert.reference import TorchReference

        torch_reference = TorchReference(
            checkpoint, manifest.input_size, max_detections=manifest.max_detections
        )
        return torch_reference, _subject(
            str(checkpoint), torch_reference.name, torch_reference.manifest, torch_reference.details
        )
    from edge_fairmot.benchmarks.observation import RuntimeObserver
    from edge_fairmot.runtimes import open_runtime

    path = Path(str(reference))
    observer = RuntimeObserver(open_runtime(path, "cpu"), path)
    return observer, _subject(str(path), observer.name, observer.manifest)


def _subject(
    name: str, runtime: str, manifest: ModelManifest, details: Mapping[str, str] | None = None
) -> Subject:
    from edge_fairmot.benchmarks.ladder_report import Subject

    return Subject(name, runtime, manifest.checkpoint_sha256, manifest.default_precision, details or {})


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"cannot write {path}: {error.strerror}; choose another place") from error
