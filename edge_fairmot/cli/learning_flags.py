"""The flags that ``distill`` and ``train`` share, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from edge_fairmot.errors import InvalidInputError

SizeFlag: TypeAlias = Annotated[str, typer.Option(help="Input size that it will be used at, WIDTHxHEIGHT.")]
ResumeFlag: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Go on from OUTPUT.resume, with the same arguments.")
]
JudgeEveryFlag: TypeAlias = Annotated[int, typer.Option(help="Steps between two judgements.")]
PieceFlag: TypeAlias = Annotated[int, typer.Option(help="Side of the pieces that are learnt from, pixels.")]
BatchSizeFlag: TypeAlias = Annotated[int, typer.Option(help="Pieces a step.")]
Bf16Flag: TypeAlias = Annotated[
    bool, typer.Option("--bf16", help="Compute in bfloat16: faster on GPUs and on CPUs with AMX.")
]
SeedFlag: TypeAlias = Annotated[int, typer.Option(help="The same seed takes the same steps, on one CPU.")]
DeviceFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="cuda or cpu; cuda where there is one, when not given.")
]

LOGGED_EVERY = 10
"""Steps, where there is no terminal to show each."""


def check_counts(**counts: int) -> None:
    """Refuse a count below 1; names are flags, with underscores for dashes."""
    for name, value in counts.items():
        if value < 1:
            raise InvalidInputError(f"--{name.replace('_', '-')} must be at least 1, not {value}")


def choose_resume_file(output: Path, resume: bool) -> Path:
    """Say where a run keeps what its next step depends on.

    Raises
    ------
    InvalidInputError
        If there is nothing to resume, or an earlier run would be lost.
    """
    path = output.with_name(f"{output.name}.resume")
    if path.exists() and not resume:
        raise InvalidInputError(
            f"{path} holds an earlier run: go on with --resume, or delete it to start anew"
        )
    if resume and not path.exists():
        raise InvalidInputError(f"there is nothing to resume at {path}: start without --resume")
    return path


def choose_device(wanted: str | None) -> str:
    """Take CUDA where there is one, or what is asked for.

    Raises
    ------
    InvalidInputError
        If it is no device, or not there.
    """
    from edge_fairmot.convert.reference import has_cuda

    if wanted not in (None, "cuda", "cpu"):
        raise InvalidInputError(f"--device {wanted!r}: choose from cuda and cpu")
    if wanted == "cuda" and not has_cuda():
        raise InvalidInputError("--device cuda: PyTorch finds no CUDA device; leave it out to use the CPU")
    return wanted or ("cuda" if has_cuda() else "cpu")
