"""PANet: a second path carries fine maps up the pyramid, each region reads all its levels, and a fully connected layer
helps to draw its mask.  arXiv 1803.01534"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import In, part
from ...core.recipe import Recipe, Resize
from ...core.types import StemmaError
from ...parts.low_rank import BinLinear
from ...parts.necks import Norm, PathAggregation
from ...parts.regions.branches import MaskBranch, Places, Shared, among, he, tower
from ...parts.regions.heads import Align, Deltas, Predictor, RegionHead, Seen
from ...skeletons.two_stage import TwoStage
from . import mask_rcnn

Fuse = Literal["max", "sum", "product"]
FUSE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"max": torch.maximum, "sum": torch.add, "product": torch.mul}


class AdaptiveHead(RegionHead):
    """Sec. 3.2: a first layer of each level's own, the maximum over the levels, then layers that are shared: `convs`
    3x3s and `depth` fully connected ones in all.

    `fuse` and `early` are table 5: the sum in the place of the maximum; fused before a first layer for all.
    """

    def __init__(self, inp: In, pool: Align = Align(), width: int = 1024, convs: int = 4, channels: int = 256,
                 depth: int = 1, deltas: Deltas = "class+background", fuse: Fuse = "max", early: bool = False,
                 norm: Norm = "none") -> None:
        super().__init__()
        self.pool, self.strides, self.fuse, self.early = pool, inp.strides, FUSE[fuse], early
        cells, c = pool.size**2, inp.channels[0]

        def layer(i: int) -> nn.Module:
            if i < convs:
                return tower(c if i == 0 else channels, channels, 1, norm)
            wide = width if i > convs else cells * (channels if convs else c)
            steps = [nn.Identity(), BinLinear(wide, width)] if i == convs else [nn.Linear(wide, width)]
            return nn.Sequential(*steps, nn.ReLU(inplace=True))

        self.first = nn.ModuleList(layer(0) for _ in range(1 if early else min(pool.levels, len(inp.channels))))
        self.rest = nn.Sequential(*[layer(i) for i in range(1, convs + depth)])
        he(nn.ModuleList([self.first, self.rest]))
        self.predict = Predictor(width, inp.logits, inp.classes, deltas)

    def levels(self, xs: list[Tensor], boxes: Tensor) -> list[Float[Tensor, BR *D]]:
        """What the first layer says of each level."""
        each = [p.flatten(0, 1) for p in self.pool.every(xs, self.strides, boxes)]
        return ([self.first[0](reduce(self.fuse, each))] if self.early
                else [layer(x) for layer, x in zip(self.first, each)])

    def forward(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Seen:
        y: Tensor = self.rest(reduce(self.fuse, self.levels(xs, boxes)))
        seen: Seen = self.predict(y.view(*boxes.shape[:2], -1))
        return seen

    @torch.no_grad()
    def winners(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Float[Tensor, "B R L"]:
        """Fig. 3: the share of a region's fused features that comes from each level; features that no level has a word
        on (0 after the ReLU) are not counted."""
        value, level = torch.stack([y.flatten(1) for y in self.levels(xs, boxes)], -1).max(-1)
        real = F.one_hot(level, len(self.first)) * (value > 0)[..., None]
        share = real.sum(1) / real.sum((1, 2))[:, None].clamp(min=1)
        return share.view(*boxes.shape[:2], -1)


class FusedMaskBranch(MaskBranch):
    """Sec. 3.3: the mask's convolutions, the first of each level's own and their maximum taken; beside them, from the
    `start`-th on, two 3x3s and a fully connected layer that draws one mask of foreground, added to that of each class.

    `narrow`: channels that the layer reads, 0 for half the width. `join` and `start` are table 6; `rectify` has a ReLU
    after the fully connected layer, as the authors' code.
    """

    def __init__(self, inp: In, pool: Align = Align(14), width: int = 256, depth: int = 4, narrow: int = 0,
                 start: int = 3, join: Fuse = "sum", fuse: Fuse = "max", rectify: bool = True,
                 kind: Literal["sigmoid", "agnostic"] = "sigmoid", background: bool = False,
                 weight: float = 1.0, norm: Norm = "none") -> None:
        if not 1 <= start <= depth or kind not in ("sigmoid", "agnostic"):
            raise StemmaError(f"branches.0: the short path leaves after convolution 1 to {depth} (start={start}), and "
                              f"is added to masks that do not compete (kind={kind})")
        super().__init__(inp, pool, width, depth, kind, background, weight)
        self.align, self.fuse, self.join, self.rectify = pool, FUSE[fuse], FUSE[join], rectify
        narrow = narrow or width // 2
        levels = min(pool.levels, len(inp.channels))
        self.first = nn.ModuleList(tower(inp.channels[0], width, 1, norm) for _ in range(levels))
        self.before, self.body = tower(width, width, start - 1, norm), tower(width, width, depth - start, norm)
        self.short = nn.Sequential(tower(width, width, 1, norm), tower(width, narrow, 1, norm))
        self.fc = nn.Linear(narrow * pool.size**2, (2 * pool.size) ** 2)
        he(self)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def logits(self, xs: list[Tensor], boxes: Tensor, labels: Int[Tensor, "*R"], shared: Shared,
               at: Places = None) -> Float[Tensor, "*R M M"]:
        each = self.align.every(xs, self.strides, boxes)
        y = self.before(reduce(self.fuse, [layer(among(p, at)) for layer, p in zip(self.first, each)]))
        whole = self.fc(self.short(y).flatten(1)).float()
        said = self.own(self.body(y), labels)
        return self.join(said, (F.relu(whole) if self.rectify else whole).view_as(said))


def spec(preset: str = "paper") -> TwoStage:
    """ResNet-50 with all that the paper adds, the heavier head of its last step too; "boxes": without masks, as in its
    table of detection; "small" and "boxes-small": ours, for two cores."""
    small = preset.endswith("small")
    p = mask_rcnn.spec("small" if small else "paper")
    stage, neck = p.stages[0], part(PathAggregation, norm="group")
    head, mask = part(AdaptiveHead, norm="group"), part(FusedMaskBranch, background=True, norm="group")
    if small:  # not in the paper: as its parent's small, and two channels into the mask's layer
        neck = part(PathAggregation, width=64, norm="batch")
        head = part(AdaptiveHead, pool=stage.head["pool"], width=128, convs=0, depth=2, deltas="agnostic")
        mask = part(FusedMaskBranch, pool=p.branches[0]["pool"], width=64, depth=2, narrow=2, start=1)
    branches = () if preset.startswith("boxes") else (mask,)
    return replace(p, neck=neck, stages=(replace(stage, head=head),), branches=branches)


def recipe(preset: str = "paper") -> Recipe:
    """180,000 steps of 16 at .02, "boxes" 90,000, after 500 that rise from a third (the authors' configurations)."""
    if preset.endswith("small"):
        return mask_rcnn.recipe("small")
    steps, scales = 90_000 if preset == "boxes" else 180_000, (1200, 1200, 1000, 800, 600, 400)
    return replace(mask_rcnn.recipe(), length=f"{steps}steps", milestones=(2 / 3, 8 / 9), warmup=500 / steps,
                   warmup_factor=1 / 3, resize=Resize("shortest", 1000, 1400, 32, scales))


PAPER = Paper(
    title="Path Aggregation Network for Instance Segmentation",
    authors="Liu, Qi, Qin, Shi, Jia",
    year=2018,
    arxiv="1803.01534",
    task="instances",
    tasks=(("boxes", "detection"), ("boxes-small", "detection")),
    spec=spec,
    recipe=recipe,
    presets=("paper", "boxes", "small", "boxes-small"),
    summary="In a pyramid, what the fine maps know of places reaches the coarse ones through a hundred layers. A "
    "second path from the bottom up makes that fewer than ten. Which level a region reads was said by its size; here "
    "it reads all of them, and the strongest answer to the first layer counts. And a fully connected layer, which sees "
    "a region whole, adds its one mask of foreground to the masks of the classes.",
    parents=(Parent(mask_rcnn.PAPER, (
        ("neck", "a second path, from the bottom up, after the first"),
        ("stages", "every level is pooled and read by a first layer of its own; the maximum goes on, through three "
         "more convolutions"),
        ("branches", "all levels for masks too, and a fully connected layer's mask is added to that of each class"),
    )),),
    claims=(
        Claim("COCO val2017 mask AP, R50", 0.378, "authors' code, README, as of the paper"),
        Claim("COCO val2017 box AP, R50, with masks", 0.421, "authors' code, README, as of the paper"),
        Claim("COCO val2017 box AP, R50, boxes alone", 0.392, "authors' code, README, as of the paper"),
        Claim("COCO val2017 mask AP, R50, group norm", 0.383, "authors' code, README"),
        Claim("COCO val2017 box AP, R50, group norm", 0.431, "authors' code, README"),
        Claim("COCO val2017 box AP, Faster R-CNN R50, second path alone, 1x", 0.375, "mmdetection, configs/pafpn"),
    ),
    facts=(
        Fact("parameters of the second path", 3_540_480, 90, (("neck.norm", "none"),), "without norms",
             "six 3x3 convolutions of 256"),
        Fact("parameters of the mask's fully connected layer", 19_669_776, 90, source="14 x 14 x 128 to 28 x 28"),
    ),
    notes=(
        "Two fully connected layers in the place of the heavier head: stages.0.head.convs=0 and depth=2. Table 5 is "
        "stages.0.head.fuse and early, table 6 branches.0.join and start; the second path's length is neck.depth.",
        "The paper normalises over all GPUs after every new layer, the authors' released code by groups, as here: "
        "neck.norm, stages.0.head.norm and branches.0.norm, each none, batch or group.",
        "neck.activate=false, neck.start=sums and neck.norm=none make the PAFPN of mmdetection, which has no ReLUs and "
        "whose path runs through the sums.",
        "Settings of the pictures and the length are those of the authors' configuration for masks; its network is "
        "tested at 1,000 pixels.",
    ),
)
