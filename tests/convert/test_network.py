"""The network is the original one: its tensors by name and shape, its outputs by value."""

import json

import numpy as np
import pytest
import torch

from edge_fairmot.convert import FairMOT, NetworkSpec, load_network, set_lowering
from edge_fairmot.convert.network import deformable_layers, normalise_images
from edge_fairmot.errors import InvalidInputError

HEAD_TOLERANCE = 2e-5
"""Of a head's range. The mission asks for 1e-4; measured: 1.1e-5 at most (gridsample, 1088x608)."""


@pytest.fixture(scope="module")
def trained(shared):
    return load_network(shared / "checkpoints" / "fairmot_dla34.pth")[0]


def test_tensor_names_and_shapes_are_the_originals(shared):
    official = json.loads((shared / "official_dla34_keys.json").read_text())["tensors"]
    ours = {name: list(value.shape) for name, value in FairMOT(NetworkSpec()).state_dict().items()}
    assert ours == official


def test_there_are_sixteen_deformable_layers():
    assert len(deformable_layers(FairMOT(NetworkSpec()))) == 16


@pytest.mark.parametrize("lowering", ["gridsample", "gather"])  # eagerly, native is gridsample
@pytest.mark.parametrize("size", ["576x320", "864x480", "1088x608"])
def test_heads_equal_the_original_networks(trained, shared, size, lowering):
    with np.load(shared / "reference" / f"dense_{size}.npz") as reference:
        set_lowering(trained, lowering)
        with torch.inference_mode():
            heads = trained(normalise_images(torch.from_numpy(reference["images"])))
        for name in ("hm", "wh", "reg", "id"):
            actual = heads[name].numpy()
            if name == "id":
                actual = actual.reshape(*actual.shape[:2], -1)[:, :, reference["id_positions"]]
            error = np.abs(actual - reference[name]).max() / np.ptp(reference[name])
            assert error < HEAD_TOLERANCE, name


def test_unknown_lowering_or_layer_is_refused():
    network = FairMOT(NetworkSpec())
    with pytest.raises(InvalidInputError, match="choose from native, gridsample, gather, im2col"):
        set_lowering(network, "magic")
    with pytest.raises(InvalidInputError, match="no deformable layer is called 'base'"):
        set_lowering(network, {"base": "gather"})


def test_lowering_can_be_set_for_one_layer():
    network = FairMOT(NetworkSpec())
    set_lowering(network, {"ida_up.node_2.conv": "gather"})
    chosen = {name: layer.lowering for name, layer in deformable_layers(network).items()}
    assert {name for name, value in chosen.items() if value == "gather"} == {"ida_up.node_2.conv"}
