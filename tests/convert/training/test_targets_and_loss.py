"""Targets say what decoding undoes; every part of the loss looks at what it is about."""

import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the convert extra")

from edge_fairmot.convert.deploy import decode_boxes  # noqa: E402
from edge_fairmot.convert.network import NetworkSpec  # noqa: E402
from edge_fairmot.convert.training.identity import ClassLoss, ContrastLoss  # noqa: E402
from edge_fairmot.convert.training.loss import TaskLoss, corners, focal_loss, giou_loss  # noqa: E402
from edge_fairmot.convert.training.pieces import Piece  # noqa: E402
from edge_fairmot.convert.training.targets import MIN_OVERLAP, heatmap_radius, make_targets  # noqa: E402

SIDE = 64


def piece(boxes, counted=None, identity=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(boxes)
    return Piece(
        np.zeros((SIDE, SIDE, 3), np.uint8),
        boxes,
        np.arange(count) if identity is None else np.array(identity),
        np.ones(count, bool) if counted is None else np.array(counted),
    )


place = st.floats(0, SIDE - 0.125, width=32)
extent = st.floats(4, 80, width=32)
centred = (
    st.tuples(place, place, extent, extent)
    .map(lambda b: (b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2))
    .filter(lambda b: all(0 <= (b[i] + b[i + 2]) / 2 < SIDE for i in (0, 1)))
)


@given(st.lists(centred, min_size=1, max_size=4), st.sampled_from([2, 4]))
def test_decoding_gives_the_boxes_back(boxes, channels):
    targets = make_targets([piece(boxes), piece([])], channels)

    decoded = decode_boxes(targets.cells, targets.wh, targets.reg, SIDE // 4)

    assert targets.valid.sum(dim=1).tolist() == [len(boxes), 0]
    assert np.allclose(decoded[0].numpy(), boxes, atol=1e-3)
    assert ((targets.reg >= 0) & (targets.reg <= 1)).all()


@given(st.lists(centred, min_size=1, max_size=4))
def test_the_heatmap_is_one_at_centres_and_nowhere_else(boxes):
    targets = make_targets([piece(boxes)], 4)

    ones = (targets.heatmap[0, 0] == 1).flatten().nonzero().flatten().tolist()
    assert sorted(ones) == sorted(set(targets.cells[0].tolist()))
    assert targets.heatmap.max() <= 1


def test_the_heatmap_falls_around_a_centre_alike_on_all_sides():
    targets = make_targets([piece([(18, 10, 48, 56)])], 4)  # centre (33, 33), cell (8, 8)

    heat = targets.heatmap[0, 0]
    assert heat[8, 8] == 1
    assert heat[8, 7] == heat[8, 9] == heat[7, 8] == heat[9, 8] < 1
    assert heat[8, 10] < heat[8, 9]
    radius = heatmap_radius(np.array([4.5, 2.5, 12, 14]))
    assert radius > 1
    assert heat[8, 8 + radius] > 0
    assert heat[8, 8 + radius + 1] == 0


@given(st.integers(1, 200), st.integers(1, 200))
def test_the_radius_is_cornernets(width, height):
    # Larger by r on all sides, the overlap is width * height / ((width + 2r) * (height + 2r)). The original
    # does not divide the root by the equation's leading coefficient.
    root = np.roots(
        [4 * MIN_OVERLAP, 2 * MIN_OVERLAP * (width + height), (MIN_OVERLAP - 1) * width * height]
    ).max()

    assert heatmap_radius(np.array([0.0, 0.0, width, height])) == pytest.approx(
        4 * MIN_OVERLAP * root, abs=1.001
    )
    assert heatmap_radius(np.array([0.0, 0.0, width, height])) <= 4 * MIN_OVERLAP * root + 1e-6


def test_who_is_not_counted_is_no_fault_either_way():
    everybody, but_one, nobody = (
        make_targets([p], 4).heatmap
        for p in (
            piece([(10, 10, 30, 50)]),
            piece([(10, 10, 30, 50)], counted=[False]),
            piece([]),
        )
    )
    sees = torch.full_like(everybody, -9.0)
    sees[everybody == 1] = 6.0

    blind = torch.full_like(everybody, -9.0)
    assert focal_loss(sees, everybody) < 0.01
    assert focal_loss(sees, but_one) < 0.01
    assert focal_loss(blind, but_one) < 0.01
    assert focal_loss(sees, nobody) > 5
    assert focal_loss(blind, everybody) > 5


def test_the_focal_loss_is_centernets():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 6, 6, generator=generator, dtype=torch.float64)
    target = torch.rand(2, 1, 6, 6, generator=generator, dtype=torch.float64)
    target[0, 0, 1, 1] = target[1, 0, 3, 4] = 1

    expected = 0.0
    for p, y in zip(torch.sigmoid(logits).flatten().tolist(), target.flatten().tolist(), strict=True):
        expected -= (1 - p) ** 2 * np.log(p) if y == 1 else (1 - y) ** 4 * p**2 * np.log(1 - p)

    assert float(focal_loss(logits, target)) == pytest.approx(expected / 2)


@given(st.lists(centred, min_size=1, max_size=4), st.sampled_from([2, 4]))
def test_overlap_is_of_the_boxes_that_decoding_gives(boxes, channels):
    targets = make_targets([piece(boxes)], channels)
    found = targets.valid[0]

    told = corners(targets.wh[0][found], targets.reg[0][found])

    cells = targets.cells[0][found]
    at = torch.stack((cells % (SIDE // 4), cells // (SIDE // 4)), dim=1).repeat(1, 2)
    decoded = decode_boxes(targets.cells, targets.wh, targets.reg, SIDE // 4)[0][found]
    assert torch.allclose((told + at) * 4, decoded, atol=1e-3)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ((0, 0, 2, 4), 0.0),
        ((0, 0, 4, 4), 0.5),
        ((2, 0, 4, 4), 1.0),  # beside it: no overlap, and nothing between
        ((6, 0, 8, 4), 1.5),  # the box around both is half empty
        ((1, 0, 3, 4), 1 - 4 / 12),
        ((0, 2, 2, 6), 1 - 4 / 12),
        ((2, 4, 0, 0), 1.0),  # inside out: no area
        ((0, 0, 2, 0), 1.0),
    ],
)
def test_overlap_is_giou(ours, expected):
    box, person = torch.tensor([ours], dtype=torch.float32), torch.tensor([[0.0, 0, 2, 4]])

    assert giou_loss(box, person).item() == pytest.approx(expected)


@given(centred, centred, st.floats(0.1, 10))
def test_overlap_is_the_same_at_every_size(ours, theirs, scale):
    ours, theirs = (torch.tensor([box], dtype=torch.float64) for box in (ours, theirs))

    loss = giou_loss(ours, theirs)

    assert loss.item() + 1e-12 >= 0
    assert loss.item() <= 2
    assert giou_loss(scale * ours, scale * theirs).item() == pytest.approx(loss.item(), abs=1e-9)


@pytest.fixture(scope="module")
def network(lively_network):
    return lively_network(NetworkSpec(embedding_dim=16))


@pytest.fixture(scope="module")
def features(network):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 64, SIDE // 4, SIDE // 4, generator=generator)


@pytest.fixture
def losses(network, features):
    targets = make_targets(
        [piece([(10, 10, 30, 50), (30, 8, 52, 60)]), piece([(5, 5, 20, 40)], identity=[2])], 4
    )

    def losses(change=lambda network: None, **changed):
        torch.manual_seed(0)
        task = TaskLoss(ClassLoss(16, 5))
        own = copy.deepcopy(network)
        change(own)
        return task(own, features, dataclasses.replace(targets, **changed)).as_numbers()

    losses.targets = targets
    return losses


@pytest.mark.parametrize(
    ("parts", "tensor"),
    [
        ({"heatmap"}, "hm.2.bias"),
        ({"boxes", "overlap"}, "wh.2.bias"),
        ({"offsets", "overlap"}, "reg.2.bias"),
        ({"identity"}, "id.2.weight"),
    ],
)
def test_every_head_is_in_its_part_of_the_loss_alone(losses, parts, tensor):
    def change(network):
        with torch.no_grad():
            network.get_parameter(tensor).mul_(-1).add_(0.5)

    before, after = losses(), losses(change)

    assert {name for name in before if before[name] != pytest.approx(after[name])} == {*parts, "total"}


def test_places_without_a_person_do_not_count(losses):
    targets = losses.targets
    assert targets.valid.tolist() == [[True, True], [True, False]]
    others = {name: getattr(targets, name).clone() for name in ("wh", "reg", "identity", "cells")}
    for value in others.values():
        value[1, 1] = 1

    assert losses(**others) == pytest.approx(losses())


@pytest.mark.parametrize("identity", [ClassLoss(16, 5), ContrastLoss()])
def test_a_batch_without_people_has_no_loss_but_the_heatmaps(network, features, identity):
    task = TaskLoss(identity)

    found = task(network, features, make_targets([piece([]), piece([])], 4))

    assert found.boxes == found.offsets == found.overlap == found.identity == 0
    assert torch.isfinite(found.total)
    found.total.backward()


def test_uncertainty_weighs_the_tasks(network, features, losses):
    task = TaskLoss(ClassLoss(16, 5), overlap_weight=2.0)
    found = task(network, features, losses.targets)
    detection, identity = task.log_variances.tolist()

    parts = found.as_numbers()
    expected = 0.5 * (
        np.exp(-detection)
        * (parts["heatmap"] + 0.1 * parts["boxes"] + parts["offsets"] + 2 * parts["overlap"])
        + np.exp(-identity) * parts["identity"]
        + detection
        + identity
    )
    assert parts["total"] == pytest.approx(expected, rel=1e-5)
    assert (detection, identity) == pytest.approx((-1.85, -1.05))
