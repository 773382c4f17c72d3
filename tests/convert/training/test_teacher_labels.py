"""What teachers see is united with what is given; images come from folders, archives and videos."""

import zipfile

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.convert.training.degradation import degrade
from edge_fairmot.convert.training.labels import LabelledSet
from edge_fairmot.convert.training.stored_images import read_images
from edge_fairmot.convert.training.table import read_table
from edge_fairmot.convert.training.teacher_labels import (
    SURE,
    TeacherBoxes,
    read_labels_file,
    read_teacher_labels,
    unite,
)
from edge_fairmot.errors import InvalidInputError

from .conftest import make_image

PIXELS = np.full((40, 80, 3), 90, np.uint8)
LEFT, RIGHT, NEAR_LEFT = (10, 4, 20, 34), (50, 4, 60, 34), (11, 5, 20, 35)


def teacher(boxes, scores, dims=2):
    embedding = np.zeros((len(boxes), dims), np.float32)
    embedding[:, : min(1, dims)] = 1
    xyxy = np.array(boxes, np.float32).reshape(-1, 4) / (80, 40, 80, 40)
    return TeacherBoxes(xyxy.astype(np.float32), np.array(scores, np.float32), embedding)


def in_pixels(image):
    return np.rint(image.xyxy * (80, 40, 80, 40)).astype(int).tolist()


@pytest.mark.parametrize(
    ("score", "kept"), [(0.9, NEAR_LEFT), (SURE, NEAR_LEFT), (0.1, LEFT)], ids=["sure", "just", "doubtful"]
)
def test_of_a_person_that_both_see_the_surer_box_is_kept(score, kept):
    united = unite(make_image(PIXELS, [RIGHT, LEFT]), teacher([NEAR_LEFT], [score]))

    assert in_pixels(united) == [[*RIGHT], [*kept]]
    assert united.identity.tolist() == [0, 1]
    assert united.ignore.tolist() == [False, False]
    assert united.embedding.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize(("score", "ignored"), [(0.9, False), (0.1, True)])
def test_what_only_the_teacher_sees_is_a_person_or_ignored(score, ignored):
    united = unite(make_image(PIXELS, [LEFT]), teacher([RIGHT], [score]))

    assert in_pixels(united) == [[*LEFT], [*RIGHT]]
    assert united.identity.tolist() == [0, -1]
    assert united.ignore.tolist() == [False, ignored]


@given(st.lists(st.sampled_from([LEFT, RIGHT, NEAR_LEFT]), max_size=4), st.integers(0, 4), st.data())
def test_no_box_is_lost_and_none_counts_twice(boxes, given_count, data):
    scores = data.draw(st.lists(st.floats(0, 1), min_size=len(boxes), max_size=len(boxes)))
    image = make_image(PIXELS, [(4 * n, 0, 4 * n + 3, 20) for n in range(given_count)] + [LEFT])

    united = unite(image, teacher(boxes, scores))

    assert united.identity[: given_count + 1].tolist() == list(range(given_count + 1))
    matched = int(any(box in (LEFT, NEAR_LEFT) for box in boxes))
    assert len(united.xyxy) == given_count + 1 + len(boxes) - matched
    assert len(united.embedding) == len(united.ignore) == len(united.identity) == len(united.xyxy)


def test_unknown_identities_stay_unknown_beside_other_sources():
    one = unite(make_image(PIXELS, [LEFT]), teacher([RIGHT], [0.9]))
    joined = LabelledSet.concat([LabelledSet((one,), (), 1), LabelledSet((one,), (), 1)])

    assert [image.identity.tolist() for image in joined.train] == [[0, -1], [1, -1]]
    assert joined.people == 4


@pytest.fixture
def labels(tmp_path):
    """A function that writes a labels file: a box on the left of each name's image."""

    def write(names, file="teacher.npz", **other):
        arrays = {
            "name": np.array(names),
            "picture": np.arange(len(names)),
            "box_cxcywh_normalised": np.tile(np.float32([0.2, 0.5, 0.1, 0.8]), (len(names), 1)),
            "score": np.float16([[0.9, 0.1]] * len(names)),
            "embedding": np.float16([[3, 4]] * len(names)),
            **other,
        }
        path = tmp_path / file
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return write


def test_a_labels_file_is_read_with_the_frames_of_a_video_and_an_archive(labels, tmp_path):
    (tmp_path / "media").mkdir()
    with av.open(str(tmp_path / "media" / "v.mp4"), "w") as video:
        stream = video.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        for n in range(24):
            image = np.full((48, 80, 3), 10 * n, np.uint8)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        video.mux(stream.encode())
    with zipfile.ZipFile(tmp_path / "frames.zip", "w") as archive:
        archive.writestr("w-1.jpg", cv2.imencode(".jpg", PIXELS)[1].tobytes())
    names = ["w-1.jpg", *(f"v.mp4:{n}" for n in range(0, 24, 2))]

    found = read_labels_file(labels(names), [tmp_path / "media"], 10)

    assert [image.name for image in found.train] == ["w-1.jpg", *names[1:12]]
    assert [image.name for image in found.validation] == names[12:]
    assert [round(float(image.decode().mean()), -1) for image in found.train[1:]] == list(range(0, 220, 20))
    assert [image.time_s for image in found.train[1:4]] == pytest.approx([0, 0.2, 0.4])
    assert np.isnan(found.train[0].time_s)
    assert found.train[0].embedding[0] == pytest.approx([0.6, 0.8])
    with pytest.raises(InvalidInputError, match="no frame 24"):
        read_images(["v.mp4:24"], [tmp_path / "media"])
    with pytest.raises(InvalidInputError, match=r"'w-2\.jpg' is in none of .* --media"):
        read_images(["w-2.jpg"], [tmp_path])


def test_a_table_is_united_with_labels_by_name_and_with_its_own_column(labels, tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), PIXELS)
    table = tmp_path / "people.tsv"
    head = "file\tsplit\tboxes_cxcywh_normalised\tteacher_boxes_cxcywh_score\n"
    table.write_text(head + "a.png\ttrain\t0.8,0.5,0.1,0.8\t\nb.png\ttrain\t\t0.8,0.5,0.1,0.8,0.2\n")

    found = read_table(table, 10, labels=read_teacher_labels([labels(["a.png"])]))

    assert [image.ignore.tolist() for image in found.train] == [[False, False], [True]]
    assert [image.identity.tolist() for image in found.train] == [[0, -1], [-1]]
    table.write_text(head + "a.png\ttrain\t\t0.8,0.5,0.1,0.8,1.2\n")
    with pytest.raises(InvalidInputError, match=r"line 2: .* score in \[0, 1\]"):
        read_table(table, 10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"picture": np.array([0, 2])},
        {"score": np.array([0.5, np.nan])},
        {"score": np.array([0.5])},
        {"name": np.array(["a", "a"])},
        {"box_cxcywh_normalised": None},
    ],
    ids=["no such image", "not a number", "too few", "twice", "no boxes"],
)
def test_a_file_that_holds_something_else_is_refused(labels, wrong):
    with pytest.raises(InvalidInputError, match="is not a labels file"):
        read_teacher_labels([labels(["a", "b"], **wrong)])


def test_labels_of_one_image_in_two_files_are_refused(labels):
    with pytest.raises(InvalidInputError, match=r"two\.npz labels 'a', and so does"):
        read_teacher_labels([labels(["a"], "one.npz"), labels(["a"], "two.npz")])


def test_degradations_come_by_chance_and_by_seed():
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    degraded = [degrade(image, np.random.default_rng(seed)) for seed in range(80)]

    assert all(np.array_equal(degrade(image, np.random.default_rng(n)), degraded[n]) for n in range(80))
    # Each of the four leaves 80 % alone.
    assert 0.25 < np.mean([np.array_equal(image, other) for other in degraded]) < 0.6
    assert min(other.mean() for other in degraded) < 0.6 * image.mean()
    assert min(other.std() for other in degraded) < 0.5 * image.std()
