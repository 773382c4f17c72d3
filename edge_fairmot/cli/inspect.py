"""``edge-fairmot inspect``: what an ONNX file says of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli.console import print_pairs, stdout, warn
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import OnnxFile, certificate_fault, read_onnx_file


def inspect(
    model: Annotated[Path, typer.Argument(help="ONNX file made by edge-fairmot convert.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the manifest, inputs, outputs and layers of an ONNX file. Needs no ONNX package."""
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
            }
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
