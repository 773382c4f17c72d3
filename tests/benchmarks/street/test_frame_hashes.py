"""Frames and ground truth stay what the bundled model was trained on, to the pixel.

As a script, this file writes frame_hashes.json again: a new hash means another training set.
"""

import hashlib
import json
import platform
from pathlib import Path

import cv2
import pytest

from edge_fairmot.benchmarks.street import Street, parse_street

HASHES = Path(__file__).with_name("frame_hashes.json")
SPECS = (
    "synthetic:size=576x320,shake=1,light=0.5",
    "synthetic:seed=3,size=960x540,people=50",
    "synthetic:seed=7,size=1280x720,fps=10",
    "synthetic:seed=3,size=65x301,people=8,shake=5",
    "synthetic:size=801x67,people=8,light=1",
)
INDICES = (0, 1, 7, 100, 499)
AVX2 = 11  # cv2.CPU_AVX2; the name is not in OpenCV's Python module


def drawing_code() -> str:
    """OpenCV version and instruction set: a few pixels differ by 1 between two of them."""
    version = ".".join(cv2.__version__.split(".")[:2])
    machine = platform.machine() + (" with AVX2" if cv2.checkHardwareSupport(AVX2) else "")
    return f"OpenCV {version} on {machine}"


def hash_street(spec: str) -> dict[str, list[str]]:
    """SHA-256 of the image and of the ground truth of each frame, by frame index."""
    street = Street(parse_street(spec))
    hashes = {}
    for index in INDICES:
        image, truth = street.frame(index)
        columns = (truth.ids, truth.xyxy, truth.visibility, truth.foot_points)
        hashes[str(index)] = [
            hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
            for arrays in ((image,), columns)
        ]
    return hashes


@pytest.mark.parametrize("spec", SPECS)
def test_frames_and_ground_truth_are_as_they_were(spec: str) -> None:
    known = json.loads(HASHES.read_text())
    if drawing_code() != known["drawing_code"]:
        pytest.skip(f"the hashes were made with {known['drawing_code']}, this is {drawing_code()}")
    assert hash_street(spec) == known[spec]


if __name__ == "__main__":
    made = {"drawing_code": drawing_code(), **{spec: hash_street(spec) for spec in SPECS}}
    HASHES.write_text(json.dumps(made, indent=1) + "\n")
