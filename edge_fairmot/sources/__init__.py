"""Sources of frames. :func:`open_source` opens the source of a path or an address."""

from edge_fairmot.protocols import SourceState
from edge_fairmot.sources.av import VideoSource
from edge_fairmot.sources.base import SourceOptions
from edge_fairmot.sources.live import PacedSource, ReconnectConfig, ReconnectingSource, open_live_source
from edge_fairmot.sources.network import NetworkOptions
from edge_fairmot.sources.opening import is_camera, open_images, open_source, redacted_name

__all__ = [
    "NetworkOptions",
    "PacedSource",
    "ReconnectConfig",
    "ReconnectingSource",
    "SourceOptions",
    "SourceState",
    "VideoSource",
    "is_camera",
    "open_images",
    "open_live_source",
    "open_source",
    "redacted_name",
]
