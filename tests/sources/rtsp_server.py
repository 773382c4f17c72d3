"""An RTSP camera for tests, run by the system's Python, which has GStreamer's bindings: prints its port.

/usr/bin/python3 rtsp_server.py PORT WIDTHxHEIGHT FPS [USER PASSWORD [PICTURES]]

With a folder of JPEGs (00000.jpg ...) of that size it shows those, over and over; else a bouncing ball.
"""

import sys
from itertools import cycle
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! "
    "video/x-raw,format=I420,width={w},height={h},framerate={fps}/1 ! {encoder} name=pay0 pt=96 )"
)
PICTURES = (
    "( appsrc name=pictures is-live=true do-timestamp=true format=time "
    "caps=image/jpeg,width={w},height={h},framerate={fps}/1 ! rtpjpegpay name=pay0 pt=26 )"
)
ENCODERS = {
    "x264enc": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 bitrate=800 "
    "! rtph264pay config-interval=1",
    "jpegenc": "jpegenc ! rtpjpegpay",
}


def show(media, folder, fps):
    """Send the images at their rate, while a client is connected."""
    source = media.get_element().get_by_name("pictures")
    encoded = cycle([path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))])

    def push():
        source.emit("push-buffer", Gst.Buffer.new_wrapped(next(encoded)))
        return media.get_status() != GstRtspServer.RTSPMediaStatus.UNPREPARED

    GLib.timeout_add(1000 // fps, push)


def main(port, size, fps, *rest):
    user, password, pictures = (*rest, "", "", "")[:3]
    Gst.init(None)
    encoder = next(line for name, line in ENCODERS.items() if Gst.ElementFactory.find(name))
    width, height = size.split("x")
    factory = GstRtspServer.RTSPMediaFactory()
    launch = PICTURES if pictures else PIPELINE
    factory.set_launch(launch.format(w=width, h=height, fps=fps, encoder=encoder))
    if pictures:
        factory.connect("media-configure", lambda _, media: show(media, pictures, int(fps)))
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    if user:
        auth = GstRtspServer.RTSPAuth.new()
        token = GstRtspServer.RTSPToken.new()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        structure = Gst.Structure.new_empty("viewer")
        structure.set_value("media.factory.access", True)
        structure.set_value("media.factory.construct", True)
        factory.add_role_from_structure(structure)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit("the port is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
