"""Folding batch norms into the convolutions before them, in float64."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from edge_fairmot.convert.network import DCN, BasicBlock, DeformConv, FairMOT, Root


def fold_batch_norms(network: FairMOT) -> None:
    """Fold every batch norm into its convolution, plain or deformable.

    Exact but for rounding: a deformable convolution is linear in its weight and bias as well.

    Parameters
    ----------
    network : FairMOT
        In evaluation mode. Changed in place; its state dict no longer fits a checkpoint.
    """
    network.double()
    for name, norm_name in convolutions_and_norms(network):
        _fold(network.get_submodule(name), network.get_submodule(norm_name))
        network.set_submodule(norm_name, nn.Identity())
    network.float()


def convolutions_and_norms(network: FairMOT) -> list[tuple[str, str]]:
    """List the convolutions that a batch norm follows, and what that is called."""
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


def _fold(conv: nn.Module, bn: nn.Module) -> None:
    assert isinstance(conv, nn.Conv2d | DCN)
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    conv.weight, conv.bias = weight, bias
