"""OpenVINO computes deformable convolutions exactly: the whole operator, and its sampling alone."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec

import numpy as np
import onnxruntime
import pytest
import torch

from edge_fairmot.convert import GraphOptions, convert
from edge_fairmot.convert.deform_conv import ROUNDED_IM2COL as ROUNDED
from edge_fairmot.convert.deform_conv import (
    TAPS,
    add_im2col_function,
    deform_conv2d_gridsample,
    deform_im2col,
    rounded_im2col_function,
)
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.runtimes import RuntimeOptions, open_runtime

openvino = pytest.importorskip("openvino", reason="needs openvino")
onnx = pytest.importorskip("onnx", reason="needs onnx")

from edge_fairmot.runtimes import openvino_operators  # noqa: E402

CHANNELS, OUTPUTS = 6, 4
DOMAIN = "edge_fairmot"

on_layers = pytest.mark.parametrize(
    ("batch", "scale", "size"),
    [
        (1, 0.0, (5, 7)),
        (3, 0.7, (5, 7)),
        (1, 6.0, (12, 3)),
        (3, 1e30, (5, 7)),
        (1, 6.0, (1, 4)),
        (3, 0.7, (1, 1)),
    ],
)


@pytest.fixture(params=["compiled", "of OpenVINO's own"])
def im2col_kernel(request, monkeypatch):
    """Both ways to compute DeformIm2col."""
    if request.param == "compiled":
        pytest.importorskip("numba", reason="needs the fast extra")
    else:
        monkeypatch.setattr(openvino_operators, "find_spec", lambda name: None)
    return request.param


def draw_layer(batch, scale, size):
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(batch, CHANNELS, *size, generator=generator)
    offset = scale * torch.randn(batch, 2 * TAPS, *size, generator=generator)
    mask = torch.rand(batch, TAPS, *size, generator=generator)
    return {"x": x, "offset": offset, "mask": mask}


def run(folder, node, inputs, outputs):
    """Run one node on OpenVINO."""
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(value.shape))
        for name, value in inputs.items()
    ]
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, outputs)
    opsets = [onnx.helper.make_opsetid("", 19), onnx.helper.make_opsetid(DOMAIN, 1)]
    graph = onnx.helper.make_graph([node], "deform", values, [result])
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "deform.onnx")
    core = openvino.Core()
    for extension in openvino_operators.operator_extensions("CPU", ["native", "im2col"]):
        core.add_extension(extension)
    compiled = core.compile_model(str(folder / "deform.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled({name: value.numpy() for name, value in inputs.items()})["y"]


@on_layers
def test_the_deformable_convolution_is_exact(tmp_path, batch, scale, size):
    """Masks, large offsets, borders, odd sizes: each corner outside the image counts as zero."""
    layer = draw_layer(batch, scale, size)
    generator = torch.Generator().manual_seed(0)
    layer["weight"] = torch.randn(OUTPUTS, CHANNELS, 3, 3, generator=generator)
    layer["bias"] = torch.randn(OUTPUTS, generator=generator)
    inputs = {name: layer[name] for name in ("x", "weight", "offset", "bias", "mask")}
    node = onnx.helper.make_node("DeformConv", list(inputs), ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    actual = run(tmp_path, node, inputs, [batch, OUTPUTS, *size])
    expected = deform_conv2d_gridsample(**layer).numpy()
    np.testing.assert_allclose(actual, expected, atol=2e-5 * np.abs(expected).max())


@on_layers
@pytest.mark.usefixtures("im2col_kernel")
def test_its_sampling_is_exact(tmp_path, batch, scale, size):
    inputs = draw_layer(batch, scale, size)
    node = onnx.helper.make_node("DeformIm2col", list(inputs), ["y"], domain=DOMAIN, channels=CHANNELS)
    actual = run(tmp_path, node, inputs, [batch, TAPS * CHANNELS, *size])
    expected = deform_im2col(**inputs).numpy()
    np.testing.assert_allclose(actual, expected, atol=2e-5 * max(np.abs(expected).max(), 1e-6))


@on_layers
@pytest.mark.usefixtures("im2col_kernel")
def test_its_sampling_is_rounded_to_steps(tmp_path, batch, scale, size):
    """Of one tensor with offsets and logits of the mask; as the function in the file in ONNX Runtime."""
    layer = draw_layer(batch, scale, size)
    logits = 3 * torch.randn(batch, TAPS, *size, generator=torch.Generator().manual_seed(1))
    inputs = {"x": layer["x"], "prediction": torch.cat([layer["offset"], logits], 1)}
    columns = deform_im2col(layer["x"], layer["offset"], logits.sigmoid()).numpy()
    # With several images some values saturate.
    step = np.float32(max(float(np.abs(columns).max()), 1.0) / (100 if batch == 1 else 200))
    attributes = {"channels": CHANNELS, "scale": float(step)}
    node = onnx.helper.make_node(ROUNDED, list(inputs), ["y"], domain=DOMAIN, **attributes)
    shape = [batch, TAPS * CHANNELS, *size]
    steps = np.clip(columns / step, -128, 127)
    for actual in (run(tmp_path, node, inputs, shape), run_function(tmp_path, inputs)):
        off = np.abs(actual / step - steps)
        assert off.max() <= 0.5 + 1e-3
        np.testing.assert_allclose(actual / step, np.rint(actual / step), atol=1e-4)


def run_function(folder, inputs):
    """Run the last node by its definition as a function, on ONNX Runtime."""
    model = onnx.load(folder / "deform.onnx")
    add_im2col_function(model)
    model.functions.append(rounded_im2col_function())
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {name: value.numpy() for name, value in inputs.items()})[0]


@pytest.fixture(scope="module")
def im2col_model(lively_network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("im2col")
    torch.save(lively_network().state_dict(), folder / "lively.pth")
    options = GraphOptions((128, 96), "im2col", max_detections=64)
    return convert(folder / "lively.pth", folder / "model.onnx", options).path


def infer(model, **options):
    with closing(open_runtime(model, "openvino", RuntimeOptions(**options))) as runtime:
        return runtime.infer(draw_images((128, 96), 1))


@pytest.mark.usefixtures("im2col_kernel")
def test_a_file_detects_as_its_native_twin_also_from_the_cache(im2col_model, small_model, tmp_path):
    expected = infer(small_model)
    found = [infer(im2col_model, cache_folder=tmp_path / "cache") for _ in range(2)]
    np.testing.assert_allclose(found[0].scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found[0].boxes, expected.boxes, atol=1e-2)
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 1
    np.testing.assert_array_equal(found[0].scores, found[1].scores)


needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs the fast extra")


@needs_numba
def test_two_files_run_at_once(im2col_model):
    """The process may end when numba's thread pool is called from two threads."""
    images = draw_images((128, 96), 1)

    def scores(_):
        with closing(open_runtime(im2col_model, "openvino")) as runtime:
            return [runtime.infer(images).scores for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(scores, range(2))
    for found in (*first, *second):
        np.testing.assert_array_equal(found, first[0])


@needs_numba
@pytest.mark.parametrize("cached", [False, True])
def test_the_kernel_uses_as_many_threads_as_asked_for(im2col_model, tmp_path, monkeypatch, cached):
    from edge_fairmot.runtimes import im2col_kernel

    if cached:
        open_runtime(im2col_model, "openvino", RuntimeOptions(threads=1, cache_folder=tmp_path)).close()
    seen = []

    def record(image, offset, mask, columns, *, threads, scale):
        seen.append(threads)
        columns[:] = 0

    monkeypatch.setattr(im2col_kernel, "sample_taps", record)
    infer(im2col_model, threads=1, cache_folder=tmp_path)
    assert seen == [1] * 16


@needs_numba
@pytest.mark.parametrize("threads", [1, 2])
def test_on_one_thread_and_on_more_the_kernel_gives_the_same(threads, monkeypatch):
    import numba

    from edge_fairmot.runtimes.im2col_kernel import sample_taps

    used = []
    monkeypatch.setattr(numba, "set_num_threads", used.append)
    layer = {
        name: np.ascontiguousarray(value[0].permute(1, 2, 0).numpy())
        for name, value in draw_layer(1, 3.0, (12, 7)).items()
    }
    columns, alone = (np.zeros((12, 7, TAPS * CHANNELS), np.float32) for _ in range(2))

    sample_taps(layer["x"], layer["offset"], layer["mask"], columns, threads=threads)
    sample_taps(layer["x"], layer["offset"], layer["mask"], alone, threads=1)

    assert used == ([2] if threads == 2 <= numba.config.NUMBA_NUM_THREADS else [])
    assert columns.any()
    np.testing.assert_array_equal(columns, alone)


@needs_numba
def test_on_one_processor_the_process_ends(im2col_model):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processors are chosen on Linux only")
    program = (
        "import os, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "import numpy as np; from edge_fairmot.runtimes import open_runtime\n"
        "runtime = open_runtime(sys.argv[1], 'openvino')\n"
        "runtime.infer(np.zeros((1, 96, 128, 3), np.uint8)); runtime.close(); print('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(im2col_model)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "done\n"


@needs_numba
@pytest.mark.parametrize("kept", [False, True])
def test_a_service_without_a_writable_folder_has_the_kernel(tmp_path, kept):
    from edge_fairmot.runtimes import im2col_kernel

    shutil.copy(im2col_kernel.__file__, tmp_path / "kernel.py")
    if not kept:
        # A file in the place of a folder cannot be written into, not even by root.
        (tmp_path / "__pycache__").write_text("")
    program = "import kernel; print(type(kernel._sample_in_parallel._cache).__name__)"
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), "/dev/null")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment | nowhere,
    )
    assert (done.returncode, done.stdout) == (0, "FunctionCache\n" if kept else "NullCache\n"), done.stderr
