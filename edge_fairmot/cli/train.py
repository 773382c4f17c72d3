"""``edge-fairmot train``: FairMOT's losses, from scratch or from a checkpoint, on pictures with boxes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fairmot.cli.console import print_pairs, stderr, stdout, warn
from edge_fairmot.cli.convert import parse_size
from edge_fairmot.cli.distill import LOGGED_EVERY, choose_device, choose_resume_file
from edge_fairmot.cli.verify import check_writable
from edge_fairmot.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_fairmot.convert.network import FairMOT
    from edge_fairmot.convert.training import LabelledSet, Training

SAVE_EVERY_S = 120.0
"""What a power cut costs, at most."""


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
        Path | None, typer.Option(help="Checkpoint to go on from; from scratch without.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="From scratch: plain convolutions in place of deformable ones.")
    ] = False,
    size: Annotated[str, typer.Option(help="Input size that it will be used at, WIDTHxHEIGHT.")] = "576x320",
    steps: Annotated[int, typer.Option(help="In all; the learning rate falls over them.")] = 3000,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after so many, to go on with --resume another time.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from OUTPUT.resume, with the same arguments.")
    ] = False,
    judge_every: Annotated[int, typer.Option(help="Steps between two judgements.")] = 500,
    pictures: Annotated[int, typer.Option(help="Taken of each sequence, at most.")] = 1000,
    judged: Annotated[int, typer.Option(help="Held-out pictures to judge on, of each source, at most.")] = 60,
    piece: Annotated[int, typer.Option(help="Side of the pieces that are learnt from, pixels.")] = 256,
    batch_size: Annotated[int, typer.Option(help="Pieces a step.")] = 6,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at its highest.")] = 1e-4,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Compute in bfloat16: faster on GPUs and on CPUs with AMX.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed takes the same steps, on one CPU.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="cuda or cpu; cuda where there is one, when not given.")
    ] = None,
) -> None:
    """Train a network with FairMOT's losses: heatmap, boxes, offsets, identities."""
    for name, value in (("--pictures", pictures), ("--judged", judged), ("--judge-every", judge_every)):
        if value < 1:
            raise InvalidInputError(f"{name} must be at least 1, not {value}")
    if minutes is not None and minutes <= 0:
        raise InvalidInputError(f"--minutes must be above 0, not {minutes:g}")
    if start and plain:
        raise InvalidInputError("--plain is for training from scratch: a checkpoint knows its own layers")
    input_size = parse_size(size)
    check_writable(output)
    resume_path = choose_resume_file(output, resume)
    from edge_fairmot.convert.training import Training, TrainingOptions

    options = TrainingOptions(
        steps=steps,
        input_size=input_size,
        piece_side=piece,
        batch_size=batch_size,
        learning_rate=learning_rate,
        batch_statistics=start is None,
        bf16=bf16,
        seed=seed,
    )
    network, start_sha256 = _begin(start, plain, seed)
    network.to(choose_device(device))
    with stderr.status("reading pictures ..."):
        labelled = _read(data or [], frames or [], input_size, pictures, judged)
    training = Training(network, labelled, options)
    if resume:
        training.resume(resume_path, start_sha256)
    stdout.print(
        f"{len(labelled.pictures)} pictures to learn from, {labelled.identities} people in them; "
        f"{len(labelled.held_out)} held out",
        highlight=False,
    )
    files = _Files(output, resume_path, start_sha256)
    with stderr.status("learning ..."):
        _run(training, labelled, input_size, files, judge_every, minutes)


class _Files:
    """Where a run leaves what it has reached."""

    def __init__(self, checkpoint: Path, resume: Path, start_sha256: str) -> None:
        self.checkpoint, self.resume, self._start_sha256 = checkpoint, resume, start_sha256

    def write(self, training: Training) -> None:
        """Write the checkpoint, and what the next step depends on."""
        from edge_fairmot.convert.checkpoint import write_checkpoint

        write_checkpoint(self.checkpoint, training.network, training.steps)
        training.save(self.resume, self._start_sha256)


def _begin(start: Path | None, plain: bool, seed: int) -> tuple[FairMOT, str]:
    """Load the checkpoint to go on from, or make a network that knows nothing."""
    from edge_fairmot.convert.checkpoint import load_network
    from edge_fairmot.convert.initialisation import initialise
    from edge_fairmot.convert.network import FairMOT, NetworkSpec, deformable_layers

    if start:
        network, checkpoint = load_network(start)
        return network, checkpoint.sha256
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
    files: _Files,
    judge_every: int,
    minutes: float | None,
) -> None:
    from edge_fairmot.convert.training import judge

    began = saved = time.monotonic()
    seen: dict[str, float] = {}
    while True:
        now = time.monotonic()
        over = training.is_over or (minutes is not None and now - began >= 60 * minutes)
        if over or training.steps % judge_every == 0:
            files.write(training)
            result = judge(training.network, labelled.held_out, input_size)
            loss = ", ".join(f"{name} {value:.3f}" for name, value in seen.items())
            stdout.print(
                f"step {training.steps}, {(now - began) / 60:.1f} min: AP {result.average_precision:.3f}, "
                f"recall {result.recall:.3f}, precision {result.precision:.3f} of {result.people} people"
                + (f"; loss: {loss}" if loss else ""),
                highlight=False,
                soft_wrap=True,
            )
            saved = time.monotonic()
        elif now - saved > SAVE_EVERY_S:
            files.write(training)
            saved = now
        if over:
            break
        for name, value in training.step().items():
            # Of single batches it jumps about.
            seen[name] = value if name not in seen else 0.95 * seen[name] + 0.05 * value
        if training.steps % LOGGED_EVERY == 0:
            stderr.print(f"step {training.steps}, loss {seen['total']:.3f}", highlight=False)
    print_pairs((("written", f"{files.checkpoint}, after {training.steps} steps"),))
    if not training.is_over:
        warn("not all steps were taken: go on with --resume")
