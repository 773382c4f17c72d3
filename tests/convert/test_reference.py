"""The reference is the checkpoint's network, and a converted file agrees with it."""

import hashlib
import sys
import types
from contextlib import closing

import numpy as np
import pytest
import torch

from edge_fairmot.benchmarks.observation import HEADS, RuntimeObserver, check_same_network
from edge_fairmot.benchmarks.parity_budget import FP32_BUDGET
from edge_fairmot.convert import GraphOptions, convert, reference
from edge_fairmot.convert.deform_conv import deform_conv2d_gridsample
from edge_fairmot.convert.parity import compare, draw_images
from edge_fairmot.convert.reference import TorchReference
from edge_fairmot.errors import EvaluationError, InferenceError, InvalidInputError, RuntimeUnavailableError
from edge_fairmot.runtimes import open_runtime

SIZE = (128, 96)


@pytest.fixture(scope="module")
def checkpoint(small_model):
    return small_model.with_name("lively.pth")


@pytest.fixture(scope="module")
def images():
    return draw_images(SIZE, 1)


@pytest.fixture
def torch_reference(checkpoint):
    with closing(TorchReference(checkpoint, SIZE, max_detections=64, device="cpu")) as made:
        yield made


def assert_same_heads(ours, theirs):
    for name in HEADS:
        expected = theirs[name].values
        error = np.abs(ours[name].values - expected).max() / np.ptp(expected)
        assert error < FP32_BUDGET.head_largest_error, name


def test_a_converted_file_agrees_with_it(torch_reference, checkpoint, small_model, images, tmp_path):
    options = GraphOptions(SIZE, max_detections=64, dense_heads=True)
    dense = convert(checkpoint, tmp_path / "dense.onnx", options).path
    seen = torch_reference.observe(images)
    assert (seen.tied.scores > 0).sum() >= (seen.detections.scores > 0).sum()
    with closing(RuntimeObserver(open_runtime(dense), dense)) as candidate:
        assert_same_heads(seen.heads, candidate.observe(images).heads)
    with closing(open_runtime(small_model)) as runtime:
        compare(runtime.infer(images), seen.detections).check("the file")
        check_same_network(torch_reference.manifest, runtime.manifest, "the reference")
        assert RuntimeObserver(runtime, small_model).observe(images).heads is None


def test_it_names_its_device_and_versions(torch_reference, checkpoint):
    assert torch_reference.name == "torch:cpu"
    assert torch_reference.manifest.checkpoint_sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert torch_reference.manifest.default_precision == "fp32"
    details = torch_reference.details
    assert (details["device"], details["driver"], details["deform_conv"]) == ("CPU", "none", "grid_sample")
    assert details["torch"] == torch.__version__
    assert details["numpy"] == np.__version__


def test_another_checkpoint_is_refused(small_model, lively_network, tmp_path):
    network = lively_network()
    network.hm[2].bias.data += 1
    torch.save(network.state_dict(), tmp_path / "other.pth")
    with (
        closing(TorchReference(tmp_path / "other.pth", SIZE, device="cpu")) as made,
        closing(open_runtime(small_model)) as runtime,
        pytest.raises(EvaluationError, match="certificate does not match"),
    ):
        check_same_network(made.manifest, runtime.manifest, "other.pth")


def test_torchvisions_operator_is_used_if_it_is_installed(torch_reference, images, monkeypatch):
    calls = []

    def deform_conv2d(x, offset, weight, bias, *, padding=0, mask=None):
        calls.append(padding)
        return deform_conv2d_gridsample(x, offset, mask, weight, bias)

    monkeypatch.setitem(sys.modules, "torchvision.ops", None)
    assert reference._torchvision_deform_conv2d() is None
    module = types.ModuleType("torchvision.ops")
    module.deform_conv2d = deform_conv2d
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.ops", module)
    assert reference._torchvision_deform_conv2d() is deform_conv2d

    expected = torch_reference.observe(images)
    reference._use_operator(torch_reference._network, deform_conv2d)
    found = torch_reference.observe(images)

    assert calls == [1] * 16
    np.testing.assert_array_equal(found.heads["id"].values, expected.heads["id"].values)


def test_tf32_is_off_inside_and_as_before_outside(torch_reference, images):
    switches = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [switch.fp32_precision for switch in switches]
    seen = []
    torch_reference._network.register_forward_hook(
        lambda *_: seen.append([switch.fp32_precision for switch in switches])
    )
    for switch in switches:
        switch.fp32_precision = "tf32"
    try:
        torch_reference.infer(images)
        assert [switch.fp32_precision for switch in switches] == ["tf32", "tf32"]
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value
    assert seen == [["ieee", "ieee"]]


def test_wrong_use_is_refused(torch_reference, checkpoint, images, monkeypatch):
    with pytest.raises(InferenceError, match="letterbox the"):
        torch_reference.infer(images[:, :64])
    torch_reference.close()
    torch_reference.close()
    with pytest.raises(InferenceError, match="closed"):
        torch_reference.infer(images)
    with pytest.raises(InvalidInputError, match="multiples of 32"):
        TorchReference(checkpoint, (100, 96), device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeUnavailableError, match="no CUDA device"):
        TorchReference(checkpoint, SIZE, device="cuda")
    with closing(TorchReference(checkpoint, SIZE)) as made:
        assert made.name == "torch:cpu"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and PyTorch's CUDA build")
def test_cuda_and_cpu_agree(checkpoint, torch_reference, images):
    with closing(TorchReference(checkpoint, SIZE, max_detections=64)) as made:
        assert made.name == "torch:cuda"
        assert made.details["driver"] not in ("", "none")
        on_cuda, on_cpu = made.observe(images), torch_reference.observe(images)
    compare(on_cuda.detections, on_cpu.detections).check("CUDA differs from the CPU")
    assert_same_heads(on_cpu.heads, on_cuda.heads)
