"""The conversion: a checkpoint in, one self-describing, checked ONNX file out."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import onnx
from torch import nn

import edge_fairmot
from edge_fairmot.benchmarks.parity_budget import INT8_BUDGET, ParityBudget
from edge_fairmot.convert.calibration import CalibrationFrames, calibrate
from edge_fairmot.convert.checkpoint import Checkpoint, load_network
from edge_fairmot.convert.deploy import DeployGraph, GraphOptions, count_macs
from edge_fairmot.convert.export import attach_late_heads, attach_manifest, simplify, to_onnx
from edge_fairmot.convert.half_precision import float32_layers, to_fp16
from edge_fairmot.convert.mixed_precision import LayerCost, MixedPrecisionSearch, SearchResult
from edge_fairmot.convert.network import STRIDE, deformable_layers
from edge_fairmot.convert.networks import network_name
from edge_fairmot.convert.parity import FP16_LIMIT, compare, draw_images, reference_detections
from edge_fairmot.convert.quantization import convolution_layers, equalize, int8_share
from edge_fairmot.errors import ConversionError, InvalidInputError
from edge_fairmot.manifest import CORE, PRECISIONS, ModelManifest
from edge_fairmot.model_file import certify
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.system import atomic_write
from edge_fairmot.types import RawDetections, UInt8Array

MAKERS = ("torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "numpy")
"""Packages whose versions can change the file."""

MIN_SURE_PEAKS = 100
"""With 100 of 100 peaks found, recall is at least 0.97 (95 % confidence); with 4 of 4, at least 0.47."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of a conversion.

    Attributes
    ----------
    path : Path
    manifest : ModelManifest
    size_bytes : int
    warnings : tuple of str
        Steps that failed and are not needed, and figures with too small a base.
    costs : tuple of LayerCost
        Error of each layer's int8, the largest first; empty if int8 in all layers was within the budget.
    """

    path: Path
    manifest: ModelManifest
    size_bytes: int
    warnings: tuple[str, ...]
    costs: tuple[LayerCost, ...] = ()


@dataclass(frozen=True, slots=True)
class Int8Options:
    """How a file is quantized.

    Attributes
    ----------
    frames : CalibrationFrames
        Even frames calibrate, odd frames validate.
    method : str
        ``minmax``, ``percentile`` or ``entropy``.
    budget : ParityBudget
        The change that int8 may make. Layers stay float until it holds.
    score_threshold : float
        Peaks with a higher score are compared.
    float_layers : tuple of str
        Layers that stay float in any case.
    """

    frames: CalibrationFrames
    method: str = "minmax"
    budget: ParityBudget = field(default=INT8_BUDGET)
    score_threshold: float = 0.4
    float_layers: tuple[str, ...] = ()


def convert(
    checkpoint_path: str | Path,
    output_path: str | Path,
    options: GraphOptions,
    *,
    class_names: tuple[str, ...] = (),
    precision: str = "fp32",
    int8: Int8Options | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> Conversion:
    """Convert a FairMOT checkpoint to an ONNX file of the graph contract.

    The file is checked against the network in PyTorch before it gets its name. Its manifest has the figures.

    Parameters
    ----------
    checkpoint_path : str or Path
    output_path : str or Path
        Overwritten. Its folder must exist.
    options : GraphOptions
    class_names : tuple of str, optional
        One for each class; ``person`` for a checkpoint of one class.
    precision : str
        ``fp32``, ``fp16`` (for GPUs) or ``int8``.
    int8 : Int8Options, optional
        Needed for ``int8``, which takes a batch size of 1.
    on_step : callable, optional
        Called with a few words at the beginning of each step.

    Returns
    -------
    Conversion

    Raises
    ------
    CheckpointError
        If the file is no checkpoint of a FairMOT network.
    ConversionError
        If the export fails, differs from the network, or cannot be written.
    """
    output_path = Path(output_path)
    _check_precision(precision, int8, options)
    attach = attach_late_heads if options.graph == CORE else lambda model, graph: None
    _check_output(output_path, Path(checkpoint_path))
    on_step("reading the checkpoint")
    network, checkpoint = load_network(checkpoint_path)
    class_names = _name_classes(class_names, checkpoint.spec.num_classes)
    on_step("exporting")
    graph = DeployGraph(network, options)
    model = to_onnx(graph)
    attach(model, graph)
    manifest = _describe(graph, checkpoint, model, class_names)

    on_step("checking against PyTorch")
    images = draw_images(options.input_size, options.batch_size)
    reference = reference_detections(network, images, options.max_detections)
    exported = _detect(model, manifest, images)
    figures = compare(exported, reference)
    figures.check("the exported graph differs from the network")

    on_step("simplifying")
    warnings: tuple[str, ...] = ()
    try:
        simplified = simplify(model)
        attach(simplified, graph)
        figures = compare(_detect(simplified, manifest, images), reference)
        figures.check("the simplified graph differs from the network")
        model, manifest = simplified, replace(manifest, rewrites=(*manifest.rewrites, "simplified"))
    except ConversionError as error:
        warnings = (f"not simplified: {error}",)
        figures = compare(exported, reference)

    manifest = replace(
        manifest, parity=asdict(figures), parity_basis="the checkpoint in PyTorch, on a drawn image"
    )
    costs: tuple[LayerCost, ...] = ()
    if precision == "fp16":
        on_step("converting to float16")
        model = to_fp16(model)
        figures = compare(_detect(model, manifest, images), reference)
        figures.check("the float16 graph differs from the network", FP16_LIMIT)
        layers = float32_layers(model)
        manifest = replace(manifest, default_precision="fp16", precision=layers, parity=asdict(figures))
    elif int8 is not None:
        found = _to_int8(model, int8, on_step)
        manifest = _describe_int8(manifest, model, int8, found)
        model, costs = found.model, found.costs
        warnings += _warn_of_few_peaks(found.parity.peaks, int8.frames)
    manifest = _write(model, manifest, output_path)
    return Conversion(output_path, manifest, output_path.stat().st_size, warnings, costs)


def _to_int8(model: onnx.ModelProto, int8: Int8Options, on_step: Callable[[str], None]) -> SearchResult:
    on_step("calibrating")
    equal = equalize(model, int8.frames.calibration)
    ranges = calibrate(equal, int8.frames.calibration, int8.method)
    search = MixedPrecisionSearch(equal, ranges, int8.frames.validation, int8.budget, int8.score_threshold)
    return search.run(int8.float_layers, on_step)


def _describe_int8(
    manifest: ModelManifest, model: onnx.ModelProto, int8: Int8Options, found: SearchResult
) -> ModelManifest:
    """Describe an int8 file. ``model`` is the float one."""
    layers = convolution_layers(model)
    parity = found.parity
    figures = {
        "peak_recall": parity.recall,
        "peak_precision": parity.precision,
        "iou_mean": parity.iou_mean,
        "cosine_mean": parity.cosine_mean,
        "score_drift": parity.score_drift,
    }
    kept = [layer.name for layer in layers if not layer.quantizable or layer.name in found.float_layers]
    # Deformable layers that are one operator; an unrolled one ends in a plain convolution.
    sampled = manifest.deform_conv.keys() - {layer.name for layer in layers}
    frames = int8.frames
    return replace(
        manifest,
        default_precision="int8",
        int8_share=int8_share(layers, found.float_layers),
        precision=dict.fromkeys([*kept, *sorted(sampled)], "fp32"),
        calibration=f"{len(frames.calibration)} frames of {frames.source}, {int8.method}",
        calibration_sha256=hashlib.sha256(frames.calibration.tobytes()).hexdigest(),
        parity={name: float(value) for name, value in figures.items() if value is not None},
        parity_basis=f"the float32 graph, on {parity.peaks} sure peaks in {len(frames.validation)} other "
        f"frames of {frames.source}",
    )


def _warn_of_few_peaks(peaks: int, frames: CalibrationFrames) -> tuple[str, ...]:
    if peaks >= MIN_SURE_PEAKS:
        return ()
    return (
        f"the figures of int8 are of {peaks} sure peaks in {len(frames.validation)} frames of "
        f"{frames.source}, fewer than {MIN_SURE_PEAKS}: calibrate on more frames with people in them "
        "(--calibration-frames), or run edge-fairmot verify on another video",
    )


def _check_precision(precision: str, int8: Int8Options | None, options: GraphOptions) -> None:
    if precision not in PRECISIONS or (precision == "int8") != (int8 is not None):
        raise InvalidInputError(
            f"precision {precision!r} {'with' if int8 else 'without'} Int8Options: choose from "
            f"{', '.join(PRECISIONS)}, and give Int8Options for int8 only"
        )
    if options.graph == CORE and precision != "fp32":
        raise InvalidInputError(
            f"a core graph is float32, not {precision}, and the NPU's own tool quantizes it: leave "
            "--precision and --calibrate out"
        )
    if int8 is not None and options.batch_size != 1:
        raise InvalidInputError(f"int8 takes a batch size of 1, not {options.batch_size}")


def _check_output(path: Path, checkpoint_path: Path) -> None:
    """Refuse a path that cannot be written, before minutes of work."""
    folder = path.parent
    if not folder.is_dir():
        raise ConversionError(f"{folder} is not a folder: mkdir -p {shlex.quote(str(folder))}")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise ConversionError(
            f"cannot write {path}: it is a folder, or {folder} is read-only; choose with -o"
        )
    if path.exists() and checkpoint_path.exists() and path.samefile(checkpoint_path):
        raise ConversionError(f"-o {path} would write over the checkpoint: choose another name")


def _name_classes(class_names: tuple[str, ...], count: int) -> tuple[str, ...]:
    if not class_names:
        return ("person",) if count == 1 else tuple(f"class-{i}" for i in range(count))
    if len(class_names) != count:
        raise InvalidInputError(
            f"{len(class_names)} class names for a checkpoint of {count} classes: give one each"
        )
    return class_names


def _describe(
    graph: DeployGraph, checkpoint: Checkpoint, model: onnx.ModelProto, class_names: tuple[str, ...]
) -> ModelManifest:
    options, spec = graph.options, checkpoint.spec
    rewrites = {
        "folded-batch-norms": True,
        "folded-normalisation": True,
        "folded-focus": graph.folds_focus,
        "late-heads": options.late_heads,
        "core-graph": options.graph == CORE,
        "shuffle-upsampling": options.shuffles,
    }
    return ModelManifest(
        input_size=options.input_size,
        batch_size=options.batch_size,
        stride=STRIDE,
        network=network_name(spec),
        parameters=checkpoint.parameters,
        macs=count_macs(graph),
        max_detections=graph.top_k,
        embedding_dim=spec.embedding_dim,
        graph=options.graph,
        head_activation="silu" if graph.network.activation is nn.SiLU else "relu",
        box_channels=spec.box_channels,
        class_names=class_names,
        deform_conv={name: layer.lowering for name, layer in deformable_layers(graph.network).items()},
        opset=max(entry.version for entry in model.opset_import if entry.domain == ""),
        rewrites=tuple(name for name, applied in rewrites.items() if applied),
        checkpoint_sha256=checkpoint.sha256,
        teacher_sha256=checkpoint.teacher_sha256,
        plain_layers=tuple(sorted(spec.plain_layers)),
        versions={"python": platform.python_version(), **{name: version(name) for name in MAKERS}},
        toolkit_version=edge_fairmot.__version__,
    )


def _detect(model: onnx.ModelProto, manifest: ModelManifest, images: UInt8Array) -> RawDetections:
    """Run a model as a user does: from a file, with the CPU runtime."""
    attach_manifest(model, manifest)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "candidate.onnx")
        try:
            onnx.save(model, path)
        except OSError as error:
            raise ConversionError(
                f"cannot write {path}: {error.strerror}; set TMPDIR to a folder with room for the model"
            ) from error
        with closing(open_runtime(path, "cpu")) as runtime:
            return runtime.infer(images)


def _write(model: onnx.ModelProto, manifest: ModelManifest, path: Path) -> ModelManifest:
    """Write the certified file, so that an interrupted conversion leaves no half file."""
    attach_manifest(model, manifest)
    try:
        with atomic_write(path) as partial:
            onnx.save(model, partial)
            manifest = certify(partial, manifest)
    except OSError as error:
        raise ConversionError(
            f"cannot write {path}: {error.strerror}; choose another place with -o"
        ) from error
    return manifest
