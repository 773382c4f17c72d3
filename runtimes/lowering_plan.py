"""Which lowering of the deformable convolution a file should have for a runtime: by rule, and by probe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.runtimes.probe import ProbeResult

CLEARLY_FASTER = 0.8
"""Of the time of the rule's choice: the probe's one small layer foretells a network's time no better."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is known of a runtime without asking it.

    Attributes
    ----------
    software : str
        Whose version decides.
    native_since : tuple of int
        The first version with ``DeformConv``; empty if every one can be taught it.
    older : str
        The lowering for those before.
    """

    software: str
    native_since: tuple[int, ...] = ()
    older: str = ""

    def choose(self, version: str) -> tuple[str, str]:
        """Choose for a version, ``""`` for a current one; returns the lowering and the reason."""
        since = ".".join(map(str, self.native_since))
        if version and self.native_since and _numbers(version) < self.native_since:
            return self.older, f"{self.software} has DeformConv from {since}, not in {version}"
        if since:
            return "native", f"{self.software} has DeformConv from {since}"
        return "native", f"edge-fairmot teaches {self.software} DeformConv"


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # Pull request 27393 of microsoft/onnxruntime brought both kernels. On the CPUs before it, the probe
        # takes gather a fifth (1.23) or a tenth (1.18) of the time of gridsample; on a GPU it needs no more
        # than Gather and MatMul.
        "cpu": Rule("ONNX Runtime", (1, 25), "gather"),
        "cuda": Rule("ONNX Runtime", (1, 25), "gather"),
        "openvino": Rule("OpenVINO"),
        # By the change log of onnx-tensorrt; GridSample is there since 8.5.
        "tensorrt": Rule("TensorRT", (10, 1), "gridsample"),
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a file is made for.

    Attributes
    ----------
    runtime : str
        As ``--runtime`` takes it.
    version : str
        Of ONNX Runtime, or of TensorRT; empty for a current one.
    """

    runtime: str
    version: str = ""

    @property
    def name(self) -> str:
        """The runtime without its device."""
        return self.runtime.partition(":")[0]


PRECISION_ADVICE: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        # Issue 24807 of microsoft/onnxruntime.
        ("cuda", "int8"): "the CUDA provider has no int8 convolutions: take fp16, or --for tensorrt",
        ("cpu", "fp16"): "a CPU has no float16 arithmetic and widens this file: take fp32 or int8",
        ("openvino", "fp16"): "OpenVINO on a CPU widens this file: take fp32 or int8",
    }
)
"""What to know of a runtime and the file's precision."""


@dataclass(frozen=True, slots=True)
class LoweringPlan:
    """A choice and its reason, in words for the user."""

    lowering: str
    reason: str


def parse_target(text: str) -> Target:
    """Read ``RUNTIME`` or ``RUNTIME@VERSION``, as in ``cpu@1.23``.

    Raises
    ------
    InvalidInputError
        If the version is none, or the runtime has no version to tell.
    """
    runtime, at, version = text.partition("@")
    target = Target(runtime, version)
    rule = RULES.get(target.name)
    if at and (rule is None or not rule.native_since):
        versioned = ", ".join(name for name, rule in RULES.items() if rule.native_since)
        raise InvalidInputError(f"{text!r}: a version matters for {versioned} only, as in cpu@1.23")
    if at and not re.fullmatch(r"\d+(\.\d+)*", version):
        raise InvalidInputError(f"{text!r}: {version!r} is not a version, as in {runtime}@1.23")
    return target


def plan_lowering(target: Target, probed: Iterable[ProbeResult]) -> LoweringPlan:
    """Choose the lowering for a runtime.

    Parameters
    ----------
    target : Target
    probed : iterable of ProbeResult
        Of that runtime on this machine; none where it is not here, or another version is meant.

    Raises
    ------
    InvalidInputError
        If there is neither a rule for the runtime nor a lowering that it computes exactly here.
    """
    results = list(probed)
    exact = sorted((result.best_ms or 0.0, result.lowering) for result in results if result.exact)
    rule = RULES.get(target.name)
    by_rule, why = rule.choose(target.version) if rule else ("", "")
    if not exact:
        reasons = _reasons(results)
        if not rule:
            raise InvalidInputError(
                f"there is no rule for runtime {target.name}, and no lowering that it computes exactly here "
                f"({reasons or 'it is not installed'}): choose one with --deform-conv"
            )
        return LoweringPlan(by_rule, f"{why}; by rule, {reasons or 'not probed here'}")
    times = ", ".join(f"{name} {ms:.2f} ms" for ms, name in exact)
    best_ms, best = exact[0]
    ruled_ms = next((ms for ms, name in exact if name == by_rule), None)
    if ruled_ms is not None and best_ms > CLEARLY_FASTER * ruled_ms:
        return LoweringPlan(by_rule, f"{why}; exact in a probe here ({times})")
    return LoweringPlan(best, f"the fastest of those exact in a probe of {target.runtime} here ({times})")


def _reasons(results: list[ProbeResult]) -> str:
    """Say why each lowering is out; once, where it is for one reason."""
    reasons = {result.lowering: result.reason or "not exact" for result in results}
    if len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{lowering}: {reason}" for lowering, reason in reasons.items())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
