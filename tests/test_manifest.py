"""The manifest as JSON: what is written is read back, and what is not a manifest is refused."""

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import MANIFEST_KEY, PRECISIONS, SCHEMA_VERSION, ModelManifest

MANIFEST = ModelManifest(
    input_size=(576, 320),
    max_detections=128,
    embedding_dim=128,
    class_names=("person",),
    opset=19,
    checkpoint_sha256="0" * 64,
    toolkit_version="0.1.0",
)

sizes = st.integers(1, 10_000)
names = st.text(max_size=20)
manifests = st.builds(
    ModelManifest,
    input_size=st.tuples(sizes, sizes),
    max_detections=sizes,
    embedding_dim=sizes,
    class_names=st.lists(names, min_size=1, max_size=5).map(tuple),
    opset=sizes,
    checkpoint_sha256=names,
    toolkit_version=names,
    box_channels=st.sampled_from([2, 4]),
    batch_size=sizes,
    stride=sizes,
    deform_conv=st.dictionaries(names, names, max_size=5),
    precision=st.dictionaries(names, names, max_size=5),
    default_precision=st.sampled_from(PRECISIONS),
    rewrites=st.lists(names, max_size=5).map(tuple),
    calibration=names,
    calibration_sha256=names,
    parity=st.dictionaries(names, st.floats(allow_nan=False), max_size=5),
    parity_basis=names,
    graph_sha256=names,
    model_sha256=names,
    versions=st.dictionaries(names, names, max_size=5),
)


def edited(**values):
    return json.dumps(json.loads(MANIFEST.to_json()) | values)


def without(key):
    return json.dumps({name: value for name, value in json.loads(MANIFEST.to_json()).items() if name != key})


@given(manifests)
def test_json_gives_the_same_manifest_back(manifest):
    assert ModelManifest.from_json(manifest.to_json()) == manifest


def test_json_is_the_same_text_for_equal_manifests():
    one, other = ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0})
    assert replace(MANIFEST, parity=one).to_json() == replace(MANIFEST, parity=other).to_json()


@pytest.mark.parametrize("text", ["", "{", "null", "7", "[]", '"text"', "{}", '{"schema_version": '])
def test_damaged_text_is_refused(text):
    with pytest.raises(ManifestError, match=r"damaged.*edge-fairmot convert"):
        ModelManifest.from_json(text)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, "1", None])
def test_another_schema_is_refused_by_number(version):
    with pytest.raises(ManifestError, match=f"schema {version!r}, .* reads {SCHEMA_VERSION}: pip install -U"):
        ModelManifest.from_json(edited(schema_version=version))


@pytest.mark.parametrize("key", [item.name for item in fields(ModelManifest)])
def test_a_missing_key_is_named_unless_it_has_a_default(key):
    required = {"input_size", "max_detections", "embedding_dim", "class_names", "opset"}
    if key == "schema_version":
        with pytest.raises(ManifestError, match="damaged"):
            ModelManifest.from_json(without(key))
    elif key in required | {"checkpoint_sha256", "toolkit_version"}:
        with pytest.raises(ManifestError, match=f"incomplete .*{key}.*edge-fairmot convert"):
            ModelManifest.from_json(without(key))
    else:
        assert ModelManifest.from_json(without(key)) == MANIFEST


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_size", 576),
        ("input_size", [576]),
        ("input_size", ["576", 320]),
        ("input_size", [1e6, 1e6]),
        ("input_size", [0, 320]),
        ("max_detections", -1),
        ("max_detections", True),
        ("embedding_dim", 2**40),
        ("class_names", "person"),
        ("class_names", []),
        ("class_names", [1]),
        ("rewrites", None),
        ("default_precision", "fp8"),
        ("default_precision", []),
        ("deform_conv", []),
        ("parity", {"recall": "all"}),
        ("int8_share", 7),
        ("graph_sha256", 7),
        ("calibration", {"\x1b[2J": 1}),
    ],
)
def test_a_wrong_value_is_named_on_one_line(key, value):
    with pytest.raises(ManifestError, match=f"damaged \\({key} is .* must be ") as caught:
        ModelManifest.from_json(edited(**{key: value}))
    assert str(caught.value).isprintable()


def test_a_deep_document_is_no_manifest():
    with pytest.raises(ManifestError, match="damaged"):
        ModelManifest.from_json('{"a":' * 100_000)


def test_unknown_keys_are_ignored():
    assert ModelManifest.from_json(edited(colour="blue")) == MANIFEST


def test_metadata_holds_the_manifest_under_its_key():
    assert ModelManifest.from_metadata({MANIFEST_KEY: MANIFEST.to_json()}, "model.onnx") == MANIFEST
    with pytest.raises(
        ManifestError, match=r"model\.onnx has no edge-fairmot manifest.*edge-fairmot convert"
    ):
        ModelManifest.from_metadata({"other": "text"}, "model.onnx")
