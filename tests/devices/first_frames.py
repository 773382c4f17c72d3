"""Write the first frames of a video as PNG: first_frames.py VIDEO COUNT FOLDER."""

import sys
from itertools import islice
from pathlib import Path

import cv2

from edge_fairmot.sources import open_source

video, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
with open_source(video) as source:
    for frame in islice(source, count):
        cv2.imwrite(str(folder / f"{frame.index:06d}.png"), frame.image)
