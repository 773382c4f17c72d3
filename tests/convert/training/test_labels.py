"""Tables and sequences become labelled images; identities of different sources are different."""

import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_fairmot.sinks  # noqa: F401 (before the street, which imports it in a circle)
from edge_fairmot.benchmarks.street.ground_truth import SequenceWriter
from edge_fairmot.convert.training.labels import LabelledImage, LabelledSet
from edge_fairmot.convert.training.sequences import find_labelled, read_labelled
from edge_fairmot.convert.training.table import parse_boxes, read_table
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources import open_source

SIZE = (64, 64)
STREET = "synthetic:frames=20,size=320x192,seed=3"
HEADER = "file\tsplit\tset\tstretched\tboxes_cxcywh_normalised"
LINES = (
    "a.png\ttrain\tx\t0\t0.5,0.5,0.2,0.4 0.2,0.2,0.1,0.1",
    "b.png\tval\tx\t0\t0.5,0.5,0.2,0.4",
    "c.png\ttrain\tx\t1\t",
    "d.png\ttrain\tx\t0\t0.7,0.5,0.2,0.4",
)

share = st.floats(0.01, 1, allow_subnormal=False).map(lambda x: round(x, 5))


@given(st.lists(st.tuples(share, share, share, share), max_size=5))
def test_boxes_survive_the_table(boxes):
    xyxy = parse_boxes(" ".join(",".join(map(repr, box)) for box in boxes), "here")

    assert xyxy.shape == (len(boxes), 4)
    for (cx, cy, w, h), row in zip(boxes, xyxy, strict=True):
        assert row == pytest.approx([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], abs=1e-6)


@pytest.mark.parametrize("text", ["0.5,0.5,0.1", "a,b,c,d", "0.5,0.5,0,0.1", "nan,0.5,0.1,0.1", "9,0.5,1,1"])
def test_a_faulty_box_is_named_with_its_place(text):
    with pytest.raises(InvalidInputError, match=r"people\.tsv, line 7: .* is not a box"):
        parse_boxes(text, "people.tsv, line 7")


@pytest.fixture
def table(tmp_path):
    def table(lines=LINES, *, inside="", archive=False):
        folder = tmp_path / inside
        folder.mkdir(exist_ok=True)
        names = [line.split("\t")[0] for line in lines]
        for i, name in enumerate(filter(None, names)):
            cv2.imwrite(str(folder / name), np.full((8, 8, 3), 10 * i, np.uint8))
        if archive:
            with zipfile.ZipFile(tmp_path / "images.zip", "w") as file:
                for name in names:
                    file.write(folder / name, name)
                    (folder / name).unlink()
        path = tmp_path / "people.tsv"
        path.write_text("\n".join([HEADER, *lines]) + "\n")
        return path

    return table


@pytest.mark.parametrize("place", [{}, {"inside": "images"}, {"inside": "elsewhere", "archive": True}])
def test_a_table_is_read_with_its_images(table, place):
    found = read_table(table(**place), 10)

    assert [p.name for p in found.train] == ["a.png", "c.png", "d.png"]
    assert [p.name for p in found.validation] == ["b.png"]
    assert [p.decode()[0, 0, 0] for p in found.train] == [0, 20, 30]
    assert [p.stretched for p in found.train] == [False, True, False]
    assert [p.identity.tolist() for p in found.train] == [[0, 1], [], [2]]
    assert found.identities == 3
    assert found.train[0].xyxy[0] == pytest.approx([0.4, 0.3, 0.6, 0.7])


def test_without_a_split_the_last_tenth_is_for_validation(table):
    found = read_table(table([f"{i:02}.png\t\tx\t0\t0.5,0.5,0.2,0.4" for i in range(20)]), 1)

    assert [p.name for p in found.train] == [f"{i:02}.png" for i in range(18)]
    assert [p.name for p in found.validation] == ["18.png"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no lines"),
        (["a.png\ttest\tx\t0\t"], "line 2: split is 'test'"),
        (["a.png\ttrain\tx\t0\t", "\ttrain\tx\t0\t"], "line 3 names no file"),
        (["a.png\ttrain\tx\t0\t0.5"], "line 2: '0.5' is not a box"),
    ],
)
def test_a_faulty_table_is_refused(table, lines, message):
    with pytest.raises(InvalidInputError, match=message):
        read_table(table(lines), 10)


def test_missing_columns_and_images_are_named(table, tmp_path):
    path = table(LINES[:1])
    (tmp_path / "a.png").unlink()
    with pytest.raises(InvalidInputError, match=r"'a\.png' is in none of"):
        read_table(path, 10)
    (tmp_path / "images.zip").write_bytes(b"none")
    with pytest.raises(InvalidInputError, match="restore the archive"):
        read_table(path, 10)
    path.write_text("file\tboxes\na.png\t\n")
    with pytest.raises(InvalidInputError, match="no column boxes_cxcywh_normalised"):
        read_table(path, 10)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_table(tmp_path / "none.tsv", 10)


@pytest.mark.parametrize("error", [zlib.error("damaged"), RuntimeError("encrypted")])
def test_an_image_that_the_archive_does_not_give_is_named(table, monkeypatch, error):
    def read(archive, name):
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "read", read)
    with pytest.raises(InvalidInputError, match=r"'a\.png' cannot be read from .*images\.zip"):
        read_table(table(inside="elsewhere", archive=True), 10)


def test_a_damaged_image_is_named():
    image = LabelledImage("a.jpg", b"no", np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool))
    with pytest.raises(InvalidInputError, match=r"a\.jpg is damaged"):
        image.decode()


def test_a_streets_ground_truth_goes_with_its_frames_and_through_a_motchallenge_folder(tmp_path):
    with open_source(STREET) as street, SequenceWriter(tmp_path / "seqs" / "s1", 25) as writer:
        for frame in street:
            writer.write(frame, street.truth(frame.index))
    found = read_labelled([STREET], SIZE, 6, 10)
    written = read_labelled(find_labelled([str(tmp_path / "seqs")])[0], SIZE, 6, 10)

    assert [p.name.split(", ")[-1] for p in found.train] == [f"frame {i}" for i in (1, 4, 7, 10, 13, 16)]
    assert [p.name.split(", ")[-1] for p in found.validation] == ["frame 19", "frame 20"]
    truth, later = (open_source(STREET).truth(index) for index in (3, 6))
    image = found.train[1]
    assert np.allclose(image.xyxy * (320, 192, 320, 192), truth.xyxy, atol=1e-3)
    assert image.ignore.tolist() == (truth.visibility < 0.1).tolist()
    assert image.ignore.any()
    # As large as the largest scale needs at this input size, which is less than the street's.
    assert image.decode().shape == (57, 96, 3)
    identities = np.unique(np.concatenate([p.identity for p in (*found.train, *found.validation)]))
    assert identities.tolist() == list(range(found.identities))
    number = dict(zip(truth.ids.tolist(), image.identity.tolist(), strict=True))
    pairs = zip(later.ids.tolist(), found.train[2].identity.tolist(), strict=True)
    assert all(number.get(i, n) == n for i, n in pairs)
    for one, other in zip(written.train, found.train, strict=True):
        assert np.allclose(one.xyxy, other.xyxy, atol=1e-3)
        assert one.identity.tolist() == other.identity.tolist()
        assert one.ignore.tolist() == other.ignore.tolist()


def write_sequence(folder, numbers, text):
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    for number in numbers:
        cv2.imwrite(str(folder / "img1" / f"{number:06}.png"), np.full((40, 60, 3), number % 256, np.uint8))
    (folder / "seqinfo.ini").write_text("[Sequence]\nframeRate=25\nimWidth=60\nimHeight=40\n")
    (folder / "gt" / "gt.txt").write_text(text)
    return str(folder)


def test_the_frames_of_a_sequence_are_found_by_their_numbers(tmp_path, caplog):
    numbers = range(301, 351, 5)
    text = "".join(f"{number},{number},{number - 300},0,5,20,1,1,1\n" for number in numbers)

    found = read_labelled([write_sequence(tmp_path / "s", numbers, text)], SIZE, 20, 20)

    images = [*found.train, *found.validation]
    assert (len(found.train), len(found.validation)) == (9, 1)
    assert [image.name.split(", ")[-1] for image in images] == [f"frame {number}" for number in numbers]
    lefts = [round(float(image.xyxy[0, 0]) * 60) for image in images]
    assert (
        lefts == [int(image.decode()[0, 0, 0]) + 256 - 300 for image in images] == [n - 300 for n in numbers]
    )
    assert caplog.text == ""


def test_people_are_learned_and_other_classes_are_not(tmp_path, caplog):
    classes = {1: (1, 1), 2: (1, 3), 3: (1, 7), 4: (0, 1), 5: (0, 13)}  # identity: mark and class
    text = "".join(f"1,{n},{5 * n},0,5,20,{mark},{kind},1\n" for n, (mark, kind) in classes.items())

    found = read_labelled([write_sequence(tmp_path / "s", (1, 2), text)], SIZE, 20, 20)

    (image,) = found.train
    assert [round(float(left) * 60 / 5) for left in image.xyxy[:, 0]] == [1, 3, 4, 5]
    assert image.ignore.tolist() == [False, True, True, True]
    assert "1 of 2 images have no labels: they are learned as empty" in caplog.text


@pytest.mark.parametrize("text", ["", "1,1,0,0,5,20,1,3,1\n"])
def test_a_sequence_without_people_teaches_background(tmp_path, text):
    found = read_labelled([write_sequence(tmp_path / "s", (1, 2), text)], SIZE, 20, 20)

    assert [len(image.xyxy) for image in (*found.train, *found.validation)] == [0, 0]


def test_sequences_that_differ_only_by_mot17s_detector_are_read_once(tmp_path):
    names = ("MOT17-02-DPM", "MOT17-02-FRCNN", "MOT17-02-SDP", "MOT17-04-SDP", "mall-sdp")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "seqinfo.ini").touch()

    found, repeated = find_labelled([str(tmp_path), STREET])

    assert [Path(spec).name for spec in found] == [names[0], *names[3:], STREET]
    assert [Path(spec).name for spec in repeated] == ["MOT17-02-FRCNN", "MOT17-02-SDP"]
    assert find_labelled([str(tmp_path / names[2])]) == ([str(tmp_path / names[2])], [])


def test_identities_of_different_sets_are_different():
    def some(identities):
        image = LabelledImage("p", b"", np.zeros((2, 4), np.float32), np.array(identities), np.zeros(2, bool))
        return LabelledSet((image,), (image,), max(identities) + 1)

    both = LabelledSet.concat([some([0, 3]), some([1, 0])])

    assert [p.identity.tolist() for p in both.train] == [[0, 3], [5, 4]]
    assert [p.identity.tolist() for p in both.validation] == [[0, 3], [5, 4]]
    assert both.identities == 6
    assert both.digest() != some([0, 3]).digest()


@pytest.mark.parametrize("spec", ["synthetic:frames=endless", "synthetic:frames=1"])
def test_sources_that_cannot_be_split_are_refused(spec):
    with pytest.raises(InvalidInputError, match="a tenth can be for validation"):
        read_labelled([spec], SIZE, 5, 5)


def test_the_shared_table_is_read(shared):
    found = read_labelled([str(shared / "people" / "labels.tsv")], SIZE, 5, 50)

    assert len(found.train) == 4032
    assert 40 <= len(found.validation) <= 50
    assert found.identities == sum(len(p.xyxy) for p in found.train) > 12_000
    assert found.train[0].decode().shape == (352, 352, 3)
