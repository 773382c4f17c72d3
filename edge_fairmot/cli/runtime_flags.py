"""The flags of every command that opens a runtime: one definition, so that no two commands differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from edge_fairmot.cli.console import warn
from edge_fairmot.protocols import Runtime

if TYPE_CHECKING:
    from edge_fairmot.runtimes import RuntimeOptions

RuntimeFlag: TypeAlias = Annotated[
    str,
    typer.Option(
        "--runtime", metavar="NAME[:DEVICE]", help="What runs the file, as in openvino:GPU; see runtimes."
    ),
]
DeviceIdFlag: TypeAlias = Annotated[
    int | None, typer.Option("--device-id", metavar="N", help="Which GPU; the same as cuda:N.")
]
ThreadsFlag: TypeAlias = Annotated[int | None, typer.Option("--threads", help="Threads for one inference.")]
ArithmeticFlag: TypeAlias = Annotated[
    str,
    typer.Option(
        "--precision", metavar="fp32|fp16|bf16", help="Arithmetic of float layers; float32 unless given."
    ),
]
HintFlag: TypeAlias = Annotated[
    str,
    typer.Option("--hint", metavar="latency|throughput", help="One picture soon, or many a second."),
]
CacheFolderFlag: TypeAlias = Annotated[
    Path | None,
    typer.Option("--cache-folder", metavar="DIR", help="Keep compiled models here for the next start."),
]


def runtime_options(
    device_id: int | None, threads: int | None, precision: str, hint: str, cache_folder: Path | None
) -> RuntimeOptions:
    """Gather the values of the flags; InvalidInputError if one is not among those allowed."""
    from edge_fairmot.runtimes import RuntimeOptions

    device = "" if device_id is None else str(device_id)
    return RuntimeOptions(device, threads, precision, hint, cache_folder)


def advise_on_precision(runtime: Runtime) -> None:
    """Warn where a runtime gains nothing from the file's precision, or lacks it."""
    from edge_fairmot.runtimes.lowering import PRECISION_ADVICE

    name = runtime.name.removesuffix(":CPU")  # of OpenVINO, whose other devices have what a CPU lacks
    advice = PRECISION_ADVICE.get((name, runtime.manifest.default_precision))
    if advice:
        warn(advice)
