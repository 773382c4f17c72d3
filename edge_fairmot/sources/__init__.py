"""Where frames come from: :func:`open_source` finds the source that a path or an address means."""

from edge_fairmot.benchmarks.street.source import SyntheticSource
from edge_fairmot.protocols import SourceState
from edge_fairmot.sources.gstreamer import GStreamerSource
from edge_fairmot.sources.images import ImageFolderSource, SequenceSource
from edge_fairmot.sources.live import PacedSource, ReconnectConfig, ReconnectingSource, open_live_source
from edge_fairmot.sources.network import NetworkOptions, NetworkSource
from edge_fairmot.sources.opening import is_camera, open_pictures, open_source, shown_name
from edge_fairmot.sources.picamera import PicameraOptions, PicameraSource
from edge_fairmot.sources.v4l2 import DeviceOptions, DeviceSource
from edge_fairmot.sources.video import VideoSource

__all__ = [
    "DeviceOptions",
    "DeviceSource",
    "GStreamerSource",
    "ImageFolderSource",
    "NetworkOptions",
    "NetworkSource",
    "PacedSource",
    "PicameraOptions",
    "PicameraSource",
    "ReconnectConfig",
    "ReconnectingSource",
    "SequenceSource",
    "SourceState",
    "SyntheticSource",
    "VideoSource",
    "is_camera",
    "open_live_source",
    "open_pictures",
    "open_source",
    "shown_name",
]
