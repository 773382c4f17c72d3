"""Folding batch norms into the convolutions before them, in float64."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from edge_fairmot.convert.network import DCN, BasicBlock, DeformConv, FairMOT, Root


def fold_batch_norms(network: FairMOT) -> None:
    """Fold every batch norm into its convolution, in place; the state dict no longer fits a checkpoint.

    Exact up to rounding in evaluation mode: a deformable convolution is linear in weight and bias too.
    """
    network.double()
    for name, norm_name in convolutions_and_norms(network):
        conv, bn = network.get_submodule(name), network.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d | DCN)
        assert isinstance(bn, nn.BatchNorm2d)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
        )
        network.set_submodule(norm_name, nn.Identity())
    network.float()


def convolutions_and_norms(network: FairMOT) -> list[tuple[str, str]]:
    """List the names of the convolutions that a batch norm follows, each with the name of that."""
    pairs = []
    for name, module in network.named_modules():
        match module:
            case BasicBlock():
                found = [("conv1", "bn1"), ("conv2", "bn2")]
            case Root():
                found = [("conv", "bn")]
            case DeformConv():
                found = [("conv", "actf.0")]
            case nn.Sequential():
                found = [
                    (str(i), str(i + 1))
                    for i in range(len(module) - 1)
                    if isinstance(module[i], nn.Conv2d) and isinstance(module[i + 1], nn.BatchNorm2d)
                ]
            case _:
                found = []
        pairs += [(f"{name}.{conv}", f"{name}.{norm}") for conv, norm in found]
    return pairs
