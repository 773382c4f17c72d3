"""What a camera sees and what is counted there, on one page: for a phone, a wall, a program or a monitoring.

The loop leaves each frame with :class:`WebSink` and goes on. A thread makes a JPEG of the newest frame when a
viewer is ready for one, and a thread with a server answers. Nothing here needs more than the numpy and OpenCV
of the core until a sink is made.
"""

from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.service.web.sink import WebSink

__all__ = ["WebConfig", "WebSink"]
