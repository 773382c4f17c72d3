import numpy as np
import pytest

from edge_fairmot.benchmarks.mot_text import MotRows, read_mot_text
from edge_fairmot.errors import EvaluationError, InvalidInputError


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        path = tmp_path / "rows.txt"
        path.write_text(text, encoding="utf-8")
        return read_mot_text(path, **options)

    return read


def rows(frame, track_id, xyxy=None):
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (len(frame), 1)) if xyxy is None else np.array(xyxy, np.float64)
    return MotRows(np.array(frame, np.int64), np.array(track_id, np.int64), boxes, np.ones(len(frame)))


def test_a_line_is_a_box_with_edges(read):
    made = read("3,7,10.5,20,30,40.25,0.75,-1,-1,-1\n")

    assert (made.frame.dtype, made.track_id.dtype) == (np.int64, np.int64)
    assert (made.xyxy.dtype, made.confidence.dtype) == (np.float64, np.float64)
    assert (made.frame.tolist(), made.track_id.tolist()) == ([3], [7])
    assert made.xyxy.tolist() == [[10.5, 20.0, 40.5, 60.25]]
    assert made.confidence.tolist() == [0.75]


def test_rows_keep_the_order_of_the_file(read):
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
    ],
)
def test_spaces_blank_lines_line_ends_and_columns_that_are_not_read_do_not_matter(read, text):
    made = read(text)

    assert (made.frame.tolist(), made.track_id.tolist()) == ([1], [2])
    assert made.xyxy.tolist() == [[3, 4, 8, 10]]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_results_may_be_empty(read, text):
    made = read(text)

    assert len(made) == 0
    assert made.xyxy.shape == (0, 4)


def test_ground_truth_leaves_out_rows_of_confidence_0(read):
    text = "1,1,0,0,5,5,1\n1,2,0,0,5,5,0\n2,2,0,0,5,5,0.5\n2,3,0,0,5,5,1\n"

    assert read(text, ground_truth=True).track_id.tolist() == [1, 3]
    assert read(text).track_id.tolist() == [1, 2, 2, 3]


def test_columns_8_to_10_of_ground_truth_are_no_class(read):
    assert len(read("1,1,0,0,5,5,1,4.4852,5.5016,0\n1,2,0,0,5,5,1,8,1,0", ground_truth=True)) == 2


@pytest.mark.parametrize("text", ["", "\n", "1,1,0,0,5,5,0\n"])
def test_ground_truth_without_a_box_is_refused(read, text):
    with pytest.raises(EvaluationError, match=r"rows\.txt holds no ground truth"):
        read(text, ground_truth=True)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,2,3,4,5,6", "is not a box"),
        ("1,2,3,4,5,6,1,-1,-1,-1,-1", "is not a box"),
        ("1,2,3,4,5,6,", "is not a box"),
        ("1 2 3 4 5 6 1", "is not a box"),
        ("1,2,3,four,5,6,1", "is not a box"),
        ("frame,id,left,top,width,height,confidence", "is not a box"),
        ("1,2,nan,4,5,6,1", "not finite"),
        ("1,2,3,4,5,inf,1", "not finite"),
        ("1,2,3,4,5,6,nan", "not finite"),
        ("nan,2,3,4,5,6,1", "not finite"),
        ("0,2,3,4,5,6,1", "frame is 0, it must be an integer from 1"),
        ("1.5,2,3,4,5,6,1", r"frame is 1\.5"),
        ("1e300,2,3,4,5,6,1", r"frame is 1e\+300"),
        ("1,-1,3,4,5,6,1", "id is -1, it must be an integer from 0"),
        ("1,2.5,3,4,5,6,1", r"id is 2\.5"),
        ("1,2,30,40,-5,6,1", "the box is -5 x 6 pixels"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(read, line, complaint):
    with pytest.raises(EvaluationError, match=rf"rows\.txt, line 3: .*{complaint}"):
        read(f"1,1,0,0,5,5,1\n\n{line}\n")


def test_a_malformed_line_is_shown_with_what_is_allowed(read):
    with pytest.raises(
        EvaluationError, match="'1;2;3' is not a box: frame,id,left,top,width,height,confidence"
    ):
        read("1;2;3")


@pytest.mark.parametrize("ground_truth", [False, True])
def test_an_identity_twice_in_a_frame_is_named(read, ground_truth):
    text = "1,4,0,0,5,5,1\n8,3,0,0,5,5,1\n8,4,0,0,5,5,1\n2,4,0,0,5,5,1\n8,4,9,9,5,5,1"

    with pytest.raises(EvaluationError, match=r"rows\.txt: id 4 is in frame 8 more than once"):
        read(text, ground_truth=ground_truth)


@pytest.mark.parametrize("ground_truth", [False, True])
def test_a_missing_file_is_named(tmp_path, ground_truth):
    kind = "ground truth" if ground_truth else "results"

    with pytest.raises(EvaluationError, match=rf"{kind} cannot be read from .*absent\.txt"):
        read_mot_text(tmp_path / "absent.txt", ground_truth=ground_truth)


def test_a_folder_or_a_binary_file_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\xff\xfe\x00")

    for path in (tmp_path, tmp_path / "model.onnx"):
        with pytest.raises(EvaluationError, match="cannot be read"):
            read_mot_text(path)


def test_rows_made_in_memory_are_held_to_the_same():
    with pytest.raises(EvaluationError, match="id 4 is in frame 2 more than once"):
        rows([2, 1, 2], [4, 4, 4])
    with pytest.raises(EvaluationError, match=r"frame 0, id 1, box .* frames count from 1"):
        rows([0], [1])
    with pytest.raises(EvaluationError, match="frame 1, id -1"):
        rows([1], [-1])
    with pytest.raises(EvaluationError, match=r"\[5.0, 0.0, 4.0, 9.0\].* x1 <= x2"):
        rows([1], [1], [[5, 0, 4, 9]])
    with pytest.raises(EvaluationError, match=r"nan.* finite"):
        rows([1], [1], [[0, 0, np.nan, 9]])


def test_arrays_that_disagree_are_refused():
    with pytest.raises(InvalidInputError, match=r"xyxy \(N, 4\).*\(2,\), \(2,\), \(1, 4\), \(2,\)"):
        rows([1, 1], [1, 2], [[0, 0, 1, 1]])
