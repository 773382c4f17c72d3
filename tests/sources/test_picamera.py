"""Raspberry Pi cameras, before a double of picamera2 that is held against the real package's source."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SourceError
from edge_fairmot.sources import ReconnectConfig, ReconnectingSource, open_source
from edge_fairmot.sources.picamera import PicameraOptions, parse_picamera

BLUE = (200, 40, 20)
STRIDE = 64
"""Rows of the small image are padded to a multiple of this."""


class CompletedRequest:
    def __init__(self, camera: Picamera2) -> None:
        self._camera = camera
        camera.held += 1

    def get_metadata(self):
        return {"SensorTimestamp": time.monotonic_ns() - 30_000_000, "FrameDuration": 50_000}

    def make_array(self, name):
        stream = self._camera.configuration[name]
        width, height = stream["size"]
        if stream["format"] == "RGB888":  # bytes in memory are blue, green, red
            return np.full((height, width, 3), BLUE, np.uint8)
        assert stream["format"] == "YUV420"
        padded = np.zeros((height, -(-width // STRIDE) * STRIDE, 3), np.uint8)
        padded[:, :width] = BLUE
        return cv2.cvtColor(padded, cv2.COLOR_BGR2YUV_I420)

    def release(self):
        self._camera.held -= 1


class Picamera2:
    made: list[Picamera2] = []  # noqa: RUF012
    focuses = True
    absent = False

    def __init__(self, camera_num=0, verbose_console=None, tuning=None, allocator=None):
        if self.absent:
            raise RuntimeError(f"No camera number {camera_num} found")
        self.camera_num, self.held, self.closed, self.started = camera_num, 0, 0, False
        self.broken = False
        self.controls: dict[str, Any] = {}
        self.unplugged, self._cancelled = threading.Event(), threading.Event()
        self.made.append(self)

    @property
    def camera_controls(self):
        return {"FrameDurationLimits": (1, 2, None)} | ({"AfMode": (0, 2, 0)} if self.focuses else {})

    def create_video_configuration(  # noqa: PLR0917
        self,
        main={},  # noqa: B006
        lores=None,
        raw={},  # noqa: B006
        transform=None,
        colour_space=None,
        buffer_count=6,
        controls={},  # noqa: B006
        display="main",
        encode="main",
        queue=True,
        sensor={},  # noqa: B006
        use_case="video",
    ):
        return {"main": main, "lores": lores, "transform": transform, "controls": controls}

    def configure(self, camera_config=None):
        self.configuration = camera_config

    def stream_configuration(self, name="main"):
        return self.configuration[name]

    def set_controls(self, controls):
        self.controls |= controls

    def start(self, config=None, show_preview=False):
        self.started = True

    def capture_request(self, wait=None, signal_function=None, flush=None):
        self._cancelled.clear()
        if self.broken:
            raise RuntimeError("libcamera has failed")
        if self.unplugged.is_set():
            if self._cancelled.wait(min(wait, 0.3)):
                raise CancelledError
            raise FutureTimeoutError
        time.sleep(0.01)
        return CompletedRequest(self)

    def cancel_all_and_flush(self):
        self._cancelled.set()

    def close(self):
        assert self.held == 0
        self.closed += 1


def transform(hflip=False, vflip=False):
    return hflip, vflip


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    modes = SimpleNamespace(Manual="manual", Continuous="continuous")
    libcamera = SimpleNamespace(Transform=transform, controls=SimpleNamespace(AfModeEnum=modes))
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Picamera2))
    monkeypatch.setattr(Picamera2, "made", [])
    return Picamera2


def parameters_of(definition: ast.FunctionDef) -> list[tuple[str, str]]:
    """Names and defaults; those that libcamera makes are not compared."""
    arguments = definition.args
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    return [
        (argument.arg, "" if default is None else ast.unparse(default))
        for argument, default in zip(arguments.args, defaults, strict=True)
    ]


@pytest.mark.parametrize("double", [Picamera2, CompletedRequest])
def test_the_double_has_the_signatures_of_the_real_package(double: type) -> None:
    found = importlib.util.find_spec("picamera2")
    if found is None or found.origin is None:
        pytest.skip("needs the source of picamera2: pip install --no-deps picamera2==0.3.38")
    module = {"Picamera2": "picamera2.py", "CompletedRequest": "request.py"}[double.__name__]
    tree = ast.parse((Path(found.origin).parent / module).read_text())
    (real,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == double.__name__)
    theirs = {node.name: node for node in real.body if isinstance(node, ast.FunctionDef)}  # the last overload
    ours = ast.parse(inspect.getsource(double)).body[0]
    assert isinstance(ours, ast.ClassDef)
    methods = [node for node in ours.body if isinstance(node, ast.FunctionDef)]
    assert methods
    for method in methods:
        if double is CompletedRequest and method.name == "__init__":
            continue  # made by the package alone
        real_method = theirs[method.name]
        assert [ast.unparse(one) for one in method.decorator_list] == [
            ast.unparse(one) for one in real_method.decorator_list
        ]
        for (name, default), (their_name, their_default) in zip(
            parameters_of(method), parameters_of(real_method), strict=True
        ):
            assert name == their_name, method.name
            assert default == their_default or "libcamera" in their_default, (method.name, name)


def test_frames_are_blue_green_red_and_stamped_by_the_sensor(camera: type[Picamera2]) -> None:
    with open_source("picamera2:size=320x240,fps=20") as source:
        assert source.info.frame_size == (320, 240)
        assert (source.info.frame_rate, source.info.live) == (20.0, True)
        frames = iter(source)
        pair = [next(frames), next(frames)]
        assert time.monotonic() - pair[1].time_s >= 0.03
    (used,) = camera.made
    assert [frame.index for frame in pair] == [0, 1]
    assert pair[0].time_s < pair[1].time_s
    assert (pair[0].image == BLUE).all()
    assert pair[0].reduced is None
    assert (used.started, used.closed, used.held) == (True, 1, 0)
    assert used.configuration["controls"] == {"FrameRate": 20.0}
    assert used.configuration["transform"] == (False, False)
    assert used.controls == {"AfMode": "continuous"}


def test_what_the_options_ask_for_comes(camera: type[Picamera2]) -> None:
    with open_source("picamera2:camera=1,size=320x240,lores=160x120,flip=hv,lens=2.5") as source:
        frame = next(iter(source))
    assert frame.reduced is not None
    assert frame.reduced.shape == (120, 160, 3)  # 32 columns of padding are gone
    assert np.abs(frame.reduced.astype(int) - BLUE).max() < 4
    (used,) = camera.made
    assert (used.camera_num, used.configuration["transform"]) == (1, (True, True))
    assert used.controls == {"AfMode": "manual", "LensPosition": 2.5}


def test_a_fixed_lens_is_left_alone(camera: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "focuses", False)
    with open_source("picamera2:"):
        pass
    assert camera.made[0].controls == {}
    with pytest.raises(InvalidInputError, match=r"has a fixed lens: leave lens=2 out"):
        open_source("picamera2:lens=2")
    assert camera.made[1].closed == 1


def test_a_cable_that_comes_loose_is_an_error_and_the_camera_comes_back(camera: type[Picamera2]) -> None:
    config = ReconnectConfig(first_wait_s=0.01, longest_wait_s=0.02)
    with ReconnectingSource("camera", lambda: open_source("picamera2:"), config) as source:
        frames = iter(source)
        next(frames)
        camera.made[0].unplugged.set()
        while source.state().reconnects == 0:
            next(frames)
    assert len(camera.made) == 2
    assert camera.made[0].closed == 1


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (lambda camera: camera.unplugged.set(), "gives no frame for 5 s: check its ribbon cable"),
        (lambda camera: setattr(camera, "broken", True), r"gives no more frames \(libcamera has failed\)"),
    ],
)
def test_a_fault_is_told(fault: Callable[[Picamera2], None], complaint: str, camera: type[Picamera2]) -> None:
    with open_source("picamera2:") as source:
        frames = iter(source)
        next(frames)
        fault(camera.made[0])
        with pytest.raises(SourceError, match=complaint):
            next(frames)


def test_closing_ends_the_wait_for_a_frame(camera: type[Picamera2]) -> None:
    source = open_source("picamera2:")
    camera.made[0].unplugged.set()
    reader = threading.Thread(target=lambda: list(source))
    reader.start()
    time.sleep(0.05)
    source.close()
    source.close()
    reader.join(20)
    assert not reader.is_alive()
    assert camera.made[0].closed == 1


def test_a_camera_that_is_not_there_is_told(camera: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "absent", True)
    with pytest.raises(SourceError, match=r"cannot be opened \(No camera number 0 found\): check the cable"):
        open_source("picamera2:")


def test_without_the_package_the_apt_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libcamera", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_source("picamera2:")
    assert "sudo apt install -y python3-picamera2" in str(caught.value)
    assert "python3 -m venv --system-site-packages" in str(caught.value)


def test_a_package_for_another_numpy_is_told(
    camera: type[Picamera2], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "picamera2")
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"\(numpy.dtype size changed\).*pip install 'numpy<2'"):
        open_source("picamera2:")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("flip=left", "flip must be one of none, h, v, hv, not 'left'"),
        ("size=321x240", "size must be even"),
        ("size=320x240,lores=640x480", "lores must not be larger than size, 320x240"),
        ("camera=-1", "camera must be 0 or more"),
        ("lens=99", "lens must be between 0 and 32"),
        ("fps=2000", "fps must be above 0 and at most 1000"),
    ],
)
def test_options_out_of_range_are_one_line(options: str, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        parse_picamera(f"picamera2:{options}")
    assert parse_picamera("picamera2:") == PicameraOptions() == parse_picamera("picamera2:lens=auto")
