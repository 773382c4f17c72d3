"""Build an RKNN file and run it in the simulator: ``simulate.py CORE fp16|int8 TARGET FOLDER``.

Runs where rknn-toolkit2 is, and knows nothing of edge-fairmot. FOLDER has letterboxed PNG files in
``calibration`` and ``frames``. It gets PRECISION.rknn, and PRECISION.npz with the outputs of every frame,
``hm`` and ``features``, float32.
"""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
from rknn.api import RKNN


def check(status: int, step: str) -> None:
    """End the program where a step of the toolkit failed: some raise, some return a number."""
    if status:
        sys.exit(f"{step} failed with {status}")


def configured() -> RKNN:
    """Return a toolkit that knows the image: BGR from 0 to 255. It calibrates on RGB unless told."""
    toolkit = RKNN(verbose=False)
    toolkit.config(
        mean_values=[[0, 0, 0]], std_values=[[1, 1, 1]], quant_img_RGB2BGR=True, target_platform=target
    )
    return toolkit


core, precision, target, folder = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3], Path(sys.argv[4])
os.chdir(folder)  # the toolkit writes what lies between its two steps where it is
rknn = configured()
check(rknn.load_onnx(str(core)), "load_onnx")
if precision == "int8":
    images = sorted(Path("calibration").resolve().glob("*.png"))
    Path("calibration.txt").write_text("\n".join(map(str, images)))
    # The heatmap's last convolution stays float16: in int8 neighbouring cells tie, and each is a peak.
    last = next(node.input[0] for node in onnx.load(core).graph.node if "hm" in node.output)
    check(rknn.hybrid_quantization_step1("calibration.txt", custom_hybrid=[[last, "hm"]]), "step 1")
    rknn.release()
    rknn = configured()
    parts = [f"{core.stem}.{part}" for part in ("model", "data", "quantization.cfg")]
    check(rknn.hybrid_quantization_step2(*parts), "step 2")
else:
    check(rknn.build(do_quantization=False), "build")
check(rknn.export_rknn(f"{precision}.rknn"), "export_rknn")
check(rknn.init_runtime(), "init_runtime")  # no target: the simulator
frames = [cv2.imread(str(name))[None] for name in sorted(Path("frames").glob("*.png"))]
outputs = [rknn.inference([frame], data_format="nhwc") for frame in frames]
rknn.release()
hm, features = (np.concatenate(output) for output in zip(*outputs, strict=True))
np.savez(precision, hm=hm, features=features)
