"""A network comes back out of the file that was made of it, and computes what the file does."""

from dataclasses import replace

import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")

from edge_fairmot.benchmarks.parity_budget import INT8_BUDGET  # noqa: E402
from edge_fairmot.convert import (  # noqa: E402
    CalibrationFrames,
    GraphOptions,
    Int8Options,
    NetworkSpec,
    conversion,
    convert,
    load_network,
)
from edge_fairmot.convert.checkpoint import deformable_names, write_checkpoint  # noqa: E402
from edge_fairmot.convert.network import normalise_images  # noqa: E402
from edge_fairmot.convert.parity import draw_images  # noqa: E402
from edge_fairmot.convert.recovery import load_start, recover_network  # noqa: E402
from edge_fairmot.convert.rewrites import fold_batch_norms  # noqa: E402
from edge_fairmot.errors import ConversionError, ManifestError  # noqa: E402

ONE_CLASS = NetworkSpec(plain_layers=deformable_names(), base_channels=4)
TWO_CLASSES = replace(ONE_CLASS, num_classes=2, box_channels=2, embedding_dim=32)
OPTIONS = GraphOptions((64, 64), max_detections=16)
LENIENT = replace(INT8_BUDGET, recall=0.0, precision=0.0, iou_mean=0.0, cosine_mean=0.0)
"""Random weights amplify rounding; what is tested is how they come back."""

ROUNDING = 1e-3
"""Of a head's largest value: float32 sums in another order, amplified by 40 layers of random weights."""


@pytest.fixture(scope="module")
def plain(lively_network, tmp_path_factory):
    """Checkpoint of one class without deformable layers, and its ONNX file."""
    path = tmp_path_factory.mktemp("plain") / "plain.pth"
    write_checkpoint(path, lively_network(ONE_CLASS), 0)
    return path, convert(path, path.with_suffix(".onnx"), OPTIONS).path


def assert_same_network(recovered, original):
    assert recovered.spec == original.spec
    assert all(parameter.requires_grad for parameter in recovered.parameters())
    images = normalise_images(torch.from_numpy(draw_images((128, 96), 2)))
    with torch.no_grad():
        found, expected = recovered(images), original(images)
    for name, value in expected.items():
        assert (found[name] - value).abs().max() < ROUNDING * value.abs().max(), name


def test_training_starts_from_a_checkpoint_or_a_file(plain, tmp_path):
    checkpoint, file = plain

    (original, of_checkpoint), (recovered, of_file) = load_start(checkpoint), load_start(file)

    assert of_checkpoint == load_network(checkpoint)[1].sha256 != of_file
    assert_same_network(recovered, original)
    write_checkpoint(tmp_path / "again.pth", recovered, 0)
    assert load_network(tmp_path / "again.pth")[1].spec == original.spec


@pytest.mark.parametrize(
    "options", [{"dense_heads": True}, {"late_heads": False, "shuffle_upsampling": False}], ids=str
)
def test_every_rewrite_is_undone(lively_network, options, tmp_path):
    network = lively_network(TWO_CLASSES)
    write_checkpoint(tmp_path / "plain.pth", network, 0)
    graph = replace(OPTIONS, **options)
    file = convert(tmp_path / "plain.pth", tmp_path / "plain.onnx", graph).path
    assert_same_network(recover_network(file), network)


def test_int8_weights_come_back_within_half_a_step(lively_network, plain, tmp_path, monkeypatch):
    checkpoint, file = plain
    monkeypatch.setattr(conversion, "to_onnx", lambda graph: onnx.load(file))  # the same graph
    int8 = Int8Options(CalibrationFrames(draw_images((64, 64), 16), "images"), budget=LENIENT)
    convert(checkpoint, tmp_path / "int8.onnx", OPTIONS, precision="int8", int8=int8)

    recovered, network = recover_network(tmp_path / "int8.onnx"), lively_network(ONE_CLASS)

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
    # Its input is equalized, so a step is a channel's own.
    error = (recovered.hm[0].weight - network.hm[0].weight).abs().max()
    assert error < 0.05 * network.hm[0].weight.abs().max()


def test_files_without_a_network_to_recover_are_refused(small_model, plain, tmp_path):
    with pytest.raises(ConversionError, match="has deformable convolutions, and cannot be trained on"):
        recover_network(small_model)
    (tmp_path / "torn.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(ManifestError):
        load_start(tmp_path / "torn.onnx")
    model = onnx.load(plain[1])
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "network.wh.2.bias")
    bias.name = "renamed"
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(ConversionError, match=r"is not as this version of convert writes it .*wh\.2\.bias"):
        recover_network(tmp_path / "changed.onnx")
