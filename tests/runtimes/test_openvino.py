"""OpenVINO: devices, precisions, the cache, and its errors in one line."""

import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from edge_fairmot.convert.parity import draw_images
from edge_fairmot.errors import InferenceError, InvalidInputError, RuntimeUnavailableError
from edge_fairmot.runtimes import RuntimeOptions, open_runtime

openvino = pytest.importorskip("openvino", reason="needs openvino")
onnx = pytest.importorskip("onnx", reason="needs onnx")

from edge_fairmot.runtimes import openvino as backend  # noqa: E402


@pytest.fixture
def images():
    return draw_images((128, 96), 1)


def scores(model, images, device="", **options):
    with closing(open_runtime(model, f"openvino{device}", RuntimeOptions(**options))) as runtime:
        assert runtime.name == f"openvino{device or ':CPU'}"
        return runtime.infer(images).scores


def capabilities():
    return openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_bfloat16_is_only_for_those_that_ask(small_model, images):
    plain = scores(small_model, images)
    np.testing.assert_array_equal(plain, scores(small_model, images, ":AUTO", precision="fp32"))
    if "BF16" not in capabilities():
        pytest.skip("this CPU has no bfloat16")
    assert np.abs(plain - scores(small_model, images, precision="bf16")).max() > 0


@pytest.mark.parametrize("device", ["CPU", "AUTO", "AUTO:CPU"])
def test_a_precision_that_the_device_would_replace_is_refused(small_model, device):
    """OpenVINO accepts float16 on such a CPU, and computes in bfloat16."""
    if "FP16" in capabilities():
        pytest.skip("this CPU has float16")
    with pytest.raises(InvalidInputError, match="CPU does not compute in fp16 here, only in fp32"):
        open_runtime(small_model, f"openvino:{device}", RuntimeOptions(precision="fp16"))


def test_a_compiled_model_is_kept(small_model, images, tmp_path):
    options = {"cache_folder": tmp_path / "compiled", "threads": 1, "hint": "throughput"}
    expected = scores(small_model, images, **options)
    (blob,) = (tmp_path / "compiled").iterdir()
    written = blob.stat().st_mtime_ns
    np.testing.assert_array_equal(scores(small_model, images, **options), expected)
    assert blob.stat().st_mtime_ns == written


def test_devices_and_folders_that_are_not_there_are_errors(small_model, tmp_path):
    with pytest.raises(RuntimeUnavailableError, match=r"no device .XPU. here, only CPU.* and AUTO"):
        open_runtime(small_model, "openvino:XPU")
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeUnavailableError, match="cannot keep compiled models in"):
        open_runtime(small_model, "openvino", RuntimeOptions(cache_folder=tmp_path / "file" / "below"))


@pytest.mark.parametrize(
    ("operator", "hint"),
    [
        ("BottomK", "; pip install -U openvino, or take --runtime cpu"),
        (
            "DeformConv",
            "DeformConv is not supported here: convert the checkpoint again with --deform-conv gather",
        ),
    ],
)
def test_an_operator_without_a_rule_is_one_line(small_model, tmp_path, monkeypatch, operator, hint):
    model = onnx.load(small_model)
    if operator == "DeformConv":
        monkeypatch.setattr(backend, "operator_extensions", lambda *_: [])
    else:
        next(node for node in model.graph.node if node.op_type == "TopK").op_type = operator
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(InferenceError, match=rf"OpenVINO .* cannot run .*odd\.onnx.*{operator}") as caught:
        open_runtime(tmp_path / "odd.onnx", "openvino", integrity_check=False)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(hint)


def test_a_signal_after_a_model_ended_in_another_thread_does_not_end_the_process(small_model):
    """OpenVINO would leave the thread that loaded it with a signal stack that is unmapped."""
    program = (
        "import signal, sys, threading\n"
        "from edge_fairmot.runtimes import open_runtime\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "held = [open_runtime(sys.argv[1], 'openvino')]\n"
        "thread = threading.Thread(target=held.clear)\n"
        "thread.start(), thread.join()\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', 'numba' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, str(small_model)],
        capture_output=True,
        text=True,
        check=False,
    )
    # A file without DeformIm2col does not wait for numba.
    assert (done.returncode, done.stdout) == (0, "interrupted False\n"), done.stderr
