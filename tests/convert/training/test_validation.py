"""Average precision, recall and precision, on detections that are known."""

import dataclasses
from operator import attrgetter

import numpy as np
import pytest
import torch
from torch import nn

from edge_fairmot.convert.networks import build_network
from edge_fairmot.convert.training.crops import letterbox_labelled
from edge_fairmot.convert.training.targets import make_targets
from edge_fairmot.convert.training.validation import WORKING_THRESHOLD, validate, with_working_threshold

from .conftest import TINY, make_image

SIZE = (96, 64)
BOXES = np.array([(8, 8, 24, 48), (40, 8, 56, 56), (70, 20, 90, 60)], np.float32)
BACKGROUND = np.array([[40, 0, 56, 8]], np.float32)


def image(boxes, ignore=None):
    return make_image(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), boxes, ignore=ignore)


class Gives(nn.Module):
    """Detects the given boxes with the given scores in every image."""

    def __init__(self, boxes, scores):
        super().__init__()
        self._p = nn.Parameter(torch.zeros(1))
        targets = make_targets([letterbox_labelled(image(boxes), SIZE)], 4)
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


MOVED = BOXES + np.array([[0, 0, -10, -30], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32)
TWICE = BOXES[:1] + np.array([[0, 0, 0, 0], [8, 0, 8, 0]], np.float32)  # each by two thirds on one box
ONE_BOX = np.array([(8, 8, 32, 48)], np.float32)


@pytest.mark.parametrize(
    ("found", "scores", "labelled", "ignore", "expected"),
    [
        # Expected: people, average precision, best score, recall, precision; None is not compared.
        (BOXES, [0.9, 0.8, 0.7], BOXES, None, (3, 1, 0.7, 1, 1)),
        # Best first: right, right, wrong, right: F1 of 0.67, 0.8, 0.67 and 0.86.
        ((*BOXES[:2], *BACKGROUND, BOXES[2]), [0.9, 0.8, 0.5, 0.3], BOXES, None, (3, None, 0.3, 1, 0.75)),
        ((*BOXES[:2], *BACKGROUND), [0.9, 0.2, 0.1], BOXES[:2], None, (2, None, 0.2, 1, 1)),
        # Wrong, right, right.
        (MOVED, [0.9, 0.8, 0.7], BOXES, None, (3, (2 / 3 + 2 / 3) / 3, None, 2 / 3, 2 / 3)),
        (TWICE, [0.9, 0.8], ONE_BOX, None, (1, None, 0.9, 1, 1)),
        (BOXES, [0.9, 0.8, 0.7], BOXES, [False, True, False], (2, 1, None, 1, 1)),
        (BOXES, [0.9, 0.8, 0.7], BOXES[:0], None, (0, 0, WORKING_THRESHOLD, 0, 0)),
    ],
    ids=["perfect", "best F1", "doubtful background", "wrong first", "a second one", "ignored", "no boxes"],
)
def test_figures_are_those_of_the_detections(found, scores, labelled, ignore, expected):
    network = Gives(np.array(found, np.float32), scores).train()

    result = validate(network, [image(labelled, ignore)], SIZE)

    assert network.training
    names = ("all.people", "all.average_precision", "best_score", "recall", "precision")
    for name, value in zip(names, expected, strict=True):
        assert value is None or attrgetter(name)(result) == pytest.approx(value), name


def test_figures_by_size_leave_out_the_other_sizes():
    boxes = np.array([(8, 8, 24, 40), (40, 4, 56, 60), (70, 4, 90, 60)], np.float32)
    network = Gives(np.array((*boxes, *BACKGROUND), np.float32), [0.9, 0.8, 0.3, 0.6])

    result = validate(network, [image(boxes)], SIZE)

    small, medium = result.sizes["small"], result.sizes["medium"]
    assert (small.people, medium.people, result.sizes["large"].people) == (1, 2, 0)
    # The detection on the background is small.
    assert (small.average_precision, small.precise_recall) == (1, 1)
    assert (medium.average_precision, medium.precise_recall) == (1, 1)
    # Best first: right, right, wrong, right.
    assert result.all.average_precision == pytest.approx((1 + 1 + 0.75) / 3)
    assert result.all.precise_recall == pytest.approx(2 / 3)


def test_embeddings_are_compared_with_those_of_the_teacher_at_the_centres():
    network = Gives(BOXES, [0.9, 0.8, 0.7])
    network._heads["id"] = torch.zeros_like(network._heads["id"])
    network._heads["id"][0, 0] = 3.0
    embedding = np.eye(8, dtype=np.float32)[[0, 1, 0]]
    embedding[2] = 0  # the teacher has none
    teacher = dataclasses.replace(image(BOXES), embedding=embedding)

    assert validate(network, [teacher], SIZE).cosine == pytest.approx(0.5)
    assert validate(network, [image(BOXES)], SIZE).cosine is None


@pytest.mark.parametrize("best", [0.07, 0.8])
def test_the_best_score_becomes_the_working_threshold(best):
    network = build_network(TINY)
    shifted = with_working_threshold(network, best)

    logit = torch.logit(torch.tensor(best)) + shifted.hm[-1].bias - network.hm[-1].bias
    assert torch.sigmoid(logit).item() == pytest.approx(WORKING_THRESHOLD, abs=1e-6)
    assert all(
        torch.equal(value, shifted.state_dict()[name])
        for name, value in network.state_dict().items()
        if name != "hm.2.bias"
    )
