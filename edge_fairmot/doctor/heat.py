"""How warm the device is, and whether it is held back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_fairmot.doctor.finding import Finding
from edge_fairmot.system import (
    CAPPED,
    SOFT_LIMIT,
    THROTTLED,
    UNDER_VOLTAGE,
    count_heat_events,
    count_quota_events,
    read_throttle_bits,
    warmest_zone,
)

HOT_C = 80.0
"""A Raspberry Pi slows down from 80 degrees on, most others from 85 to 100."""

SUPPLY_REMEDY = "use the board's own power supply (Pi 4: 5 V, 3 A; Pi 5: 5 V, 5 A) and a short cable"

COOLING_REMEDY = "add a heat sink or a fan, or give it air; meanwhile --target-fps or a smaller model"


def examine_heat(root: Path = Path("/"), vcgencmd: str | None = None) -> Iterator[Finding]:
    """Look at temperatures, power supply and throttling.

    Parameters
    ----------
    root : Path
        Where ``sys`` is.
    vcgencmd : str, optional
        A Raspberry Pi's tool; looked for when not given.
    """
    yield _temperature(root)
    told = read_throttle_bits(vcgencmd)
    if told is not None:
        yield from _raspberry_pi(told)
        return
    yield _kernel_counters(root)


def _temperature(root: Path) -> Finding:
    zone = warmest_zone(root)
    if zone is None:
        return Finding("temperature", "note", "this system tells none")
    hot = zone.celsius >= HOT_C
    text = f"{zone.celsius:.1f} °C ({zone.name})"
    return Finding("temperature", "mend" if hot else "ok", text, COOLING_REMEDY if hot else "")


def _raspberry_pi(bits: int) -> Iterator[Finding]:
    before = bits >> 16
    if (bits | before) & UNDER_VOLTAGE:
        when = "now" if bits & UNDER_VOLTAGE else "since it was started"
        yield Finding("power", "mend", f"the supply gave too little voltage {when}", SUPPLY_REMEDY)
    held = CAPPED | THROTTLED | SOFT_LIMIT
    if bits & held:
        yield Finding(
            "throttling", "mend", "the processor is held back now, by heat or power", COOLING_REMEDY
        )
    elif before & held:
        yield Finding(
            "throttling", "note", "the processor was held back since it was started", COOLING_REMEDY
        )
    elif not (bits | before) & UNDER_VOLTAGE:
        yield Finding("throttling", "ok", "none, and no lack of power, since it was started")


def _kernel_counters(root: Path) -> Finding:
    events, quota = count_heat_events(root), count_quota_events(root)
    if quota:
        return Finding(
            "throttling",
            "note",
            f"this container's share of the processor ran out {quota} times",
            "give the container more (docker run --cpus)",
        )
    if events is None and quota is None:
        return Finding("throttling", "note", "this system does not tell")
    if events:
        return Finding(
            "throttling", "note", f"heat held the cores back {events} times since the start", COOLING_REMEDY
        )
    return Finding("throttling", "ok", "none since the start")
