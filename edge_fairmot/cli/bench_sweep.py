"""``edge-fairmot bench sweep``: a checkpoint at several sizes and precisions, on several runtimes."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fairmot.cli.bench import (
    RESULTS_NAME,
    DetectEvery,
    Frames,
    GroundTruth,
    LiveS,
    Pictures,
    ScoreThreshold,
    Threads,
    Video,
    check_videos,
    make_settings,
    recorded,
    require_packages,
    turn_progress,
)
from edge_fairmot.cli.console import stderr, warn
from edge_fairmot.cli.convert import parse_size
from edge_fairmot.errors import ConversionError, InvalidInputError, ManifestError
from edge_fairmot.model_file import certificate_fault, read_onnx_file
from edge_fairmot.runtimes.lowering import parse_lowering

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.benchmark import Benchmark
    from edge_fairmot.benchmarks.contenders import Starter
    from edge_fairmot.benchmarks.results import ModelFile

PRECISIONS = ("fp32", "fp16", "int8")

NAIVE = "naive"
"""The graph as a plain export would have it: deformable convolutions out of GridSample, which is what runs
everywhere, and none of the exact rewrites."""

PLAIN = "the checkpoint has no deformable layers: one file was made for all of --deform-conv"

MODELS = "models"


@dataclass(frozen=True, slots=True)
class Variant:
    """A file to be made of the checkpoint.

    Attributes
    ----------
    size : (int, int)
        Width and height, pixels.
    kind : str
        A precision, or ``naive``.
    lowering : str
        Of the deformable convolutions.
    calibration : str
        Footage for int8.
    """

    size: tuple[int, int]
    kind: str
    lowering: str
    calibration: str

    @property
    def precision(self) -> str:
        """Precision of the file."""
        return "fp32" if self.kind == NAIVE else self.kind

    def name(self, checkpoint: Path) -> str:
        """Name of the file."""
        width, height = self.size
        kind = self.kind if self.kind == NAIVE else f"{self.kind}-{self.lowering}"
        return f"{checkpoint.stem}-{width}x{height}-{kind}.onnx"

    def arguments(self) -> list[str]:
        """Options of ``edge-fairmot convert`` that make it."""
        width, height = self.size
        options = [
            "--size",
            f"{width}x{height}",
            "--deform-conv",
            self.lowering,
            "--precision",
            self.precision,
        ]
        if self.kind == "int8":
            options += ["--calibrate", self.calibration]
        if self.kind == NAIVE:
            options += ["--no-late-heads", "--no-shuffle-upsampling"]
        return options

    def is_made(self, path: Path, checkpoint_sha256: str) -> bool:
        """Whether a file is this one, made earlier and not changed since."""
        try:
            manifest = read_onnx_file(path).manifest
        except ManifestError:
            return False
        source = f" of {Path(self.calibration).name}, "
        return (
            manifest.checkpoint_sha256 == checkpoint_sha256
            and manifest.input_size == self.size
            and manifest.default_precision == self.precision
            # A plain student has none to be lowered.
            and set(manifest.deform_conv.values()) <= {self.lowering}
            and ("late-heads" in manifest.rewrites) == (self.kind != NAIVE)
            and (self.kind != "int8" or source in manifest.calibration)
            and not certificate_fault(path, manifest)
        )


def sweep(
    checkpoint: Annotated[Path, typer.Argument(help="FairMOT DLA-34 checkpoint (.pth).")],
    sizes: Annotated[str, typer.Option(help="Input sizes, WIDTHxHEIGHT, comma-separated.")] = (
        "1088x608,864x480,576x320"
    ),
    precisions: Annotated[str, typer.Option(help="Of fp32, fp16 and int8, comma-separated.")] = "fp32,int8",
    runtimes: Annotated[
        str, typer.Option(help="Comma-separated, as in cpu,openvino:GPU; or all that are here.")
    ] = "all",
    video: Video = None,
    ground_truth: GroundTruth = None,
    calibration: Annotated[
        str | None,
        typer.Option("--calibrate", help="For int8: footage like, and other than, what is measured on."),
    ] = None,
    deform_conv: Annotated[
        str, typer.Option(help="Lowerings of deformable convolutions, as for convert, comma-separated.")
    ] = "auto",
    naive: Annotated[
        bool, typer.Option("--naive", help="Also a plain export: GridSample, none of the exact rewrites.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; taken up again if it was begun.")
    ] = (Path("sweep")),
    frames: Frames = 300,
    threads: Threads = None,
    score_threshold: ScoreThreshold = 0.4,
    live_s: LiveS = 10.0,
    detect_every: DetectEvery = None,
    pictures: Pictures = 2,
) -> None:
    """Convert a checkpoint at each size and precision and measure the files; goes on where it was left."""
    videos = check_videos(video)
    require_packages(ground_truth)
    variants = list_variants(sizes, precisions, deform_conv, naive, calibration or videos[0])
    if not checkpoint.is_file():
        raise InvalidInputError(f"no checkpoint at {checkpoint}: give a FairMOT .pth file")
    from edge_fairmot.benchmarks.benchmark import Benchmark
    from edge_fairmot.benchmarks.contenders import choose_runtimes
    from edge_fairmot.benchmarks.results_file import read_results, write_results

    chosen = choose_runtimes(runtimes)
    settings = make_settings(frames, threads, score_threshold, live_s, detect_every)
    path = output / RESULTS_NAME
    earlier = read_results(path) if path.exists() else None
    benchmark = Benchmark(output, videos, ground_truth or (), settings, earlier=earlier)
    (output / MODELS).mkdir(exist_ok=True)
    if calibration is None and any(v.kind == "int8" for group in variants for v in group):
        _note(
            benchmark, "int8 was calibrated on the first video it is measured on: give --calibrate other.mp4"
        )
    with recorded(benchmark, output, pictures):
        for group in variants:
            starters = list(_starters(benchmark, checkpoint, group, chosen, output / MODELS))
            if starters:
                with turn_progress(benchmark.frames, len(starters)) as on_turn:
                    benchmark.measure(starters, on_turn)
            write_results(path, benchmark.results("not at its end yet"))


def list_variants(
    sizes: str, precisions: str, deform_conv: str, naive: bool, calibration: str
) -> list[list[Variant]]:
    """List the files to be made, those of one size together: they are measured side by side."""
    kinds = _parts(precisions)
    for kind in kinds:
        if kind not in PRECISIONS:
            raise InvalidInputError(f"--precisions {kind!r}: choose from {', '.join(PRECISIONS)}")
    lowerings = [parse_lowering(part) for part in _parts(deform_conv)]
    chosen = [*([(NAIVE, "gridsample")] if naive else []), *product(kinds, lowerings)]
    parsed = dict.fromkeys(parse_size(part) for part in _parts(sizes))
    if not chosen or not parsed:
        raise InvalidInputError("there is nothing to make: give --sizes 576x320 and --precisions fp32")
    return [[Variant(size, *kind, calibration) for kind in dict.fromkeys(chosen)] for size in parsed]


def _parts(text: str) -> list[str]:
    """Take a comma-separated option apart."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _starters(
    benchmark: Benchmark, checkpoint: Path, group: Sequence[Variant], runtimes: Sequence[str], folder: Path
) -> Iterator[Starter]:
    """Make the files of a group, and list what has not been measured of them."""
    from edge_fairmot.benchmarks.contenders import Starter, describe_model

    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    plain: set[str] = set()
    for variant in group:
        if variant.kind in plain:
            if PLAIN not in benchmark.notes:
                _note(benchmark, PLAIN)
            continue
        path = folder / variant.name(checkpoint)
        if not variant.is_made(path, sha256):
            try:
                _convert(variant, checkpoint, path)
            except ConversionError as error:
                warn(f"{path.name} could not be made: {error}")
                for runtime in runtimes:
                    benchmark.add_failure(_unmade(variant, path.name), runtime, f"not converted: {error}")
                continue
        model, fault = describe_model(path, path.name)
        if not fault and not model.lowering:
            plain.add(variant.kind)
        for runtime in runtimes:
            starter = Starter(model, path, runtime)
            if fault:
                benchmark.add_failure(model, runtime, fault)
            elif not benchmark.is_done(starter):
                yield starter


def _convert(variant: Variant, checkpoint: Path, path: Path) -> None:
    """Run ``edge-fairmot convert``, in a process of its own: PyTorch must not stay in this one."""
    command = [sys.executable, "-c", "from edge_fairmot.cli.main import run; run()", "convert"]
    with stderr.status(f"making {path.name} ..."):
        done = subprocess.run(
            [*command, str(checkpoint), "-o", str(path), *variant.arguments()],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode < 0:
        raise ConversionError(
            f"convert died of {signal.Signals(-done.returncode).name}: perhaps memory ran out"
        )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise ConversionError(said[-1].removeprefix("error: "))


def _unmade(variant: Variant, name: str) -> ModelFile:
    """Describe a file that could not be made."""
    from edge_fairmot.benchmarks.results import ModelFile

    return ModelFile(name, 0, "", "", variant.precision, variant.size, variant.lowering, (), "")


def _note(benchmark: Benchmark, text: str) -> None:
    warn(text)
    if text not in benchmark.notes:
        benchmark.notes.append(text)
