"""The network is the original one: its tensors by name and shape, its outputs by value."""

import json

import numpy as np
import pytest
import torch

from edge_fairmot.convert import NetworkSpec, build_network, load_network, set_lowering
from edge_fairmot.convert.network import deformable_layers, normalise_images
from edge_fairmot.errors import InvalidInputError

HEAD_TOLERANCE = 2e-5
"""Of a head's range. 1e-4 would be enough; the largest error seen is 1.1e-5 (gridsample, 1088x608)."""


def test_tensor_names_and_shapes_are_the_originals(shared):
    official = json.loads((shared / "official_dla34_keys.json").read_text())["tensors"]
    with torch.device("meta"):
        network = build_network(NetworkSpec())
    assert {name: list(value.shape) for name, value in network.state_dict().items()} == official
    assert len(deformable_layers(network)) == 16
    assert list(network.heads) == ["hm", "wh", "id", "reg"]


def test_heads_equal_the_original_networks(shared):
    network, checkpoint = load_network(shared / "checkpoints" / "fairmot_dla34.pth")
    with np.load(shared / "reference" / "dense_576x320.npz") as reference:
        assert checkpoint.sha256 == str(reference["checkpoint_sha256"])
        # In eager PyTorch native and im2col compute as gridsample does.
        for lowering, n in (("gridsample", 0), ("gather", 1)):
            set_lowering(network, lowering)
            with torch.inference_mode():
                heads = network(normalise_images(torch.from_numpy(reference["images"][n : n + 1])))
            for name in ("hm", "wh", "reg", "id"):
                actual = heads[name][0].numpy()
                if name == "id":
                    actual = actual.reshape(len(actual), -1)[:, reference["id_positions"]]
                error = np.abs(actual - reference[name][n]).max() / np.ptp(reference[name])
                assert error < HEAD_TOLERANCE, (lowering, name)


def test_the_lowering_is_set_for_all_layers_or_for_one(lively_network):
    network = lively_network()
    set_lowering(network, {"ida_up.node_2.conv": "gather"})
    chosen = {name: layer.lowering for name, layer in deformable_layers(network).items()}
    assert {name for name, value in chosen.items() if value == "gather"} == {"ida_up.node_2.conv"}
    with pytest.raises(InvalidInputError, match="choose from native, gridsample, gather, im2col"):
        set_lowering(network, "magic")
    with pytest.raises(InvalidInputError, match="no deformable layer is called 'base'"):
        set_lowering(network, {"base": "gather"})
