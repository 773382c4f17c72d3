"""Refusing a file whose deformable convolutions a runtime cannot run, with the line that mends it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.onnx_file import read_onnx_file

NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "native": ("DeformConv", "DeformableConvolution"),
        "gridsample": ("GridSample",),
        "im2col": ("DeformIm2col", "DeformConv"),
    }
)
"""How runtimes call the operator that they lack."""


def convert_line(manifest: ModelManifest, path: Path, deform_conv: str) -> str:
    """Write the command that makes a file again in another lowering, all else the same.

    Parameters
    ----------
    manifest : ModelManifest
        Of the file.
    path : Path
        The file.
    deform_conv : str
        The lowering wanted.

    Returns
    -------
    str
        What no file knows stands there in capitals.
    """
    line = [
        *("edge-fairmot", "convert", "CHECKPOINT", "-o", str(path)),
        *("--size", "{}x{}".format(*manifest.input_size), "--deform-conv", deform_conv),
    ]
    if manifest.default_precision == "int8":
        line += ["--precision", "int8", "--calibrate", "VIDEO"]
    elif manifest.default_precision != "fp32":
        line += ["--precision", manifest.default_precision]
    if manifest.class_names != ("person",):
        line += [part for name in manifest.class_names for part in ("--class-name", name)]
    for name, usual in (("max_detections", 500), ("batch_size", 1)):
        value = getattr(manifest, name)
        if value != usual:
            line += [f"--{name.replace('_', '-')}", str(value)]
    line += [
        f"--no-{rewrite}"
        for rewrite in ("late-heads", "shuffle-upsampling")
        if rewrite not in manifest.rewrites
    ]
    return shlex.join(line)


def explain_refusal(path: Path, runtime: str, message: str, upgrade: str = "") -> str:
    """Explain what a runtime said of a file, if it is the lowering that it cannot run.

    Parameters
    ----------
    path : Path
    runtime : str
        The software and its version, for the error.
    message : str
        What it said.
    upgrade : str
        Another remedy, if there is one.

    Returns
    -------
    str
        One line with the remedy; empty if it is something else.
    """
    try:
        manifest = read_onnx_file(path).manifest
    except ManifestError:
        return ""
    lowerings = set(manifest.deform_conv.values())
    for lowering, names in NAMES.items():
        if lowering in lowerings and any(name in message for name in names):
            refusal = f"{path} needs {names[0]}, which {runtime} does not run"
            if not manifest.checkpoint_sha256:  # it was made of none, and cannot be made again
                return refusal
            remedies = filter(None, (upgrade, convert_line(manifest, path, "gather")))
            return f"{refusal}: {', or '.join(remedies)}"
    return ""
