import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest

if TYPE_CHECKING:
    from edge_fairmot.convert import FairMOT, NetworkSpec

os.environ["EDGE_FAIRMOT_RUNTIME"] = "cpu"  # what a test computes does not depend on what is installed

SHARED = Path(__file__).resolve().parents[2] / "shared"

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _signals_find_their_stack():
    """For tests that use OpenVINO itself: what they leave to the garbage collector may end in any thread."""
    from edge_fairmot.runtimes.openvino import kept_signal_stack

    with kept_signal_stack():
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data: a checkpoint, reference outputs, sequences with ground truth, videos."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the data in {SHARED}")
    return SHARED


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of a size as ``64k``, for tests that fill it."""
    folder = tmp_path / "disk"

    def mount(size: str) -> Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("a small disk cannot be mounted here")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


def make_lively_network(spec: "NetworkSpec | None" = None) -> "FairMOT":
    """Make a network of random weights in which every layer matters; a quarter of the original's width.

    Batch norms take the statistics of an image, so that signals keep their size through the depth, and
    deformable layers sample some cells away, past the borders. Boxes are as large as people, not slivers that
    rounding moves by half.
    """
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    from torch import nn

    from edge_fairmot.convert import NetworkSpec, build_network
    from edge_fairmot.convert.network import deformable_layers, normalise_images
    from edge_fairmot.convert.parity import draw_images

    torch.manual_seed(7)
    network = build_network(spec or NetworkSpec(base_channels=4))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.uniform_(module.weight, 0.0, 0.6)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    for layer in deformable_layers(network).values():
        fan_in = layer.conv_offset_mask.weight[0].numel()
        nn.init.normal_(layer.conv_offset_mask.weight, std=0.3 / fan_in**0.5)
        nn.init.normal_(layer.conv_offset_mask.bias, std=2)
        nn.init.normal_(layer.bias, std=0.1)
    network.wh[2].bias.data += 6
    with torch.no_grad():
        network.train()(normalise_images(torch.from_numpy(draw_images((128, 128), 4))))
    return network.eval()


@pytest.fixture(scope="session")
def lively_network():
    return make_lively_network


@pytest.fixture(scope="session")
def small_model(lively_network, tmp_path_factory) -> Path:
    """ONNX file of a lively network: 128x96, one class, 64 detections, native deformable convolutions."""
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    from edge_fairmot.convert import GraphOptions, convert

    folder = tmp_path_factory.mktemp("small-model")
    torch.save(lively_network().state_dict(), folder / "lively.pth")
    options = GraphOptions((128, 96), "native", max_detections=64)
    return convert(folder / "lively.pth", folder / "small.onnx", options).path


@pytest.fixture(scope="session")
def trained_model(shared, tmp_path_factory) -> Path:
    """ONNX file of the trained checkpoint at 576x320."""
    pytest.importorskip("torch", reason="needs the convert extra")
    from edge_fairmot.convert import GraphOptions, convert

    path = tmp_path_factory.mktemp("trained-model") / "fairmot.onnx"
    return convert(shared / "checkpoints" / "fairmot_dla34.pth", path, GraphOptions((576, 320))).path


@pytest.fixture(scope="session")
def still_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file of a network that sees one person in the middle of any image, and NaN in a bright one."""
    onnx = pytest.importorskip("onnx", reason="makes a model with onnx")
    from onnx import TensorProto, helper, numpy_helper

    width, height = size = 64, 32
    constants = {
        "box": np.float32([[[24, 8, 40, 24]]]),
        "limit": np.float32(200),
        "none": np.float32(0),
        "axes": np.int64([1, 2, 3]),
        "the score": np.float32([[0.9]]),
        "the class": np.int64([[0]]),
        "the look": np.float32([[[0.6, 0.8]]]),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["limit", "mean"], ["room"]),
        helper.make_node("Sqrt", ["room"], ["root"]),  # NaN where the image is brighter
        helper.make_node("Mul", ["root", "none"], ["zero"]),
        helper.make_node("Add", ["box", "zero"], ["boxes"]),
        helper.make_node("Identity", ["the score"], ["scores"]),
        helper.make_node("Identity", ["the class"], ["class_ids"]),
        helper.make_node("Identity", ["the look"], ["embeddings"]),
    ]
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (1, 1, 4)),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 1)),
        helper.make_tensor_value_info("class_ids", TensorProto.INT64, (1, 1)),
        helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, (1, 1, 2)),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, (1, height, width, 3))
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "still", [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    manifest = ModelManifest(size, 1, 2, ("person",), 18, "0" * 64, "0")
    model.metadata_props.add(key=MANIFEST_KEY, value=manifest.to_json())
    path = tmp_path_factory.mktemp("still") / "still.onnx"
    onnx.save(model, path)
    return path


THREE_CLASSES = ("car", "bus", "person")


@pytest.fixture(scope="session")
def three_class_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file that finds a blue car, a green bus and a red person, each 8x8, in an image of 64x32.

    A box begins at the first brightest pixel of its colour. Scores are 0.9, 0.7 and 0.5.
    """
    onnx = pytest.importorskip("onnx", reason="makes a model with onnx")
    from onnx import TensorProto, helper, numpy_helper

    width, height = size = 64, 32
    constants = {
        "flat": np.int64([1, height * width, 3]),
        "width": np.int64(width),
        "size": np.float32([0, 0, 8, 8]),
        "last": np.int64([2]),
    }
    found = {
        "scores": np.float32([[0.9, 0.7, 0.5]]),
        "class_ids": np.int64([[0, 1, 2]]),
        "embeddings": np.float32([[[1, 0], [0, 1], [0.6, 0.8]]]),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "flat"], ["rows"]),
        helper.make_node("ArgMax", ["rows"], ["first"], axis=1, keepdims=0),  # (1, 3)
        helper.make_node("Mod", ["first", "width"], ["x"]),
        helper.make_node("Div", ["first", "width"], ["y"]),
        helper.make_node("Unsqueeze", ["x", "last"], ["left"]),
        helper.make_node("Unsqueeze", ["y", "last"], ["top"]),
        helper.make_node("Concat", ["left", "top", "left", "top"], ["corners"], axis=2),
        helper.make_node("Cast", ["corners"], ["places"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["places", "size"], ["boxes"]),
        *(helper.make_node("Identity", [f"the {name}"], [name]) for name in found),
    ]
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (1, 3, 4)),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 3)),
        helper.make_tensor_value_info("class_ids", TensorProto.INT64, (1, 3)),
        helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, (1, 3, 2)),
    ]
    constants |= {f"the {name}": value for name, value in found.items()}
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, (1, height, width, 3))
    graph = helper.make_graph(nodes, "three", [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    manifest = ModelManifest(size, 3, 2, THREE_CLASSES, 18, "0" * 64, "0")
    model.metadata_props.add(key=MANIFEST_KEY, value=manifest.to_json())
    path = tmp_path_factory.mktemp("three") / "three.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 20 images of 64x32: car and bus drive to the right, the person walks to the left."""
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("traffic")
    for index in range(20):
        image = np.zeros((32, 64, 3), np.uint8)
        for channel, (x, y) in enumerate(((8 + 2 * index, 4), (2 * index, 14), (52 - 2 * index, 23))):
            image[y : y + 8, x : x + 8, channel] = 255
        cv2.imwrite(str(folder / f"{index + 1:06d}.png"), image)
    return folder
