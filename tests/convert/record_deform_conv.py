"""Deformable convolutions to compute, and what ``torchvision.ops.deform_conv2d`` makes of them.

    python tests/convert/record_deform_conv.py [FOLDER]

writes ``deform_conv_cuda.npz``, or ``deform_conv_cpu.npz`` where there is no GPU, to ``goldens`` here unless
told: of every case the hash of its inputs and the output, and what made them. torchvision's kernels are not
this project's, so they are a second witness; the tests need the file alone. Without torchvision the record
is of PyTorch's ``grid_sample`` on that device, and says so.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parent / "goldens"

CASES = {
    "small offsets": {"scale": 0.4},
    "offsets of several cells": {"scale": 3.0},
    "offsets far outside": {"scale": 40.0},
    "whole offsets": {"scale": 2.0, "whole": True},
    "no offsets": {"scale": 0.0},
    "one row": {"scale": 1.0, "size": (1, 6)},
    "one column": {"scale": 1.0, "size": (6, 1)},
    "one cell": {"scale": 1.0, "size": (1, 1)},
    "one picture": {"scale": 2.0, "batch": 1},
    "mask closed": {"scale": 2.0, "mask": 0.0},
    "mask open": {"scale": 2.0, "mask": 1.0},
}

RECORDED = CASES | {
    "of the neck": {"scale": 1.5, "size": (20, 36), "batch": 1, "channels": 64, "outputs": 64},
}
"""Also one as large as a layer of the neck for a small image: too large for plain loops."""


def make_inputs(*, scale, whole=False, size=(5, 7), batch=3, mask=None, channels=4, outputs=3):
    rng = np.random.default_rng(3)
    height, width = size
    offset = rng.normal(0, 1, (batch, 18, height, width)) * scale
    arrays = {
        "x": rng.normal(0, 1, (batch, channels, height, width)),
        "offset": np.round(offset) if whole else offset,
        "mask": rng.random((batch, 9, height, width)) if mask is None else np.full((batch, 9, *size), mask),
        "weight": rng.normal(0, 0.3, (outputs, channels, 3, 3)),
        "bias": rng.normal(0, 1, outputs),
    }
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def hash_inputs(inputs):
    return hashlib.sha256(b"".join(value.tobytes() for value in inputs.values())).hexdigest()


def main(folder=GOLDENS):
    import torch

    from edge_fairmot.convert.deform_conv import deform_conv2d_gridsample
    from edge_fairmot.convert.reference import describe_reference, full_float32, has_cuda

    device = torch.device("cuda" if has_cuda() else "cpu")
    try:
        from torchvision.ops import deform_conv2d as torchvisions

        def deform_conv2d(x, offset, mask, weight, bias):
            return torchvisions(x, offset, weight, bias, padding=1, mask=mask)

        about = describe_reference(device, "torchvision.ops.deform_conv2d")
    except ImportError:
        deform_conv2d = deform_conv2d_gridsample
        about = describe_reference(device, "grid_sample")
    hashes, outputs = {}, {}
    for name, case in RECORDED.items():
        inputs = make_inputs(**case)
        hashes[name] = hash_inputs(inputs)
        x, offset, mask, weight, bias = (torch.from_numpy(value).to(device) for value in inputs.values())
        with full_float32():
            outputs[name] = deform_conv2d(x, offset, mask, weight, bias).cpu().numpy()
    path = Path(folder) / f"deform_conv_{device.type}.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, about=json.dumps(about), hashes=json.dumps(hashes), **outputs)
    print(path, json.dumps(about))


if __name__ == "__main__":
    main(*sys.argv[1:])
