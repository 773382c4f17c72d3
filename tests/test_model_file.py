"""ONNX files are read without ONNX; a certificate fits one graph, whatever the metadata."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest
from edge_fairmot.model_file import (
    certificate_fault,
    certify,
    read_fields,
    read_onnx_file,
    with_unsigned_activations,
    write_field,
)

onnx = pytest.importorskip("onnx", reason="needs onnx to make files")

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


MANIFEST = ModelManifest(
    input_size=(576, 320),
    max_detections=128,
    embedding_dim=128,
    class_names=("person",),
    opset=19,
    checkpoint_sha256="0" * 64,
    toolkit_version="0.1.0",
)


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


@pytest.fixture
def path(tmp_path):
    onnx.save(make_model({"author": "A. Nonymous", MANIFEST_KEY: "old"}), tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def edit(path, change):
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)


def test_missing_cut_and_unwritable_files_are_one_error(path, tmp_path, monkeypatch):
    with pytest.raises(ManifestError, match="no model at"):
        read_onnx_file(tmp_path / "absent.onnx")
    with pytest.raises(ManifestError, match="is a folder"):
        read_onnx_file(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("edge_fairmot.system.os.open", Mock(side_effect=OSError(28, "No space left")))
        with pytest.raises(ManifestError, match="cannot write the certificate"):
            certify(path, MANIFEST)
    path.write_bytes(path.read_bytes()[:-40])
    before = path.read_bytes()
    for use in (read_onnx_file, lambda cut: certify(cut, MANIFEST)):
        with pytest.raises(ManifestError, match="cut short"):
            use(path)
    assert path.read_bytes() == before


def test_certify_replaces_the_manifest_and_nothing_else(path):
    before = onnx.load(path)
    written = certify(path, replace(MANIFEST, parity={"recall": 0.99}))
    after = onnx.load(path)
    assert after.graph == before.graph
    assert after.opset_import == before.opset_import
    assert sorted((entry.key, entry.value) for entry in after.metadata_props) == [
        ("author", "A. Nonymous"),
        (MANIFEST_KEY, written.to_json()),
    ]
    assert read_onnx_file(path).manifest == written
    assert certificate_fault(path, written) == ""
    assert [entry.name for entry in path.parent.iterdir()] == ["tiny.onnx"]


def test_another_weight_is_another_graph(path):
    manifest = certify(path, MANIFEST)

    def nudge(model):
        model.graph.initializer[0].float_data[0] += 1e-6

    edit(path, nudge)
    assert "was changed after it was checked" in certificate_fault(path, read_onnx_file(path).manifest)
    assert certify(path, manifest).graph_sha256 != manifest.graph_sha256


def test_metadata_is_not_the_graph(path):
    assert "has no certificate" in certificate_fault(path, MANIFEST)
    manifest = certify(path, MANIFEST)

    def sign(model):
        model.producer_name = "another"
        model.metadata_props.add(key="note", value="deployed in the north hall")

    edit(path, sign)
    assert certificate_fault(path, manifest) == ""


def test_a_full_disk_leaves_the_file_as_it_was_and_nothing_beside_it(path, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ManifestError, match="No space left on device"):
        certify(path, MANIFEST)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@given(st.lists(st.tuples(st.integers(1, 500), st.binary(max_size=300)), max_size=6))
def test_fields_are_read_as_they_are_written(contents):
    message = memoryview(b"".join(write_field(number, content) for number, content in contents))
    found = list(read_fields(message))
    assert [(field.number, bytes(field.value)) for field in found] == contents
    assert b"".join(field.raw for field in found) == message


@pytest.mark.parametrize(("weight_zero", "unsigned"), [("weight_zero", True), ("zero", False), ("", True)])
def test_activations_become_unsigned_where_no_weight_shares_their_zero(tmp_path, weight_zero, unsigned):
    path, helper, values = tmp_path / "int8.onnx", onnx.helper, np.linspace(-9, 9, 400, dtype=np.float32)
    weight = ["weight", "scale", weight_zero] if weight_zero else ["weight", "scale"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "scale", "zero"], ["near"]),
        helper.make_node("DequantizeLinear", weight, ["float"]),
        helper.make_node("Mul", ["near", "float"], ["y"]),
    ]
    arrays = {"scale": np.float32(0.05), "zero": np.int8(0), "weight_zero": np.int8(0), "weight": np.int8(3)}
    floats = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (400,)) for name in "xy"]
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "int8", floats[:1], floats[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    runtime = pytest.importorskip("onnxruntime")
    changed = with_unsigned_activations(path)
    assert (changed is not None) == unsigned
    if changed is not None:
        model = onnx.load_from_string(changed)
        zeros = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
        assert (zeros["zero"], zeros["zero"].dtype, zeros["weight_zero"].dtype) == (128, np.uint8, np.int8)
        sessions = [
            runtime.InferenceSession(one, providers=["CPUExecutionProvider"]) for one in (path, changed)
        ]
        before, after = (session.run(None, {"x": values})[0] for session in sessions)
        np.testing.assert_array_equal(after, before)


def test_a_float_model_has_nothing_to_make_unsigned(tmp_path):
    onnx.save(make_model(), tmp_path / "tiny.onnx")
    assert with_unsigned_activations(tmp_path / "tiny.onnx") is None
