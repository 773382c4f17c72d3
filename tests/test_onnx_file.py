"""The reader of ONNX files takes what ONNX is and refuses the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import ManifestError
from edge_fairmot.model_file import read_onnx_file

onnx = pytest.importorskip("onnx", reason="needs onnx to make files")

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


def make_model(metadata=(), shape=(2, 300, 4)):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["h"]), onnx.helper.make_node("Relu", ["h"], ["y"])],
        "tiny",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor("unused", onnx.TensorProto.FLOAT, [1000], [0.5] * 1000)],
    )
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("com.example", 3)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.helper.set_model_props(model, dict(metadata))
    return model


@given(metadata=st.dictionaries(NAMES, NAMES, max_size=5))
def test_reads_what_onnx_writes(tmp_path_factory, metadata):
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(make_model(metadata), path)
    file = read_onnx_file(path)
    assert file.metadata == metadata
    assert (file.ir_version, file.opset, file.operators) == (10, 18, {"Relu": 2})
    assert file.inputs == {"x": "float32 (2, 300, 4)"}
    assert file.outputs == {"y": "float32 (2, 300, 4)"}
    assert file.size_bytes == path.stat().st_size


def test_dynamic_sizes_are_question_marks(tmp_path):
    onnx.save(make_model(shape=("batch", 3)), tmp_path / "tiny.onnx")
    assert read_onnx_file(tmp_path / "tiny.onnx").inputs == {"x": "float32 (?, 3)"}


def test_a_file_without_a_manifest_says_how_to_make_one(tmp_path):
    onnx.save(make_model(), tmp_path / "tiny.onnx")
    with pytest.raises(ManifestError, match=r"no edge-fairmot manifest.*edge-fairmot convert"):
        _ = read_onnx_file(tmp_path / "tiny.onnx").manifest


@given(content=st.binary(max_size=200))
def test_any_other_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("model") / "noise.onnx"
    path.write_bytes(content)
    try:
        file = read_onnx_file(path)
    except ManifestError as error:
        assert "is not an ONNX file" in str(error)  # noqa: PT017
    else:
        assert file.operators


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "tiny.onnx"
    onnx.save(make_model(), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ManifestError, match="cut short"):
        read_onnx_file(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="no model at"):
        read_onnx_file(tmp_path / "absent.onnx")
