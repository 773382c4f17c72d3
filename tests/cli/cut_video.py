"""Write the first frames of a video with its index in front, then cut the file short.

Usage: cut_video.py VIDEO OUTPUT FRAMES SHARE
"""

import sys
from fractions import Fraction
from pathlib import Path

import av

source, output, frames, share = sys.argv[1:]
with av.open(source) as reader, av.open(output, "w", options={"movflags": "faststart"}) as writer:
    stream = writer.add_stream("libx264", rate=25, options={"g": "5"})
    stream.width, stream.height = reader.streams.video[0].width, reader.streams.video[0].height
    for index, frame in enumerate(reader.decode(video=0)):
        if index == int(frames):
            break
        image = frame.reformat(format="yuv420p")
        image.pts = index
        image.time_base = Fraction(1, 25)
        writer.mux(stream.encode(image))
    writer.mux(stream.encode(None))
path = Path(output)
path.write_bytes(path.read_bytes()[: int(path.stat().st_size * float(share))])
