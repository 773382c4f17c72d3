"""``edge-fairmot distill``: a smaller student, from a teacher and unlabelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fairmot.cli import learning_flags as flags
from edge_fairmot.cli.console import print_pairs, stdout, step_progress, warn
from edge_fairmot.cli.verify import check_writable, print_report
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources.address import parse_size

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.parity_report import ParityReport
    from edge_fairmot.convert import FairMOT

DEFAULT_MINUTES = 60.0

LEARNING_RATE, SCRATCH_LEARNING_RATE = 1e-4, 1e-3

AVERAGE_DECAY, SCRATCH_AVERAGE_DECAY = 0.98, 0.998
"""A narrow or another network learns all of its weights, at a higher rate, and is averaged over longer."""


def distill(
    teacher: Annotated[
        Path, typer.Argument(help="FairMOT checkpoint (.pth), or ONNX file without deformable layers.")
    ],
    frames: Annotated[
        list[str],
        typer.Option(
            help="Video, image folder or sequence to learn from; may be repeated. The last tenth of each is "
            "for validation."
        ),
    ],
    output: flags.OutputFlag = Path("fairmot_plain.pth"),
    held_out: Annotated[
        list[str] | None, typer.Option(help="A source for validation only; may be repeated.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="all, or a deformable layer or group of them (inspect --frames); may be repeated."),
    ] = None,
    width: Annotated[
        float,
        typer.Option(help="Share of the teacher's channels; below 1, training is from scratch."),
    ] = 1.0,
    other: flags.NetworkFlag = None,
    size: flags.SizeFlag = "576x320",
    minutes: Annotated[
        float | None, typer.Option(help=f"Stop after this time; {DEFAULT_MINUTES:g} without --steps.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Stop at this step.")] = None,
    resume: flags.ResumeFlag = False,
    early_stop: Annotated[
        bool, typer.Option(help="Stop when the student is within its budget on the validation frames.")
    ] = True,
    validate_every: flags.ValidateEveryFlag = 100,
    images: flags.ImagesFlag = 1000,
    validation_images: flags.ValidationImagesFlag = 60,
    crop_size: flags.CropSizeFlag = 256,
    batch_size: flags.BatchSizeFlag = 4,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help=f"Adam's rate. [default: {LEARNING_RATE:g}; {SCRATCH_LEARNING_RATE:g} with --width or "
            "--network]"
        ),
    ] = None,
    bf16: flags.Bf16Flag = False,
    seed: flags.SeedFlag = 0,
    device: flags.DeviceFlag = None,
) -> None:
    """Distill a network into a plain or smaller one.

    The student is trained to compute the same, on frames without labels.
    """
    if other and (layers or width != 1):
        raise InvalidInputError(
            f"--network {other} is a whole network: --layers and --width are for the teacher's own"
        )
    flags.check_counts(images=images, validation_images=validation_images)
    flags.check_device(device)
    check_writable(output)
    resume_path = flags.choose_resume_file(output, resume)
    # Nothing up to here and in this one loads torch.
    from edge_fairmot.convert.training.options import DistillationOptions, RunLimits

    usual, scratch = (LEARNING_RATE, AVERAGE_DECAY), (SCRATCH_LEARNING_RATE, SCRATCH_AVERAGE_DECAY)
    rate, decay = scratch if other or width != 1 else usual
    rate = rate if learning_rate is None else learning_rate
    options = DistillationOptions(parse_size(size), crop_size, batch_size, rate, decay, bf16, seed)
    minutes = DEFAULT_MINUTES if minutes is None and steps is None else minutes
    limits = RunLimits(steps, minutes, validate_every, early_stop)
    from edge_fairmot.convert.checkpoint import write_checkpoint
    from edge_fairmot.convert.networks import network_name
    from edge_fairmot.convert.recovery import load_start
    from edge_fairmot.convert.training.agreement import Agreement
    from edge_fairmot.convert.training.distillation import Distillation, start_student
    from edge_fairmot.convert.training.frames import read_frames
    from edge_fairmot.convert.training.learner import run
    from edge_fairmot.convert.training.teacher import make_teacher

    network, teacher_sha256 = load_start(teacher)
    network.requires_grad_(False).to(flags.choose_device(device))
    plain_layers = _choose_layers(network, other, width, layers or ())
    student = _make_unlike(network, other, width, plain_layers, seed)
    with step_progress("reading frames") as on_step:
        found = read_frames(frames, held_out or [], options.input_size, images, validation_images)
        on_step("running the teacher on the validation frames")
        agreement = Agreement(network, found.validation)
        if not agreement.people:
            raise InvalidInputError(
                "the teacher finds no people in the validation frames, so no student can be compared there: "
                "give --held-out VIDEO with people, or more --validation-images"
            )
        on_step("preparing teacher and student")
        student = student or start_student(network, plain_layers, found, options.input_size)
        teach = make_teacher(network, (batch_size, crop_size, crop_size))
    learner = Distillation(student, network, teach, found, options, teacher_sha256=teacher_sha256)
    if resume:
        learner.resume(resume_path)
    stdout.print(
        f"{network_name(student.spec)}, {len(student.spec.plain_layers)} layers to be plain, "
        f"{len(found.train)} images to learn from, "
        f"{sum(len(s.frames) for s in found.validation)} for validation, with {agreement.people} people",
        highlight=False,
    )
    reports: list[ParityReport] = []
    with step_progress("learning") as on_step:
        progress = flags.Progress(on_step, batch_size, limits)

        def write_compared() -> bool:
            reports[:] = [agreement.compare(learner.average)]
            write_checkpoint(output, learner.average, learner.steps, teacher_sha256, options.input_size)
            progress.on_validation(learner.steps, _figures(reports[0]))
            return bool(reports[0].passed)

        run(learner, limits, resume_path, validate=write_compared, on_step=progress.on_step)
    written = (
        ("written", f"{output}, after {learner.steps} steps"),
        ("to continue", f"{resume_path}, --resume"),
    )
    _finish(reports[0], written)


def _choose_layers(
    teacher: FairMOT, other: str | None, width: float, layers: Sequence[str]
) -> frozenset[str]:
    """Choose the layers that become plain; a student of another shape may have a teacher without any."""
    from edge_fairmot.convert.network import deformable_layers
    from edge_fairmot.convert.replacement import choose_layers

    if other or (width != 1 and not layers and not deformable_layers(teacher)):
        return frozenset()
    return choose_layers(teacher, layers)


def _make_unlike(
    teacher: FairMOT, other: str | None, width: float, plain_layers: frozenset[str], seed: int
) -> FairMOT | None:
    """Make a student that shares no backbone with its teacher, if one is wanted."""
    from edge_fairmot.convert.replacement import make_narrow
    from edge_fairmot.convert.training.distillation import start_other

    if other:
        return start_other(teacher, other, seed)
    return None if width == 1 else make_narrow(teacher, width, plain_layers)


def _finish(report: ParityReport, written: tuple[tuple[str, str], ...]) -> None:
    print_report(report)
    print_pairs(written)
    if not report.passed:
        warn("the student is not within its budget yet: continue with --resume, or give more frames")
        raise typer.Exit(1)


def _figures(report: ParityReport) -> str:
    figures = report.figures
    values = {
        "recall": figures.peaks.recall,
        "precision": figures.peaks.precision,
        "IoU": figures.boxes.mean,
        "cosine": figures.embeddings.mean,
        "IDF1": figures.tracks.idf1,
    }
    return ", ".join(f"{k} {'none' if v is None else f'{v:.4f}'}" for k, v in values.items())
