"""The page of a run: live image, tracks, counts, drawing of lines and zones, JSON, metrics for Prometheus.

The loop hands each frame to :class:`WebSink` and goes on. One thread encodes the newest frame when a client
is ready for it, and another one is the HTTP server.
"""

from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.service.web.drawing import saved_drawing
from edge_fairmot.service.web.sink import CameraHistory, CameraPage, WebMosaic, WebSink

__all__ = ["CameraHistory", "CameraPage", "WebConfig", "WebMosaic", "WebSink", "saved_drawing"]
