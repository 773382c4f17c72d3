"""What of the GPU runtimes needs no GPU: what is asked of the providers, what is bound, what is refused."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError, RuntimeUnavailableError
from edge_fairmot.runtimes import RuntimeOptions, open_runtime

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")

from edge_fairmot.runtimes import ort_gpu  # noqa: E402
from edge_fairmot.runtimes.ort import (  # noqa: E402
    explain_conflict,
    open_session,
)

HAS_CUDA = ort_gpu.CUDA in onnxruntime.get_available_providers()


def test_bound_buffers_give_what_a_plain_run_gives(small_model):
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (1, 96, 128, 3), np.uint8) for _ in range(3)]
    with closing(open_runtime(small_model)) as plain:
        session = open_session(Path(small_model), ["CPUExecutionProvider"])
        bound = ort_gpu.BoundSession(session, plain.manifest, "cpu", 0)
        given = [bound.run(picture[:, ::-1]) for picture in pictures]
        for picture, raw in zip(pictures, given, strict=True):
            expected = plain.infer(picture[:, ::-1])
            np.testing.assert_array_equal(raw.boxes, expected.boxes)
            np.testing.assert_array_equal(raw.embeddings, expected.embeddings)
            assert raw.class_ids.dtype == np.int64


def test_float32_is_float32_on_cuda():
    assert ort_gpu.cuda_provider(RuntimeOptions(device="2")) == (
        "CUDAExecutionProvider",
        {"device_id": "2", "use_tf32": "0"},
    )


@pytest.mark.parametrize(
    ("file", "asked", "fp16", "int8"),
    [("fp32", "", "0", "0"), ("fp32", "fp16", "1", "0"), ("fp16", "", "1", "0"), ("int8", "", "0", "1")],
)
def test_the_files_precision_is_the_engines(file, asked, fp16, int8):
    name, settings = ort_gpu.tensorrt_provider(RuntimeOptions(precision=asked), file)
    assert name == "TensorrtExecutionProvider"
    assert (settings["trt_fp16_enable"], settings["trt_int8_enable"]) == (fp16, int8)
    assert "trt_engine_cache_path" not in settings


def test_engines_and_timings_are_kept_in_the_folder(tmp_path):
    options = RuntimeOptions(cache_folder=tmp_path / "engines")
    _, settings = ort_gpu.tensorrt_provider(options, "fp32")
    assert (tmp_path / "engines").is_dir()
    for what in ("engine", "timing"):
        assert settings[f"trt_{what}_cache_enable"] == "1"
        assert settings[f"trt_{what}_cache_path"] == str(tmp_path / "engines")


def test_a_device_is_a_number():
    with pytest.raises(InvalidInputError, match="device 'GPU' is not the number of a GPU"):
        ort_gpu.cuda_provider(RuntimeOptions(device="GPU"))


@pytest.mark.skipif(HAS_CUDA, reason="this ONNX Runtime has the provider")
@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_without_the_provider_nothing_runs_on_the_cpu_instead(small_model, name):
    with pytest.raises(RuntimeUnavailableError, match=r"pip uninstall -y onnxruntime .*onnxruntime-gpu"):
        open_runtime(small_model, name)


def test_a_precision_that_an_engine_would_not_have_is_refused():
    with pytest.raises(InvalidInputError, match="tensorrt does not run an fp16 file in fp32"):
        ort_gpu.tensorrt_provider(RuntimeOptions(precision="fp32"), "fp16")
    with pytest.raises(InvalidInputError, match="tensorrt does not run an fp32 file in bf16"):
        ort_gpu.tensorrt_provider(RuntimeOptions(precision="bf16"), "fp32")


def test_a_jetson_gets_another_remedy_than_a_desktop():
    packages = ("onnxruntime",)
    assert "JetPack" in ort_gpu.missing_provider(ort_gpu.CUDA, packages, jetson=True)
    desktop = ort_gpu.missing_provider(ort_gpu.CUDA, packages, jetson=False)
    assert desktop.endswith(": pip uninstall -y onnxruntime && pip install onnxruntime-gpu")


@pytest.fixture
def both_packages(tmp_path, monkeypatch):
    """onnxruntime and onnxruntime-gpu as pip leaves them: two records of one folder."""
    for name in ("onnxruntime", "onnxruntime-gpu"):
        info = tmp_path / f"{name.replace('-', '_')}-9.9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
        (info / "top_level.txt").write_text("onnxruntime\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.skipif(HAS_CUDA, reason="this ONNX Runtime has the provider")
def test_two_packages_that_overwrite_each_other_are_noticed_when_opening(small_model, both_packages):
    with pytest.raises(
        RuntimeUnavailableError,
        match=r"onnxruntime and onnxruntime-gpu overwrite each other's files.*: "
        r"pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu",
    ):
        open_runtime(small_model, "cuda")


def test_two_packages_that_overwrite_each_other_are_noticed_by_the_list(both_packages):
    made = subprocess.run(
        [sys.executable, "-c", "from edge_fairmot.cli.main import run; run()", "runtimes"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(both_packages), "COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert made.returncode == 0
    assert "warning: onnxruntime and onnxruntime-gpu overwrite each other's files" in made.stderr
    assert "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu" in made.stderr


def test_one_package_is_no_conflict():
    assert explain_conflict(()) == explain_conflict(("onnxruntime-gpu",)) == ""
