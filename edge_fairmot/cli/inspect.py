"""``edge-fairmot inspect``: the manifest of an ONNX file, or the offset statistics of a checkpoint."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from edge_fairmot.cli.console import print_pairs, stdout, warn
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import OnnxFile, certificate_fault, read_onnx_file

if TYPE_CHECKING:
    from edge_fairmot.convert.offset_statistics import OffsetStatistics


def inspect(
    model: Annotated[
        Path,
        typer.Argument(help="ONNX file made by edge-fairmot convert, or a checkpoint (.pth)."),
    ],
    frames: Annotated[
        list[str] | None,
        typer.Option(
            "--frames",
            help="Video, image folder or sequence: measure how far the deformable layers of a checkpoint "
            "sample, and the error of plain convolutions in their place. May be repeated.",
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Of a checkpoint: input size, WIDTHxHEIGHT.")] = "576x320",
    count: Annotated[
        int,
        typer.Option("--max-frames", help="With --frames: frames of each source, taken at equal intervals."),
    ] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a model file or a checkpoint.

    Of an ONNX file: manifest, certificate, inputs, outputs, layers; exit status 1 when the graph was changed.
    Of a checkpoint: network, parameters, multiply-adds; with --frames, offset statistics of its deformable
    layers.
    """
    if frames:
        _inspect_offsets(model, frames, size, count, as_json)
        return
    if model.suffix in (".pth", ".pt"):
        _inspect_checkpoint(model, size, as_json)
        return
    file = read_onnx_file(model)
    manifest = file.manifest
    fault = certificate_fault(model, manifest)
    if as_json:
        stdout.print_json(
            data={
                "path": str(file.path),
                "size_bytes": file.size_bytes,
                "ir_version": file.ir_version,
                "opset": file.opset,
                "manifest": asdict(manifest),
                "certificate_fault": fault,
                "inputs": file.inputs,
                "outputs": file.outputs,
                "operators": file.operators,
            },
            ensure_ascii=True,  # control characters stay escaped
        )
    else:
        _print_file(file)
    if fault:
        warn(fault)
        raise typer.Exit(1)


def _print_file(file: OnnxFile) -> None:
    manifest = file.manifest
    print_pairs(_file_rows(file), title="file")
    print_pairs([*file.inputs.items()], title="inputs")
    print_pairs([*file.outputs.items()], title="outputs")
    print_pairs(_manifest_rows(file), title="manifest")
    print_pairs([*manifest.deform_conv.items()], title="deformable convolutions")
    print_pairs(_certificate_rows(manifest), title="certificate")


def _file_rows(file: OnnxFile) -> list[tuple[str, str]]:
    operators = ", ".join(f"{count} {name}" for name, count in file.operators.items())
    return [
        ("path", str(file.path)),
        ("size", f"{file.size_bytes / 1e6:.1f} MB"),
        ("opset", f"{file.opset}, IR version {file.ir_version}"),
        ("operators", operators),
    ]


def _manifest_rows(file: OnnxFile) -> list[tuple[str, str]]:
    manifest = file.manifest
    lowerings = Counter(manifest.deform_conv.values())
    float_layers = len(manifest.precision)
    return [
        ("network", describe_network(manifest.network, manifest.parameters, manifest.macs)),
        ("input size", "{}x{}".format(*manifest.input_size)),
        ("classes", ", ".join(manifest.class_names)),
        ("detections", f"{manifest.max_detections} at most, embeddings of {manifest.embedding_dim}"),
        ("stride", f"{manifest.stride} px a cell, {manifest.box_channels} box channels"),
        ("precision", manifest.default_precision + (f", {float_layers} exceptions" if float_layers else "")),
        ("lowering", ", ".join(f"{count} {name}" for name, count in lowerings.items()) or "none needed"),
        *([("plain layers", ", ".join(manifest.plain_layers))] if manifest.plain_layers else []),
        ("rewrites", ", ".join(manifest.rewrites) or "none"),
        ("calibration", manifest.calibration or "none needed"),
        ("checkpoint", f"sha256 {manifest.checkpoint_sha256}"),
        *([("distilled from", f"sha256 {manifest.teacher_sha256}")] if manifest.teacher_sha256 else []),
        ("made by", f"edge-fairmot {manifest.toolkit_version}, manifest schema {manifest.schema_version}"),
        ("with", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]


def describe_network(name: str, parameters: int, macs: int) -> str:
    """Name a network, its size and its cost; files of earlier releases have neither."""
    if not name:
        return "FairMOT on dla_34"
    return f"FairMOT on {name}, {parameters / 1e6:.1f} M parameters, {macs / 1e9:.1f} GMAC an image"


def _certificate_rows(manifest: ModelManifest) -> list[tuple[str, str]]:
    kept = [name for name in manifest.precision if name not in manifest.deform_conv]
    rows = [("against", manifest.parity_basis)]
    rows += [(name, f"{value:.5g}") for name, value in manifest.parity.items()]
    if manifest.default_precision == "int8":
        rows += [
            ("multiply-adds in int8", f"{manifest.int8_share:.1%} of the plain convolutions'"),
            ("float layers", ", ".join(kept) or "none"),
            ("calibration frames", f"sha256 {manifest.calibration_sha256}"),
        ]
    return [*rows, ("graph", f"sha256 {manifest.graph_sha256}")]


def _inspect_checkpoint(path: Path, size: str, as_json: bool) -> None:
    from edge_fairmot.convert.checkpoint import load_network
    from edge_fairmot.convert.deploy import DeployGraph, GraphOptions, count_macs
    from edge_fairmot.convert.network import deformable_layers
    from edge_fairmot.convert.networks import network_name
    from edge_fairmot.sources.address import parse_size

    options = GraphOptions(parse_size(size))
    network, checkpoint = load_network(path)
    spec, name = checkpoint.spec, network_name(checkpoint.spec)
    macs, deformable = count_macs(DeployGraph(network, options)), len(deformable_layers(network))
    if as_json:
        data = {
            "path": str(path),
            "network": name,
            "parameters": checkpoint.parameters,
            "macs": macs,
            "input_size": options.input_size,
            "classes": spec.num_classes,
            "box_channels": spec.box_channels,
            "embedding_dim": spec.embedding_dim,
            "deformable_layers": deformable,
            "plain_layers": sorted(spec.plain_layers),
            "sha256": checkpoint.sha256,
            "teacher_sha256": checkpoint.teacher_sha256,
        }
        stdout.print_json(data=data, ensure_ascii=True)
        return
    rows = [
        ("path", str(path)),
        ("network", describe_network(name, checkpoint.parameters, macs) + f" of {size}"),
        ("classes", str(spec.num_classes)),
        ("boxes", f"{spec.box_channels} channels, embeddings of {spec.embedding_dim}"),
        ("deformable layers", f"{deformable}, {len(spec.plain_layers)} plain ones in place of others"),
        ("checkpoint", f"sha256 {checkpoint.sha256}"),
        *([("distilled from", f"sha256 {checkpoint.teacher_sha256}")] if checkpoint.teacher_sha256 else []),
    ]
    print_pairs(rows, title="checkpoint")


def _inspect_offsets(checkpoint: Path, frames: list[str], size: str, count: int, as_json: bool) -> None:
    import numpy as np

    from edge_fairmot.benchmarks.frame_sources import sample_frames
    from edge_fairmot.cli.console import frame_progress
    from edge_fairmot.convert.checkpoint import load_network
    from edge_fairmot.convert.offset_statistics import measure_offsets
    from edge_fairmot.sources import open_images
    from edge_fairmot.sources.address import parse_size

    input_size = parse_size(size)
    sampled = []
    for spec in frames:
        with open_images(spec) as source:
            sampled.append(sample_frames(source, input_size, count))
    images = np.concatenate(sampled)
    network, _ = load_network(checkpoint)
    with frame_progress("measuring", 2 * len(images)) as on_frame:
        layers = measure_offsets(network, images, on_frame)
    if as_json:
        data = {name: asdict(layer) | {"shift_pays": layer.shift_pays} for name, layer in layers.items()}
        stdout.print(json.dumps({"frames": len(images), "layers": data}, indent=2), soft_wrap=True)
    else:
        _print_offsets(layers)


def _print_offsets(layers: Mapping[str, OffsetStatistics]) -> None:
    table = Table(box=None, title="offsets in cells of the layer's own map", title_justify="left")
    table.add_column("layer", no_wrap=True)
    for name in ("mean", "p50", "p90", "p99", "largest", "mask", "±", "error if plain"):
        table.add_column(name, justify="right")
    for name, layer in layers.items():
        offsets = (layer.offset_mean, *layer.offset_percentiles.values(), layer.offset_largest)
        mask = sum(layer.tap_mask) / len(layer.tap_mask)
        table.add_row(
            name,
            *(f"{offset:.2f}" for offset in offsets),
            *(f"{mask:.2f}", f"{layer.mask_deviation:.2f}", f"{layer.error:.1%}"),
        )
    stdout.print(table)
    by_error = sorted(layers, key=lambda name: layers[name].error)
    shifted = [name for name, layer in layers.items() if layer.shift_pays]
    for title, names in (
        ("least error if plain", by_error[: len(layers) // 4]),
        ("less error with the mean offsets folded too", shifted),
    ):
        stdout.print(f"{title}: {', '.join(names) or 'none'}", highlight=False, soft_wrap=True)
