"""Flags that commands share: one definition each, so that no two commands differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from edge_fairmot.cli.console import warn
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import Runtime

if TYPE_CHECKING:
    from edge_fairmot.runtimes import RuntimeOptions

ConfigFlag: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file; see edge-fairmot config."),
]
SetFlag: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a key of the file, as in tracker.track_buffer=60; may be repeated.",
    ),
]
ModelFlag: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="ONNX file made by edge-fairmot convert, or a bundled model: people, or people-light for slow "
        "devices. [default: people]",
    ),
]
RuntimeFlag: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="Runtime, with a device as in openvino:GPU. [default: openvino on x86-64 where it is installed, "
        "else cpu]",
    ),
]
DeviceIdFlag: TypeAlias = Annotated[
    int | None, typer.Option("--device-id", metavar="N", help="Number of the GPU; the same as cuda:N.")
]
ThreadsFlag: TypeAlias = Annotated[int | None, typer.Option("--threads", help="Threads of one inference.")]
PrecisionFlag: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--inference-precision",
        metavar="TYPE",
        help="Arithmetic of float layers on the runtime: fp32, fp16 or bf16. [default: fp32]",
    ),
]
HintFlag: TypeAlias = Annotated[
    str | None,
    typer.Option("--hint", metavar="GOAL", help="Optimise for latency or throughput. [default: latency]"),
]
CacheFolderFlag: TypeAlias = Annotated[
    Path | None,
    typer.Option("--cache-folder", metavar="DIR", help="Folder of compiled models, for the next start."),
]
NoIntegrityFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-integrity-check",
        help="Do not compare the model file with the hash in its certificate first.",
    ),
]
StallAfterFlag: TypeAlias = Annotated[
    float | None,
    typer.Option("--stall-after", metavar="S", help="Report a longer stage as stalled. [default: 30]"),
]
ScoreThresholdFlag: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--score-threshold",
        metavar="X",
        help="Detections need a higher score, from 0 to 1; by class as in car=0.5,person=0.4. [default: 0.4]",
    ),
]
ClassesFlag: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--classes", metavar="NAMES", help="Track only these classes, as in car,bus. [default: all]"
    ),
]
TrackBufferFlag: TypeAlias = Annotated[
    int | None,
    typer.Option("--track-buffer", help="Lost tracks are kept for N frames at 30 Hz. [default: 30]"),
]
PresetFlag: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Rules of association: fairmot, bytetrack for crowds, or low-fps for 1 to 5 frames/s. "
        "[default: fairmot]",
    ),
]
CrowdedFlag: TypeAlias = Annotated[bool, typer.Option("--crowded", help="The same as --preset bytetrack.")]
MovingCameraFlag: TypeAlias = Annotated[
    bool | None,
    typer.Option("--moving-camera", help="The camera moves: move the tracks with the image."),
]
DetectEveryFlag: TypeAlias = Annotated[
    int | None,
    typer.Option("--detect-every", metavar="N", help="Detect in every Nth frame. [default: 1]"),
]
TargetFpsFlag: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--target-fps", metavar="F", help="Detect as often as keeps F frames/s; predict between detections."
    ),
]
LineFlag: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--line",
        metavar="LINE",
        help="Count over this line, NAME:X1,Y1,X2,Y2[;CLASS,...] in shares of the image; may be repeated.",
    ),
]
ZoneFlag: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--zone",
        metavar="ZONE",
        help="Count in this polygon, NAME:X,Y;X,Y;X,Y[;CLASS,...] in shares of the image; may be repeated.",
    ),
]
IgnoreFlag: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="ZONE",
        help="Track nobody who stands in this polygon, NAME:X,Y;X,Y;X,Y; may be repeated.",
    ),
]


def chosen_preset(preset: str | None, crowded: bool) -> str | None:
    """Return the preset that the two flags ask for."""
    return preset or ("bytetrack" if crowded else None)


def class_flags(classes: str | None, score_threshold: str | None) -> dict[str, object]:
    """Return the flags of classes and thresholds by their keys in the configuration.

    InvalidInputError if a threshold is no number.
    """
    usual: float | None = None
    of_class: dict[str, float] = {}
    for part in (score_threshold or "").split(",") if score_threshold is not None else ():
        name, equals, text = part.rpartition("=")
        try:
            value = float(text)
        except ValueError:
            raise InvalidInputError(
                f"--score-threshold {score_threshold!r} is no number and no list of CLASS=NUMBER: "
                "write 0.4, or car=0.5,person=0.4"
            ) from None
        if equals:
            of_class[name.strip()] = value
        else:
            usual = value
    return {
        "tracker.classes": None if classes is None else [one.strip() for one in classes.split(",")],
        "tracker.score_threshold": usual,
        "tracker.class_score_threshold": of_class or None,
    }


def runtime_flags(
    runtime: str | None,
    device_id: int | None,
    threads: int | None,
    precision: str | None,
    hint: str | None,
    cache_folder: Path | None,
) -> dict[str, object]:
    """Return the runtime's flags by their keys in the configuration."""
    return {
        "runtime.name": runtime,
        "runtime.device": None if device_id is None else str(device_id),
        "runtime.threads": threads,
        "runtime.precision": precision,
        "runtime.hint": hint,
        "runtime.cache_folder": cache_folder,
    }


def runtime_options(
    device_id: int | None,
    threads: int | None,
    precision: str | None,
    hint: str | None,
    cache_folder: Path | None,
) -> RuntimeOptions:
    """Return the options that the flags ask for; raises InvalidInputError for a value that is not allowed."""
    from edge_fairmot.runtimes import RuntimeOptions

    device = "" if device_id is None else str(device_id)
    return RuntimeOptions(device, threads, precision or "", hint or "latency", cache_folder)


def advise_on_precision(runtime: Runtime) -> None:
    """Warn where a runtime gains nothing from the file's precision, or lacks it."""
    from edge_fairmot.runtimes.lowering import PRECISION_ADVICE

    name = runtime.name.removesuffix(":CPU")  # of OpenVINO, whose other devices have what a CPU lacks
    advice = PRECISION_ADVICE.get((name, runtime.manifest.default_precision))
    if advice:
        warn(advice)
