"""The CPU runtime keeps the contract and explains what it refuses."""

import builtins
import importlib
import sys
from contextlib import closing

import numpy as np
import onnx
import pytest

from edge_fairmot.errors import (
    InferenceError,
    InvalidInputError,
    ManifestError,
    MissingDependencyError,
    RuntimeUnavailableError,
)
from edge_fairmot.runtimes import list_runtimes, open_runtime
from edge_fairmot.runtimes.checks import check_outputs
from edge_fairmot.types import RawDetections


@pytest.fixture
def runtime(small_model):
    with closing(open_runtime(small_model, "cpu", threads=1)) as runtime:
        yield runtime


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), np.uint8)


def test_outputs_have_the_shapes_and_types_of_the_contract(runtime, images):
    raw = runtime.infer(images)
    assert [(value.dtype.name, value.shape) for value in (raw.boxes, raw.scores, raw.class_ids)] == [
        ("float32", (1, 64, 4)),
        ("float32", (1, 64)),
        ("int64", (1, 64)),
    ]
    assert raw.embeddings.shape == (1, 64, runtime.manifest.embedding_dim)
    assert raw.embeddings.dtype == np.float32
    assert (np.diff(raw.scores) <= 0).all()
    assert runtime.name == "cpu"


def test_the_same_picture_gives_the_same_numbers_and_new_arrays(runtime, images):
    first = runtime.infer(images)
    kept = first.boxes.copy()
    second = runtime.infer(images)
    runtime.infer(images[:, ::-1])  # not contiguous
    np.testing.assert_array_equal(first.boxes, kept)
    np.testing.assert_array_equal(first.boxes, second.boxes)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 96, 96, 3), np.uint8),
        np.zeros((2, 96, 128, 3), np.uint8),
        np.zeros((96, 128, 3), np.uint8),
        np.zeros((1, 96, 128, 3), np.float32),
    ],
)
def test_pictures_that_do_not_fit_are_refused(runtime, wrong):
    with pytest.raises(
        InferenceError, match=r"takes uint8 \(1, 96, 128, 3\).*letterbox the picture to 128x96"
    ):
        runtime.infer(wrong)


def test_closing_twice_is_fine_and_inference_after_it_is_not(small_model, images):
    runtime = open_runtime(small_model)
    runtime.close()
    runtime.close()
    with pytest.raises(InferenceError, match="closed"):
        runtime.infer(images)


def test_an_onnx_file_of_another_kind_is_refused(tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "other",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1,))],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1,))],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "other.onnx")
    with pytest.raises(ManifestError, match="has no edge-fairmot manifest"):
        open_runtime(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no model at"), (b"", "is empty"), (b"not a model", "is not an ONNX file")],
)
def test_files_that_are_no_models_are_refused(tmp_path, content, message):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InferenceError, match=message) as caught:
        open_runtime(path)
    assert "\n" not in str(caught.value)


def test_unknown_runtimes_and_thread_counts_are_refused(small_model):
    with pytest.raises(RuntimeUnavailableError, match="no runtime called 'tpu': choose from cpu"):
        open_runtime(small_model, "tpu")
    with pytest.raises(InvalidInputError, match="threads must be at least 1"):
        open_runtime(small_model, threads=0)


@pytest.mark.parametrize("field", ["scores", "boxes", "embeddings"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(field, value):
    arrays = {
        "boxes": np.zeros((1, 2, 4), np.float32),
        "scores": np.zeros((1, 2), np.float32),
        "class_ids": np.zeros((1, 2), np.int64),
        "embeddings": np.ones((1, 2, 8), np.float32),
    }
    arrays[field].flat[-1] = value
    with pytest.raises(InferenceError, match=f"runtime cpu gave {field} that are not finite"):
        check_outputs(RawDetections(**arrays), "cpu")


def test_a_missing_package_gives_the_pip_line(monkeypatch):
    real_import = builtins.__import__

    def no_onnxruntime(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_onnxruntime)
    monkeypatch.delitem(sys.modules, "edge_fairmot.runtimes.ort")
    with pytest.raises(MissingDependencyError, match=r"pip install 'edge-fairmot\[cpu\]'"):
        importlib.import_module("edge_fairmot.runtimes.ort")
    (row,) = (row for row in list_runtimes() if row.name == "cpu")
    assert (row.available, row.remedy) == (False, "pip install 'edge-fairmot[cpu]'")


def test_the_list_names_package_and_version():
    import onnxruntime

    (row,) = (row for row in list_runtimes() if row.name == "cpu")
    assert row.available
    assert onnxruntime.__version__ in row.version


def test_an_old_onnxruntime_names_the_lowering_that_it_can_run():
    from edge_fairmot.runtimes.ort import _explain

    # What ONNX Runtime 1.18.0 says of a native file.
    message = (
        "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for DeformConv(19) node"
    )
    assert "--deform-conv gather" in _explain("native.onnx", message)
