"""OpenVINO: devices, precisions, and what it says when something cannot be had."""

import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from edge_fairmot.convert.parity import draw_images
from edge_fairmot.errors import InferenceError, InvalidInputError, RuntimeUnavailableError
from edge_fairmot.runtimes import RuntimeOptions, open_runtime

openvino = pytest.importorskip("openvino", reason="needs openvino")


@pytest.fixture
def images():
    return draw_images((128, 96), 1)


def test_bfloat16_is_only_what_was_asked_for(small_model, images):
    with (
        closing(open_runtime(small_model, "openvino")) as plain,
        closing(open_runtime(small_model, "openvino", RuntimeOptions(precision="fp32"))) as single,
        closing(open_runtime(small_model, "openvino", RuntimeOptions(precision="bf16"))) as brain,
    ):
        np.testing.assert_array_equal(plain.infer(images).scores, single.infer(images).scores)
        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this CPU has no bfloat16")
        drift = np.abs(plain.infer(images).scores - brain.infer(images).scores).max()
        assert drift > 0


@pytest.mark.parametrize("device", ["CPU", "AUTO", "AUTO:CPU"])
def test_a_precision_that_the_device_would_replace_is_refused(small_model, device):
    """OpenVINO takes a wish for float16 on such a CPU, and computes in bfloat16."""
    if "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has float16")
    with pytest.raises(InvalidInputError, match="CPU does not compute in fp16 here, only in fp32"):
        open_runtime(small_model, f"openvino:{device}", RuntimeOptions(precision="fp16"))


def test_what_was_compiled_is_kept(small_model, images, tmp_path):
    options = RuntimeOptions(cache_folder=tmp_path / "compiled", threads=1, hint="throughput")
    with closing(open_runtime(small_model, "openvino", options)) as first:
        expected = first.infer(images)
    (blob,) = (tmp_path / "compiled").iterdir()
    written = blob.stat().st_mtime_ns
    with closing(open_runtime(small_model, "openvino", options)) as second:
        np.testing.assert_array_equal(second.infer(images).boxes, expected.boxes)
    assert blob.stat().st_mtime_ns == written


def test_a_folder_that_cannot_be_made_is_an_error(small_model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeUnavailableError, match="cannot keep models in"):
        open_runtime(small_model, "openvino", RuntimeOptions(cache_folder=tmp_path / "file" / "below"))


def test_a_device_that_is_not_there_lists_those_that_are(small_model):
    with pytest.raises(RuntimeUnavailableError, match=r"no device .XPU. here, only CPU.* and AUTO"):
        open_runtime(small_model, "openvino:XPU")


def test_auto_is_a_device(small_model, images):
    with closing(open_runtime(small_model, "openvino:AUTO")) as runtime:
        assert runtime.name == "openvino:AUTO"
        assert runtime.infer(images).scores.max() > 0


def test_an_operator_without_a_rule_is_one_line(small_model, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(small_model)
    next(node for node in model.graph.node if node.op_type == "TopK").op_type = "BottomK"
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(InferenceError, match=r"OpenVINO .* cannot read .*odd\.onnx.*BottomK") as caught:
        open_runtime(tmp_path / "odd.onnx", "openvino")
    assert "\n" not in str(caught.value)


def test_a_signal_after_a_model_ended_in_another_thread_does_not_end_the_process(small_model):
    """OpenVINO would leave the thread that loaded it with a stack for signals that is no more."""
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
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, str(small_model)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
