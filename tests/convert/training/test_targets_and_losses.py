"""Targets say what decoding undoes; every part of the loss looks at what it is about."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from edge_fairmot.convert.deploy import decode_boxes
from edge_fairmot.convert.training.crops import Crop
from edge_fairmot.convert.training.losses import (
    ClassLoss,
    ContrastLoss,
    TaskLoss,
    corners,
    focal_loss,
    giou_loss,
    imitation_loss,
)
from edge_fairmot.convert.training.targets import MIN_OVERLAP, heatmap_radius, make_targets

SIDE = 64


def crop(boxes, ignore=None, identity=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    identity = np.arange(len(boxes)) if identity is None else np.array(identity)
    ignore = np.zeros(len(boxes), bool) if ignore is None else np.array(ignore)
    return Crop(np.zeros((SIDE, SIDE, 3), np.uint8), boxes, identity, ignore)


place = st.floats(0, SIDE - 0.125, width=32)
extent = st.floats(4, 80, width=32)
centred = (
    st.tuples(place, place, extent, extent)
    .map(lambda b: (b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2))
    .filter(lambda b: all(0 <= (b[i] + b[i + 2]) / 2 < SIDE for i in (0, 1)))
)


@given(st.lists(centred, min_size=1, max_size=4), st.sampled_from([2, 4]))
def test_decoding_gives_the_boxes_back(boxes, channels):
    targets = make_targets([crop(boxes), crop([])], channels)

    decoded = decode_boxes(targets.cells, targets.wh, targets.reg, SIDE // 4)
    cells = torch.stack((targets.cells[0] % (SIDE // 4), targets.cells[0] // (SIDE // 4)), dim=1).repeat(1, 2)

    assert torch.allclose((corners(targets.wh[0], targets.reg[0]) + cells) * 4, decoded[0], atol=1e-3)
    assert targets.valid.sum(dim=1).tolist() == [len(boxes), 0]
    ones = (targets.heatmap[0, 0] >= 1).flatten().nonzero().flatten().tolist()
    assert ones == sorted(set(targets.cells[0].tolist()))
    assert np.allclose(decoded[0].numpy(), boxes, atol=1e-3)
    assert ((targets.reg >= 0) & (targets.reg <= 1)).all()


def test_the_heatmap_falls_around_a_centre_as_centernets():
    heat = make_targets([crop([(18, 10, 48, 56)])], 4).heatmap[0, 0]  # centre (33, 33), cell (8, 8)

    # CenterNet's draw_umich_gaussian: sigma is a sixth of the diameter.
    radius = heatmap_radius(np.array([4.5, 2.5, 12, 14]))
    assert radius == 2
    sigma = (2 * radius + 1) / 6
    for y, x in np.ndindex(*heat.shape):
        dy, dx = y - 8, x - 8
        expected = math.exp(-(dx * dx + dy * dy) / (2 * sigma**2)) if max(abs(dx), abs(dy)) <= radius else 0
        assert heat[y, x].item() == pytest.approx(expected, rel=1e-6)


@given(st.integers(1, 200), st.integers(1, 200))
def test_the_radius_is_cornernets(width, height):
    # Larger by r on all sides, the overlap is width * height / ((width + 2r) * (height + 2r)). The original
    # does not divide the root by the equation's leading coefficient.
    equation = [4 * MIN_OVERLAP, 2 * MIN_OVERLAP * (width + height), (MIN_OVERLAP - 1) * width * height]
    expected = 4 * MIN_OVERLAP * np.roots(equation).max()

    assert expected - 1.001 <= heatmap_radius(np.array([0.0, 0.0, width, height])) <= expected + 1e-6


def test_ignored_boxes_are_no_fault_either_way():
    boxes = [(10, 10, 30, 50)]
    crops = crop(boxes), crop(boxes, ignore=[True]), crop([])
    labelled, ignored, none = (make_targets([one], 4).heatmap for one in crops)
    finds, misses = torch.full_like(labelled, -9.0), torch.full_like(labelled, -9.0)
    finds[labelled == 1] = 6.0

    assert focal_loss(finds, labelled) < 0.01
    assert focal_loss(finds, ignored) < 0.01
    assert focal_loss(misses, ignored) < 0.01
    assert focal_loss(finds, none) > 5
    assert focal_loss(misses, labelled) > 5


def test_the_focal_loss_is_centernets():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 6, 6, generator=generator, dtype=torch.float64)
    target = torch.rand(2, 1, 6, 6, generator=generator, dtype=torch.float64)
    target[0, 0, 1, 1] = target[1, 0, 3, 4] = 1

    expected = 0.0
    for p, y in zip(torch.sigmoid(logits).flatten().tolist(), target.flatten().tolist(), strict=True):
        expected -= (1 - p) ** 2 * np.log(p) if y == 1 else (1 - y) ** 4 * p**2 * np.log(1 - p)

    assert float(focal_loss(logits, target)) == pytest.approx(expected / 2)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ((0, 0, 2, 4), 0.0),
        ((0, 0, 4, 4), 0.5),
        ((2, 0, 4, 4), 1.0),  # beside it: no overlap, and no gap
        ((6, 0, 8, 4), 1.5),  # the box around both is half empty
        ((1, 0, 3, 4), 1 - 4 / 12),
        ((0, 2, 2, 6), 1 - 4 / 12),
        ((2, 4, 0, 0), 1.0),  # inside out: no area
        ((0, 0, 2, 0), 1.0),
    ],
)
def test_overlap_is_giou(ours, expected):
    box, labelled = torch.tensor([ours], dtype=torch.float32), torch.tensor([[0.0, 0, 2, 4]])

    assert giou_loss(box, labelled).item() == pytest.approx(expected)


@given(centred, centred, st.floats(0.1, 10))
def test_overlap_is_the_same_at_every_size(ours, theirs, scale):
    ours, theirs = (torch.tensor([box], dtype=torch.float64) for box in (ours, theirs))

    loss = giou_loss(ours, theirs)

    assert loss.item() + 1e-12 >= 0
    assert loss.item() <= 2
    assert giou_loss(scale * ours, scale * theirs).item() == pytest.approx(loss.item(), abs=1e-9)


@pytest.fixture(scope="module")
def network(plain):
    return plain()


@pytest.fixture(scope="module")
def features(network):
    channels = network.hm[0].weight.shape[1]
    return torch.randn(2, channels, SIDE // 4, SIDE // 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def losses(network, features):
    crops = crop([(10, 10, 30, 50), (30, 8, 52, 60)]), crop([(5, 5, 20, 40)], identity=[2])
    targets = make_targets(crops, 4)

    def losses(change=lambda network: None, **changed):
        torch.manual_seed(0)
        task = TaskLoss(ClassLoss(16, 5), overlap_weight=2.0)
        own = copy.deepcopy(network)
        change(own)
        found = task(own, features, dataclasses.replace(targets, **changed))
        return {name: float(value.detach()) for name, value in found.items()}

    losses.targets = targets
    return losses


@pytest.mark.parametrize(
    ("tensor", "parts"),
    [
        *(("hm.2.bias", {"heatmap"}), ("wh.2.bias", {"boxes", "overlap"})),
        *(("reg.2.bias", {"offsets", "overlap"}), ("id.2.weight", {"identity"})),
    ],
)
def test_every_head_is_in_its_part_of_the_loss_alone(losses, tensor, parts):
    before, after = losses(), losses(lambda network: network.get_parameter(tensor).data.mul_(-1).add_(0.5))

    assert {name for name in before if before[name] != pytest.approx(after[name])} == {*parts, "total"}


def test_a_teachers_embeddings_are_imitated_and_are_of_no_class(losses):
    targets = losses.targets
    before = losses()
    taught = torch.zeros(*targets.valid.shape, 16)
    taught[0, 0, 3] = 1.0

    after = losses(embedding=taught)
    unknown = losses(identity=torch.where(taught.any(dim=2), -1, targets.identity))

    assert before["imitation"] == 0
    assert after["imitation"] > 0
    # Without that box, as if its identity were unknown.
    assert after["identity"] == pytest.approx(unknown["identity"])
    assert after["identity"] != pytest.approx(before["identity"])
    moved = losses(lambda network: network.id[2].bias.data[3].add_(1e3), embedding=taught)
    assert moved["imitation"] == pytest.approx(0, abs=1e-4)


def test_imitation_is_0_of_the_teachers_own_and_the_mean_embedding_is_no_way_out():
    theirs = unit((1, 0.2), (0.2, 1), (0.6, 0.8))
    mean = functional.normalize(theirs.mean(dim=0), dim=0).expand(3, 2)
    mixed = unit((1, 0.5), (0.5, 1), (0.6, 0.8))

    assert imitation_loss(theirs, theirs).item() == pytest.approx(0, abs=1e-6)
    assert imitation_loss(theirs[:0], theirs[:0]).item() == 0
    # Nearer by the distance alone would be no better told apart.
    assert imitation_loss(mean, theirs) > 2 * imitation_loss(mixed, theirs)


def test_places_without_a_box_do_not_count(losses):
    targets = losses.targets
    assert targets.valid.tolist() == [[True, True], [True, False]]
    others = {name: getattr(targets, name).clone() for name in ("wh", "reg", "identity", "cells")}
    for value in others.values():
        value[1, 1] = 1

    assert losses(**others) == pytest.approx(losses())


@pytest.mark.parametrize("identity", [ClassLoss(16, 5), ContrastLoss()])
def test_a_batch_without_boxes_has_no_loss_but_the_heatmaps(network, features, identity):
    found = TaskLoss(identity)(network, features, make_targets([crop([]), crop([])], 4))

    assert found["boxes"] == found["offsets"] == found["overlap"] == found["identity"] == 0
    assert torch.isfinite(found["total"])
    found["total"].backward()


def test_uncertainty_weighs_the_tasks(losses):
    parts = losses()

    detection = parts["heatmap"] + 0.1 * parts["boxes"] + parts["offsets"] + 2 * parts["overlap"]
    expected = 0.5 * (math.exp(1.85) * detection + math.exp(1.05) * parts["identity"] - 1.85 - 1.05)
    assert parts["total"] == pytest.approx(expected, rel=1e-5)


def unit(*rows):
    return functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def test_classes_are_imprinted_once():
    loss = ClassLoss(2, 5, imprint=True)
    random = loss.classifier.weight.detach().clone()
    seen = unit((1, 0), (3, 4))

    loss(seen, torch.tensor([3, 1]))

    first = loss.classifier.weight.detach().clone()
    assert loss.met.tolist() == [False, True, False, True, False]
    assert torch.equal(first[~loss.met], random[~loss.met])
    # The mean square of nn.Linear's random weights is 1 / (3 * inputs).
    assert torch.allclose(first[[3, 1]], seen / math.sqrt(3))
    assert loss.classifier.bias[[1, 3]].tolist() == [0, 0]

    loss(-seen, torch.tensor([3, 1]))

    assert torch.equal(loss.classifier.weight, first)


def test_contrast_finds_an_identity_among_all_others():
    identity = [7, 7, 2, 9, 7]
    embedding = unit((1, 0), (3, 4), (4, 3), (0, 1), (2, 1))

    found = ContrastLoss()(embedding, torch.tensor(identity))

    rows = (embedding @ embedding.T / 0.1).tolist()  # temperature 0.1
    # Each pair of an identity against the others alone: its third view is no rival.
    pairs = [(i, j) for i in (0, 1, 4) for j in (0, 1, 4) if i != j]
    expected = [math.log(1 + sum(math.exp(rows[i][n] - rows[i][j]) for n in (2, 3))) for i, j in pairs]
    assert found.item() == pytest.approx(sum(expected) / len(pairs), rel=1e-5)


@pytest.mark.parametrize("identity", [[0, 1, 2], [4, 4, 4], [1]])
def test_without_two_of_one_identity_and_one_of_another_there_is_no_loss(identity):
    embedding = unit(*((1, n) for n in range(len(identity)))).requires_grad_()

    found = ContrastLoss()(embedding, torch.tensor(identity))
    found.backward()

    assert found.item() == 0
    assert not embedding.grad.any()
