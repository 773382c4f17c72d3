from pathlib import Path

import pytest

pytest.importorskip("torch", reason="conversion needs the convert extra")

import torch
from torch import nn

from edge_fairmot.convert import FairMOT, NetworkSpec
from edge_fairmot.convert.network import deformable_layers

OFFICIAL = NetworkSpec()
SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the data in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def lively_network():
    """Make a network of random weights whose deformable layers reach several cells, past the borders."""

    def make(spec: NetworkSpec = OFFICIAL, offset_scale: float = 3.0) -> FairMOT:
        torch.manual_seed(7)
        network = FairMOT(spec).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.0)
                nn.init.uniform_(module.bias, -0.2, 0.2)
            if isinstance(module, nn.ConvTranspose2d):
                nn.init.uniform_(module.weight, 0.0, 0.6)
        for layer in deformable_layers(network).values():
            fan_in = layer.conv_offset_mask.weight[0].numel()
            nn.init.normal_(layer.conv_offset_mask.weight, std=offset_scale / fan_in**0.5)
            nn.init.normal_(layer.conv_offset_mask.bias, std=1.0)
            nn.init.normal_(layer.bias, std=0.1)
        return network

    return make
