"""SHA-256 of frames and ground truth of some streets; as a script, write frame_hashes.json again.

The bundled model was trained on these frames: a new hash means another training set.
"""

import hashlib
import json
import platform
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.benchmarks.street import Street, parse_street

GOLDEN = Path(__file__).with_name("frame_hashes.json")

SPECS = (
    "synthetic:size=576x320,shake=1,light=0.5",
    "synthetic:seed=3,size=960x540,people=50",
    "synthetic:seed=7,size=1280x720,fps=10",
    "synthetic:seed=3,size=65x301,people=8,shake=5",
)

INDICES = (0, 1, 7, 100, 499)

AVX2 = 11  # cv2.CPU_AVX2; the name is not in OpenCV's Python module


def drawing_code() -> str:
    """OpenCV version and instruction set: pixels differ by 1 between two of them."""
    version = ".".join(cv2.__version__.split(".")[:2])
    machine = platform.machine() + (" with AVX2" if cv2.checkHardwareSupport(AVX2) else "")
    return f"OpenCV {version} on {machine}"


def hash_street(spec: str) -> dict[str, list[str]]:
    """Hash of the image and of the ground truth of each frame, by frame index."""
    street = Street(parse_street(spec))
    return {str(index): _hash_frame(street, index) for index in INDICES}


def _hash_frame(street: Street, index: int) -> list[str]:
    truth = street.truth(index)
    return [_hash(street.image(index)), _hash(truth.ids, truth.xyxy, truth.visibility, truth.feet)]


def _hash(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    hashes = {"drawing_code": drawing_code(), **{spec: hash_street(spec) for spec in SPECS}}
    GOLDEN.write_text(json.dumps(hashes, indent=1) + "\n")
