"""torchvision's RetinaNet and SSD300 state dicts under our names.

A mapping changes names, and for softmax heads the place of background, which torchvision puts first and we put last.
The numbers stay as they are.
"""
from __future__ import annotations

import re

import torch
from torch import Tensor

State = dict[str, Tensor]
Rules = tuple[tuple[str, str], ...]  # (pattern of their name, our name); the first that matches the whole name holds

RETINANET: Rules = (
    (r"backbone\.body\.(.*)", r"backbone.\1"),
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(?:0\.)?(weight|bias)", r"neck.\1_blocks.\2.\3"),
    (r"backbone\.fpn\.extra_blocks\.(p[67])\.(.*)", r"neck.\1.\2"),
    (r"head\.classification_head\.cls_logits\.(.*)", r"head.cls.\1"),
    (r"head\.regression_head\.bbox_reg\.(.*)", r"head.box.\1"),
)
TOWERS = re.compile(r"head\.(classification|regression)_head\.conv\.(\d+)\.(0\.)?(weight|bias)")
SSD: Rules = (
    (r"backbone\.features\.(.*)", r"backbone.low.\1"),
    (r"backbone\.scale_weight", r"backbone.norm.weight"),
    # renumbered below: their fc is a sequence of its own
    (r"backbone\.extra\.0\.7\.(\d+)\.(.*)", r"backbone.high.fc\1.\2"),
    (r"backbone\.extra\.0\.(\d+)\.(.*)", r"backbone.high.\1.\2"),
    (r"head\.classification_head\.module_list\.(.*)", r"head.cls.\1"),
    (r"head\.regression_head\.module_list\.(.*)", r"head.box.\1"),
)


def rename(key: str, rules: Rules) -> str:
    """Our name for their `key`. Raises `KeyError` where no rule knows it."""
    for pattern, ours in rules:
        if re.fullmatch(pattern, key):
            return re.sub(pattern, ours, key)
    raise KeyError(f"no rule for the weight '{key}': is this state dict from another model or version?")


def retinanet_keys(state: State) -> State:
    """`torchvision.models.detection.retinanet_resnet50_fpn` -> the preset "torchvision" of `retinanet`, at 91 classes.

    Both layouts of the towers are read: "conv.3.0.weight" of today, and "conv.6.weight" of the published files.
    """
    new: State = {}
    old = not any(re.fullmatch(r"head\.classification_head\.conv\.\d+\.0\.weight", k) for k in state)
    for key, value in state.items():
        tower = TOWERS.fullmatch(key)
        if tower:
            which, at = {"classification": "cls_tower", "regression": "box_tower"}[tower[1]], int(tower[2])
            new[f"head.{which}.convs.{at // 2 if old else at}.{tower[4]}"] = value
        elif not key.endswith("num_batches_tracked"):
            new[rename(key, RETINANET)] = value
    return new


def ssd_keys(state: State) -> State:
    """`torchvision.models.detection.ssd300_vgg16` -> the preset "torchvision" of `ssd`,
    at 90 classes (its 91 count the background)."""
    per_cell = [state[f"head.regression_head.module_list.{i}.bias"].numel() // 4 for i in range(6)]
    new: State = {}
    for key, value in state.items():
        extra = re.fullmatch(r"backbone\.extra\.([1-9])\.(\d+)\.(.*)", key)
        if extra:
            new[f"neck.blocks.{int(extra[1]) - 1}.{extra[2]}.{extra[3]}"] = value
            continue
        name = re.sub(r"high\.fc(\d+)", lambda m: f"high.{7 + int(m[1])}", rename(key, SSD))
        if name.startswith("head.cls."):
            value = background_last(value, per_cell[int(name.split(".")[2])])
        new[name] = value
    return new


def background_last(value: Tensor, groups: int = 1) -> Tensor:
    """Rows of `groups` classifiers, background first in each, with background moved to the end."""
    rows = value.unflatten(0, (groups, -1))
    return torch.cat([rows[:, 1:], rows[:, :1]], 1).flatten(0, 1)
