"""Checkpoints that people take for FairMOT's, told by their tensors."""

from __future__ import annotations

from collections.abc import Mapping

from edge_fairmot.convert.networks import hrnet

SHORTCUT = "layer2.0.downsample.0.weight"

HEADLESS = (
    ("stage4.0.branches.0.0.conv1.weight", "an ImageNet HRNet backbone without FairMOT's heads"),
    ("base_layer.0.weight", "an ImageNet DLA backbone without FairMOT's heads"),
    ("base.base_layer.0.weight", "a DLA network without FairMOT's heads"),
    ("module_list.0.Conv2d.weight", "a JDE network (Darknet's layers), not FairMOT"),
    ("backbone.backbone.stem.conv.conv.weight", "a YOLOX detector, as ByteTrack uses, not FairMOT"),
    ("backbone.model.0.conv.conv.weight", "a YOLOv5 backbone without FairMOT's heads"),
    ("0.conv.conv.weight", "a YOLOv5 detector without FairMOT's heads"),
    ("0.conv.weight", "a YOLO detector without FairMOT's heads"),
    ("layer4.0.conv1.weight", "an ImageNet ResNet backbone without FairMOT's heads"),
)
"""A tensor, and what a file without heads is that has it. Prefixes such as ``model.`` are taken off."""


def name_foreign(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Say what a checkpoint is that is none of ours; empty if nothing is known against it."""
    heads = {"hm", "wh", "id", "reg"}.intersection(name.partition(".")[0] for name in shapes)
    if not heads:
        return next((words for name, words in HEADLESS if name in shapes), "")
    if "hm" in heads and "id" not in heads:
        return "a CenterNet detector: no id head, which tracking needs"
    if shapes.get(SHORTCUT, ())[2:] == (2, 2):
        return "MCMOT's ResNet-18 (max pool 2/2/0, 2x2 shortcuts), another network than FairMOT's resdcn_18"
    if any(name.startswith("de_conv_1.") for name in shapes):
        return "MCMOT's HRNet (layers de_conv_1 to de_conv_3), another network than FairMOT's hrnet_18"
    branch, head = shapes.get(hrnet.FIRST_BRANCH, ()), shapes.get("hm.0.weight", ())
    if branch and head[1:2] == branch[:1]:
        return "FairMOT on HRNetV1, as of April 2020 only: heads on the map of stride 4 alone"
    return ""
