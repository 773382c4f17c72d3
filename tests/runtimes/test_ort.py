"""ONNX Runtime: what is asked of its providers and sessions, and what it says of files that it cannot run."""

import json
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fairmot.errors import InferenceError, InvalidInputError, ManifestError, RuntimeUnavailableError
from edge_fairmot.runtimes import RuntimeOptions, open_runtime
from edge_fairmot.runtimes.checks import OUTPUTS, int8_sums_overflow

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")

from edge_fairmot.runtimes import ort  # noqa: E402

without_cuda = pytest.mark.skipif(
    ort.CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime has the provider"
)

BUNDLED = Path(str(files("edge_fairmot.bundled") / "people.onnx"))

HASWELL = "model name\t: Intel(R) Core(TM) i5-4590T\nflags\t\t: fpu sse4_1 avx2 fma\nvmx flags\t: vnmi\n"


def test_bound_buffers_give_the_outputs_of_a_plain_run(small_model):
    images = [np.random.default_rng(seed).integers(0, 256, (1, 96, 128, 3), np.uint8) for seed in range(3)]
    with closing(open_runtime(small_model)) as plain:
        session = ort.open_session(Path(small_model), [ort.CPU])
        bound = ort.BoundSession(session, plain.manifest, "cpu", 0)
        found = [bound.run(image) for image in images]
        for image, outputs in zip(images, found, strict=True):
            expected = plain.infer(image)
            for name, values in zip(OUTPUTS, outputs, strict=True):
                np.testing.assert_array_equal(values, getattr(expected, name))
                assert values.dtype == getattr(expected, name).dtype


def test_float32_on_cuda_is_not_tf32():
    provider = ort.cuda_provider(RuntimeOptions(device="2"))
    assert provider == ("CUDAExecutionProvider", {"device_id": "2", "use_tf32": "0"})
    with pytest.raises(InvalidInputError, match="device 'GPU' is not the number of a GPU"):
        ort.cuda_provider(RuntimeOptions(device="GPU"))


@pytest.mark.parametrize(
    ("file", "asked", "fp16", "int8"),
    [("fp32", "", "0", "0"), ("fp32", "fp16", "1", "0"), ("fp16", "", "1", "0"), ("int8", "", "0", "1")],
)
def test_the_engine_has_the_precision_of_the_file(file, asked, fp16, int8):
    name, settings = ort.tensorrt_provider(RuntimeOptions(precision=asked), file)
    assert name == "TensorrtExecutionProvider"
    assert (settings["trt_fp16_enable"], settings["trt_int8_enable"]) == (fp16, int8)
    assert "trt_engine_cache_path" not in settings


@pytest.mark.parametrize(("file", "asked"), [("fp16", "fp32"), ("fp32", "bf16")])
def test_a_precision_that_an_engine_would_not_have_is_refused(file, asked):
    with pytest.raises(InvalidInputError, match=f"tensorrt does not run an {file} file in {asked}"):
        ort.tensorrt_provider(RuntimeOptions(precision=asked), file)


def test_engines_and_timings_are_kept_in_the_folder(tmp_path):
    _, settings = ort.tensorrt_provider(RuntimeOptions(cache_folder=tmp_path / "engines"), "fp32")
    assert (tmp_path / "engines").is_dir()
    for what in ("engine", "timing"):
        assert settings[f"trt_{what}_cache_enable"] == "1"
        assert settings[f"trt_{what}_cache_path"] == str(tmp_path / "engines")


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_without_the_provider_the_cpu_does_not_take_its_place(small_model, name, monkeypatch):
    with pytest.raises(RuntimeUnavailableError, match=r"was built without .*pip uninstall -y onnxruntime "):
        open_runtime(small_model, name)
    monkeypatch.setattr(ort, "package_conflict", lambda: "two packages overwrite each other's files")
    with pytest.raises(RuntimeUnavailableError, match=r"^two packages overwrite .*: pip uninstall"):
        open_runtime(small_model, name)


@without_cuda
def test_a_provider_that_does_not_start_is_an_error(small_model, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [ort.CUDA, ort.CPU])
    monkeypatch.setattr(
        ort, "open_session", lambda path, _: onnxruntime.InferenceSession(path, providers=[ort.CPU])
    )
    with pytest.raises(RuntimeUnavailableError, match=r"CUDAExecutionProvider did not start: .* lists GPU 3"):
        open_runtime(small_model, "cuda:3")


def test_files_that_cannot_be_run_are_one_line(small_model, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs onnx to make files")
    model = onnx.load(small_model)
    for node in model.graph.node:
        if node.op_type == "DeformConv":
            node.domain = "elsewhere"
    onnx.save(model, tmp_path / "deform.onnx")
    with pytest.raises(
        InferenceError, match=r"ONNX Runtime .* cannot run .*DeformConv is not supported here: "
    ) as caught:
        open_runtime(tmp_path / "deform.onnx", integrity_check=False)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(": convert the checkpoint again with --deform-conv gather")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ManifestError, match="has no edge-fairmot manifest"):
        open_runtime(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    ("cpuinfo", "overflow"),
    [
        (HASWELL, True),
        (HASWELL.replace("avx2", "avx2 avx512f avx512_vnni"), False),
        (HASWELL.replace("avx2", "avx2 avx_vnni"), False),
        ("Features\t: fp asimd asimddp\nCPU part\t: 0xd0b\n", False),
        (None, False),
    ],
)
def test_x86_without_vnni_is_known_by_its_flags(tmp_path, cpuinfo, overflow):
    if cpuinfo is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    assert int8_sums_overflow(tmp_path) == overflow


@pytest.mark.parametrize("overflow", [True, False])
def test_exact_int8_sums_are_asked_for_where_they_could_overflow(monkeypatch, overflow):
    monkeypatch.setattr(ort, "int8_sums_overflow", lambda: overflow)
    options, entry = ort.make_session_options(threads=2), "0"
    with suppress(RuntimeError):  # there is no such entry
        entry = options.get_session_config_entry("session.x64quantprecision")
    assert (entry, options.intra_op_num_threads) == (str(int(overflow)), 2)


def test_every_rounded_convolution_runs_in_int8_and_computes_the_same(tmp_path):
    graph = pytest.importorskip("onnx", reason="reads the graph").load(BUNDLED).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    rounded = [node for node in convolutions if made_by[node.input[0]] == "DequantizeLinear"]

    profiled = ort.open_session(BUNDLED, [ort.CPU], 1, profile_to=tmp_path / "profile")
    plain = onnxruntime.InferenceSession(BUNDLED, ort.make_session_options(1), providers=[ort.CPU])
    height, width = plain.get_inputs()[0].shape[1:3]
    _, frame = cv2.VideoCapture(str(BUNDLED.with_name("people.mp4"))).read()
    images = cv2.resize(frame, (width, height))[None, ..., ::-1].copy()
    (boxes, scores, *_), expected = (
        session.run(OUTPUTS, {"images": images}) for session in (profiled, plain)
    )
    events = json.loads(Path(profiled.end_profiling()).read_text())
    in_int8 = [event for event in events if event.get("args", {}).get("op_name") == "QLinearConv"]
    assert len(in_int8) == len(rounded) > 40
    # Float sums of the plain session may fall on the other side of a step of a later rounding.
    sure = expected[1] > 0.2
    assert sure.sum() >= 2
    np.testing.assert_allclose(scores[sure], expected[1][sure], atol=0.02)
    np.testing.assert_allclose(boxes[sure], expected[0][sure], atol=1.0)
