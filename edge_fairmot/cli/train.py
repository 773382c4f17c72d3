"""``edge-fairmot train``: FairMOT's losses on images with boxes, from scratch or from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fairmot.bundled import choose_model
from edge_fairmot.cli import learning_flags as flags
from edge_fairmot.cli.console import print_pairs, stderr, stdout, step_progress, warn
from edge_fairmot.cli.verify import check_writable
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources.address import parse_size

if TYPE_CHECKING:
    from edge_fairmot.convert.training.options import RunLimits, TrainingOptions
    from edge_fairmot.convert.training.training import Training

MOSAICS = 0.3
"""Share of the crops that are mosaics."""


def train(
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Labelled images: a table of boxes (.tsv), a labels file of a teacher (.npz), a "
            "MOTChallenge sequence, a folder of sequences; may be repeated."
        ),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labels file of a teacher (.npz): its boxes and embeddings are added to the images of the "
            "tables, by name; may be repeated."
        ),
    ] = None,
    media: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder that holds images or videos of --data, beside the table's own; may be repeated."
        ),
    ] = None,
    frames: Annotated[
        list[str] | None, typer.Option(help="A synthetic: street to learn from; may be repeated.")
    ] = None,
    output: flags.OutputFlag = Path("my.pth"),
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Classes to learn, by their names in the data, in the order of heatmaps. [default: people]",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Checkpoint, or ONNX file without deformable convolutions, to continue from; people or "
            "people-light: a model of this package. [default: train from scratch]",
        ),
    ] = None,
    remember: Annotated[
        list[str] | None,
        typer.Option(
            help="Unlabelled images (video, folder) on which to keep the teacher's outputs; may be repeated."
        ),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Teacher of --remember. [default: the network of --from]")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="From scratch: plain convolutions in place of deformable ones.")
    ] = False,
    network_of: flags.NetworkFlag = None,
    size: flags.SizeFlag = "576x320",
    steps: Annotated[int, typer.Option(help="Total steps; the learning rate falls over them.")] = 3000,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this time; --resume continues later.")
    ] = None,
    resume: flags.ResumeFlag = False,
    validate_every: flags.ValidateEveryFlag = 500,
    images: flags.ImagesFlag = 1000,
    validation_images: flags.ValidationImagesFlag = 60,
    crop_size: flags.CropSizeFlag = 256,
    batch_size: flags.BatchSizeFlag = 6,
    learning_rate: Annotated[float, typer.Option(help="Highest rate of Adam.")] = 1e-4,
    overlap_weight: Annotated[
        float, typer.Option(help="Weight of a loss of box overlap (GIoU), in addition to FairMOT's losses.")
    ] = 0.0,
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help="Learn embeddings from pairs of images of one place, a moment apart, and not from classes: "
            "for many people, seen a few times each.",
        ),
    ] = False,
    freeze: Annotated[
        str,
        typer.Option(
            help="Weights that stay: nothing; early, the layers with the most pixels; or backbone. The more, "
            "the shorter a step."
        ),
    ] = "nothing",
    average_decay: Annotated[
        float, typer.Option(help="Decay of the moving average of the weights, which is what is written.")
    ] = 0.998,
    bf16: flags.Bf16Flag = False,
    seed: flags.SeedFlag = 0,
    device: flags.DeviceFlag = None,
) -> None:
    """Train a network, or fine-tune one on your data.

    The losses are FairMOT's: heatmap, boxes, offsets, identities.
    """
    flags.check_counts(images=images, validation_images=validation_images)
    flags.check_device(device)
    if start and plain:
        raise InvalidInputError("--plain is for training from scratch: a checkpoint knows its own layers")
    start = start and choose_model(start)
    teacher = choose_model(teacher) if teacher else start
    if start and network_of:
        raise InvalidInputError("--network is for training from scratch: --from knows its own network")
    if remember and teacher is None:
        raise InvalidInputError("--remember needs a network that was trained: give --from or --teacher")
    if freeze != "nothing" and start is None:
        raise InvalidInputError(f"--freeze {freeze} needs weights that were trained: give --from")
    names = _class_names(classes)
    check_writable(output)
    resume_path = flags.choose_resume_file(output, resume)
    # Nothing up to here and in these two loads torch.
    from edge_fairmot.convert.training.options import RunLimits, TrainingOptions
    from edge_fairmot.convert.training.sequences import read_labelled
    from edge_fairmot.convert.training.teacher_labels import read_teacher_labels

    options = TrainingOptions(
        parse_size(size),
        crop_size,
        batch_size,
        learning_rate,
        average_decay,
        bf16=bf16,
        seed=seed,
        steps=steps,
        overlap_weight=overlap_weight,
        pairs=pairs,
        freeze=freeze,
        mosaics=MOSAICS,
        degrade=True,
        batch_statistics=start is None,
    )
    limits = RunLimits(steps, minutes, validate_every)
    sources = _find_sources([*(data or []), *(frames or [])])
    from edge_fairmot.convert.networks import find_spec
    from edge_fairmot.convert.recovery import load_start
    from edge_fairmot.convert.training.frames import read_frames
    from edge_fairmot.convert.training.start import learn_classes, start_network
    from edge_fairmot.convert.training.training import Rehearsal, Training

    spec = find_spec(network_of) if network_of else None
    network, start_sha256 = start_network(start, plain=plain, seed=seed, spec=spec)
    learn_classes(network, names or ("person",), seed)
    network.to(flags.choose_device(device))
    with step_progress("reading images"):
        labelled = read_labelled(
            sources,
            options.input_size,
            images,
            validation_images,
            media=media or (),
            labels=read_teacher_labels(labels or ()),
            classes=names,
        )
        rehearsal = None
        if remember and teacher:
            trained, teacher_sha256 = load_start(teacher)
            remembered = read_frames(remember, (), options.input_size, images, validation_images)
            rehearsal = Rehearsal(
                trained.to(flags.choose_device(device)), teacher_sha256, remembered, options
            )
    training = Training(network, labelled, options, rehearsal, start_sha256=start_sha256)
    if resume:
        training.resume(resume_path)
    _run(training, options, limits, output, resume_path)
    if len(names) > 1:
        named = " ".join(f"--class-name {name}" for name in names)
        stdout.print(f"To convert it: edge-fairmot convert {output} {named}", highlight=False, soft_wrap=True)


def _class_names(classes: str | None) -> tuple[str, ...]:
    """Return the names of the classes to learn, without spaces around them; none for people."""
    names = tuple(name.strip() for name in classes.split(",")) if classes is not None else ()
    if not all(names) or len(set(names)) < len(names):
        raise InvalidInputError(f"--classes {classes!r} is no list of different names: write car,bicycle")
    return names


def _find_sources(specs: Sequence[str]) -> list[str]:
    from edge_fairmot.convert.training.sequences import find_labelled

    sources, repeated = find_labelled(specs)
    if not sources:
        raise InvalidInputError(
            "there is nothing to learn from: give --data people.tsv or --frames synthetic:"
        )
    if repeated:
        names = ", ".join(Path(sequence).name for sequence in repeated)
        stderr.print(f"left out, the same images as another: {names}", highlight=False, soft_wrap=True)
    return sources


def _run(
    training: Training, options: TrainingOptions, limits: RunLimits, output: Path, resume_path: Path
) -> None:
    from edge_fairmot.convert.checkpoint import write_checkpoint
    from edge_fairmot.convert.training.learner import run
    from edge_fairmot.convert.training.validation import validate, with_working_threshold

    labelled = training.labelled
    stdout.print(
        f"{len(labelled.train)} images to learn from, {labelled.people} people in them; "
        f"{len(labelled.validation)} for validation",
        highlight=False,
    )
    with step_progress("learning") as on_step:
        progress = flags.Progress(on_step, options.batch_size, limits)

        def write_validated() -> bool:
            """Write a checkpoint; the working threshold is known only after a validation."""
            found = validate(training.average, labelled.validation, options.input_size)
            written = with_working_threshold(training.average, found.best_score)
            write_checkpoint(output, written, training.steps, input_size=options.input_size)
            progress.on_validation(training.steps, str(found))
            return False  # no training is good enough to stop early

        run(training, limits, resume_path, validate=write_validated, on_step=progress.on_step)
    print_pairs((("written", f"{output}, after {training.steps} steps"),))
    if training.steps < options.steps:
        warn("not all steps were taken: continue with --resume")
