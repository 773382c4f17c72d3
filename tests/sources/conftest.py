from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

SIZE = (64, 48)
MakeVideo = Callable[..., Path]


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Noise, which gives every frame some bytes, above a flat field whose grey grows with the index."""
    width, height = size
    image = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[height // 2 :] = 8 + 4 * index
    return image


@pytest.fixture
def picture_at() -> Callable[[np.ndarray], int]:
    return _picture_index


def _picture_index(image: np.ndarray) -> int:
    return round((float(image[image.shape[0] * 3 // 4 :].mean()) - 8) / 4)


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    av = pytest.importorskip("av", reason="test videos are made with PyAV")

    def make(
        name: str,
        frame_count: int = 60,
        codec: str = "libx264",
        *,
        movflags: str = "",
        times_ms: Sequence[int] | None = None,
        options: dict[str, str] | None = None,
        rate: int = 25,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
            encoder = {"g": "12", "preset": "ultrafast", "crf": "12"} if codec == "libx264" else {}
            stream = container.add_stream(codec, rate=rate, options=encoder | (options or {}))
            stream.width, stream.height = SIZE
            stream.pix_fmt = "yuv420p"
            if times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for index in range(frame_count):
                yuv = cv2.cvtColor(picture(index), cv2.COLOR_BGR2YUV_I420)
                frame = av.VideoFrame.from_ndarray(yuv, "yuv420p")
                if times_ms is not None:
                    frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def make_pictures() -> Callable[..., Path]:
    def make(folder: Path, names: Sequence[str], size: tuple[int, int] = SIZE) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for index, name in enumerate(names):
            assert cv2.imwrite(str(folder / name), picture(index, size))
        return folder

    return make
