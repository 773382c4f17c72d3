"""Network cameras: real servers on this machine, and what goes wrong with them."""

from __future__ import annotations

import base64
import io
import itertools
import logging
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edge_fairmot.errors import EdgeFairmotError, InvalidInputError, SourceError
from edge_fairmot.sources import (
    NetworkOptions,
    ReconnectConfig,
    ReconnectingSource,
    open_source,
)
from edge_fairmot.sources.live import Connection
from edge_fairmot.sources.network import NetworkSource
from edge_fairmot.types import Frame

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
HURRIED = NetworkOptions(open_timeout_s=2.0, read_timeout_s=0.7)
MOTION_JPEG = "multipart/x-mixed-replace; boundary=frame"
FAST = ReconnectConfig(first_wait_s=0.05, longest_wait_s=0.2, stall_s=3.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def has_rtsp_server() -> None:
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if (
        not os.path.exists(SYSTEM_PYTHON)
        or subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False).returncode
    ):
        pytest.skip(
            "needs GStreamer's RTSP server: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 "
            "gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"
        )


@contextmanager
def rtsp_camera(
    port: int, *options: str, size: str = "320x240", fps: str = "10"
) -> Iterator[subprocess.Popen]:
    command = [SYSTEM_PYTHON, str(SERVER), str(port), size, fps, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert int(server.stdout.readline()) == port
            yield server
        finally:
            server.kill()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_gives_moving_frames_with_the_camera_s_times(has_rtsp_server: None, transport: str) -> None:
    port = free_port()
    with rtsp_camera(port), open_source(f"rtsp://127.0.0.1:{port}/live?transport={transport}") as source:
        info = source.info
        frames = list(itertools.islice(source, 8))
    assert (info.frame_size, info.frame_rate, info.frame_count, info.live) == ((320, 240), 10.0, None, True)
    assert [frame.index for frame in frames] == list(range(8))
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx([0.1] * 7, abs=0.002)
    # A white ball on black, somewhere else each time.
    whites = [np.argwhere(frame.image[..., 1] > 128).mean(axis=0) for frame in frames]
    assert np.ptp(whites, axis=0).max() > 5


def test_a_password_opens_and_is_nowhere_to_be_seen(
    has_rtsp_server: None, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    config = ReconnectConfig(first_wait_s=0.05, longest_wait_s=0.1, give_up_s=0.01)
    with rtsp_camera(port, "admin", "hunter2"), caplog.at_level(logging.DEBUG):
        with open_source(f"rtsp://admin:hunter2@127.0.0.1:{port}/live") as source:
            assert next(iter(source)).image.shape == (240, 320, 3)
            shown = [repr(source.info)]
        wrong = f"rtsp://admin:hunter2x@127.0.0.1:{port}/live?token=hunter2"
        with pytest.raises(SourceError, match=r"401 Unauthorized") as caught:
            open_source(wrong)
        assert caught.value.__context__ is None  # FFmpeg's own error holds the whole address
        with (
            pytest.raises(SourceError) as given_up,
            ReconnectingSource("camera", lambda: open_source(wrong), config) as lost,
        ):
            next(iter(lost))
        shown += [str(caught.value), str(given_up.value), lost.state().message, caplog.text]
    assert "hunter2" not in "".join(shown)


@contextmanager
def silent_server() -> Iterator[int]:
    """Accept every connection and answer nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    accepted.append(listener.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for one in accepted:
            one.close()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_says_nothing_is_left_in_time(scheme: str) -> None:
    with silent_server() as port, pytest.raises(SourceError, match=r"nothing came for 0\.5 s"):
        NetworkSource(f"{scheme}://127.0.0.1:{port}/live", NetworkOptions(open_timeout_s=0.5))


def test_no_server_is_an_error_at_once() -> None:
    with pytest.raises(
        SourceError, match=r"rtsp://127.0.0.1:\d+/live cannot be opened \(Connection refused\)"
    ):
        NetworkSource(f"rtsp://127.0.0.1:{free_port()}/live")


def read(source: NetworkSource) -> tuple[list[Frame], str]:
    """The frames, and the error after them."""
    frames: list[Frame] = []
    with pytest.raises(SourceError) as caught:
        frames.extend(source)
    return frames, str(caught.value)


Send = Callable[[bytes], None]


@contextmanager
def http_camera(kind: str, feed: Callable[[Send], None], userinfo: str = "") -> Iterator[str]:
    """An HTTP server that sends what ``feed`` does, and then closes; to ``user:password`` where given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = "Basic " + base64.b64encode(userinfo.encode()).decode()
            if userinfo and self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            with suppress(OSError):
                feed(self.wfile.write)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{userinfo + '@' if userinfo else ''}127.0.0.1:{server.server_port}/video"
        finally:
            server.shutdown()
            thread.join()


def drawn(index: int) -> np.ndarray:
    image = np.random.default_rng(index).integers(0, 60, (96, 128, 3), dtype=np.uint8)
    cv2.circle(image, (10 + 3 * index % 100, 48), 8, (255, 255, 255), -1)
    return image


def jpeg(index: int, *, broken: bool = False) -> bytes:
    data = cv2.imencode(".jpg", drawn(index))[1].tobytes()
    return data[:2] + b"no tables, no scan" * 20 + data[-2:] if broken else data


def part(data: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n"


def video(frames: int, size: tuple[int, int] = (128, 96), form: str = "mpegts") -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", "preset": "ultrafast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            yuv = cv2.cvtColor(cv2.resize(drawn(index), size), cv2.COLOR_BGR2YUV_I420)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(yuv, "yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


def test_motion_jpeg_over_http_has_the_time_of_its_arrival() -> None:
    def feed(send: Send) -> None:
        for index in range(100):
            send(part(jpeg(index)))
            time.sleep(0.01 if index < 40 else 0.2)

    with http_camera(MOTION_JPEG, feed) as address, open_source(address) as source:
        frames = list(itertools.islice(source, 44))
    assert source.info.frame_size == (128, 96)
    steps = np.diff([frame.time_s for frame in frames])[-2:]
    assert (steps > 0.1).all(), steps  # not the 1/25 s that FFmpeg makes up


@pytest.mark.parametrize(
    ("boundary", "change"),
    [
        ("--frame", lambda data: data),
        ('"frame"', lambda data: data),
        ("frame", lambda data: data.replace(b"\r\n--frame", b"--frame")),
        ("frame", lambda data: data.replace(b"\r\n", b"\n")),
        ("frame", lambda data: re.sub(rb"Content-Length: \d+\r\n", b"", data)),
        ("frame", lambda data: data.split(b"--frame\r\n", 1)[1]),
    ],
    ids=["dashes", "quotes", "no line end", "bare line feed", "no length", "no first boundary"],
)
def test_motion_jpeg_as_cameras_write_it(boundary: str, change: Callable[[bytes], bytes]) -> None:
    stream = change(b"".join(part(jpeg(index)) for index in range(40)))
    with (
        http_camera(f"multipart/x-mixed-replace; boundary={boundary}", lambda send: send(stream)) as address,
        NetworkSource(address.replace("http", "HTTP"), HURRIED) as source,
    ):
        frames = list(itertools.islice(source, 20))
    assert len(frames) == 20
    assert all(np.abs(frame.image.astype(int) - drawn(frame.index)).mean() < 12 for frame in frames)


def test_an_address_that_answers_with_one_image_is_asked_again() -> None:
    count = itertools.count()
    with (
        http_camera("image/jpeg", lambda send: send(jpeg(next(count)))) as address,
        NetworkSource(address, HURRIED) as source,
    ):
        frames = list(itertools.islice(source, 4))
    assert (source.info.frame_rate, source.info.live) == (5.0, True)
    assert (np.diff([frame.time_s for frame in frames])[1:] > 0.1).all()
    assert len({frame.image.tobytes() for frame in frames}) == 4


@pytest.mark.parametrize("password", ["p@ss", "p#ss", "p/ss", "p?ss", "p%ss", "p@ss#1/%?"])
def test_a_password_may_hold_any_character(password: str) -> None:
    with http_camera("video/mp2t", lambda send: send(video(30)), f"user:{password}") as address:
        with NetworkSource(address, HURRIED) as source:
            assert next(iter(source)).image.shape == (96, 128, 3)
        with pytest.raises(
            SourceError, match=r"401 Unauthorized.*in a password write % / . # @ as %25"
        ) as caught:
            NetworkSource(address.replace("user:", "other:"), HURRIED)
    assert password not in str(caught.value) + source.info.name


def test_frames_that_cannot_be_decoded_are_passed_over() -> None:
    stream = b"".join(part(jpeg(index, broken=index % 5 == 4)) for index in range(30))
    with http_camera(MOTION_JPEG, lambda send: send(stream)) as address, NetworkSource(address) as source:
        frames, message = read(source)
    assert "gives no more frames" in message or "ended after" in message
    assert [frame.index for frame in frames] == list(range(24))


def broken_after(good: int) -> Callable[[Send], None]:
    """Feed so many images, then such as cannot be decoded, for as long as the connection holds."""

    def feed(send: Send) -> None:
        for index in itertools.count():
            send(part(jpeg(index, broken=index >= good)))
            time.sleep(0.02 if index >= good else 0)

    return feed


def test_a_stream_that_cannot_be_decoded_any_more_is_released() -> None:
    with http_camera(MOTION_JPEG, broken_after(20)) as address:
        connection = Connection(lambda: NetworkSource(address, HURRIED))
        connection.wait_open(20)
        assert connection.next_frame(20).index < 20
        time.sleep(0.5)
        connection.close()
        connection.join(5)
        assert not connection.is_stuck


def test_a_stream_without_a_frame_is_not_open() -> None:
    hurried = NetworkOptions(open_timeout_s=1.5, read_timeout_s=0.5)
    with (
        http_camera(MOTION_JPEG, broken_after(0)) as address,
        pytest.raises(SourceError, match="sends nothing that can be decoded"),
    ):
        NetworkSource(address, hurried)


def test_a_stream_that_is_cut_off_gives_what_came_and_goes_on_with_the_next() -> None:
    whole = video(60)
    with http_camera("video/mp2t", lambda send: send(whole[: len(whole) * 2 // 3])) as address:
        with NetworkSource(address) as source:
            frames, message = read(source)
        assert (20 < len(frames) < 60, "gives no more frames" in message) == (True, True)
        frames = []
        with ReconnectingSource("camera", lambda: NetworkSource(address), FAST) as again:
            for frame in again:
                frames.append(frame)
                if again.state().reconnects == 2:
                    break
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})


def test_a_damaged_stream_is_read_past_its_damage() -> None:
    damaged = bytearray(video(100))
    random = np.random.default_rng(5)
    for at in random.integers(len(damaged) // 5, len(damaged) * 4 // 5, 60).tolist():
        damaged[at : at + 20] = random.bytes(20)
    with (
        http_camera("video/mp2t", lambda send: send(bytes(damaged))) as address,
        NetworkSource(address) as source,
    ):
        frames, _ = read(source)
    assert 40 < len(frames) <= 100
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times))
    assert times[-1] - times[0] > 3.5  # up to the end of the 4 s


def test_a_stream_that_changes_its_size_goes_on() -> None:
    both = video(30) + video(30, (64, 48))
    with http_camera("video/mp2t", lambda send: send(both)) as address, NetworkSource(address) as source:
        frames, _ = read(source)
    shapes = [frame.image.shape for frame in frames]
    assert shapes.count((96, 128, 3)) > 25
    assert shapes[-1] == (48, 64, 3)
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times))


def test_bytes_that_are_no_video_are_refused() -> None:
    with (
        http_camera("video/mp2t", lambda send: send(b"\0nonsense" * 4000)) as address,
        pytest.raises(SourceError, match=r"cannot be opened|no video|before its first frame"),
    ):
        NetworkSource(address)


def test_a_recording_is_no_camera() -> None:
    recording = video(50, form="matroska")
    with (
        http_camera("video/x-matroska", lambda send: send(recording)) as address,
        pytest.raises(InvalidInputError, match="is a recording of 2 s, no camera: download it"),
    ):
        NetworkSource(address)


def test_closing_from_elsewhere_ends_a_read_with_its_timeout() -> None:
    whole, done = video(30), threading.Event()

    def feed(send: Send) -> None:
        send(whole)
        done.wait(30)

    with http_camera("video/mp2t", feed) as address:
        source = NetworkSource(address, HURRIED)
        frames = iter(source)
        next(frames)
        threading.Timer(0.2, source.close).start()
        began_s = time.monotonic()
        rest = list(frames)  # ends without an error: it was asked to
        assert time.monotonic() - began_s < 20
        done.set()
    assert len(rest) < 30
    with pytest.raises(SourceError, match="was read or closed already"):
        iter(source)


@pytest.mark.parametrize(
    ("address", "options", "complaint"),
    [
        ("rtsp://u:hunter2@cam/live?transport=smoke", None, "transport must be one of tcp, udp, not 'smoke'"),
        ("ftp://u:hunter2@cam/live", None, "is no address"),
        ("rtsp://cam", {"read_timeout_s": 0}, "read_timeout_s must be above 0"),
    ],
)
def test_wrong_options_are_one_line(address: str, options: dict[str, float] | None, complaint: str) -> None:
    with pytest.raises(EdgeFairmotError, match=complaint) as caught:
        NetworkSource(address, NetworkOptions(**options) if options else None)
    assert "hunter2" not in str(caught.value)
