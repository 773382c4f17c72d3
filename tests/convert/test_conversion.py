"""A checkpoint becomes a file of the graph contract that detects what the network detects."""

from contextlib import closing

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_fairmot.convert import GraphOptions, conversion, convert, load_network
from edge_fairmot.convert.deform_conv import LOWERINGS
from edge_fairmot.convert.export import MAX_IR_VERSION
from edge_fairmot.convert.parity import compare, draw_images, reference_detections
from edge_fairmot.errors import CheckpointError, ConversionError, InvalidInputError
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.types import RawDetections

from .centernet import assert_decoded
from .conftest import BATCH, SIZE, TOP_K

OPTIONS = GraphOptions(SIZE, max_detections=TOP_K, batch_size=BATCH)

HEAD_TOLERANCE = 2e-5
"""Of a head's range, as for the network in PyTorch."""

# Operators of ONNX Runtime 1.18, of OpenVINO's ONNX frontend and of TensorRT 8.6's parser.
PORTABLE_OPERATORS = """
    Add Cast Clip Concat Conv DepthToSpace Div Equal Expand Floor Gather Gemm GridSample MatMul MaxPool Mul
    Pad ReduceSum Relu Reshape Sigmoid Slice Split Sqrt Squeeze Sub TopK Transpose Unsqueeze Where
"""

NEWEST_OPERATOR = {"native": "DeformConv", "im2col": "DeformIm2col"}


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_the_file_keeps_the_graph_contract(exported, lowering):
    converted = exported(lowering)
    file = read_onnx_file(converted.path)
    assert converted.warnings == ()
    assert file.inputs == {"images": "uint8 (2, 64, 96, 3)"}
    assert file.outputs == {
        "boxes": "float32 (2, 40, 4)",
        "scores": "float32 (2, 40)",
        "class_ids": "int64 (2, 40)",
        "embeddings": "float32 (2, 40, 16)",
    }
    assert file.ir_version <= MAX_IR_VERSION
    if lowering in NEWEST_OPERATOR:
        assert (file.opset, file.operators[NEWEST_OPERATOR[lowering]]) == (19, 16)
        assert "GridSample" not in file.operators
    else:
        assert file.opset == 18
        assert file.operators.keys() <= set(PORTABLE_OPERATORS.split())
    functions = onnx.load(converted.path).functions
    assert [function.name for function in functions] == ["DeformIm2col"] * (lowering == "im2col")

    manifest = converted.manifest
    assert manifest == file.manifest
    assert (manifest.input_size, manifest.batch_size, manifest.stride) == (SIZE, BATCH, 4)
    assert (manifest.max_detections, manifest.embedding_dim) == (TOP_K, 16)
    assert manifest.class_names == ("person", "bicycle")
    assert list(manifest.deform_conv.values()) == [lowering] * 16
    assert {"late-heads", "shuffle-upsampling", "simplified"} <= set(manifest.rewrites)
    assert manifest.parity["peaks_matched"] == 1.0


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_the_file_detects_what_the_network_detects(exported, two_classes, lowering):
    network, _ = load_network(two_classes)
    images = np.ascontiguousarray(draw_images(SIZE, BATCH)[:, ::-1])  # not the images of the check
    with closing(open_runtime(exported(lowering).path)) as runtime:
        actual = runtime.infer(images)
    compare(actual, reference_detections(network, images, TOP_K)).check("the file differs")
    assert (np.diff(actual.scores, axis=1) <= 0).all()
    np.testing.assert_allclose(np.linalg.norm(actual.embeddings, axis=2), 1, atol=1e-5)


def test_the_trained_file_computes_the_original_heads_and_decodes_them(shared, trained_dense_model):
    session = onnxruntime.InferenceSession(trained_dense_model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with np.load(shared / "reference" / "dense_576x320.npz") as reference:
        for n, image in enumerate(reference["images"]):
            found = dict(zip(names, session.run(None, {"images": image[None]}), strict=True))
            detections = RawDetections(*(found.pop(name) for name in names[:4]))
            assert_decoded(detections, 0, found, 500)
            found["id"] = found["id"].reshape(1, 128, -1)[:, :, reference["id_positions"]]
            for name, actual in found.items():
                error = np.abs(actual[0] - reference[name][n]).max() / np.ptp(reference[name])
                assert error < HEAD_TOLERANCE, name


def _spoil(model: onnx.ModelProto) -> onnx.ModelProto:
    """Disturb the last deformable layer by one percent."""
    spoilt = onnx.ModelProto.FromString(model.SerializeToString())
    (weight,) = (t for t in spoilt.graph.initializer if t.name == "network.ida_up.node_2.conv.weight")
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * np.float32(1.01)).tobytes()
    return spoilt


def test_an_export_that_differs_is_refused_and_leaves_no_file(two_classes, raw_export, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "to_onnx", lambda graph: _spoil(raw_export))
    with pytest.raises(ConversionError, match="exported graph differs from the network"):
        convert(two_classes, tmp_path / "model.onnx", OPTIONS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", ["raises", "changes outputs"])
def test_a_failed_simplification_is_reported_and_left_out(
    two_classes, raw_export, tmp_path, monkeypatch, fault
):
    def simplify(model):
        if fault == "raises":
            raise ConversionError("onnxsim fell over")
        return _spoil(model)

    monkeypatch.setattr(conversion, "to_onnx", lambda graph: raw_export)
    monkeypatch.setattr(conversion, "simplify", simplify)
    result = convert(two_classes, tmp_path / "model.onnx", OPTIONS)
    assert len(result.warnings) == 1
    assert "simplified" not in result.manifest.rewrites
    assert result.manifest.parity["peaks_matched"] == 1.0


def test_unusable_arguments_are_refused(two_classes, tmp_path):
    with pytest.raises(ConversionError, match="mkdir -p"):
        convert(two_classes, tmp_path / "absent" / "model.onnx", OPTIONS)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        convert(tmp_path / "absent.pth", tmp_path / "model.onnx", OPTIONS)
    with pytest.raises(InvalidInputError, match="1 class names for a checkpoint of 2"):
        convert(two_classes, tmp_path / "model.onnx", OPTIONS, class_names=("person",))
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ConversionError, match="cannot write"):
        convert(two_classes, tmp_path / "folder.onnx", OPTIONS)
