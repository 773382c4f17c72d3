"""A certificate is of one graph; whoever changes the graph loses it, whoever adds metadata does not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest
from edge_fairmot.model_file import (
    bytes_field,
    certificate_fault,
    certify,
    fields,
    hash_graph,
    read_onnx_file,
)

onnx = pytest.importorskip("onnx", reason="needs onnx to make files")

MANIFEST = ModelManifest(
    input_size=(576, 320),
    max_detections=128,
    embedding_dim=128,
    class_names=("person",),
    opset=19,
    checkpoint_sha256="0" * 64,
    toolkit_version="0.1.0",
)


@pytest.fixture
def path(tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "tiny",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3])],
        [onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [3], [1, 2, 3])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.helper.set_model_props(model, {"author": "somebody", MANIFEST_KEY: "old"})
    onnx.save(model, tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def edit(path, change):
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)


def test_certify_replaces_the_manifest_and_nothing_else(path):
    before = onnx.load(path)
    written = certify(path, replace(MANIFEST, parity={"recall": 0.99}))
    after = onnx.load(path)
    assert after.graph == before.graph
    assert after.opset_import == before.opset_import
    assert sorted((entry.key, entry.value) for entry in after.metadata_props) == [
        ("author", "somebody"),
        (MANIFEST_KEY, written.to_json()),
    ]
    assert read_onnx_file(path).manifest == written
    assert certificate_fault(path, written) == ""
    assert [entry.name for entry in path.parent.iterdir()] == ["tiny.onnx"]


def test_another_weight_is_another_graph(path):
    manifest = certify(path, MANIFEST)

    def nudge(model):
        model.graph.initializer[0].float_data[0] = 1.0000001

    edit(path, nudge)
    assert "was changed after it was checked" in certificate_fault(path, read_onnx_file(path).manifest)
    assert certify(path, manifest).graph_sha256 != manifest.graph_sha256


def test_metadata_is_not_the_graph(path):
    manifest = certify(path, MANIFEST)

    def sign(model):
        model.producer_name = "somebody else"
        model.metadata_props.add(key="note", value="deployed in the north hall")

    edit(path, sign)
    assert certificate_fault(path, manifest) == ""


def test_a_file_that_never_had_a_certificate_says_so(path):
    assert "has no certificate" in certificate_fault(path, MANIFEST)


def test_a_cut_file_keeps_its_bytes(path):
    path.write_bytes(path.read_bytes()[:-10])
    before = path.read_bytes()
    with pytest.raises(ManifestError, match="cut short"):
        certify(path, MANIFEST)
    assert path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_one_error(path):
    path.with_name(f".{path.name}.partial").mkdir()
    with pytest.raises(ManifestError, match="cannot write the certificate"):
        certify(path, MANIFEST)
    assert hash_graph(path)


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
    message = memoryview(b"".join(bytes_field(number, content) for number, content in contents))
    found = list(fields(message))
    assert [(field.number, bytes(field.value)) for field in found] == contents
    assert b"".join(field.raw for field in found) == message
