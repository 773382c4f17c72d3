"""Which lowering and precision suit a runtime: ``convert --for RUNTIME[@VERSION]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from types import MappingProxyType
from typing import NamedTuple

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.manifest import CORE, FULL

LOWERINGS = ("native", "gridsample", "gather", "im2col")
"""Values of ``--deform-conv``, beside ``auto``."""

PRECISION_ADVICE: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        # Issue 24807 of microsoft/onnxruntime.
        ("cuda", "int8"): "the CUDA provider has no int8 convolutions: take fp16, or --for tensorrt",
        ("cpu", "fp16"): "a CPU has no float16 arithmetic and widens this file: take fp32 or int8",
        ("openvino", "fp16"): "OpenVINO on a CPU widens this file: take fp32 or int8",
    }
)
"""Advice on a runtime and a file's precision that do not suit each other."""


class Rule(NamedTuple):
    """A software, the first version that runs ``DeformConv``, and the lowering for older ones.

    Without ``native_since`` every version runs ``lowering``. The installed version is that of one of
    ``packages``. ``float_only``: it runs no int8 files.
    """

    software: str
    packages: tuple[str, ...] = ()
    native_since: tuple[int, ...] = ()
    older: str = "native"
    lowering: str = "native"
    float_only: bool = False
    graph: str = FULL


ONNX_RUNTIME = Rule("ONNX Runtime", ("onnxruntime", "onnxruntime-gpu"), (1, 25), "gather")
"""Pull request 27393 of microsoft/onnxruntime added the kernels for CPU and CUDA. On a CPU ``gather`` takes a
fifth (1.23) or a tenth (1.18) of the time of ``gridsample``; on a GPU it needs only Gather and MatMul."""

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "cpu": ONNX_RUNTIME,
        "cuda": ONNX_RUNTIME,
        "openvino": Rule("OpenVINO"),  # openvino_operators has the rule that its frontend lacks
        # By the change log of onnx-tensorrt. GridSample is there since 8.5.
        "tensorrt": Rule("TensorRT", ("tensorrt",), (10, 1), "gridsample"),
        "opencv": Rule("OpenCV 5", lowering="gather", float_only=True),
        "ncnn": Rule("ncnn", float_only=True, graph=CORE),
        "mnn": Rule("MNN", lowering="gridsample", float_only=True, graph=CORE),
    }
)


BEST_PRECISION: Mapping[str, str] = MappingProxyType({"cpu": "int8", "openvino": "int8", "cuda": "fp16"})
"""Fastest precision of a file that is checked here. TensorRT makes fp16 of an fp32 file itself."""

FASTEST_INT8: Mapping[str, str] = MappingProxyType({"openvino": "im2col"})
"""Lowering whose int8 files are fastest on a runtime that has DeformConv: docs/guides/benchmark.md."""


class Choice(NamedTuple):
    """Values of ``--deform-conv`` and ``--precision``, reason, advice on a faster file or "", ``--graph``."""

    lowering: str
    precision: str
    reason: str
    advice: str
    graph: str = FULL


def parse_lowering(text: str) -> str:
    """Read a value of ``--deform-conv``; ``auto`` is ``native``."""
    if text not in ("auto", *LOWERINGS):
        raise InvalidInputError(f"--deform-conv {text!r}: choose from auto, {', '.join(LOWERINGS)}")
    return "native" if text == "auto" else text


def choose(target: str, *, calibrated: bool) -> Choice:
    """Choose for a runtime: ``cpu``, ``openvino:GPU``, or ``cpu@1.23`` for another version.

    int8 needs images to calibrate on: where there are none, the advice says so. Without a version the
    installed one decides, or the newest if none is installed. InvalidInputError if the runtime has no rule,
    or the version is not one.
    """
    runtime, at, version = target.partition("@")
    name = runtime.partition(":")[0]
    rule = RULES.get(name)
    if rule is None:
        raise InvalidInputError(
            f"--for {target!r}: choose from {', '.join(RULES)}; for another runtime choose --deform-conv"
        )
    if rule.float_only and calibrated:
        raise InvalidInputError(f"runtime {name} runs float32 files only: leave --calibrate out")
    best = BEST_PRECISION.get(name, "fp32")
    precision = "int8" if calibrated else "fp32" if best == "int8" else best
    advice = "int8 is faster there: add --calibrate VIDEO" if best == "int8" and not calibrated else ""
    if not rule.native_since:
        if at:
            versioned = ", ".join(name for name, other in RULES.items() if other.native_since)
            raise InvalidInputError(
                f"--for {target!r}: a version matters for {versioned} only, as in cpu@1.23"
            )
        if rule.float_only:
            form = f"{rule.graph} files in float32, with {rule.lowering} layers"
            return Choice(rule.lowering, precision, f"{rule.software} runs {form}", advice, rule.graph)
        reason = f"{rule.software} runs DeformConv with the rule of edge-fairmot"
        if precision == "int8" and name in FASTEST_INT8:
            return Choice(
                FASTEST_INT8[name], precision, f"{rule.software} runs int8 fastest so, with '.[fast]'", advice
            )
        return Choice("native", precision, reason, advice)
    if at and not re.fullmatch(r"\d+(\.\d+)*", version):
        raise InvalidInputError(f"--for {target!r}: {version!r} is not a version, as in {runtime}@1.23")
    version = version or _installed_version(rule.packages)
    reason = f"{rule.software} has DeformConv from {'.'.join(map(str, rule.native_since))}"
    if version:
        reason += f"; {version} is {'asked for' if at else 'installed'}"
    is_older = bool(version) and tuple(map(int, re.findall(r"\d+", version)[:3])) < rule.native_since
    return Choice(rule.older if is_older else "native", precision, reason, advice)


def _installed_version(packages: tuple[str, ...]) -> str:
    """Return the version of the first package that is installed; empty if none is."""
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return ""
