from collections.abc import Callable
from typing import Any

import pytest

from edge_fairmot.benchmarks.street import Street, StreetOptions

Streets = Callable[..., Street]


@pytest.fixture(scope="session")
def streets() -> Streets:
    """Open small streets by their options, each only once."""
    opened: dict[StreetOptions, Street] = {}

    def open_one(**options: Any) -> Street:
        chosen = StreetOptions(**{"size": (320, 180), **options})
        if chosen not in opened:
            opened[chosen] = Street(chosen)
        return opened[chosen]

    return open_one
