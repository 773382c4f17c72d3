"""No runtime is trusted: outputs that break the contract end a run with the name of the runtime."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import metadata
from timeit import repeat

import numpy as np
import pytest

from edge_fairmot.detector import FairMotDetector, check_outputs
from edge_fairmot.errors import InferenceError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.runtimes import registry
from edge_fairmot.types import RawDetections

from ..cli.command_line import error_of  # noqa: TID252

MANIFEST = ModelManifest((64, 32), 3, 2, ("person", "bicycle"), 18, "0" * 64, "0")


def right() -> RawDetections:
    return RawDetections(
        boxes=np.tile(np.float32([8, 8, 24, 24]), (1, 3, 1)),
        scores=np.float32([[0.9, 0.8, 0.0]]),
        class_ids=np.int64([[0, 1, 0]]),
        embeddings=np.tile(np.float32([0.6, 0.8]), (1, 3, 1)),
    )


def with_value(output: str, value: float) -> RawDetections:
    raw = right()
    getattr(raw, output).flat[-1] = value
    return raw


FAULTS = {
    "nothing": (lambda: None, "NoneType, not RawDetections"),
    "a tuple": (lambda: (1, 2, 3, 4), "tuple, not RawDetections"),
    "lists": (lambda: replace(right(), scores=[[0.9, 0.8, 0.0]]), "scores as list"),
    "half floats": (lambda: replace(right(), boxes=right().boxes.astype(np.float16)), "boxes as float16"),
    "int32 ids": (lambda: replace(right(), class_ids=np.int32([[0, 1, 0]])), "class_ids as int32"),
    "no batch": (lambda: replace(right(), scores=right().scores[0]), "scores of shape"),
    "two images": (
        lambda: RawDetections(
            *(np.repeat(getattr(right(), name), 2, axis=0) for name in RawDetections.__slots__)
        ),
        "shape",
    ),
    "too many": (
        lambda: RawDetections(
            *(np.repeat(getattr(right(), name), 2, axis=1) for name in RawDetections.__slots__)
        ),
        "3 detections at most",
    ),
    "a box less": (lambda: replace(right(), boxes=right().boxes[:, 1:]), "boxes of shape"),
    "long embeddings": (lambda: replace(right(), embeddings=np.ones((1, 3, 4), np.float32)), "embeddings of"),
    "no score": (lambda: replace(right(), scores=np.full((1, 3), np.nan, np.float32)), "scores that are not"),
    "endless box": (lambda: with_value("boxes", np.inf), "boxes that are not finite"),
    "no embedding": (lambda: with_value("embeddings", -np.inf), "embeddings that are not finite"),
    "unsorted": (lambda: with_value("scores", 0.95), "do not descend"),
    "high scores": (lambda: replace(right(), scores=right().scores + 7), "7.9, not between 0 and 1"),
    "low scores": (lambda: with_value("scores", -1), "not between 0 and 1"),
    "class 2": (lambda: with_value("class_ids", 2), "class ids from 0 to 2"),
    "class -1": (lambda: with_value("class_ids", -1), "class ids from -1"),
}


class WrongRuntime:
    """A plug-in; the device names what it does wrong, from the third image on."""

    name, manifest = "plug-in", MANIFEST

    def __init__(self, path=None, options=None):
        self._make, self._seen = FAULTS[options.device][0] if options else right, 0

    def infer(self, images):
        self._seen += 1
        return self._make() if self._seen > 2 else right()

    def close(self):
        pass


@pytest.fixture
def plugged_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "wrong_plug_in", sys.modules[__name__])
    point = metadata.EntryPoint("plug-in", "wrong_plug_in:WrongRuntime", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "_third_party", lambda: {"plug-in": point})


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_outputs_end_the_run_with_the_name_of_the_runtime(plugged_in, fault, tmp_path, still_model):
    error = error_of(
        *("track", "synthetic:frames=5,size=64x64,people=1", "-m", still_model, "--no-video"),
        *("--runtime", f"plug-in:{fault}", "-o", tmp_path / "out"),
    )
    assert "runtime plug-in gave " in error
    assert FAULTS[fault][1] in error
    assert '"complete": false' in (tmp_path / "out" / "summary.json").read_text()


def test_right_outputs_pass_also_none_of_them():
    detector = FairMotDetector(WrongRuntime())
    assert len(detector.detect_image(np.zeros((32, 64, 3), np.uint8))) == 2
    none = RawDetections(
        np.zeros((1, 0, 4), np.float32),
        np.zeros((1, 0), np.float32),
        np.zeros((1, 0), np.int64),
        np.zeros((1, 0, 2), np.float32),
    )
    assert check_outputs(none, MANIFEST, "cpu") is none


def test_the_check_takes_microseconds():
    manifest = replace(MANIFEST, max_detections=500, embedding_dim=128)
    raw = RawDetections(
        np.zeros((1, 500, 4), np.float32),
        np.linspace(1, 0, 500, dtype=np.float32)[None],
        np.zeros((1, 500), np.int64),
        np.ones((1, 500, 128), np.float32),
    )
    assert min(repeat(lambda: check_outputs(raw, manifest, "cpu"), number=10, repeat=20)) / 10 < 1e-3


def test_a_runtime_for_itself_checks_too(still_model):
    from edge_fairmot.runtimes import open_runtime

    runtime = open_runtime(still_model)
    with pytest.raises(InferenceError, match="runtime cpu gave boxes that are not finite"):
        runtime.infer(np.full((1, 32, 64, 3), 255, np.uint8))
    runtime.close()
