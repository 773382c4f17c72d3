"""The script for a machine with a GPU runs on a CPU too, and every lowering gives what a GPU recorded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.cli.main import app

from .cuda_reference import restore

pytestmark = pytest.mark.slow
pytest.importorskip("torch", reason="needs the convert extra")

SCRIPT = Path(__file__).with_name("cuda.sh")
GOLDENS = Path(__file__).parents[1] / "convert" / "goldens"
SIZE = "320x192"


def edge_fairmot(*arguments):
    assert not app(list(map(str, arguments)), standalone_mode=False)  # the exit status


@pytest.fixture(scope="module")
def session(shared, tmp_path_factory):
    """The results of a rehearsal, from parcels that were packed and unpacked."""
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "training").mkdir()
    (folder / "training" / "train.sh").write_text('ls "$DATA/checkpoints" > "$OUT/trained.txt"\n')
    environment = os.environ | {
        "PYTHON": sys.executable, "DEVICE": "cpu", "SIZES": SIZE, "FRAMES": "2", "PRECISIONS": "fp32",
        "PARCELS": str(folder / "there"), "DATA": str(shared), "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def run(*arguments, **more):
        subprocess.run([SCRIPT, *map(str, arguments)], env=environment | more, check=True, timeout=600)

    run("pack", folder / "parcels", TRAIN=str(folder / "training"), PARCEL_MB="40")
    assert len(list((folder / "parcels").glob("parcel.*"))) > 1
    run("unpack", folder / "parcels")
    run("run", folder / "out", DATA="/nowhere")
    return folder / "out"


def test_every_step_ends_well(session):
    steps = {
        step["step"]: step for step in map(json.loads, (session / "steps.jsonl").read_text().splitlines())
    }
    log = (session / "log.txt").read_text()
    assert list(steps) == ["deform_conv", "reference", "files", "cuda", "tensorrt", "speed", "train"]
    assert {name for name, step in steps.items() if step["status"]} == set(), log
    assert (session / "trained.txt").read_text() == "fairmot_dla34.pth\n"
    assert (session / "deform_conv_cpu.npz").exists()
    assert set(json.loads((session / "parity_cpu.json").read_text())) == {
        "cpu-fp32-TUD-Campus", "cpu-fp32-TUD-Stadtmitte",
    }  # fmt: skip
    assert {"pytorch eager, batch 8", "cpu, fp32, batch 1"} <= set(
        json.loads((session / "speed.json").read_text())["ms"]
    )


def test_what_is_kept_has_no_images_and_gets_them_back(session, shared, tmp_path):
    stripped = session / f"network_cpu_TUD-Campus-{SIZE}.npz"
    restore(stripped, shared / "mot15" / "TUD-Campus", tmp_path / "restored.npz")
    with np.load(stripped) as kept, np.load(tmp_path / "restored.npz") as restored:
        assert "frames" not in kept.files
        with np.load(session / "work" / f"TUD-Campus-{SIZE}.npz") as recorded:
            assert sorted(restored.files) == sorted(recorded.files)
            for name in recorded.files:
                np.testing.assert_array_equal(restored[name], recorded[name], err_msg=name)


@pytest.mark.parametrize("lowering", ["native", "gridsample", "gather", "im2col"])
def test_every_lowering_gives_what_a_gpu_computed(lowering, shared, tmp_path):
    records = sorted(GOLDENS.glob("network_cuda_*.npz"))
    if not records:
        pytest.skip("no GPU has recorded reference outputs yet: tests/devices/cuda.sh")
    for record in records:
        _, _, name = record.stem.split("_", 2)
        sequence, _, size = name.rpartition("-")
        model = tmp_path / f"{size}.onnx"
        if not model.exists():
            checkpoint = shared / "checkpoints" / "fairmot_dla34.pth"
            edge_fairmot("convert", checkpoint, "-o", model, "--size", size, "--deform-conv", lowering)
        restore(record, shared / "mot15" / sequence, tmp_path / "reference.npz")
        edge_fairmot("verify", model, "--reference", tmp_path / "reference.npz")
