"""Frames for the simulator, and what it detects against what ONNX Runtime detects with the same core file.

``parity.py frames CORE SOURCE COUNT FOLDER`` writes COUNT letterboxed frames of a video or a folder as PNG.
``parity.py compare CORE FOLDER OUTPUTS`` compares the outputs that simulate.py wrote for these frames.
"""

import sys
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot import open_runtime, open_source
from edge_fairmot.benchmarks.frame_sources import sample_frames
from edge_fairmot.benchmarks.peak_matching import PeakStatistics, match_peaks
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes.host_decoder import HostDecoder
from edge_fairmot.runtimes.onnx_graph import read_graph
from edge_fairmot.types import RawDetections

THRESHOLD = 0.4
MARGIN = 0.05
"""Objects that score this near the threshold may be on either side of it."""


def write_frames(core: str, source: str, count: int, folder: Path) -> None:
    """Write frames at equal distances over the source."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    with closing(open_source(source)) as opened:
        images = sample_frames(opened, read_onnx_file(core).manifest.input_size, count)
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:04d}.png"), image)


def compare(core: str, folder: Path, outputs: Path) -> None:
    """Print how the detections of both agree."""
    decode = HostDecoder(read_graph(core).tensors, read_onnx_file(core).manifest)
    statistics, box_gaps, score_gaps = PeakStatistics(), [], []
    with closing(open_runtime(core, "cpu")) as runtime, np.load(outputs) as simulated:
        names = sorted(folder.glob("*.png"))
        for name, hm, features in zip(names, simulated["hm"], simulated["features"], strict=True):
            reference = runtime.infer(cv2.imread(str(name))[None])
            candidate = RawDetections(*decode(hm[None], features[None]))
            match = match_peaks(reference, candidate, THRESHOLD, MARGIN)
            statistics.add(match)
            ours, theirs = match.pairs.T
            box_gaps.extend(np.abs(match.reference.xyxy[ours] - match.candidate.xyxy[theirs]).max(axis=1))
            score_gaps.extend(np.abs(match.score_shift))
    peaks = statistics.peaks()
    if not peaks.matched:
        sys.exit(f"no pair of detections above {THRESHOLD} in {len(names)} frames: nothing can be compared")
    boxes, embeddings = statistics.boxes(), statistics.embeddings()
    print(
        f"{peaks.reference_peaks - peaks.missed} of {peaks.reference_peaks} detections matched, "
        f"{peaks.extra} extra, {peaks.undecided} undecided, in {len(names)} frames; "
        f"boxes within {np.percentile(box_gaps, 95):.2f} px for 95 %, {max(box_gaps):.2f} px at most "
        f"(mean IoU {boxes.mean:.4f}), "
        f"scores within {max(score_gaps):.4f}, embeddings' cosine at least {embeddings.least:.4f}"
    )


if __name__ == "__main__":
    if sys.argv[1] == "frames":
        write_frames(sys.argv[2], sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
    else:
        compare(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
