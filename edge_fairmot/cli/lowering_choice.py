"""What ``edge-fairmot convert`` makes of ``--for`` and ``--deform-conv``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_fairmot.cli.console import stderr, warn
from edge_fairmot.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_fairmot.runtimes.lowering_plan import LoweringPlan, Target
    from edge_fairmot.runtimes.probe import ProbeResult

AUTO = "auto"


def choose_lowering(deform_conv: str, target: str | None, precision: str) -> LoweringPlan:
    """Choose how deformable convolutions are lowered; warns where the precision does not suit the runtime.

    Parameters
    ----------
    deform_conv : str
        A lowering, or ``auto``.
    target : str or None
        What will run the file, as in ``cpu@1.23``.
    precision : str
        Of the file.

    Raises
    ------
    InvalidInputError
        If there is no such lowering or runtime, or both are given.
    """
    from edge_fairmot.runtimes.lowering_plan import (
        PRECISION_ADVICE,
        LoweringPlan,
        parse_target,
        plan_lowering,
    )
    from edge_fairmot.runtimes.probe_layer import LOWERINGS

    if deform_conv not in (AUTO, *LOWERINGS):
        raise InvalidInputError(f"--deform-conv {deform_conv!r}: choose from {', '.join((AUTO, *LOWERINGS))}")
    if target is None:
        # The fastest, and ONNX Runtime from 1.25, OpenVINO and TensorRT from 10.1 run it.
        return LoweringPlan("native" if deform_conv == AUTO else deform_conv, "")
    if deform_conv != AUTO:
        raise InvalidInputError(
            f"--for {target} and --deform-conv {deform_conv} both choose the lowering: give one"
        )
    wanted = parse_target(target)
    plan = plan_lowering(wanted, _probe(wanted))
    if (wanted.name, precision) in PRECISION_ADVICE:
        warn(PRECISION_ADVICE[wanted.name, precision])
    return plan


def _probe(target: Target) -> list[ProbeResult]:
    """Probe the runtime if it is here, and no other version of it is meant."""
    from edge_fairmot.runtimes import list_runtimes
    from edge_fairmot.runtimes.probe import probe

    rows = {row.name: row for row in list_runtimes() if row.choices or not row.available}
    if target.name not in rows:
        raise InvalidInputError(f"--for {target.runtime!r}: choose from {', '.join(rows)}")
    if target.version or not rows[target.name].available:
        return []
    with stderr.status(f"probing {target.runtime} ..."):
        return list(probe(target.runtime))
