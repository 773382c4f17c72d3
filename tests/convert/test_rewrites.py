"""Each rewrite of the graph leaves its result as it was."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from edge_fairmot.convert import GraphOptions, NetworkSpec
from edge_fairmot.convert.batch_norm import fold_batch_norms
from edge_fairmot.convert.deploy import (
    DeployGraph,
    decode,
    decode_boxes,
    fold_normalisation,
    gather_cells,
    heads_at,
)
from edge_fairmot.convert.network import normalise_images
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.upsampling import ShuffleUpsampling
from edge_fairmot.errors import InvalidInputError

LAYER_ROUNDING = 1e-5
"""Of the largest value: float32 sums in another order."""

NETWORK_ROUNDING = 2e-4
"""The same through sixty layers of random weights, which amplify it."""


def assert_same(actual: torch.Tensor, expected: torch.Tensor, rounding: float = LAYER_ROUNDING) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= rounding * expected.abs().max()


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 3)])
def test_shuffle_upsampling_equals_the_transposed_convolution(factor, size):
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(6, 6, 2 * factor, factor, factor // 2, groups=6, bias=False)
    x = torch.randn(3, 6, *size)
    assert_same(ShuffleUpsampling(up)(x), up(x))


def test_folded_batch_norms_leave_the_heads_as_they_were(lively_network):
    network = lively_network()
    folded = copy.deepcopy(network)
    fold_batch_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = normalise_images(torch.from_numpy(draw_images((96, 64), 2)))
    with torch.inference_mode():
        expected, actual = network(x), folded(x)
    for name in expected:
        assert_same(actual[name], expected[name], NETWORK_ROUNDING)


def test_folded_normalisation_takes_bgr_bytes(lively_network):
    network = lively_network()
    images = torch.from_numpy(draw_images((96, 64), 2))
    with torch.inference_mode():
        expected = network.features(normalise_images(images))
        fold_normalisation(network)
        actual = network.features(images.float().permute(0, 3, 1, 2))
    assert_same(actual, expected, NETWORK_ROUNDING)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 5, 7), (3, 5, 7), (2, 1, 4), (2, 6, 1)])
def test_late_heads_equal_the_dense_heads_at_every_cell(lively_network, batch, height, width):
    network = lively_network(NetworkSpec(2, 4, 16))
    features = torch.randn(batch, 64, height, width)
    every_cell = torch.stack([torch.randperm(height * width) for _ in range(batch)])
    heads = (network.wh, network.reg, network.id)
    with torch.inference_mode():
        late = heads_at(features, every_cell, heads, batch)
        for head, actual in zip(heads, late, strict=True):
            assert_same(actual, gather_cells(head(features), every_cell))


@pytest.mark.parametrize("spec", [NetworkSpec(1, 4, 128), NetworkSpec(3, 2, 64)])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_deploy_graph_decodes_what_the_network_sees(lively_network, spec, batch):
    network = lively_network(spec)
    images = torch.from_numpy(draw_images((96, 64), batch))
    options = GraphOptions((96, 64), "gridsample", max_detections=20, batch_size=batch)
    with torch.inference_mode():
        actual = DeployGraph(network, options)(images)
        expected = decode(network(normalise_images(images)), 20)
    assert [tuple(value.shape) for value in actual] == [
        (batch, 20, 4),
        (batch, 20),
        (batch, 20),
        (batch, 20, spec.embedding_dim),
    ]
    for a, e in zip(actual, expected, strict=True):
        assert_same(a.double(), e.double(), NETWORK_ROUNDING)


def test_the_decoder_finds_a_planted_peak():
    """A heatmap by hand: class 1, row 2, column 3 of a 4x6 map, and what mot_decode makes of it."""
    hm = torch.full((1, 2, 4, 6), -9.0)
    hm[0, 1, 2, 3], hm[0, 1, 2, 4] = 2.0, 1.0  # the neighbour is no peak
    wh = torch.zeros(1, 4, 4, 6)
    wh[0, :, 2, 3] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    reg = torch.zeros(1, 2, 4, 6)
    reg[0, :, 2, 3] = torch.tensor([0.25, 0.5])
    embedding = torch.zeros(1, 3, 4, 6)
    embedding[0, :, 2, 3] = torch.tensor([0.0, 3.0, 4.0])
    boxes, scores, class_ids, unit = decode({"hm": hm, "wh": wh, "reg": reg, "id": embedding}, 5)
    np.testing.assert_allclose(boxes[0, 0], [(3.25 - 1) * 4, (2.5 - 2) * 4, (3.25 + 3) * 4, (2.5 + 4) * 4])
    assert scores[0, 0] == torch.sigmoid(torch.tensor(2.0))
    assert class_ids[0, 0] == 1
    np.testing.assert_allclose(unit[0, 0], [0.0, 0.6, 0.8])
    assert not torch.isclose(scores, torch.sigmoid(torch.tensor(1.0))).any()


@pytest.mark.parametrize("width", [8, 144, 272, 328, 376, 440])
def test_rows_are_right_where_a_runtime_multiplies_by_the_reciprocal(width):
    """OpenVINO does; without the half in it, 106 cells of a 328 wide map got the wrong row."""
    cells = torch.arange(width * 184)
    rows = (cells.float() + 0.5) * (torch.tensor(1.0) / width)
    assert torch.equal(torch.floor(rows).long(), cells // width)
    boxes = decode_boxes(cells[None], torch.zeros(1, len(cells), 2), torch.zeros(1, len(cells), 2), width)
    assert torch.equal(boxes[0, :, :2].long() // 4, torch.stack((cells % width, cells // width), dim=1))


def test_more_cells_than_float_indices_can_tell_apart_are_refused(lively_network):
    with pytest.raises(InvalidInputError, match="choose a smaller --size"):
        DeployGraph(lively_network(NetworkSpec(80, 4, 16)), GraphOptions((1088, 608)))
