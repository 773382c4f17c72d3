"""OpenVINO computes deformable convolutions exactly, the whole operator and its sampling alone."""

import os
import subprocess
import sys
import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from edge_fairmot.convert import GraphOptions, convert
from edge_fairmot.convert.deform_conv import IM2COL as NAME
from edge_fairmot.convert.deform_conv import IM2COL_DOMAIN as DOMAIN
from edge_fairmot.convert.deform_conv import IM2COL_VERSION as VERSION
from edge_fairmot.convert.deform_conv import TAPS, deform_conv2d_gridsample, deform_im2col
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.runtimes import RuntimeOptions, open_runtime

openvino = pytest.importorskip("openvino", reason="needs openvino")
onnx = pytest.importorskip("onnx", reason="needs onnx")

from edge_fairmot.runtimes import openvino_operators  # noqa: E402

CHANNELS, OUTPUTS = 6, 4

on_maps = pytest.mark.parametrize("size", [(5, 7), (1, 4), (12, 3), (1, 1)])
with_offsets = pytest.mark.parametrize("scale", [0.0, 0.7, 6.0, 1e30])
in_batches = pytest.mark.parametrize("batch", [1, 3])


@pytest.fixture(params=["compiled", "of OpenVINO's own"])
def im2col_kernel(request, monkeypatch):
    """Both ways in which DeformIm2col is computed."""
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
    opsets = [onnx.helper.make_opsetid("", 19), onnx.helper.make_opsetid(DOMAIN, VERSION)]
    graph = onnx.helper.make_graph([node], "deform", values, [result])
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "deform.onnx")
    core = openvino.Core()
    for extension in openvino_operators.operator_extensions("CPU", ["native", "im2col"]):
        core.add_extension(extension)
    compiled = core.compile_model(str(folder / "deform.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled({name: value.numpy() for name, value in inputs.items()})["y"]


@in_batches
@with_offsets
@on_maps
def test_the_deformable_convolution_is_exact(tmp_path, batch, scale, size):
    """Masks, large offsets, borders, odd sizes: corners outside the picture count as zero one by one."""
    drawn = draw_layer(batch, scale, size)
    generator = torch.Generator().manual_seed(0)
    weight, bias = (
        torch.randn(*shape, generator=generator) for shape in ((OUTPUTS, CHANNELS, 3, 3), (OUTPUTS,))
    )
    inputs = {
        "x": drawn["x"],
        "weight": weight,
        "offset": drawn["offset"],
        "bias": bias,
        "mask": drawn["mask"],
    }
    node = onnx.helper.make_node("DeformConv", list(inputs), ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    actual = run(tmp_path, node, inputs, [batch, OUTPUTS, *size])
    expected = deform_conv2d_gridsample(**drawn, weight=weight, bias=bias).numpy()
    np.testing.assert_allclose(actual, expected, atol=2e-5 * np.abs(expected).max())


@in_batches
@with_offsets
@on_maps
@pytest.mark.usefixtures("im2col_kernel")
def test_its_sampling_is_exact(tmp_path, batch, scale, size):
    inputs = draw_layer(batch, scale, size)
    node = onnx.helper.make_node(NAME, list(inputs), ["y"], domain=DOMAIN, channels=CHANNELS)
    actual = run(tmp_path, node, inputs, [batch, TAPS * CHANNELS, *size])
    expected = deform_im2col(**inputs).numpy()
    np.testing.assert_allclose(actual, expected, atol=2e-5 * max(np.abs(expected).max(), 1e-6))


@pytest.fixture(scope="module")
def im2col_model(lively_network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("im2col")
    torch.save(lively_network().state_dict(), folder / "lively.pth")
    options = GraphOptions((128, 96), "im2col", max_detections=64)
    return convert(folder / "lively.pth", folder / "model.onnx", options).path


@pytest.mark.usefixtures("im2col_kernel")
def test_a_file_detects_as_its_native_twin(im2col_model, small_model):
    images = draw_images((128, 96), 1)
    with (
        closing(open_runtime(im2col_model, "openvino")) as sampled,
        closing(open_runtime(small_model, "openvino")) as native,
    ):
        actual, expected = sampled.infer(images), native.infer(images)
    np.testing.assert_allclose(actual.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(actual.boxes, expected.boxes, atol=1e-2)


@pytest.mark.usefixtures("im2col_kernel")
def test_a_compiled_file_comes_back_from_the_cache(im2col_model, tmp_path):
    images, options = draw_images((128, 96), 1), RuntimeOptions(cache_folder=tmp_path / "cache")
    scores = []
    for _ in range(2):
        with closing(open_runtime(im2col_model, "openvino", options)) as runtime:
            scores.append(runtime.infer(images).scores)
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 1
    np.testing.assert_array_equal(*scores)


def test_two_files_run_at_once(im2col_model):
    """numba's thread pool may end the process when it is called from two threads."""
    pytest.importorskip("numba", reason="needs the fast extra")
    images = draw_images((128, 96), 1)
    found = [None, None]

    def infer(place):
        with closing(open_runtime(im2col_model, "openvino")) as runtime:
            found[place] = [runtime.infer(images).scores for _ in range(10)]

    threads = [threading.Thread(target=infer, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for scores in (*found[0], *found[1]):
        np.testing.assert_array_equal(scores, found[0][0])


@pytest.mark.parametrize("cached", [False, True])
def test_the_kernel_uses_as_many_threads_as_asked_for(im2col_model, tmp_path, monkeypatch, cached):
    pytest.importorskip("numba", reason="needs the fast extra")
    from edge_fairmot.runtimes import openvino_im2col

    options = RuntimeOptions(threads=1, cache_folder=tmp_path)
    if cached:
        open_runtime(im2col_model, "openvino", options).close()
    seen = []

    def record(picture, offset, mask, columns, threads):
        seen.append(threads)
        columns[:] = 0

    monkeypatch.setattr(openvino_im2col, "sample_taps", record)
    with closing(open_runtime(im2col_model, "openvino", options)) as runtime:
        runtime.infer(draw_images((128, 96), 1))
    assert seen == [1] * 16


@pytest.mark.parametrize("threads", [1, 2])
def test_on_one_thread_and_on_more_the_kernel_gives_the_same(threads, monkeypatch):
    numba = pytest.importorskip("numba", reason="needs the fast extra")
    from edge_fairmot.runtimes.im2col_kernel import sample_taps

    used = []
    monkeypatch.setattr(numba, "set_num_threads", used.append)
    layer = draw_layer(1, 3.0, (12, 7))
    picture = layer["x"][0].permute(1, 2, 0).contiguous().numpy()
    columns, alone = (np.zeros((12, 7, TAPS * CHANNELS), np.float32) for _ in range(2))

    sample_taps(picture, layer["offset"][0].numpy(), layer["mask"][0].numpy(), columns, threads)
    sample_taps(picture, layer["offset"][0].numpy(), layer["mask"][0].numpy(), alone, 1)

    assert used == ([2] if threads == 2 <= numba.config.NUMBA_NUM_THREADS else [])
    assert columns.any()
    np.testing.assert_array_equal(columns, alone)


def test_on_one_processor_a_process_comes_to_its_end(im2col_model):
    pytest.importorskip("numba", reason="needs the fast extra")
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


def test_a_file_without_it_does_not_wait_for_numba(small_model):
    program = (
        "import sys; from edge_fairmot.runtimes import open_runtime;"
        "open_runtime(sys.argv[1], 'openvino'); print('numba' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(small_model)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
