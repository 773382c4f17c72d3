"""``edge-fairmot inspect``: what an ONNX file says of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli.console import print_pairs, stdout
from edge_fairmot.onnx_file import OnnxFile, read_onnx_file


def inspect(
    model: Annotated[Path, typer.Argument(help="ONNX file made by edge-fairmot convert.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the manifest, inputs, outputs and layers of an ONNX file. Needs no ONNX package."""
    file = read_onnx_file(model)
    manifest = file.manifest
    if as_json:
        stdout.print_json(
            data={
                "path": str(file.path),
                "size_bytes": file.size_bytes,
                "ir_version": file.ir_version,
                "opset": file.opset,
                "manifest": asdict(manifest),
                "inputs": file.inputs,
                "outputs": file.outputs,
                "operators": file.operators,
            }
        )
        return
    print_pairs(_file_rows(file), title="file")
    print_pairs([*file.inputs.items()], title="inputs")
    print_pairs([*file.outputs.items()], title="outputs")
    print_pairs(_manifest_rows(file), title="manifest")
    print_pairs([*manifest.deform_conv.items()], title="deformable convolutions")
    print_pairs([(name, f"{value:.3g}") for name, value in manifest.parity.items()], title="parity")


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
        ("lowering", ", ".join(f"{count} {name}" for name, count in lowerings.items())),
        ("rewrites", ", ".join(manifest.rewrites) or "none"),
        ("calibration", manifest.calibration or "none needed"),
        ("checkpoint", f"sha256 {manifest.checkpoint_sha256}"),
        ("made by", f"edge-fairmot {manifest.toolkit_version}, manifest schema {manifest.schema_version}"),
    ]
