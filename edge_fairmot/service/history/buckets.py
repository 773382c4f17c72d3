"""Minutes, hours and days of a zone: where each begins and ends, also on days of 23 or 25 hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Literal

By = Literal["minute", "hour", "day"]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Begin and end of the bucket of a moment, in seconds since 1970; in this machine's zone without another.

    The hour that comes twice in a year is two buckets.
    """

    by: By
    zone: tzinfo | None = None

    def floor(self, seconds: float) -> int:
        """Return the begin of the bucket in which a moment is."""
        if self.by == "minute":
            return int(seconds // 60 * 60)
        # Without a zone the time is naive, and Python knows this machine's rules for it.
        local = datetime.fromtimestamp(seconds, self.zone)
        begin = local.replace(minute=0, second=0, microsecond=0)
        if self.by == "day":
            begin = begin.replace(hour=0, fold=0)
        return round(begin.timestamp())

    def next(self, begin: int) -> int:
        """Return the end of the bucket that begins then."""
        if self.by == "minute":
            return begin + 60
        if self.by == "hour":
            end = self.floor(begin + 3600)
            return end if end > begin else begin + 3600
        day = datetime.fromtimestamp(begin + 4 * 3600, self.zone) + timedelta(days=1)
        return round(day.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp())

    def time(self, seconds: float) -> datetime:
        """Return a moment in this zone."""
        return datetime.fromtimestamp(seconds, timezone.utc).astimezone(self.zone)
