from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest

if TYPE_CHECKING:
    from edge_fairmot.convert import FairMOT

SIZE = (64, 32)


@pytest.fixture(scope="session")
def still_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file of a network that sees one person in the middle of any picture, and NaN in a bright one."""
    onnx = pytest.importorskip("onnx", reason="makes a model with onnx")
    from onnx import TensorProto, helper, numpy_helper

    width, height = SIZE
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
        helper.make_node("Sqrt", ["room"], ["root"]),  # not a number where the picture is brighter
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
    manifest = ModelManifest(SIZE, 1, 2, ("person",), 18, "0" * 64, "0")
    model.metadata_props.add(key=MANIFEST_KEY, value=manifest.to_json())
    path = tmp_path_factory.mktemp("still") / "still.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def people_checkpoint(
    lively_network: Callable[[], FairMOT], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A lively network with large boxes and few peaks.

    Rounding moves the box of a sliver by half of it, and scores that saturate at 1 tie.
    """
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    network = lively_network()
    network.wh[2].bias.data += 12
    network.hm[2].weight.data *= 0.1
    network.hm[2].bias.data -= 1
    path = tmp_path_factory.mktemp("people") / "lively.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def people_model(people_checkpoint: Path) -> Path:
    """ONNX file of it: 128x96, 64 detections."""
    from edge_fairmot.convert import GraphOptions, convert

    options = GraphOptions((128, 96), max_detections=64)
    return convert(people_checkpoint, people_checkpoint.with_name("small.onnx"), options).path
