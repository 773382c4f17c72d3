"""Whether the system holds the processor back: by heat, by power, or by a container's quota."""

from __future__ import annotations

from pathlib import Path

from edge_fairmot.system import (
    ROOT,
    count_heat_events,
    count_quota_events,
    describe_throttle_bits,
    read_throttle_bits,
)


class ThrottleGauge:
    """Tells of throttling since it was last asked.

    Parameters
    ----------
    root : Path
        Where ``sys`` is.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._before = self._count()

    def throttled(self) -> bool | None:
        """Whether the processor was held back since the last call, or is now; None where it is not told."""
        before, self._before = self._before, self._count()
        now = read_throttle_bits()
        if self._before is None and now is None:
            return None
        return (self._before or 0) > (before or 0) or bool(describe_throttle_bits(now or 0))

    def _count(self) -> int | None:
        counts = (count_heat_events(self._root, "*"), count_quota_events(self._root))
        told = [count for count in counts if count is not None]
        return sum(told) if told else None
