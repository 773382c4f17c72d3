"""The search leaves layers float until an int8 file detects what the float file detects."""

from collections import Counter
from contextlib import closing
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_fairmot.benchmarks.parity_budget import INT8_BUDGET
from edge_fairmot.convert import CalibrationFrames, GraphOptions, Int8Options, conversion, convert
from edge_fairmot.convert.mixed_precision import MixedPrecisionSearch, _detect
from edge_fairmot.convert.quantization import convolution_layers
from edge_fairmot.errors import ConversionError, InvalidInputError
from edge_fairmot.model_file import certificate_fault, read_onnx_file
from edge_fairmot.runtimes import open_runtime, ort

LENIENT = replace(INT8_BUDGET, recall=0.0, precision=0.0, iou_mean=0.0, cosine_mean=0.0)
"""A random network amplifies rounding without bound: the mechanism is tested, not the figures."""

SEARCHED = ("base.level3.tree1.tree1.conv2", "base.level5.tree2.conv2", "hm.0")
"""Layers of the search; the others are float from the beginning."""


@pytest.fixture(scope="module")
def others(model):
    return [layer.name for layer in convolution_layers(model) if layer.name not in SEARCHED]


@pytest.fixture(scope="module")
def search(model, ranges, others):
    """Makes a search with a budget between that of all searched layers in int8 and in float."""

    def make(images, threshold=0.5, margin=0.02):
        lenient = replace(LENIENT, score_margin=margin)
        all_int8, all_float = (
            MixedPrecisionSearch(model, ranges, images, lenient, threshold).run(layers)
            for layers in (others, [*others, *SEARCHED])
        )
        assert (all_int8.float_layers, all_int8.costs) == (tuple(others), ())
        assert all_int8.parity.cosine_mean < all_float.parity.cosine_mean
        between = (all_int8.parity.cosine_mean + all_float.parity.cosine_mean) / 2
        return MixedPrecisionSearch(model, ranges, images, replace(lenient, cosine_mean=between), threshold)

    return make


def test_layers_are_left_float_until_the_budget_holds(search, images, others):
    steps, strict = [], search(images[1::4])
    found = strict.run(others, steps.append)
    assert found.parity.within(strict._budget)
    assert {cost.name for cost in found.costs} == set(SEARCHED)
    errors = [cost.error for cost in found.costs]
    assert errors == sorted(errors, reverse=True)
    added = len(found.float_layers) - len(others)
    assert 0 < added <= len(SEARCHED)
    assert found.float_layers == (*others, *(cost.name for cost in found.costs[:added]))
    assert steps[:3] == ["quantizing", "comparing with every layer float", "measuring layer 1 of 3"]


def test_layers_are_compared_on_the_frames_with_the_most_peaks(model, search, images, others):
    """Six frames without a sure peak come first: on them every layer's error is zero."""
    highest = np.array([found.scores.max() for found in _detect(model, images)])
    order = np.argsort(highest)
    threshold = float(highest[order[[5, -2]]].mean())
    found = search(images[[*order[:6], *order[-2:]]], threshold, margin=0.002)
    assert found._sure_peaks[:6] == [0] * 6
    assert sum(found._sure_peaks) > 0
    assert all(cost.error > 0 for cost in found.run(others).costs)


def test_a_budget_that_no_choice_of_layers_keeps_is_refused_at_once(model, ranges, images):
    impossible = replace(LENIENT, iou_mean=1.0, cosine_mean=1.0)
    steps = []
    with pytest.raises(ConversionError, match=r"every layer float, .* wider --budget"):
        MixedPrecisionSearch(model, ranges, images[1:3], impossible, 0.5).run((), steps.append)
    assert steps == ["quantizing", "comparing with every layer float"]


def test_frames_without_people_are_refused(model, ranges, images):
    search = MixedPrecisionSearch(model, ranges, images[1:3], LENIENT, 0.9999)
    with pytest.raises(ConversionError, match=r"no person .* above 0\.9999 in the 2 validation frames"):
        search.run()


def test_candidates_are_compared_with_the_kernels_that_will_run_them(model, ranges, images, monkeypatch):
    monkeypatch.setattr(ort, "int8_sums_overflow", lambda: True)
    opened = []
    open_session = onnxruntime.InferenceSession

    def record(model, options, **arguments):
        opened.append(options.get_session_config_entry("session.x64quantprecision"))
        return open_session(model, options, **arguments)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    MixedPrecisionSearch(model, ranges, images[:1], LENIENT, 0.5)
    assert opened == ["1"]


def test_convert_writes_a_certified_int8_file(small_model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "to_onnx", lambda graph: onnx.load(small_model))  # the same graph
    int8 = Int8Options(
        CalibrationFrames(images, "images"), budget=LENIENT, float_layers=("base.level2.root.conv",)
    )
    options = GraphOptions((128, 96), max_detections=64)
    path = tmp_path / "int8.onnx"
    result = convert(small_model.with_name("lively.pth"), path, options, precision="int8", int8=int8)
    manifest = result.manifest
    assert manifest == read_onnx_file(path).manifest
    assert certificate_fault(path, manifest) == ""
    assert manifest.default_precision == "int8"
    assert manifest.calibration == "8 frames of images, minmax"
    peaks = int(manifest.parity_basis.removeprefix("the float32 graph, on ").split()[0])
    assert manifest.parity_basis.endswith(f"{peaks} sure peaks in 8 other frames of images")
    assert peaks > 0
    assert len(result.warnings) == (peaks < 100)
    assert 0.5 < manifest.int8_share < 0.6  # of the original's width, 0.85
    assert {
        "base.base_layer.0",
        "base.level2.root.conv",
        "hm.2",
        "ida_up.node_1.conv",
    } <= manifest.precision.keys()
    assert Counter(manifest.precision.values()).keys() == {"fp32"}
    assert result.size_bytes < small_model.stat().st_size / 2.5
    with closing(open_runtime(path)) as runtime:
        scores = runtime.infer(images[:1]).scores
    assert scores.max() > 0.3


def test_few_peaks_are_warned_of(images):
    frames = CalibrationFrames(images, "images")
    assert conversion._warn_of_few_peaks(100, frames) == ()
    (warning,) = conversion._warn_of_few_peaks(99, frames)
    assert "99 sure peaks in 8 frames of images, fewer than 100" in warning


def test_precision_and_options_must_fit(images, tmp_path):
    frames = CalibrationFrames(images, "images")
    with pytest.raises(InvalidInputError, match="give Int8Options for int8 only"):
        convert("x.pth", tmp_path / "x.onnx", GraphOptions(), precision="int8")
    with pytest.raises(InvalidInputError, match="give Int8Options for int8 only"):
        convert("x.pth", tmp_path / "x.onnx", GraphOptions(), int8=Int8Options(frames))
    batches = GraphOptions(batch_size=2)
    with pytest.raises(InvalidInputError, match="batch size of 1"):
        convert("x.pth", tmp_path / "x.onnx", batches, precision="int8", int8=Int8Options(frames))
