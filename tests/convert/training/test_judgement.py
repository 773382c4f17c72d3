"""Average precision, recall and precision, on detections that are known."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")
from torch import nn  # noqa: E402

from edge_fairmot.convert.training import LabelledPicture, judge  # noqa: E402
from edge_fairmot.convert.training.pieces import fit_piece  # noqa: E402
from edge_fairmot.convert.training.targets import make_targets  # noqa: E402

SIZE = (96, 64)
BOXES = np.array([(8, 8, 24, 48), (40, 8, 56, 56), (70, 20, 90, 60)], np.float32)


def picture(boxes, counted):
    height, width = SIZE[1], SIZE[0]
    encoded = cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()
    xyxy = boxes / np.array([width, height, width, height], np.float32)
    return LabelledPicture("p", encoded, xyxy, np.arange(len(boxes)), np.array(counted, bool))


class Says(nn.Module):
    """Finds the given boxes with the given scores, whatever it is shown."""

    def __init__(self, boxes, scores):
        super().__init__()
        self._p = nn.Parameter(torch.zeros(1))
        targets = make_targets([fit_piece(picture(boxes, [True] * len(boxes)), SIZE)], 4)
        shape = (1, 1, SIZE[1] // 4, SIZE[0] // 4)
        self._heads = {"hm": torch.full(shape, -20.0)}
        for name, channels in (("wh", 4), ("reg", 2), ("id", 8)):
            self._heads[name] = torch.ones(1, channels, *shape[2:])
        for i, cell in enumerate(targets.cells[0].tolist()):
            row, column = divmod(cell, shape[3])
            self._heads["hm"][0, 0, row, column] = torch.logit(torch.tensor(scores[i]))
            self._heads["wh"][0, :, row, column] = targets.wh[0, i]
            self._heads["reg"][0, :, row, column] = targets.reg[0, i]

    def forward(self, images):
        return self._heads


def test_whoever_finds_everybody_and_nobody_else_is_perfect():
    result = judge(Says(BOXES, [0.9, 0.8, 0.7]), [picture(BOXES, [True] * 3)], SIZE)

    assert (result.people, result.average_precision, result.recall, result.precision) == (3, 1, 1, 1)


def test_a_doubtful_find_counts_for_the_average_only():
    result = judge(Says(BOXES, [0.9, 0.8, 0.3]), [picture(BOXES, [True] * 3)], SIZE)

    assert (result.average_precision, result.recall, result.precision) == (1, pytest.approx(2 / 3), 1)


def test_a_find_of_nobody_costs_precision():
    # Best first: wrong, right, right.
    moved = BOXES + np.array([[0, 0, -10, -30], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    result = judge(Says(moved, [0.9, 0.8, 0.7]), [picture(BOXES, [True] * 3)], SIZE)

    assert result.recall == result.precision == pytest.approx(2 / 3)
    assert result.average_precision == pytest.approx((2 / 3 + 2 / 3) / 3)


def test_a_second_find_of_somebody_is_wrong():
    twice = BOXES[:1] + np.array([[0, 0, 0, 0], [8, 0, 8, 0]], np.float32)
    alone = np.array([(8, 8, 32, 48)], np.float32)  # by two thirds in either

    result = judge(Says(twice, [0.9, 0.8]), [picture(alone, [True])], SIZE)

    assert (result.recall, result.precision) == (1, 0.5)


def test_finding_who_is_not_counted_is_no_fault_and_no_merit():
    result = judge(Says(BOXES, [0.9, 0.8, 0.7]), [picture(BOXES, [True, False, True])], SIZE)

    assert (result.people, result.average_precision, result.recall, result.precision) == (2, 1, 1, 1)


def test_pictures_without_people_are_judged_too():
    result = judge(Says(BOXES, [0.9, 0.8, 0.7]), [picture(BOXES[:0], [])], SIZE)

    assert (result.people, result.average_precision, result.recall, result.precision) == (0, 0, 0, 0)


def test_the_network_is_left_in_its_mode():
    network = Says(BOXES, [0.9, 0.8, 0.7]).train()
    judge(network, [picture(BOXES, [True] * 3)], SIZE)

    assert network.training
