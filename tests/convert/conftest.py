from pathlib import Path

import pytest
import torch
from torch import nn

from edge_fairmot.convert import FairMOT, NetworkSpec
from edge_fairmot.convert.network import deformable_layers, normalise_images
from edge_fairmot.convert.parity import check_picture

OFFICIAL = NetworkSpec()
SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the data in {SHARED}")
    return SHARED


def make_lively_network(spec: NetworkSpec = OFFICIAL) -> FairMOT:
    """Make a network of random weights in which every layer matters.

    Batch norms take the statistics of a picture, so that signals keep their size through the depth, and
    deformable layers reach some cells far, past the borders.
    """
    torch.manual_seed(7)
    network = FairMOT(spec)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.uniform_(module.weight, 0.0, 0.6)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    for layer in deformable_layers(network).values():
        fan_in = layer.conv_offset_mask.weight[0].numel()
        nn.init.normal_(layer.conv_offset_mask.weight, std=0.3 / fan_in**0.5)
        nn.init.normal_(layer.conv_offset_mask.bias, std=2)
        nn.init.normal_(layer.bias, std=0.1)
    with torch.no_grad():
        network.train()(normalise_images(torch.from_numpy(check_picture((128, 128), 4))))
    return network.eval()


@pytest.fixture(scope="session")
def lively_network():
    return make_lively_network
