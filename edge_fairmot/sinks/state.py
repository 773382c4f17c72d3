"""How the outputs of a run are doing, for whoever tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Outputs: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Outputs that go on after an error, by name: ``trouble`` is why one gives nothing now, empty where it does;
what begins with ``missed_`` counts what was lost."""
