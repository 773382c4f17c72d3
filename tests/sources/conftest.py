from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

SIZE = (64, 48)
MakeVideo = Callable[..., Path]


def noise(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Noise, which gives every frame some bytes, above a flat field whose grey grows with the index."""
    width, height = size
    image = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[height // 2 :] = 8 + 4 * index
    return image


@pytest.fixture
def index_of() -> Callable[[np.ndarray], int]:
    """The index of the frame that :func:`noise` made."""
    return lambda image: round((float(image[image.shape[0] * 3 // 4 :].mean()) - 8) / 4)


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    def make(
        name: str,
        frame_count: int = 60,
        codec: str = "libx264",
        *,
        muxer: dict[str, str] | None = None,
        form: str | None = None,
        times_ms: Sequence[int] | None = None,
        options: dict[str, str] | None = None,
        rate: int = 25,
        sizes: Sequence[tuple[int, int]] = (SIZE,),
        pixel_aspect: Fraction | None = None,
        sound_s: tuple[float, float] | None = None,
        draw: Callable[[int, tuple[int, int]], np.ndarray] = noise,
    ) -> Path:
        """One video stream of each size, and sound between two times."""
        path = tmp_path / name
        packets = []
        with av.open(str(path), "w", format=form, options=muxer or {}) as container:
            encoder = {"g": "12", "preset": "ultrafast", "crf": "12"} if codec == "libx264" else {}
            streams = [
                container.add_stream(codec, rate=rate, options=encoder | (options or {})) for _ in sizes
            ]
            for stream, size in zip(streams, sizes, strict=True):
                (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
                if pixel_aspect is not None:
                    stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = pixel_aspect
                if times_ms is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            sound = None if sound_s is None else container.add_stream("aac", rate=44100, layout="mono")
            for stream, size in zip(streams, sizes, strict=True):
                for index in range(frame_count):
                    yuv = cv2.cvtColor(draw(index, size), cv2.COLOR_BGR2YUV_I420)
                    frame = av.VideoFrame.from_ndarray(yuv, "yuv420p")
                    if times_ms is not None:
                        frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
                    packets += stream.encode(frame)
                packets += stream.encode(None)
            if sound is not None and sound_s is not None:
                for start in range(int(sound_s[0] * 44100), int(sound_s[1] * 44100), 1024):
                    silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                    silence.sample_rate, silence.pts, silence.time_base = 44100, start, Fraction(1, 44100)
                    packets += sound.encode(silence)
                packets += sound.encode(None)
            for packet in sorted(packets, key=lambda one: float(one.dts * one.time_base)):
                container.mux(packet)
        return path

    return make


@pytest.fixture
def make_images() -> Callable[..., Path]:
    def make(folder: Path, names: Sequence[str], size: tuple[int, int] = SIZE) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for index, name in enumerate(names):
            assert cv2.imwrite(str(folder / name), noise(index, size))
        return folder

    return make
