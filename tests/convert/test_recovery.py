"""A network comes back out of the file that was made of it, and computes what the file does."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")

from edge_fairmot.benchmarks.parity_budget import INT8_BUDGET  # noqa: E402
from edge_fairmot.convert import (  # noqa: E402
    CalibrationFrames,
    FairMOT,
    GraphOptions,
    Int8Options,
    NetworkSpec,
    convert,
    load_network,
)
from edge_fairmot.convert.batch_norm import fold_batch_norms  # noqa: E402
from edge_fairmot.convert.checkpoint import write_checkpoint  # noqa: E402
from edge_fairmot.convert.network import deformable_layers, normalise_images  # noqa: E402
from edge_fairmot.convert.parity import draw_images  # noqa: E402
from edge_fairmot.convert.recovery import load_start, recover_network  # noqa: E402
from edge_fairmot.convert.upsampling import _phase_kernels, merge_phases  # noqa: E402
from edge_fairmot.errors import ConversionError, ManifestError  # noqa: E402

PLAIN = frozenset(deformable_layers(FairMOT(NetworkSpec())))
LENIENT = replace(INT8_BUDGET, recall=0.0, precision=0.0, iou_mean=0.0, cosine_mean=0.0)
"""Random weights amplify rounding; what is tested is how they come back."""

ROUNDING = 1e-3
"""Of a head's largest value: float32 sums in another order, amplified by 40 layers of random weights."""


@pytest.fixture(scope="module", params=[NetworkSpec(), NetworkSpec(2, 2, 32, base_channels=8)], ids=str)
def checkpoint(request, lively_network, tmp_path_factory):
    spec = replace(request.param, plain_layers=PLAIN)
    path = tmp_path_factory.mktemp("plain") / "plain.pth"
    write_checkpoint(path, lively_network(spec), 0)
    return path


def heads(network):
    with torch.no_grad():
        return network(normalise_images(torch.from_numpy(draw_images((128, 96), 2))))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"late_heads": False},
        {"shuffle_upsampling": False},
        {"dense_heads": True},
    ],
    ids=str,
)
def test_a_recovered_network_computes_the_same(checkpoint, options, tmp_path):
    file = convert(checkpoint, tmp_path / "plain.onnx", GraphOptions((64, 64), max_detections=16, **options))
    original, _ = load_network(checkpoint)

    recovered = recover_network(file.path)

    assert recovered.spec == original.spec
    assert all(parameter.requires_grad for parameter in recovered.parameters())
    found = heads(recovered)
    for name, expected in heads(original).items():
        difference = (found[name] - expected).abs().max()
        assert difference < ROUNDING * expected.abs().max(), name
    write_checkpoint(tmp_path / "again.pth", recovered, 0)
    assert load_network(tmp_path / "again.pth")[1].spec == original.spec


@pytest.mark.slow
def test_int8_weights_come_back_within_half_a_step(lively_network, tmp_path):
    network = lively_network(NetworkSpec(plain_layers=PLAIN))
    write_checkpoint(tmp_path / "plain.pth", network, 0)
    int8 = Int8Options(CalibrationFrames(draw_images((128, 96), 16), "pictures"), budget=LENIENT)
    options = GraphOptions((128, 96), max_detections=64)
    convert(tmp_path / "plain.pth", tmp_path / "int8.onnx", options, precision="int8", int8=int8)

    recovered = recover_network(tmp_path / "int8.onnx")

    fold_batch_norms(network)
    fold_batch_norms(recovered)
    theirs, rounded = network.state_dict(), 0
    for name, ours in recovered.state_dict().items():
        if not name.endswith("weight") or "project" in name or name.startswith("hm.0"):
            continue
        largest = theirs[name].abs().flatten(1).amax(1).reshape(-1, *[1] * (ours.ndim - 1))
        error = (ours - theirs[name]).abs()
        assert (error <= largest * 0.5001 / 127 + 1e-6).all(), name
        rounded += bool(error.max() > 1e-4 * largest.max())
    assert rounded > 40
    # Its input is equalized: a step is a channel's own.
    error = (recovered.hm[0].weight - network.hm[0].weight).abs().max()
    assert error < 0.05 * network.hm[0].weight.abs().max()


@pytest.mark.parametrize("factor", [2, 4])
def test_phases_are_put_together_as_they_were(factor):
    kernel = torch.randn(5, 1, 2 * factor, 2 * factor)
    assert torch.equal(merge_phases(_phase_kernels(kernel, factor), factor), kernel)


def test_what_cannot_be_recovered_is_refused(small_model, tmp_path):
    with pytest.raises(ConversionError, match="has deformable convolutions, and cannot be trained on"):
        recover_network(small_model)
    (tmp_path / "torn.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(ManifestError):
        load_start(tmp_path / "torn.onnx")


def test_a_file_that_was_changed_by_hand_is_refused(checkpoint, tmp_path):
    file = convert(checkpoint, tmp_path / "plain.onnx", GraphOptions((64, 64), max_detections=16)).path
    model = onnx.load(file)
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "network.wh.2.bias")
    bias.name = "renamed"
    onnx.save(model, file)

    with pytest.raises(ConversionError, match=r"is not as this version of convert writes it .*wh\.2\.bias"):
        recover_network(file)


def test_training_starts_from_either(checkpoint, tmp_path):
    file = convert(checkpoint, tmp_path / "plain.onnx", GraphOptions((64, 64), max_detections=16)).path

    (_, of_checkpoint), (network, of_file) = load_start(checkpoint), load_start(file)

    assert of_checkpoint == load_network(checkpoint)[1].sha256
    assert len({of_checkpoint, of_file}) == 2
    assert np.isfinite(heads(network)["hm"].numpy()).all()
