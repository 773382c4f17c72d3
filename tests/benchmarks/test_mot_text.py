import numpy as np
import pytest

from edge_fairmot.benchmarks.mot_text import MotRows, read_ground_truth, read_mot_text
from edge_fairmot.errors import EvaluationError, InvalidInputError


@pytest.fixture
def read(tmp_path):
    def read(text, class_id=None, *, ground_truth=False, labels=None, **options):
        path = tmp_path / "rows.txt"
        path.write_text(text, encoding="utf-8")
        if labels:
            (tmp_path / "labels.txt").write_text(labels)
        return read_ground_truth(path, **options) if ground_truth else read_mot_text(path, class_id)

    return read


def rows(frame, track_id, xyxy=None):
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (len(frame), 1)) if xyxy is None else np.array(xyxy, np.float64)
    return MotRows(np.array(frame, np.int64), np.array(track_id, np.int64), boxes, np.ones(len(frame)))


def test_a_line_is_a_box_with_edges(read):
    made = read("3,7,10.5,20,30,40.25,0.75,-1,-1,-1\n")

    assert [column.dtype for column in (made.frame, made.track_id, made.xyxy, made.confidence)] == [
        *(np.int64, np.int64, np.float64, np.float64)
    ]
    assert (made.frame.tolist(), made.track_id.tolist()) == ([3], [7])
    assert made.xyxy.tolist() == [[10.5, 20.0, 40.5, 60.25]]
    assert made.confidence.tolist() == [0.75]
    assert read("9,1,0,0,1,1,1\n2,1,0,0,1,1,1\n5,1,0,0,1,1,1").frame.tolist() == [9, 2, 5]


@pytest.mark.parametrize(
    "text",
    [
        "1, 2 , 3,4, 5,6,1\n",
        "\n1,2,3,4,5,6,1\n  \n\n",
        "1,2,3,4,5,6,1\r\n",
        "\ufeff1,2,3,4,5,6,1",
        "1.0,2.0,3.0,4.0,5.0,6.0,1.0",
        "1,2,3,4,5,6,1,n/a,nan,",
        "1,2,3,4,5,6,1,1e300,inf",
    ],
)
def test_spaces_blank_lines_line_ends_and_columns_that_are_not_read_do_not_matter(read, text):
    made = read(text)

    assert (made.frame.tolist(), made.track_id.tolist()) == ([1], [2])
    assert made.xyxy.tolist() == [[3, 4, 8, 10]]


def test_ground_truth_leaves_out_rows_of_confidence_0_and_needs_another(read):
    text = "1,1,0,0,5,5,1\n1,2,0,0,5,5,0\n2,2,0,0,5,5,0.5\n2,3,0,0,5,5,1\n"

    assert read(text, ground_truth=True).rows.track_id.tolist() == [1, 3]
    assert read(text).track_id.tolist() == [1, 2, 2, 3]
    # Columns 8 to 10 are no class in 2015.
    assert len(read("1,1,0,0,5,5,1,4.4852,5.5016,0\n1,2,0,0,5,5,1,8,1,0", ground_truth=True).rows) == 2
    for empty in ("", "\n", "1,1,0,0,5,5,0\n"):
        with pytest.raises(EvaluationError, match=r"rows\.txt holds no ground truth"):
            read(empty, ground_truth=True)
    assert read("\n \n").xyxy.shape == (0, 4)  # results may be empty


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,2,3,4,5,6", "is not a box"),
        ("1,2,3,4,5,6,1,-1,-1,-1,-1", "is not a box"),
        ("1 2 3 4 5 6 1", "is not a box: frame,id,left,top,width,height,confidence"),
        ("1,2,3,four,5,6,1", "is not a box"),
        ("1,2,nan,4,5,6,1", "not finite"),
        ("1,2,3,4,5,6,nan", "not finite"),
        ("nan,2,3,4,5,6,1", "not finite"),
        ("0,2,3,4,5,6,1", "frame is 0, it must be an integer from 1"),
        ("1.5,2,3,4,5,6,1", r"frame is 1\.5"),
        ("1e300,2,3,4,5,6,1", r"frame is 1e\+300"),
        ("1,-1,3,4,5,6,1", "id is -1, it must be an integer from 0"),
        ("1,2.5,3,4,5,6,1", r"id is 2\.5"),
        ("1,18446744073709551616,3,4,5,6,1", r"id is 18446744073709551616, .* to 2\^64 - 1"),
        ("1,1.33524e+19,3,4,5,6,1", "written in digits"),
        ("1,2,30,40,-5,6,1", "the box is -5 x 6 pixels"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(read, line, complaint):
    with pytest.raises(EvaluationError, match=rf"rows\.txt, line 3: .*{complaint}"):
        read(f"1,1,0,0,5,5,1\n\n{line}\n")


@pytest.mark.parametrize("ground_truth", [False, True])
def test_an_identity_twice_in_a_frame_is_named(read, ground_truth):
    text = "1,4,0,0,5,5,1\n8,3,0,0,5,5,1\n8,4,0,0,5,5,1\n2,4,0,0,5,5,1\n8,4,9,9,5,5,1"

    with pytest.raises(EvaluationError, match=r"rows\.txt: id 4 is in frame 8 more than once"):
        read(text, ground_truth=ground_truth)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\xff\xfe\x00")

    for path in (tmp_path, tmp_path / "model.onnx", tmp_path / "absent.txt"):
        with pytest.raises(EvaluationError, match=rf"results cannot be read from {path}"):
            read_mot_text(path)
    with pytest.raises(EvaluationError, match="ground truth cannot be read"):
        read_ground_truth(tmp_path)


def test_rows_made_in_memory_are_checked_too():
    for arguments, words in (
        (([2, 1, 2], [4, 4, 4]), "id 4 is in frame 2 more than once"),
        (([0], [1]), r"frame 0, id 1, box .* frames count from 1"),
        (([1], [-1]), "frame 1, id -1"),
        (([1], [1], [[5, 0, 4, 9]]), r"\[5.0, 0.0, 4.0, 9.0\].* x1 <= x2"),
        (([1], [1], [[0, 0, np.nan, 9]]), r"nan.* finite"),
    ):
        with pytest.raises(EvaluationError, match=words):
            rows(*arguments)
    with pytest.raises(InvalidInputError, match=r"xyxy \(N, 4\).*\(2,\), \(2,\), \(1, 4\), \(2,\)"):
        rows([1, 1], [1, 2], [[0, 0, 1, 1]])


def test_ids_of_64_bits_are_labels(read):
    first = 13352372148217446401  # a float64 does not know it from the next
    made = read(f"1,{first},0,0,5,5,1\n1,{first + 1},9,0,5,5,1\n2,7,0,0,5,5,1")

    assert made.track_id.tolist() == [first, first + 1, 7]
    with pytest.raises(EvaluationError, match=f"id {first} is in frame 1 more than once"):
        read(f"1,{first},0,0,5,5,1\n" * 2)


CLASSES = (
    "1,1,0,0,5,5,1,1,1\n1,2,9,0,5,5,1,2,1\n1,3,19,0,5,5,1,3,0.5\n1,4,29,0,5,5,0,7,1\n1,5,9,9,5,5,0,1,1\n"
)


@pytest.mark.parametrize(
    ("options", "scored", "distractors"),
    [
        ({}, [1], [2, 4]),
        ({"class_name": "car"}, [3], []),
        ({"class_name": "Person"}, [1], [2, 4]),
        ({"class_name": "2"}, [2], []),
        ({"benchmark": "mot20"}, [1], [2, 4]),
        ({"benchmark": "MOT15"}, [1, 2, 3], []),
        ({"labels": "Car\nPerson\nDog\n"}, [2], []),
        ({"labels": "Car\nPerson\nDog\n", "class_name": "dog"}, [3], []),
    ],
)
def test_one_class_of_ground_truth_is_scored(read, options, scored, distractors):
    truth = read(CLASSES, ground_truth=True, **options)

    assert truth.rows.track_id.tolist() == scored
    assert truth.boxes.track_id[truth.distractor].tolist() == distractors
    assert truth.labelled_frames.tolist() == [1]


def test_mot20_has_one_more_distractor_and_is_known_by_its_path(tmp_path):
    text = "1,1,0,0,5,5,1,1,1\n1,2,9,0,5,5,0,6,1\n"
    for name, count in (("MOT20-01", 1), ("MOT17-02", 0)):
        path = tmp_path / name / "gt" / "gt.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        assert read_ground_truth(path).distractor.sum() == count


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        (
            CLASSES,
            {"class_name": "bus"},
            r"'bus' is not known: it has class 1 \(pedestrian, 2 boxes\), class 2",
        ),
        (CLASSES, {"class_name": "9"}, r"no ground truth of class 9 .*class 7 \(static_person, 1 boxes\)"),
        (CLASSES, {"benchmark": "MOT18"}, "'MOT18' is not known: give MOT15, MOT16, MOT17, MOT20"),
        (CLASSES, {"labels": "Car\nDog\n"}, r"not clear which one is people: .*class 2 \(Dog, 1 boxes\)"),
        ("1,1,0,0,5,5,1,0,1\n1,2,9,0,5,5,1,2,1", {}, r"not clear .*class 0 \(1 boxes\).*--class"),
        ("1,1,0,0,5,5,1,3,1", {}, r"no ground truth of class 1 .*class 3 \(car, 1 boxes\).*--class"),
        ("1,1,0,0,5,5,1,-1,-1,-1", {"class_name": "car"}, "has no classes, so 'car' cannot be chosen"),
        ("1,1,0,0,5,5,1", {"benchmark": "MOT17"}, "lines without a class in column 8"),
        ("1,1,0,0,5,5,1\n1,2,0,0,5,5,1,2,1", {}, "lines with and without column 8"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(read, text, options, complaint):
    with pytest.raises(EvaluationError, match=complaint):
        read(text, ground_truth=True, **options)


def test_ten_columns_are_a_place_even_where_it_may_be_a_class_which_is_told(read, caplog):
    text = "1,1,0,0,5,5,1,1,0,0\n1,2,9,0,5,5,1,4,0,0\n"

    assert len(read(text, ground_truth=True).rows) == 2
    assert "give eval --benchmark MOT17" in caplog.text
    assert len(read(text, ground_truth=True, benchmark="MOT17").rows) == 1


def test_results_of_other_classes_are_left_out_and_told(read, caplog):
    text = "1,1,0,0,5,5,0.9,1,-1,-1\n1,2,9,0,5,5,0.8,3,-1,-1\n"

    assert (len(read(text)), caplog.text) == (2, "")
    assert read(text, 3).track_id.tolist() == [2]
    assert "1 of 2 results are of other classes than 3" in caplog.text
    for without in (
        "1,1,0,0,5,5,0.9,-1,-1,-1",
        "1,1,0,0,5,5,0.9",
        "1,1,0,0,5,5,0.9,2.5,3,1",
        "1,1,0,0,5,5,1,1,1",
    ):
        assert len(read(without, 3)) == 1


def test_ground_truth_at_frames_counts_them_by_position(read):
    truth = read("6,1,0,0,5,5,1\n1,2,0,0,5,5,1\n7,3,0,0,5,5,1\n11,4,0,0,5,5,0", ground_truth=True)

    placed = truth.at_frames([1, 6, 11])

    assert placed.boxes.frame.tolist() == [2, 1, 3]
    assert placed.rows.track_id.tolist() == [1, 2]
