"""A checkpoint becomes a file of the graph contract that detects what the network detects."""

from contextlib import closing

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge_fairmot.convert import GraphOptions, NetworkSpec, conversion, convert, load_network
from edge_fairmot.convert.deform_conv import LOWERINGS
from edge_fairmot.convert.export import MAX_IR_VERSION
from edge_fairmot.convert.parity import draw_images, compare, reference_detections
from edge_fairmot.errors import CheckpointError, ConversionError, InvalidInputError
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes import open_runtime

SIZE = (96, 64)
BATCH = 2
SPEC = NetworkSpec(num_classes=2, box_channels=4, embedding_dim=64)

HEAD_TOLERANCE = 2e-5
"""Of a head's range, as for the network in PyTorch."""

# What ONNX Runtime 1.18, OpenVINO's ONNX frontend and TensorRT 8.6's parser all have.
PORTABLE_OPERATORS = """
    Add Cast Clip Concat Conv DepthToSpace Div Equal Expand Floor Gather Gemm GridSample MatMul MaxPool Mul
    Pad ReduceSum Relu Reshape Sigmoid Slice Split Sqrt Squeeze Sub TopK Transpose Unsqueeze Where
"""


@pytest.fixture(scope="module")
def checkpoint(lively_network, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "lively.pth"
    torch.save({"epoch": 1, "state_dict": lively_network(SPEC).state_dict()}, path)
    return path


NEWEST_OPERATOR = {"native": "DeformConv", "im2col": "DeformIm2col"}


@pytest.fixture(scope="module", params=LOWERINGS)
def converted(request, checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    options = GraphOptions(SIZE, request.param, max_detections=40, batch_size=BATCH)
    return convert(checkpoint, path, options, class_names=("person", "bicycle"))


def test_the_file_keeps_the_graph_contract(converted):
    file = read_onnx_file(converted.path)
    assert file.inputs == {"images": "uint8 (2, 64, 96, 3)"}
    assert file.outputs == {
        "boxes": "float32 (2, 40, 4)",
        "scores": "float32 (2, 40)",
        "class_ids": "int64 (2, 40)",
        "embeddings": "float32 (2, 40, 64)",
    }
    assert file.ir_version <= MAX_IR_VERSION
    assert converted.warnings == ()


def test_the_unrolled_graphs_hold_portable_operators_only(converted):
    file = read_onnx_file(converted.path)
    (lowering,) = set(file.manifest.deform_conv.values())
    if lowering in NEWEST_OPERATOR:
        assert (file.opset, file.operators[NEWEST_OPERATOR[lowering]]) == (19, 16)
    else:
        assert file.opset == 18
        assert file.operators.keys() <= set(PORTABLE_OPERATORS.split())


def test_the_manifest_describes_the_file(converted):
    manifest = converted.manifest
    assert manifest == read_onnx_file(converted.path).manifest
    assert (manifest.input_size, manifest.batch_size, manifest.stride) == (SIZE, BATCH, 4)
    assert (manifest.max_detections, manifest.embedding_dim) == (40, 64)
    assert manifest.class_names == ("person", "bicycle")
    assert len(manifest.deform_conv) == 16
    assert {"late-heads", "shuffle-upsampling", "simplified"} <= set(manifest.rewrites)
    assert manifest.parity["peaks_matched"] == 1.0


def test_the_file_detects_what_the_network_detects(converted, checkpoint):
    network, _ = load_network(checkpoint)
    images = np.ascontiguousarray(draw_images(SIZE, BATCH)[:, ::-1])  # not the picture of the check
    with closing(open_runtime(converted.path)) as runtime:
        actual = runtime.infer(images)
    compare(actual, reference_detections(network, images, 40)).check("the file differs")
    assert (np.diff(actual.scores, axis=1) <= 0).all()
    np.testing.assert_allclose(np.linalg.norm(actual.embeddings, axis=2), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lowering", "size"),
    [
        ("native", (576, 320)),
        ("native", (864, 480)),
        ("native", (1088, 608)),
        ("gridsample", (576, 320)),
        ("gather", (576, 320)),
    ],
)
def test_dense_heads_of_the_trained_file_equal_the_originals(shared, tmp_path, lowering, size):
    options = GraphOptions(size, lowering, dense_heads=True)
    result = convert(shared / "checkpoints" / "fairmot_dla34.pth", tmp_path / "dense.onnx", options)
    session = onnxruntime.InferenceSession(result.path, providers=["CPUExecutionProvider"])
    with np.load(shared / "reference" / "dense_{}x{}.npz".format(*size)) as reference:
        for n, image in enumerate(reference["images"]):
            heads = dict(
                zip(
                    ("hm", "wh", "reg", "id"),
                    session.run(["hm", "wh", "reg", "id"], {"images": image[None]}),
                    strict=True,
                )
            )
            heads["id"] = heads["id"].reshape(1, 128, -1)[:, :, reference["id_positions"]]
            for name, actual in heads.items():
                error = np.abs(actual[0] - reference[name][n]).max() / np.ptp(reference[name])
                assert error < HEAD_TOLERANCE, name


def _spoil(model: onnx.ModelProto) -> onnx.ModelProto:
    """Disturb the last deformable layer by one percent."""
    spoilt = onnx.ModelProto.FromString(model.SerializeToString())
    (weight,) = (t for t in spoilt.graph.initializer if t.name == "network.ida_up.node_2.conv.weight")
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * np.float32(1.01)).tobytes()
    return spoilt


def test_an_export_that_differs_is_refused_and_leaves_no_file(checkpoint, tmp_path, monkeypatch):
    export = conversion.to_onnx
    monkeypatch.setattr(conversion, "to_onnx", lambda graph: _spoil(export(graph)))
    with pytest.raises(ConversionError, match="exported graph differs from the network"):
        convert(checkpoint, tmp_path / "model.onnx", GraphOptions(SIZE))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", ["raises", "changes outputs"])
def test_a_failed_simplification_is_reported_and_done_without(checkpoint, tmp_path, monkeypatch, fault):
    def simplify(model):
        if fault == "raises":
            raise ConversionError("onnxsim fell over")
        return _spoil(model)

    monkeypatch.setattr(conversion, "simplify", simplify)
    result = convert(checkpoint, tmp_path / "model.onnx", GraphOptions(SIZE))
    assert len(result.warnings) == 1
    assert "simplified" not in result.manifest.rewrites
    assert result.manifest.parity["peaks_matched"] == 1.0


def test_unusable_arguments_are_refused(checkpoint, tmp_path):
    with pytest.raises(InvalidInputError, match="multiples of 32"):
        GraphOptions((570, 320))
    with pytest.raises(InvalidInputError, match="max_detections must be at least 1"):
        GraphOptions(max_detections=0)
    with pytest.raises(ConversionError, match="mkdir -p"):
        convert(checkpoint, tmp_path / "absent" / "model.onnx", GraphOptions(SIZE))
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        convert(tmp_path / "absent.pth", tmp_path / "model.onnx", GraphOptions(SIZE))
    with pytest.raises(InvalidInputError, match="1 class names for a checkpoint of 2"):
        convert(checkpoint, tmp_path / "model.onnx", GraphOptions(SIZE), class_names=("person",))


def test_a_folder_in_the_place_of_the_file_is_an_error(checkpoint, tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ConversionError, match="cannot write"):
        convert(checkpoint, tmp_path / "model.onnx", GraphOptions(SIZE))
