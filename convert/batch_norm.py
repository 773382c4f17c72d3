"""Folding batch norms into the convolutions before them, in float64."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from edge_fairmot.convert.dla import BasicBlock, Root
from edge_fairmot.convert.network import DCN, DeformConv, FairMOT


def fold_batch_norms(network: FairMOT) -> None:
    """Fold every batch norm into its convolution, plain or deformable.

    Exact but for rounding: a deformable convolution is linear in its weight and bias as well.

    Parameters
    ----------
    network : FairMOT
        In evaluation mode. Changed in place; its state dict no longer fits a checkpoint.
    """
    network.double()
    for module in network.modules():
        match module:
            case BasicBlock():
                _fold(module.conv1, module.bn1)
                _fold(module.conv2, module.bn2)
                module.bn1, module.bn2 = nn.Identity(), nn.Identity()  # type: ignore[assignment]
            case Root():
                _fold(module.conv, module.bn)
                module.bn = nn.Identity()  # type: ignore[assignment]
            case DeformConv():
                _fold(module.conv, module.actf[0])
                module.actf[0] = nn.Identity()
            case nn.Sequential():
                for i in range(len(module) - 1):
                    if isinstance(module[i], nn.Conv2d) and isinstance(module[i + 1], nn.BatchNorm2d):
                        _fold(module[i], module[i + 1])
                        module[i + 1] = nn.Identity()
    network.float()


def _fold(conv: nn.Module, bn: nn.Module) -> None:
    assert isinstance(conv, nn.Conv2d | DCN)
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    conv.weight, conv.bias = weight, bias
