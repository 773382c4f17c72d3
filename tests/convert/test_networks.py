"""Every published network: its outputs by value, its exports, and files that are something else."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edge_fairmot.benchmarks.parity_budget import INT8_BUDGET
from edge_fairmot.convert import (
    CalibrationFrames,
    GraphOptions,
    Int8Options,
    NetworkSpec,
    build_network,
    conversion,
    convert,
    load_network,
    read_checkpoint,
)
from edge_fairmot.convert.calibration import Ranges
from edge_fairmot.convert.checkpoint import deformable_names, write_checkpoint
from edge_fairmot.convert.deploy import DeployGraph, count_macs
from edge_fairmot.convert.export import simplify, to_onnx
from edge_fairmot.convert.network import DCN, normalise_images
from edge_fairmot.convert.networks import NAMED, find_spec, network_name
from edge_fairmot.convert.networks.yolo import Focus, merge_blocks, split_blocks
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.quantization import LEVELS, SILU_END, convolution_layers, layer_name, quantize
from edge_fairmot.convert.recovery import load_start
from edge_fairmot.convert.rewrites import ShuffleUpsampling, merge_phases, split_phases
from edge_fairmot.errors import CheckpointError, InvalidInputError
from edge_fairmot.model_file import certificate_fault
from edge_fairmot.types import RawDetections

from .centernet import assert_decoded

HEAD_TOLERANCE = 1e-5
"""Of a head's range. 1e-4 would be enough; the largest error seen is 8.7e-6 (resfpndcn_34, wh)."""

EXPORT_TOLERANCE = 1e-4
"""Of a head's range, ONNX Runtime beside PyTorch; the largest error seen is a tenth of it."""

ORACLES = {
    "dla_34": "dla_34",
    "dlaconv_34": "dla_34",
    "dlav0_34": "dlav0_34",
    "resdcn_18": "resdcn_18",
    "resdcn_50": "resdcn_50",
    "resfpndcn_18": "resfpndcn_18",
    "resfpndcn_34": "resfpndcn_34",
    "hrnet_18": "hrnet_18",
    "yolo": "yolov5s",
}
"""Names of the reference outputs, and of the networks that their checkpoints are found to be."""

NARROW = {
    "yolo": NetworkSpec(arch="yolo", base_channels=4, depth=1, embedding_dim=16),
    "resdcn": NetworkSpec(arch="resdcn", base_channels=8, depth=18, embedding_dim=16),
    "resfpndcn": NetworkSpec(arch="resfpndcn", base_channels=8, depth=18, embedding_dim=16),
    "hrnet2020": NetworkSpec(arch="hrnet2020", base_channels=4, depth=0, embedding_dim=16),
    "hrnet": NetworkSpec(arch="hrnet", base_channels=4, depth=0, embedding_dim=16),
    "dlav0": NetworkSpec(arch="dlav0", base_channels=4, embedding_dim=16),
}


@pytest.fixture
def save(tmp_path):
    def save(state):
        path = tmp_path / "model.pth"
        torch.save({"epoch": 0, "state_dict": state}, path)
        return path

    return save


@pytest.mark.parametrize("oracle", ORACLES)
def test_heads_equal_the_original_networks(shared, save, oracle):
    folder = shared / "networks"
    spec = importlib.util.spec_from_file_location("make_weights", folder / "make_weights.py")
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    state = {f"module.{name}": torch.from_numpy(array) for name, array in weights.state_dict(oracle).items()}
    network, checkpoint = load_network(save(state))
    assert network_name(checkpoint.spec) == ORACLES[oracle]
    with np.load(folder / f"{oracle}.npz") as reference, torch.inference_mode():
        heads = network(normalise_images(torch.from_numpy(reference["image"][None])))
        for name in ("hm", "wh", "reg", "id"):
            error = np.abs(heads[name].numpy() - reference[name]).max() / np.ptp(reference[name])
            assert error < HEAD_TOLERANCE, name


def make_steady_network(spec):
    """Make a network of random weights that amplifies rounding little, as trained ones do."""
    torch.manual_seed(3)
    network = build_network(spec)
    gain = 0.4 if spec.arch.startswith("hrnet") else 1.6  # HRNet sums up to four maps, again and again
    for module in network.modules():
        if isinstance(module, nn.Conv2d | DCN):
            nn.init.normal_(module.weight, std=(gain / module.weight[0].numel()) ** 0.5)
        if isinstance(module, DCN):  # offsets of about a cell, past the borders too
            nn.init.normal_(
                module.conv_offset_mask.weight, std=module.conv_offset_mask.weight[0].numel() ** -0.5
            )
            nn.init.normal_(module.conv_offset_mask.bias)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    return network.eval()


@pytest.mark.parametrize("size", [(96, 64), (64, 128)], ids=str)
@pytest.mark.parametrize("arch", NARROW)
def test_exported_heads_equal_pytorchs(arch, size):
    network = make_steady_network(NARROW[arch])
    images = draw_images(size, 1)
    graph = DeployGraph(network, GraphOptions(size, max_detections=20, dense_heads=True))
    session = onnxruntime.InferenceSession(simplify(to_onnx(graph)).SerializeToString())
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"images": images}), strict=True))
    with torch.inference_mode():
        heads = network(normalise_images(torch.from_numpy(images)))
    for name, head in heads.items():
        error = np.abs(found[name] - head.numpy()).max() / np.ptp(head.numpy())
        assert error < EXPORT_TOLERANCE, name
    detections = RawDetections(*(found[name] for name in names[:4]))
    assert_decoded(detections, 0, {name: found[name] for name in heads}, 20)  # late heads beside dense ones


def test_a_focus_layer_is_one_convolution_of_stride_two():
    layer = Focus(8).eval()
    layer.conv.conv.weight.data.normal_()
    layer.conv.conv.bias = nn.Parameter(torch.randn(8))  # as after folding
    image = torch.rand(2, 3, 10, 14)
    weight = layer.conv.conv.weight.detach()
    with torch.inference_mode():
        expected = layer(image)
        layer.fold()
        torch.testing.assert_close(layer(image), expected, rtol=1e-5, atol=1e-5)
    assert layer.conv.conv.kernel_size == (6, 6)
    assert torch.equal(split_blocks(merge_blocks(weight)), weight)


@pytest.mark.parametrize("factor", [2, 4])
def test_upsampling_of_all_channels_is_its_phases(factor):
    up = nn.ConvTranspose2d(3, 5, 2 * factor, factor, factor // 2)
    x = torch.randn(2, 3, 5, 7)
    with torch.inference_mode():
        torch.testing.assert_close(ShuffleUpsampling(up)(x), up(x), rtol=1e-5, atol=1e-5)
    weight = up.weight.detach()
    assert torch.equal(merge_phases(split_phases(weight, factor), factor), weight)


def test_the_size_of_a_network_is_counted():
    """Beside the sums of another counter on the original definitions (dense heads, 576x320)."""
    for name, gmac, parameters in (
        ("yolov5s", 5.0, 5.0),
        ("resdcn_18", 15.2, 14.9),
        ("hrnet_18", 41.1, 12.1),
    ):
        with torch.device("meta"):
            network = build_network(find_spec(name))
        graph = DeployGraph(network, GraphOptions((576, 320), late_heads=False, shuffle_upsampling=False))
        assert count_macs(graph) / 1e9 == pytest.approx(gmac, abs=0.06), name
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.06), name


def test_networks_have_the_names_of_the_originals_options():
    assert {"dla_34", "dlav0_34", "resdcn_50", "resfpndcn_101", "hrnet_32", "yolov5s"} <= NAMED.keys()
    assert network_name(NetworkSpec(base_channels=8)) == "dla_34 x 0.5"
    with pytest.raises(InvalidInputError, match="choose from dla_34, dlav0_34"):
        find_spec("resnet")
    with pytest.raises(InvalidInputError, match="choose from dla, dlav0"):
        build_network(NetworkSpec(arch="vgg"))


FOREIGN = {
    "an ImageNet HRNet backbone without FairMOT's heads": lambda tensors: without_heads(tensors["hrnet"]),
    "an ImageNet DLA backbone without FairMOT's heads": lambda tensors: {
        name.removeprefix("base."): value for name, value in without_heads(tensors["dlav0"]).items()
    },
    "an ImageNet ResNet backbone without FairMOT's heads": lambda tensors: without_heads(tensors["resdcn"]),
    "a YOLOv5 backbone without FairMOT's heads": lambda tensors: without_heads(tensors["yolo"]),
    "a YOLOv5 detector without FairMOT's heads": lambda tensors: {
        name.removeprefix("backbone."): value for name, value in without_heads(tensors["yolo"]).items()
    },
    "a CenterNet detector: no id head": lambda tensors: {
        name: value for name, value in tensors["resdcn"].items() if not name.startswith("id.")
    },
    "MCMOT's ResNet-18 .max pool 2/2/0": lambda tensors: (
        tensors["resdcn"] | {"layer2.0.downsample.0.weight": torch.zeros(16, 8, 2, 2)}
    ),
    "MCMOT's HRNet": lambda tensors: tensors["hrnet2020"] | {"de_conv_1.0.weight": torch.zeros(60, 64, 4, 4)},
    "FairMOT on HRNetV1": lambda tensors: tensors["hrnet"] | {"hm.0.weight": torch.zeros(256, 4, 3, 3)},
    "another network than dla_34": lambda tensors: {
        name: value for name, value in tensors["yolo"].items() if not name.startswith("backbone.")
    },
    "a JDE network": lambda tensors: {"module_list.0.Conv2d.weight": torch.zeros(8, 3, 3, 3)},
    "not a FairMOT yolov5s x 0.125 checkpoint; tensors 1 missing": lambda tensors: {
        name: value for name, value in tensors["yolo"].items() if name != "backbone.model.9.cv3.conv.weight"
    },
}
"""Words of the refusal, and a file that gets it."""


@pytest.fixture(scope="module")
def tensors():
    torch.manual_seed(0)
    return {arch: build_network(spec).state_dict() for arch, spec in NARROW.items()}


def without_heads(tensors):
    return {name: v for name, v in tensors.items() if name.split(".")[0] not in ("hm", "wh", "id", "reg")}


@pytest.mark.parametrize("words", FOREIGN)
def test_a_file_that_is_something_else_is_told_by_name(save, tensors, words):
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(save(FOREIGN[words](tensors)))


@pytest.mark.parametrize("arch", NARROW)
def test_the_network_is_read_from_the_tensors(save, tensors, arch):
    spec = replace(NARROW[arch], num_classes=3, box_channels=2, head_channels=24)
    assert read_checkpoint(save(build_network(spec).state_dict())).spec == spec
    # An absent bias is zero: dlaconv, and perhaps the last layer of HRNet.
    lean = {name: value for name, value in tensors[arch].items() if name != "last_layer.0.bias"}
    assert read_checkpoint(save(lean)).spec == NARROW[arch]


@pytest.mark.parametrize("arch", NARROW)
def test_a_frozen_backbone_leaves_neck_and_heads_learning(arch):
    with torch.device("meta"):
        network = build_network(NARROW[arch])
    network.freeze(network.early_names)
    early = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    network.freeze(network.backbone_names)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert early < frozen
    assert not network.get_submodule(network.first_convolution).weight.requires_grad
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    heads = {name for name in learning if name.split(".")[0] in network.heads}
    neck = learning - heads
    assert len(heads) == 16
    assert bool(neck) == (arch != "hrnet")  # whose neck has no weights


@pytest.fixture(scope="module")
def yolo_file(tmp_path_factory):
    """ONNX file of a narrow YOLO, with its checkpoint beside it."""
    path = tmp_path_factory.mktemp("yolo") / "yolo.pth"
    write_checkpoint(path, make_steady_network(NARROW["yolo"]), 0)
    return convert(path, path.with_suffix(".onnx"), GraphOptions((96, 64), max_detections=32)).path


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_yolo_is_converted_in_every_precision(yolo_file, tmp_path, monkeypatch, precision):
    monkeypatch.setattr(conversion, "to_onnx", lambda graph: onnx.load(yolo_file))  # the same graph
    frames = CalibrationFrames(draw_images((96, 64), 16), "drawn")
    lenient = replace(INT8_BUDGET, recall=0.0, precision=0.0, iou_mean=0.0, cosine_mean=0.0)
    int8 = Int8Options(frames, budget=lenient) if precision == "int8" else None
    options = GraphOptions((96, 64), max_detections=32)
    path = tmp_path / "file.onnx"
    manifest = convert(yolo_file.with_suffix(".pth"), path, options, precision=precision, int8=int8).manifest
    assert (manifest.network, manifest.default_precision) == ("yolov5s x 0.125", precision)
    assert "folded-focus" in manifest.rewrites
    assert manifest.parameters == read_checkpoint(yolo_file.with_suffix(".pth")).parameters > 0
    assert manifest.macs > 0
    assert certificate_fault(path, manifest) == ""
    if int8:
        kept = {layer.name for layer in convolution_layers(onnx.load(yolo_file)) if not layer.quantizable}
        assert kept == {"backbone.model.0.conv.conv", "hm.2"} == manifest.precision.keys()
        recovered, _ = load_start(path)  # of weights of int8
        assert recovered.spec == NARROW["yolo"]


def test_the_range_of_an_output_before_silu_ends_where_silu_does(yolo_file):
    model = onnx.load(yolo_file)
    convolutions = {layer_name(node): node for node in model.graph.node if node.op_type == "Conv"}
    reach = {name: (-40.0, 5.0) for node in model.graph.node for name in (*node.input, *node.output)}
    scales = {tensor.name: tensor for tensor in quantize(model, Ranges(reach)).graph.initializer}
    output = convolutions["backbone.model.1.conv"].output[0]
    scale = numpy_helper.to_array(scales[f"{output}/out/scale"])
    assert scale == pytest.approx(SILU_END / LEVELS)


def test_yolo_comes_back_out_of_its_file(yolo_file):
    original, _ = load_network(yolo_file.with_suffix(".pth"))
    recovered, _ = load_start(yolo_file)
    assert_same_heads(recovered, original)


@pytest.mark.parametrize("shuffle_upsampling", [True, False])
def test_resnet_of_plain_layers_comes_back_out_of_its_file(tmp_path, shuffle_upsampling):
    spec = replace(NARROW["resdcn"], plain_layers=deformable_names(NARROW["resdcn"]))
    original, path = make_steady_network(spec), tmp_path / "plain.pth"
    write_checkpoint(path, original, 0)
    options = GraphOptions((64, 64), max_detections=16, shuffle_upsampling=shuffle_upsampling)
    recovered, _ = load_start(convert(path, tmp_path / "plain.onnx", options).path)
    assert_same_heads(recovered, original)


def assert_same_heads(recovered, original):
    assert recovered.spec == original.spec
    images = normalise_images(torch.from_numpy(draw_images((64, 96), 1)))
    with torch.inference_mode():
        found, expected = recovered(images), original(images)
    for name, value in expected.items():
        assert (found[name] - value).abs().max() < 1e-3 * value.abs().max(), name
