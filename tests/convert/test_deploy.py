"""Each rewrite leaves the network's function as it was, and the decoder is CenterNet's."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from edge_fairmot.convert import GraphOptions, NetworkSpec
from edge_fairmot.convert.deploy import (
    DeployGraph,
    decode,
    decode_boxes,
    find_peaks,
    gather_cells,
    heads_at,
)
from edge_fairmot.convert.network import normalise_images
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.rewrites import (
    ShuffleUpsampling,
    fold_batch_norms,
    fold_normalisation,
    merge_phases,
    split_phases,
)
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import RawDetections

from .centernet import assert_decoded

LAYER_ROUNDING = 1e-5
"""Of the largest value: float32 sums in another order."""

NETWORK_ROUNDING = 2e-4
"""The same through sixty layers of random weights, which amplify it."""

TWO_CLASSES = NetworkSpec(num_classes=2, box_channels=2, embedding_dim=16, base_channels=4)

THREE_CLASSES = NetworkSpec(num_classes=3, box_channels=6, embedding_dim=16, base_channels=4)
"""With a width and height for each class: CenterNet's ``cat_spec_wh``."""


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
    assert torch.equal(merge_phases(split_phases(up.weight, factor), factor), up.weight)


def test_folded_batch_norms_and_normalisation_leave_the_heads_as_they_were(lively_network):
    network = lively_network()
    images = torch.from_numpy(draw_images((96, 64), 2))
    folded = copy.deepcopy(network)
    fold_batch_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        expected, actual = (module(normalise_images(images)) for module in (network, folded))
        fold_normalisation(folded)
        of_bytes = folded(images.float().permute(0, 3, 1, 2))
    for name in expected:
        assert_same(actual[name], expected[name], NETWORK_ROUNDING)
        assert_same(of_bytes[name], expected[name], NETWORK_ROUNDING)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 5, 7), (3, 5, 7), (2, 1, 4), (2, 6, 1)])
def test_late_heads_equal_the_dense_heads_at_every_cell(lively_network, batch, height, width):
    network = lively_network(TWO_CLASSES)
    features = torch.randn(batch, 16, height, width)
    every_cell = torch.stack([torch.randperm(height * width) for _ in range(batch)])
    heads = (network.wh, network.reg, network.id)
    with torch.inference_mode():
        late = heads_at(features, every_cell, heads, batch)
        for head, actual in zip(heads, late, strict=True):
            assert_same(actual, gather_cells(head(features), every_cell))


@pytest.mark.parametrize(
    ("spec", "batch", "changed"),
    [
        (TWO_CLASSES, 2, {}),
        (NetworkSpec(base_channels=4), 1, {}),
        (TWO_CLASSES, 2, {"late_heads": False}),
        (THREE_CLASSES, 2, {}),
        (THREE_CLASSES, 1, {"late_heads": False}),
    ],
    ids=["2 classes, batch 2", "1 class, 4 sides", "dense heads", "sizes by class", "dense sizes by class"],
)
def test_the_deploy_graph_decodes_the_heads_of_the_network(lively_network, spec, batch, changed):
    network = lively_network(spec)
    images = torch.from_numpy(draw_images((96, 64), batch))
    options = GraphOptions((96, 64), "gridsample", max_detections=20, batch_size=batch, **changed)
    with torch.inference_mode():
        actual = DeployGraph(network, options)(images)
        heads = network(normalise_images(images))
    shapes = [(batch, 20, 4), (batch, 20), (batch, 20), (batch, 20, spec.embedding_dim)]
    assert [tuple(value.shape) for value in actual] == shapes
    expected = decode(heads, 20)
    for a, e in zip(actual, expected, strict=True):
        assert_same(a.double(), e.double(), NETWORK_ROUNDING)
    for n in range(batch):
        of_numpy = {name: value.numpy() for name, value in heads.items()}
        assert_decoded(RawDetections(*(value.numpy() for value in expected)), n, of_numpy, 20)


def test_the_decoder_equals_centernets_on_the_original_heads(shared):
    with np.load(shared / "reference" / "dense_576x320.npz") as reference:
        heads = {name: reference[name] for name in ("hm", "wh", "reg")}
    tensors = {name: torch.from_numpy(value) for name, value in heads.items()}
    detections = RawDetections(*(value.numpy() for value in decode(tensors | {"id": tensors["wh"]}, 500)))
    for n in range(len(heads["hm"])):
        assert_decoded(detections, n, heads, 500)


def test_cells_that_tie_are_found_too_and_cells_behind_the_last_peak_score_nothing():
    heatmap = torch.zeros(1, 1, 4, 6)
    heatmap[0, 0, 1, 1], heatmap[0, 0, 1, 2], heatmap[0, 0, 3, 5] = 0.5, 0.4999, 0.4

    strict, tied = (find_peaks(heatmap, 4, tie)[2][0].tolist() for tie in (0.0, 2e-4))

    assert strict[:2] == [7, 23]
    assert tied[:3] == [7, 8, 23]
    assert find_peaks(heatmap, 4)[0][0].tolist()[2:] == [0, 0]


@pytest.mark.parametrize("width", [8, 144, 272, 328, 376, 440])
def test_rows_are_right_in_a_runtime_that_multiplies_by_the_reciprocal(width):
    """OpenVINO does; without the added half, 106 cells of a 328 wide map got the wrong row."""
    cells = torch.arange(width * 184)
    rows = (cells.float() + 0.5) * (torch.tensor(1.0) / width)
    assert torch.equal(torch.floor(rows).long(), cells // width)
    boxes = decode_boxes(cells[None], torch.zeros(1, len(cells), 2), torch.zeros(1, len(cells), 2), width)
    assert torch.equal(boxes[0, :, :2].long() // 4, torch.stack((cells % width, cells // width), dim=1))


def test_unusable_options_are_refused(lively_network):
    with pytest.raises(InvalidInputError, match="multiples of 32"):
        GraphOptions((570, 320))
    with pytest.raises(InvalidInputError, match="max_detections must be at least 1"):
        GraphOptions(max_detections=0)
    many_classes = lively_network(NetworkSpec(80, 4, 16, base_channels=4))
    with pytest.raises(InvalidInputError, match="choose a smaller --size"):
        DeployGraph(many_classes, GraphOptions((1088, 608)))
