"""Flags of ``train`` and ``distill``, their checks, and the progress of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from edge_fairmot.cli.console import stdout
from edge_fairmot.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_fairmot.convert.training.options import RunLimits

OutputFlag: TypeAlias = Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write.")]
SizeFlag: TypeAlias = Annotated[str, typer.Option(help="Input size in use, WIDTHxHEIGHT.")]
ResumeFlag: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Continue from OUTPUT.resume, with the same arguments.")
]
ImagesFlag: TypeAlias = Annotated[int, typer.Option("--images", help="Maximum training images per source.")]
ValidationImagesFlag: TypeAlias = Annotated[
    int, typer.Option("--validation-images", help="Maximum validation images per source.")
]
ValidateEveryFlag: TypeAlias = Annotated[
    int, typer.Option("--validate-every", help="Steps between two validations.")
]
NetworkFlag: TypeAlias = Annotated[
    str | None,
    typer.Option("--network", help="yolov5s, dla_34, resdcn_18, hrnet_18 or another network's name."),
]
CropSizeFlag: TypeAlias = Annotated[
    int, typer.Option("--crop-size", help="Side of the training crops, pixels.")
]
BatchSizeFlag: TypeAlias = Annotated[int, typer.Option(help="Crops per step.")]
Bf16Flag: TypeAlias = Annotated[
    bool, typer.Option("--bf16", help="Compute in bfloat16: faster on GPUs and on CPUs with AMX.")
]
SeedFlag: TypeAlias = Annotated[int, typer.Option(help="The same seed gives the same steps, on one CPU.")]
DeviceFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="cuda or cpu. [default: cuda if there is a GPU]")
]


SMOOTHING = 0.95
"""Smoothing of the losses shown: those of single batches vary."""


def check_counts(**counts: int) -> None:
    """Refuse a count below 1; names are flags, with underscores for dashes."""
    for name, value in counts.items():
        if value < 1:
            raise InvalidInputError(f"--{name.replace('_', '-')} must be at least 1, not {value}")


def choose_resume_file(output: Path, resume: bool) -> Path:
    """Return the file that a run resumes from. Refuses to resume nothing, and to overwrite an earlier run."""
    path = output.with_name(f"{output.name}.resume")
    if path.exists() and not resume:
        raise InvalidInputError(
            f"{path} holds an earlier run: continue it with --resume, or delete it to start again"
        )
    if resume and not path.exists():
        raise InvalidInputError(f"there is nothing to resume at {path}: start without --resume")
    return path


def check_device(wanted: str | None) -> None:
    """Refuse a name that is no device, before torch is loaded."""
    if wanted not in (None, "cuda", "cpu"):
        raise InvalidInputError(f"--device {wanted!r}: choose from cuda and cpu")


def choose_device(wanted: str | None) -> str:
    """Return the device that was asked for, or CUDA where there is one."""
    from edge_fairmot.convert.reference import has_cuda

    if wanted == "cuda" and not has_cuda():
        raise InvalidInputError("--device cuda: PyTorch finds no CUDA device; leave it out to use the CPU")
    return wanted or ("cuda" if has_cuda() else "cpu")


class Progress:
    """Shows loss, images per second and time left of each step, and a line for each validation."""

    def __init__(self, show: Callable[[str], None], batch_size: int, limits: RunLimits) -> None:
        self._show, self._batch_size, self._limits = show, batch_size, limits
        self._began = time.monotonic()
        self._first: tuple[int, float] | None = None  # step and time at its end: the first is slow
        self._losses: dict[str, float] = {}

    def on_step(self, steps: int, losses: dict[str, float]) -> None:
        """Show a step."""
        for name, value in losses.items():
            self._losses[name] = SMOOTHING * self._losses.get(name, value) + (1 - SMOOTHING) * value
        self._show(f"step {steps}, loss {self._losses['total']:.3f}{self._speed(steps)}")

    def on_validation(self, steps: int, figures: str) -> None:
        """Print the figures of a validation, and the parts of the loss."""
        parts = ", ".join(f"{name} {value:.3f}" for name, value in self._losses.items())
        minutes = (time.monotonic() - self._began) / 60
        line = f"step {steps}, {minutes:.1f} min: {figures}" + (f"; loss: {parts}" if parts else "")
        stdout.print(line, highlight=False, soft_wrap=True)

    def _speed(self, steps: int) -> str:
        now = time.monotonic()
        if self._first is None:
            self._first = (steps, now)
            return ""
        seconds_a_step = (now - self._first[1]) / (steps - self._first[0])
        left_min = [] if self._limits.steps is None else [(self._limits.steps - steps) * seconds_a_step / 60]
        if self._limits.minutes is not None:
            left_min.append(max(0.0, self._limits.minutes - (now - self._began) / 60))
        return f", {self._batch_size / seconds_a_step:.1f} images/s, {min(left_min):.0f} min left"
