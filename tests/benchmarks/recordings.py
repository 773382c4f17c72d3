"""Recordings of a street whose people are known, made by hand."""

import numpy as np

from edge_fairmot.benchmarks.correctness import Recording
from edge_fairmot.benchmarks.device_speed import FrameCosts
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.tape import Tape, TapeHeader
from edge_fairmot.tape_recorder import TapeRecorder
from edge_fairmot.types import Frame, RawDetections

FRAMES, PEOPLE, RATE = 50, 3, 25.0


def recording(
    *, inference_s=0.01, shift=0.0, missing=(), size=(320, 192), dimension=8, score=0.9, people=PEOPLE
):
    """People who walk side by side, as a model finds them: perhaps shifted, perhaps not in some frames."""
    boxes, scores, looks, counts = [], [], [], []
    for frame in range(FRAMES):
        seen = np.arange(0 if frame in missing else PEOPLE)
        left = 20 + 80.0 * seen + frame + shift
        boxes.append(np.stack([left, 0 * left + 40, left + 30, 0 * left + 130], axis=1).reshape(-1, 4))
        scores.append(np.full(len(seen), 0.9))
        looks.append(np.eye(dimension)[seen])
        counts.append(len(seen))
    xyxy = np.concatenate(boxes).astype(np.float32)
    manifest = ModelManifest(size, 8, dimension, ("person",), 19, "0" * 64, "0")
    scale = size[0] / 320
    tape = Tape(
        TapeHeader("street", (320, 192), RATE, 0.38, manifest),
        np.arange(FRAMES),
        np.arange(FRAMES) / RATE,
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        xyxy,
        (xyxy * scale).astype(np.float32),
        np.concatenate(scores).astype(np.float32),
        np.zeros(len(xyxy), np.int64),
        np.concatenate(looks).astype(np.float32),
    )

    def each(value):
        return np.full(FRAMES, value)

    costs = FrameCosts(tape.time_s, each(0.001), each(0.001), each(inference_s), each(0.001))
    return Recording("street", tape, costs)


def write_tape(path, tape):
    """Record a tape, as a contender does."""
    manifest, (width, height) = tape.header.manifest, tape.header.frame_size
    picture = np.zeros((height, width, 3), np.uint8)
    with TapeRecorder(path, tape.header) as recorder:
        for number, (index, time_s) in enumerate(zip(tape.frame_index, tape.time_s, strict=True)):
            found = tape.rows(number)
            room = ((0, manifest.max_detections - (found.stop - found.start)), (0, 0))
            raw = RawDetections(
                np.pad(tape.input_boxes_xyxy[found], room)[None],
                np.pad(tape.score[found], room[0])[None],
                np.pad(tape.class_id[found], room[0])[None],
                np.pad(tape.embedding[found], room)[None],
            )
            recorder.record(Frame(picture, int(index), float(time_s)), raw)
