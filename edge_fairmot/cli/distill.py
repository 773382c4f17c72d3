"""``edge-fairmot distill``: a student without deformable layers, from a teacher and frames without labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fairmot.cli.console import print_pairs, stderr, stdout, warn
from edge_fairmot.cli.convert import parse_size
from edge_fairmot.cli.learning_flags import (
    LOGGED_EVERY,
    BatchSizeFlag,
    Bf16Flag,
    DeviceFlag,
    JudgeEveryFlag,
    PieceFlag,
    ResumeFlag,
    SeedFlag,
    SizeFlag,
    check_counts,
    choose_device,
    choose_resume_file,
)
from edge_fairmot.cli.unlabelled_sources import read_frames
from edge_fairmot.cli.verify import check_writable, print_report
from edge_fairmot.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.ladder_report import LadderReport
    from edge_fairmot.convert.distillation import DistillationOptions
    from edge_fairmot.convert.distillation_run import StudentFiles
    from edge_fairmot.convert.footage import Footage
    from edge_fairmot.convert.network import FairMOT

DEFAULT_MINUTES = 60.0
LEARNING_RATE, NARROW_LEARNING_RATE = 1e-4, 1e-3

NARROW_AVERAGE_DECAY = 0.998
"""A network that is to learn all of itself takes longer ways, at a higher rate."""

ATLAS_FRAMES = 4
"""Enough for a start that is then trained."""


def distill(
    teacher: Annotated[Path, typer.Argument(help="FairMOT DLA-34 checkpoint (.pth).")],
    frames: Annotated[
        list[str],
        typer.Option(
            "--frames",
            help="Video, picture folder or sequence to learn from; may be repeated. The last tenth of each "
            "is held out.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write.")] = Path(
        "fairmot_plain.pth"
    ),
    held_out: Annotated[
        list[str] | None,
        typer.Option("--held-out", help="A source to judge on and not learn from; may be repeated."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="all, or a deformable layer or group of them (see inspect); may be repeated."),
    ] = None,
    width: Annotated[
        float,
        typer.Option(
            help="Share of the teacher's channels: below 1, all is learnt anew, which takes longer."
        ),
    ] = 1.0,
    size: SizeFlag = "576x320",
    minutes: Annotated[
        float | None, typer.Option(help=f"Stop after so many; {DEFAULT_MINUTES:g} without --steps.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Stop at this step.")] = None,
    resume: ResumeFlag = False,
    early_stop: Annotated[
        bool, typer.Option(help="Stop as soon as the student is within its budget on the held-out frames.")
    ] = True,
    judge_every: JudgeEveryFlag = 100,
    pictures: Annotated[int, typer.Option(help="Taken of each source to learn from, at most.")] = 1000,
    judged: Annotated[int, typer.Option(help="Frames of each source to judge on, at most.")] = 60,
    piece: PieceFlag = 256,
    batch_size: BatchSizeFlag = 4,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help=f"Of Adam; {LEARNING_RATE:g} if not given, {NARROW_LEARNING_RATE:g} for --width below 1."
        ),
    ] = None,
    bf16: Bf16Flag = False,
    seed: SeedFlag = 0,
    device: DeviceFlag = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the last report as JSON.")] = None,
) -> None:
    """Replace deformable layers by plain 3x3 convolutions and teach them, without labels, to see the same."""
    input_size = parse_size(size)
    check_counts(pictures=pictures, judged=judged)
    for path in filter(None, (output, json_path)):
        check_writable(path)
    resume_path = choose_resume_file(output, resume)
    from edge_fairmot.convert.agreement import Agreement
    from edge_fairmot.convert.checkpoint import load_network
    from edge_fairmot.convert.distillation import Distillation, DistillationOptions
    from edge_fairmot.convert.distillation_run import StudentFiles, run_distillation
    from edge_fairmot.convert.learning_run import RunLimits
    from edge_fairmot.convert.replacement import choose_layers, copy_plain, make_narrow
    from edge_fairmot.convert.teacher import make_teacher

    is_narrow = width != 1
    if learning_rate is None:
        learning_rate = NARROW_LEARNING_RATE if is_narrow else LEARNING_RATE
    options = DistillationOptions(
        input_size=input_size,
        piece_side=piece,
        batch_size=batch_size,
        learning_rate=learning_rate,
        bf16=bf16,
        seed=seed,
    )
    if is_narrow:
        options = replace(options, average_decay=NARROW_AVERAGE_DECAY)
    if minutes is None and steps is None:
        minutes = DEFAULT_MINUTES
    limits = RunLimits(steps, minutes, judge_every, early_stop)
    network, checkpoint = load_network(teacher)
    network.requires_grad_(False).to(choose_device(device))
    chosen = choose_layers(network, layers or ())
    files = StudentFiles(output, resume_path, checkpoint.sha256)
    with stderr.status("reading frames ...") as status:
        footage = read_frames(frames, held_out or [], input_size, pictures, judged)
        status.update("the teacher looks at the held-out frames ...")
        agreement = Agreement(network, footage.held_out)
        if not agreement.people:
            raise InvalidInputError(
                "the teacher finds nobody in the held-out frames, so no student could be judged on them: "
                "give --held-out VIDEO with people, or more --judged"
            )
        if is_narrow:
            student = make_narrow(network, width, chosen)
        else:
            status.update("measuring offsets ...")
            student = copy_plain(network, chosen) if resume else _start(network, chosen, footage, options)
        status.update("preparing the teacher ...")
        teach = make_teacher(network, (batch_size, piece, piece))
    distillation = Distillation(student, network, teach, footage, options)
    if resume:
        distillation.resume(resume_path, checkpoint.sha256)
    stdout.print(
        f"{len(chosen)} layers to be plain, {len(footage.pictures)} pictures to learn from, "
        f"{sum(len(s.frames) for s in footage.held_out)} frames held out with {agreement.people} people",
        highlight=False,
    )
    with stderr.status("learning ...") as status:
        on_step, on_judgement = _reporters(status.update)
        report = run_distillation(
            distillation, agreement, limits, files, on_step=on_step, on_judgement=on_judgement
        )
    _finish(report, files, distillation.steps, json_path)


def _start(
    network: FairMOT, layers: frozenset[str], footage: Footage, options: DistillationOptions
) -> FairMOT:
    from edge_fairmot.convert.footage import fit_pictures
    from edge_fairmot.convert.offset_statistics import measure_offsets
    from edge_fairmot.convert.replacement import make_student

    images = fit_pictures(footage, options.input_size, ATLAS_FRAMES)
    return make_student(network, measure_offsets(network, images), layers)


def _reporters(
    show: Callable[[str], None],
) -> tuple[Callable[[int, dict[str, float]], None], Callable[[int, LadderReport], None]]:
    began = time.monotonic()

    def on_step(steps: int, losses: dict[str, float]) -> None:
        parts = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        show(f"step {steps}, loss: {parts}")
        if not stderr.is_terminal and steps % LOGGED_EVERY == 0:
            stderr.print(f"step {steps}, loss: {parts}", highlight=False, soft_wrap=True)
        last.update(losses)

    def on_judgement(steps: int, report: LadderReport) -> None:
        figures = report.figures
        values = {
            "recall": figures.peaks.recall,
            "precision": figures.peaks.precision,
            "IoU": figures.boxes.mean,
            "cosine": figures.embeddings.mean,
            "IDF1": figures.tracks.idf1,
        }
        shown = ", ".join(f"{k} {'none' if v is None else f'{v:.4f}'}" for k, v in values.items())
        loss = f", loss {last['total']:.4f}" if last else ""
        elapsed = (time.monotonic() - began) / 60
        stdout.print(f"step {steps}, {elapsed:.1f} min{loss}: {shown}", highlight=False, soft_wrap=True)

    last: dict[str, float] = {}
    return on_step, on_judgement


def _finish(report: LadderReport, files: StudentFiles, steps: int, json_path: Path | None) -> None:
    print_report(report)
    print_pairs(
        (("written", f"{files.student}, after {steps} steps"), ("to go on", f"{files.resume}, --resume"))
    )
    if json_path:
        json_path.write_text(report.to_json() + "\n", encoding="utf-8")
    if not report.passed:
        warn("the student is not within its budget yet: go on with --resume, or give more frames")
        raise typer.Exit(1)
