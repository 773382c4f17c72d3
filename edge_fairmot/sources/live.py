"""Any source as a live one: a camera so that it comes back, anything else at its own speed."""

from __future__ import annotations

from typing import TypeAlias

from edge_fairmot.sources.network import NetworkOptions
from edge_fairmot.sources.opening import is_camera, open_source, shown_name
from edge_fairmot.sources.paced import PacedSource
from edge_fairmot.sources.reconnecting import ReconnectConfig, ReconnectingSource
from edge_fairmot.street import SPEC_PREFIX

LiveSource: TypeAlias = ReconnectingSource | PacedSource

ENDLESS_STREET = "frames=endless"
"""What a street without a length gets here: as a file's it would end after 20 seconds."""


def open_live_source(
    spec: str, reconnect: ReconnectConfig | None = None, network: NetworkOptions | None = None
) -> LiveSource:
    """Open a source for as long as it is let.

    Parameters
    ----------
    spec : str
        As :func:`edge_fairmot.sources.open_source` takes it. A street without a length is endless.
    reconnect : ReconnectConfig, optional
        When a camera is lost, and how long it is waited for.
    network : NetworkOptions, optional
        For an address.

    Returns
    -------
    ReconnectingSource or PacedSource
        ``time_s`` of its frames is on ``time.monotonic``'s clock; ``state()`` says how it is doing.

    Raises
    ------
    EdgeFairmotError
        What opening it failed with, where trying again would not mend that.
    """
    if is_camera(spec):
        return ReconnectingSource(shown_name(spec), lambda: open_source(spec, network), reconnect)
    if spec.startswith(SPEC_PREFIX) and "frames=" not in spec:
        spec = f"{spec}{'' if spec.endswith((':', ',')) else ','}{ENDLESS_STREET}"
    return PacedSource(open_source(spec))
