"""Which packages brought ONNX Runtime: more than one is a trap, since all fill the same folder."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from pathlib import Path

TEGRA_RELEASE = Path("/etc/nv_tegra_release")
"""On a Jetson only."""


def ort_packages() -> tuple[str, ...]:
    """List the distributions installed here that bring ``onnxruntime``."""
    return tuple(sorted(set(packages_distributions().get("onnxruntime", ()))))


def explain_conflict(packages: tuple[str, ...]) -> str:
    """Say, without a remedy, what is wrong where there is more than one; empty where there is not.

    Parameters
    ----------
    packages : tuple of str
        From :func:`ort_packages`.
    """
    if len(packages) < 2:
        return ""
    return (
        f"{' and '.join(packages)} overwrite each other's files, "
        "and only the providers of the one installed last are left"
    )


def gpu_install_line(packages: tuple[str, ...], *, jetson: bool) -> str:
    """Write the command that brings the CUDA and TensorRT providers in place of what is there.

    Parameters
    ----------
    packages : tuple of str
        From :func:`ort_packages`.
    jetson : bool
        Whether this is a Jetson, whose wheels come from NVIDIA: see ``TEGRA_RELEASE``.
    """
    wheel = (
        "the onnxruntime-gpu wheel made for your JetPack (examples/jetson)" if jetson else "onnxruntime-gpu"
    )
    removal = f"pip uninstall -y {' '.join(packages)} && " if packages else ""
    return f"{removal}pip install {wheel}"
