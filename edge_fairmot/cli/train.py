"""``edge-fairmot train``: FairMOT's losses, from scratch or from a checkpoint, on pictures with boxes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fairmot.bundled import bundled_model
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
from edge_fairmot.cli.verify import check_writable
from edge_fairmot.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_fairmot.convert.learning_run import RunLimits
    from edge_fairmot.convert.network import FairMOT
    from edge_fairmot.convert.training import LabelledSet, Training

BUNDLED = Path("bundled")
"""Of ``--start``: the model of this package."""


def train(
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="To learn from: a table of boxes (.tsv), a MOTChallenge sequence, a folder of such; may be "
            "repeated.",
        ),
    ] = None,
    frames: Annotated[
        list[str] | None,
        typer.Option("--frames", help="A synthetic: street to learn from; may be repeated."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write.")] = Path("my.pth"),
    start: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint, or ONNX file without deformable convolutions, to go on from; bundled: what "
            "comes with this package. From scratch without."
        ),
    ] = None,
    remember: Annotated[
        list[str] | None,
        typer.Option(
            "--remember",
            help="Pictures without labels (video, folder) on which the teacher is to stay right; may be "
            "repeated.",
        ),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="For --remember: whose knowledge; that of --start if not given.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="From scratch: plain convolutions in place of deformable ones.")
    ] = False,
    size: SizeFlag = "576x320",
    steps: Annotated[int, typer.Option(help="In all; the learning rate falls over them.")] = 3000,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after so many, to go on with --resume another time.")
    ] = None,
    resume: ResumeFlag = False,
    judge_every: JudgeEveryFlag = 500,
    pictures: Annotated[int, typer.Option(help="Taken of each sequence, at most.")] = 1000,
    judged: Annotated[int, typer.Option(help="Held-out pictures to judge on, of each source, at most.")] = 60,
    piece: PieceFlag = 256,
    batch_size: BatchSizeFlag = 6,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at its highest.")] = 1e-4,
    overlap_weight: Annotated[
        float, typer.Option(help="Of the boxes' overlap (GIoU) beside FairMOT's losses, which have none.")
    ] = 0.0,
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help="Tell people apart in pairs of pictures of one place, a moment apart, rather than by "
            "classes: for many people, seen a few times each.",
        ),
    ] = False,
    freeze_backbone: Annotated[
        bool, typer.Option("--freeze-backbone", help="Train neck and heads only: shorter steps.")
    ] = False,
    bf16: Bf16Flag = False,
    seed: SeedFlag = 0,
    device: DeviceFlag = None,
) -> None:
    """Train a network with FairMOT's losses: heatmap, boxes, offsets, identities."""
    check_counts(pictures=pictures, judged=judged, judge_every=judge_every)
    if minutes is not None and minutes <= 0:
        raise InvalidInputError(f"--minutes must be above 0, not {minutes:g}")
    if start and plain:
        raise InvalidInputError("--plain is for training from scratch: a checkpoint knows its own layers")
    start = bundled_model() if start == BUNDLED else start
    teacher = teacher or start
    if remember and teacher is None:
        raise InvalidInputError("--remember is for what a checkpoint knows: give it as --start or --teacher")
    if freeze_backbone and start is None:
        raise InvalidInputError("--freeze-backbone is for a backbone that knows something: give --start")
    input_size = parse_size(size)
    check_writable(output)
    resume_path = choose_resume_file(output, resume)
    from edge_fairmot.convert.checkpoint import write_checkpoint
    from edge_fairmot.convert.learning_run import RunLimits
    from edge_fairmot.convert.recovery import load_start
    from edge_fairmot.convert.training import Memory, Training, TrainingOptions, with_working_threshold

    options = TrainingOptions(
        steps=steps,
        input_size=input_size,
        piece_side=piece,
        batch_size=batch_size,
        learning_rate=learning_rate,
        overlap_weight=overlap_weight,
        pairs=pairs,
        freeze_backbone=freeze_backbone,
        batch_statistics=start is None,
        bf16=bf16,
        seed=seed,
    )
    network, start_sha256 = _begin(start, plain, seed)
    network.to(choose_device(device))
    with stderr.status("reading pictures ..."):
        labelled = _read(data or [], frames or [], input_size, pictures, judged)
        memory = None
        if remember and teacher:
            knowing, known = load_start(teacher)
            footage = read_frames(remember, (), input_size, pictures, judged)
            memory = Memory(knowing.to(choose_device(device)), known, footage, options)
    training = Training(network, labelled, options, memory)
    if resume:
        training.resume(resume_path, start_sha256)
    stdout.print(
        f"{len(labelled.pictures)} pictures to learn from, {labelled.identities} people in them; "
        f"{len(labelled.held_out)} held out",
        highlight=False,
    )

    def save() -> None:
        training.save(resume_path, start_sha256)

    def write(best_score: float) -> None:
        write_checkpoint(output, with_working_threshold(training.network, best_score), training.steps)
        save()

    with stderr.status("learning ..."):
        limits = RunLimits(steps, minutes, judge_every, early_stop=False)
        _run(training, labelled, input_size, limits, write, save)
    print_pairs((("written", f"{output}, after {training.steps} steps"),))
    if training.steps < steps:
        warn("not all steps were taken: go on with --resume")


def _begin(start: Path | None, plain: bool, seed: int) -> tuple[FairMOT, str]:
    """Load what to go on from, or make a network that knows nothing."""
    from edge_fairmot.convert.initialisation import initialise
    from edge_fairmot.convert.network import FairMOT, NetworkSpec, deformable_layers
    from edge_fairmot.convert.recovery import load_start

    if start:
        return load_start(start)
    network = FairMOT(NetworkSpec())
    if plain:
        network = FairMOT(NetworkSpec(plain_layers=frozenset(deformable_layers(network))))
    initialise(network, seed)
    return network, ""


def _read(
    data: list[str], frames: list[str], input_size: tuple[int, int], pictures: int, judged: int
) -> LabelledSet:
    from edge_fairmot.cli.labelled_sources import read_labelled
    from edge_fairmot.convert.training import LabelledSet

    labelled = LabelledSet()
    for spec in (*data, *frames):
        labelled = labelled.join(read_labelled(spec, input_size, pictures, judged))
    if not labelled.pictures:
        raise InvalidInputError(
            "there is nothing to learn from: give --data people.tsv or --frames synthetic:"
        )
    return labelled


def _run(
    training: Training,
    labelled: LabelledSet,
    input_size: tuple[int, int],
    limits: RunLimits,
    write: Callable[[float], None],
    save: Callable[[], None],
) -> None:
    """Train; only a judgement says which score is to be the threshold, so that alone writes a checkpoint."""
    from edge_fairmot.convert.learning_run import run_steps
    from edge_fairmot.convert.training import judge

    began = time.monotonic()
    seen: dict[str, float] = {}

    def judge_and_tell() -> bool:
        elapsed_min = (time.monotonic() - began) / 60
        result = judge(training.network, labelled.held_out, input_size)
        write(result.best_score)
        loss = ", ".join(f"{name} {value:.3f}" for name, value in seen.items())
        stdout.print(
            f"step {training.steps}, {elapsed_min:.1f} min: AP {result.average_precision:.3f}, "
            f"recall {result.recall:.3f}, precision {result.precision:.3f} at score {result.best_score:.2f}, "
            f"of {result.people} people" + (f"; loss: {loss}" if loss else ""),
            highlight=False,
            soft_wrap=True,
        )
        return False  # there is no being good enough

    def on_step(steps: int, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            # Of single batches it jumps about.
            seen[name] = value if name not in seen else 0.95 * seen[name] + 0.05 * value
        if steps % LOGGED_EVERY == 0:
            stderr.print(f"step {steps}, loss {seen['total']:.3f}", highlight=False)

    run_steps(training, limits, judge=judge_and_tell, save=save, on_step=on_step)
