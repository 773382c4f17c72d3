"""Make ``people.webp``, the README's moving picture: the bundled clip, tracked.

    python docs/pictures/make_people.py

The clip is of Intel's sample videos, CC BY 4.0. PyAV writes the picture; nothing else is needed.
"""

import tempfile
from fractions import Fraction
from pathlib import Path

import av

from edge_fairmot.bundled import bundled_clip
from edge_fairmot.cli.track import track

WIDTH, EVERY, FIRST = 640, 2, 62


def main() -> None:
    """Track the clip, and write every second frame of its second half."""
    with tempfile.TemporaryDirectory() as folder:
        track(str(bundled_clip()), output=Path(folder) / "out", preset="bytetrack")
        with (
            av.open(str(Path(folder) / "out" / "video.mp4")) as video,
            av.open(str(Path(__file__).with_name("people.webp")), "w", format="webp") as picture,
        ):
            source = video.streams.video[0]
            rate = Fraction(source.average_rate or 25) / EVERY
            stream = picture.add_stream(
                "libwebp_anim", rate=rate, options={"quality": "85", "compression_level": "6", "loop": "0"}
            )
            stream.width, stream.height = WIDTH, round(WIDTH * source.height / source.width / 2) * 2
            stream.pix_fmt = "yuv420p"
            for number, frame in enumerate(video.decode(source)):
                if number >= FIRST and number % EVERY == 0:
                    image = frame.reformat(stream.width, stream.height, "yuv420p")
                    image.pts, image.time_base = (number - FIRST) // EVERY, 1 / rate
                    picture.mux(stream.encode(image))
            picture.mux(stream.encode(None))


if __name__ == "__main__":
    main()
