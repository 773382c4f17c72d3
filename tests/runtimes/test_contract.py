"""Every installed runtime keeps the contract, and decides as ONNX Runtime on the CPU does."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from edge_fairmot.convert.parity import draw_images
from edge_fairmot.errors import InferenceError, InvalidInputError, ManifestError, RuntimeUnavailableError
from edge_fairmot.runtimes import list_runtimes, open_runtime
from edge_fairmot.types import RawDetections

INSTALLED = {row.name for row in list_runtimes() if row.available}
FORMS = {
    "opencv": {"deform_conv": "gather"},
    "ncnn": {"graph": "core"},
    "mnn": {"graph": "core", "deform_conv": "gather"},
}
"""What differs in the file of a runtime that does not run the native one."""

OUTPUTS = ("boxes", "scores", "class_ids", "embeddings")

SCORE_TOLERANCE, BOX_TOLERANCE_PX, COSINE_TOLERANCE = 1e-4, 0.01, 1e-5
"""Float32 sums in another order, through sixty layers of random weights, which amplify it."""


def runtimes():
    for name in ("cpu", "openvino", "cuda", "tensorrt", *FORMS):
        gpu = [pytest.mark.cuda] if name in ("cuda", "tensorrt") else []
        absent = pytest.mark.skipif(name not in INSTALLED, reason=f"runtime {name} is not here")
        yield pytest.param(name, marks=[*gpu, absent])


@pytest.fixture(scope="module", params=runtimes())
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name, small_model):
    """File of the small model that the runtime runs."""
    if name not in FORMS:
        return small_model
    from edge_fairmot.convert import GraphOptions, convert

    options = GraphOptions((128, 96), max_detections=64, **FORMS[name])
    return convert(small_model.with_name("lively.pth"), small_model.with_name(f"{name}.onnx"), options).path


@pytest.fixture(scope="module")
def runtime(name, model):
    with closing(open_runtime(model, name)) as runtime:
        yield runtime


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), np.uint8)


def assert_same(actual, expected):
    for output in OUTPUTS:
        np.testing.assert_array_equal(getattr(actual, output), getattr(expected, output))


def test_outputs_have_the_shapes_types_and_order_of_the_contract(runtime, name, images):
    assert runtime.name.partition(":")[0] == name
    raw = runtime.infer(images)
    assert [(getattr(raw, output).dtype.name, getattr(raw, output).shape) for output in OUTPUTS] == [
        ("float32", (1, 64, 4)),
        ("float32", (1, 64)),
        ("int64", (1, 64)),
        ("float32", (1, 64, runtime.manifest.embedding_dim)),
    ]
    assert (np.diff(raw.scores) <= 0).all()
    assert raw.scores.min() >= 0
    assert raw.scores.max() <= 1
    np.testing.assert_allclose(np.linalg.norm(raw.embeddings, axis=2), 1, atol=1e-5)


def test_an_image_gives_the_same_numbers_in_new_arrays_and_is_not_changed(runtime, images):
    before = images.copy()
    images.flags.writeable = False
    first = runtime.infer(images)
    kept = RawDetections(*(getattr(first, output).copy() for output in OUTPUTS))
    runtime.infer(images[:, ::-1])  # not contiguous
    assert_same(first, kept)
    assert_same(runtime.infer(images), kept)
    np.testing.assert_array_equal(images, before)


def test_images_that_do_not_fit_are_refused(runtime):
    for shape, dtype in (
        ((1, 96, 96, 3), np.uint8),
        ((2, 96, 128, 3), np.uint8),
        ((96, 128, 3), np.uint8),
        ((1, 96, 128, 3), np.float32),
    ):
        with pytest.raises(
            InferenceError, match=r"takes uint8 \(1, 96, 128, 3\).*letterbox the image to 128x96"
        ):
            runtime.infer(np.zeros(shape, dtype))


def test_two_sessions_at_once_do_not_mix_and_can_be_closed_twice(model, name, images):
    pictures = [images, images[:, :, ::-1].copy()]
    with closing(open_runtime(model, name)) as one, closing(open_runtime(model, name)) as other:
        expected = [one.infer(picture) for picture in pictures]
        assert not np.array_equal(expected[0].boxes, expected[1].boxes)
        with ThreadPoolExecutor(2) as pool:
            for _ in range(3):
                found = pool.map(lambda runtime, picture: runtime.infer(picture), (one, other), pictures)
                for actual, wanted in zip(found, expected, strict=True):
                    assert_same(actual, wanted)
        one.close()
        with pytest.raises(InferenceError, match="closed"):
            one.infer(images)


def test_decisions_are_those_of_the_cpu(runtime, name, small_model):
    if name == "cpu":
        pytest.skip("is the reference")
    with closing(open_runtime(small_model, "cpu")) as reference:
        for picture in draw_images((128, 96), 2):
            ours, theirs = runtime.infer(picture[None]), reference.infer(picture[None])
            count = int((theirs.scores > 0.3).sum())
            assert count > 3
            # Peaks of one score may change places.
            nearest = np.abs(theirs.boxes[0, :count, None] - ours.boxes[0][None]).max(axis=2).argmin(axis=1)
            scores, boxes = ours.scores[0, nearest], ours.boxes[0, nearest]
            np.testing.assert_allclose(scores, theirs.scores[0, :count], atol=SCORE_TOLERANCE)
            np.testing.assert_allclose(boxes, theirs.boxes[0, :count], atol=BOX_TOLERANCE_PX)
            cosine = (ours.embeddings[0, nearest] * theirs.embeddings[0, :count]).sum(axis=1)
            assert cosine.min() > 1 - COSINE_TOLERANCE


def test_files_and_devices_that_are_not_there_are_errors(tmp_path, name, model):
    path = tmp_path / "model.onnx"
    with pytest.raises(ManifestError, match="no model at"):
        open_runtime(path, name)
    for content in (b"", b"not a model"):
        path.write_bytes(content)
        with pytest.raises(ManifestError, match="is not an ONNX file") as caught:
            open_runtime(path, name)
        assert "\n" not in str(caught.value)
    with pytest.raises((InvalidInputError, RuntimeUnavailableError), match="device"):
        open_runtime(model, f"{name}:NOSUCH")
