"""``edge-fairmot bench sweep``: a checkpoint at several sizes and precisions, on several runtimes."""

from __future__ import annotations

import hashlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fairmot.cli.bench_run import (
    RESULTS_NAME,
    DetectEvery,
    Frames,
    GroundTruth,
    LiveS,
    ScoreThreshold,
    Threads,
    Video,
    WorstFramesFlag,
    check_videos,
    make_settings,
    recorded,
    require_packages,
    turn_progress,
)
from edge_fairmot.cli.console import step_progress, warn
from edge_fairmot.errors import ConversionError, InvalidInputError, ManifestError
from edge_fairmot.model_file import certificate_fault, read_onnx_file
from edge_fairmot.system import python_command

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.benchmark import Benchmark, PairSpec
    from edge_fairmot.benchmarks.results import ModelFile

PRECISIONS = ("fp32", "fp16", "int8")

NAIVE = "naive"
"""A plain export: deformable convolutions out of GridSample, which runs everywhere, and no exact rewrite."""

PLAIN = "the checkpoint has no deformable layers: one file was made for all of --deform-conv"

MODELS = "models"


@dataclass(frozen=True, slots=True)
class Variant:
    """A file to be made of the checkpoint."""

    size: tuple[int, int]  # width and height, pixels
    kind: str  # a precision, or naive
    lowering: str  # of the deformable convolutions
    calibration: str  # video for int8

    @property
    def precision(self) -> str:
        """Precision of the file."""
        return "fp32" if self.kind == NAIVE else self.kind

    def name(self, checkpoint: Path) -> str:
        """Return the file name."""
        width, height = self.size
        kind = self.kind if self.kind == NAIVE else f"{self.kind}-{self.lowering}"
        return f"{checkpoint.stem}-{width}x{height}-{kind}.onnx"

    def arguments(self) -> list[str]:
        """Return the options of ``edge-fairmot convert``."""
        width, height = self.size
        options = ["--size", f"{width}x{height}", "--deform-conv", self.lowering]
        options += ["--precision", self.precision]
        if self.kind == "int8":
            options += ["--calibrate", self.calibration]
        if self.kind == NAIVE:
            options += ["--no-late-heads", "--no-shuffle-upsampling"]
        return options

    def is_made(self, path: Path, checkpoint_sha256: str) -> bool:
        """Return whether a file is this one, made earlier and not changed since."""
        try:
            manifest = read_onnx_file(path).manifest
        except ManifestError:
            return False
        source = f" of {Path(self.calibration).name}, "
        return (
            manifest.checkpoint_sha256 == checkpoint_sha256
            and manifest.input_size == self.size
            and manifest.default_precision == self.precision
            # A plain student has no layer to lower.
            and set(manifest.deform_conv.values()) <= {self.lowering}
            and ("late-heads" in manifest.rewrites) == (self.kind != NAIVE)
            and (self.kind != "int8" or source in manifest.calibration)
            and not certificate_fault(path, manifest)
        )


def sweep(
    checkpoint: Annotated[Path, typer.Argument(help="FairMOT checkpoint (.pth).")],
    sizes: Annotated[str, typer.Option(help="Input sizes, WIDTHxHEIGHT, comma-separated.")] = (
        "1088x608,864x480,576x320"
    ),
    precisions: Annotated[str, typer.Option(help="fp32, fp16 and int8, comma-separated.")] = "fp32,int8",
    runtimes: Annotated[
        str, typer.Option(help="Runtimes, comma-separated, as in cpu,openvino:GPU; or all.")
    ] = "all",
    video: Video = None,
    ground_truth: GroundTruth = None,
    calibration: Annotated[
        str | None,
        typer.Option("--calibrate", help="For int8: a video like the measured ones, but another."),
    ] = None,
    deform_conv: Annotated[
        str, typer.Option(help="Lowerings of deformable convolutions, as for convert, comma-separated.")
    ] = "auto",
    naive: Annotated[
        bool, typer.Option("--naive", help="Also a plain export: GridSample, no exact rewrite.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; an earlier sweep in it is resumed.")
    ] = (Path("sweep")),
    frames: Frames = 300,
    threads: Threads = None,
    score_threshold: ScoreThreshold = 0.4,
    live_s: LiveS = 10.0,
    detect_every: DetectEvery = None,
    worst_frames: WorstFramesFlag = 2,
) -> None:
    """Convert a checkpoint at each size and precision and measure the files; resumes an earlier sweep."""
    videos = check_videos(video)
    require_packages(ground_truth)
    variants = list_variants(sizes, precisions, deform_conv, naive, calibration or videos[0])
    if not checkpoint.is_file():
        raise InvalidInputError(f"no checkpoint at {checkpoint}: give a FairMOT .pth file")
    from edge_fairmot.benchmarks.benchmark import Benchmark, choose_runtimes
    from edge_fairmot.benchmarks.results import read_results, write_results

    chosen = choose_runtimes(runtimes)
    settings = make_settings(frames, threads, score_threshold, live_s, detect_every)
    path = output / RESULTS_NAME
    earlier = read_results(path) if path.exists() else None
    benchmark = Benchmark(output, videos, ground_truth or (), settings, earlier=earlier)
    (output / MODELS).mkdir(exist_ok=True)
    if calibration is None and any(v.kind == "int8" for group in variants for v in group):
        _note(benchmark, "int8 was calibrated on the first measured video: give --calibrate other.mp4")
    with recorded(benchmark, output, worst_frames):
        for group in variants:
            specs = list(_specs(benchmark, checkpoint, group, chosen, output / MODELS))
            if specs:
                with turn_progress(benchmark.frames, len(specs)) as on_turn:
                    benchmark.measure(specs, on_turn)
            write_results(path, benchmark.results("not at its end yet"))


def list_variants(
    sizes: str, precisions: str, deform_conv: str, naive: bool, calibration: str
) -> list[list[Variant]]:
    """Return the files to be made; those of one size together, because they are measured side by side."""
    from edge_fairmot.runtimes.lowering import parse_lowering
    from edge_fairmot.sources.address import parse_size

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
    return [part.strip() for part in text.split(",") if part.strip()]


def _specs(
    benchmark: Benchmark, checkpoint: Path, group: Sequence[Variant], runtimes: Sequence[str], folder: Path
) -> Iterator[PairSpec]:
    """Make the files of a group, and yield those that have not been measured."""
    from edge_fairmot.benchmarks.benchmark import PairSpec, describe_model

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
            spec = PairSpec(model, path, runtime)
            if fault:
                benchmark.add_failure(model, runtime, fault)
            elif not benchmark.is_done(spec):
                yield spec


def _convert(variant: Variant, checkpoint: Path, path: Path) -> None:
    """Run ``edge-fairmot convert`` in a process of its own: PyTorch must not stay in this one."""
    command = [*python_command("from edge_fairmot.cli.main import run; run()"), "convert"]
    with step_progress(f"making {path.name}"):
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
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["without a message"]
        raise ConversionError(lines[-1].removeprefix("error: "))


def _unmade(variant: Variant, name: str) -> ModelFile:
    from edge_fairmot.benchmarks.results import ModelFile

    return ModelFile(name, 0, "", "", variant.precision, variant.size, variant.lowering, (), "")


def _note(benchmark: Benchmark, text: str) -> None:
    warn(text)
    if text not in benchmark.notes:
        benchmark.notes.append(text)
