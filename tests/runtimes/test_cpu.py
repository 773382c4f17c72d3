"""What runtimes refuse, and how they say it."""

import builtins
import importlib
import sys

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
from edge_fairmot.runtimes import RuntimeOptions, list_runtimes, open_runtime
from edge_fairmot.runtimes.checks import check_outputs
from edge_fairmot.types import RawDetections


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


def test_unknown_runtimes_and_thread_counts_are_refused(small_model):
    with pytest.raises(RuntimeUnavailableError, match="no runtime called 'tpu': choose from cpu"):
        open_runtime(small_model, "tpu")
    with pytest.raises(InvalidInputError, match="threads must be at least 1"):
        RuntimeOptions(threads=0)


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
