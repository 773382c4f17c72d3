"""Every runtime that is installed keeps the one contract, and decides as ONNX Runtime on the CPU does."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from edge_fairmot.convert.parity import draw_images
from edge_fairmot.errors import InferenceError, InvalidInputError, ManifestError, RuntimeUnavailableError
from edge_fairmot.runtimes import RuntimeOptions, list_runtimes, open_runtime

INSTALLED = {row.name for row in list_runtimes() if row.available}

SCORE_TOLERANCE, BOX_TOLERANCE_PX, COSINE_TOLERANCE = 1e-4, 0.01, 1e-5
"""Float32 sums in another order, through sixty layers of random weights, which amplify it."""


def runtimes():
    for name in ("cpu", "openvino", "cuda", "tensorrt"):
        gpu = [pytest.mark.cuda] if name in ("cuda", "tensorrt") else []
        absent = pytest.mark.skipif(name not in INSTALLED, reason=f"runtime {name} is not here")
        yield pytest.param(name, marks=[*gpu, absent])


@pytest.fixture(scope="module", params=runtimes())
def name(request):
    return request.param


@pytest.fixture(scope="module")
def runtime(name, small_model):
    with closing(open_runtime(small_model, name)) as runtime:
        yield runtime


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), np.uint8)


def arrays(raw):
    return raw.boxes, raw.scores, raw.class_ids, raw.embeddings


def assert_same(actual, expected):
    for ours, theirs in zip(arrays(actual), arrays(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_outputs_have_the_shapes_types_and_order_of_the_contract(runtime, images):
    raw = runtime.infer(images)
    assert [(value.dtype.name, value.shape) for value in arrays(raw)] == [
        ("float32", (1, 64, 4)),
        ("float32", (1, 64)),
        ("int64", (1, 64)),
        ("float32", (1, 64, runtime.manifest.embedding_dim)),
    ]
    assert (np.diff(raw.scores) <= 0).all()
    assert (raw.scores >= 0).all()
    assert (raw.scores <= 1).all()
    np.testing.assert_allclose(np.linalg.norm(raw.embeddings, axis=2), 1, atol=1e-5)


def test_the_name_begins_with_the_registrys(runtime, name):
    assert runtime.name.partition(":")[0] == name


def test_the_same_picture_gives_the_same_numbers_and_new_arrays(runtime, images):
    first = runtime.infer(images)
    kept = [value.copy() for value in arrays(first)]
    runtime.infer(images[:, ::-1])  # not contiguous
    again = runtime.infer(images)
    for value, before in zip(arrays(first), kept, strict=True):
        np.testing.assert_array_equal(value, before)
    assert_same(again, first)


def test_the_picture_is_left_as_it_is(runtime, images):
    before = images.copy()
    images.flags.writeable = False
    runtime.infer(images)
    np.testing.assert_array_equal(images, before)


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


def test_closing_twice_is_fine_and_inference_after_it_is_not(small_model, name, images):
    runtime = open_runtime(small_model, name)
    runtime.close()
    runtime.close()
    with pytest.raises(InferenceError, match="closed"):
        runtime.infer(images)


def test_two_sessions_at_once_do_not_mix(small_model, name, images):
    pictures = [images, images[:, :, ::-1].copy()]
    with closing(open_runtime(small_model, name)) as one, closing(open_runtime(small_model, name)) as other:
        expected = [one.infer(picture) for picture in pictures]
        assert not np.array_equal(expected[0].boxes, expected[1].boxes)
        with ThreadPoolExecutor(2) as pool:
            for _ in range(5):
                for actual, wanted in zip(
                    pool.map(lambda pair: pair[0].infer(pair[1]), zip((one, other), pictures, strict=True)),
                    expected,
                    strict=True,
                ):
                    assert_same(actual, wanted)


def test_decisions_are_those_of_the_cpu(runtime, small_model):
    with closing(open_runtime(small_model, "cpu")) as reference:
        for picture in draw_images((128, 96), 3):
            ours, theirs = runtime.infer(picture[None]), reference.infer(picture[None])
            count = int((theirs.scores > 0.3).sum())
            assert count > 3
            # Peaks of one score may change places.
            nearest = np.abs(theirs.boxes[0, :count, None] - ours.boxes[0][None]).max(axis=2).argmin(axis=1)
            np.testing.assert_allclose(
                ours.scores[0, nearest], theirs.scores[0, :count], atol=SCORE_TOLERANCE
            )
            np.testing.assert_allclose(ours.boxes[0, nearest], theirs.boxes[0, :count], atol=BOX_TOLERANCE_PX)
            cosine = (ours.embeddings[0, nearest] * theirs.embeddings[0, :count]).sum(axis=1)
            assert cosine.min() > 1 - COSINE_TOLERANCE


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no model at"), (b"", "is empty"), (b"not a model", "is not an ONNX file")],
)
def test_files_that_are_no_models_are_refused(tmp_path, name, content, message):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((InferenceError, ManifestError), match=message) as caught:
        open_runtime(path, name)
    assert "\n" not in str(caught.value)


def test_an_option_that_a_runtime_does_not_have_is_refused(small_model, name):
    asked = {"cpu": RuntimeOptions(precision="bf16"), "openvino": None}.get(name, RuntimeOptions(threads=1))
    if asked is not None:
        with pytest.raises(InvalidInputError, match=f"runtime {name} has no"):
            open_runtime(small_model, name, asked)


def test_a_device_that_is_not_there_is_an_error(small_model, name):
    with pytest.raises((InvalidInputError, RuntimeUnavailableError), match="device"):
        open_runtime(small_model, f"{name}:NOSUCH")
