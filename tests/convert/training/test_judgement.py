"""Average precision, recall and precision, on detections that are known."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")
from torch import nn  # noqa: E402

from edge_fairmot.convert.network import FairMOT, NetworkSpec  # noqa: E402
from edge_fairmot.convert.training import (  # noqa: E402
    WORKING_THRESHOLD,
    LabelledPicture,
    judge,
    with_working_threshold,
)
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


def test_recall_and_precision_are_those_of_the_best_f1():
    # Best first: right, right, wrong, right: F1 of 0.67, 0.8, 0.67 and 0.86.
    found = np.concatenate([BOXES[:2], [[40, 0, 56, 8]], BOXES[2:]]).astype(np.float32)
    result = judge(Says(found, [0.9, 0.8, 0.5, 0.3]), [picture(BOXES, [True] * 3)], SIZE)

    assert (result.recall, result.precision) == (1, 0.75)
    assert result.best_score == pytest.approx(0.3)


def test_a_doubtful_find_of_nobody_is_left_below_the_best_score():
    found = np.concatenate([BOXES[:2], [[40, 0, 56, 8]]]).astype(np.float32)
    result = judge(Says(found, [0.9, 0.2, 0.1]), [picture(BOXES[:2], [True] * 2)], SIZE)

    assert (result.recall, result.precision) == (1, 1)
    assert result.best_score == pytest.approx(0.2)


@pytest.mark.parametrize("best", [0.07, 0.4, 0.8])
def test_what_scored_the_best_score_scores_the_working_threshold(best):
    network = FairMOT(NetworkSpec())
    shifted = with_working_threshold(network, best)

    logit = torch.logit(torch.tensor(best)) + shifted.hm[-1].bias - network.hm[-1].bias
    assert torch.sigmoid(logit).item() == pytest.approx(WORKING_THRESHOLD, abs=1e-6)
    assert all(
        torch.equal(value, shifted.state_dict()[name])
        for name, value in network.state_dict().items()
        if name != "hm.2.bias"
    )


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

    assert (result.recall, result.precision) == (1, 1)
    assert result.best_score == pytest.approx(0.9)


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
