"""Frames and ground truth stay what the bundled model was trained on, to the pixel."""

import json

import pytest

from .frame_hashes import GOLDEN, SPECS, drawing_code, hash_street

HASHES = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("spec", SPECS)
def test_frames_and_truth_are_as_they_were(spec: str) -> None:
    if drawing_code() != HASHES["drawing_code"]:
        pytest.skip(f"the hashes were made with {HASHES['drawing_code']}, this is {drawing_code()}")
    assert hash_street(spec) == HASHES[spec]
