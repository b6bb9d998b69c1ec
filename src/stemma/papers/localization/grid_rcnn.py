"""Grid R-CNN: a box is nine points; find each on a heat map in the place of regressing four numbers.
arXiv 1811.12030"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Recipe
from ...parts.dense.assign import ByIoU
from ...parts.dense.post import PerClassNMS
from ...parts.regions.grid import GridBranch
from ...parts.regions.heads import Align
from ...skeletons.two_stage import TwoStage
from . import fpn


def spec(preset: str = "paper") -> TwoStage:
    """ResNet-50-FPN; "plus": the released head (arXiv 1906.05688), half maps; "small": ours, of the latter."""
    p = fpn.spec("small" if preset == "small" else "paper")
    stage = replace(p.stages[0], head=p.stages[0].head.but(deltas="none"), box_weight=0.0)
    net = replace(p, stages=(stage,), post=(PerClassNMS(0.3, 0.03, 100),), branches=(part(GridBranch),))
    plus = part(GridBranch, width=576, dilation=1, stride=2, groups=36, half=True, most=192)
    if preset == "small":
        pool = Align(14, aligned=True, levels=3, canonical=96.0)
        small = plus.but(pool=pool, convs=3, width=36, each=4, groups=9, most=8, std=0.05)
        return replace(net, post=(PerClassNMS(0.3, 0.02, 50, pre=400),), branches=(small,))
    if preset == "plus":
        assert net.rpn is not None
        rpn = replace(net.rpn, assign=ByIoU(0.7, 0.3, rescue=True, inside=True, least=0.3))
        return replace(net, rpn=rpn, branches=(plus,))
    return net


def recipe(preset: str = "paper") -> Recipe:
    """25 epochs of 16 pictures at .02, a tenth from the 17th and the 23rd on (mmdetection's configuration)."""
    if preset == "small":
        return fpn.recipe(preset)
    return replace(fpn.recipe(), length="25epochs", milestones=(17 / 25, 23 / 25), warmup=0.02, warmup_factor=1 / 80)


PAPER = Paper(
    title="Grid R-CNN",
    authors="Lu, Li, Yue, Li, Yan",
    year=2018,
    arxiv="1811.12030",
    task="detection",
    spec=spec,
    recipe=recipe,
    presets=("paper", "plus", "small"),
    summary="Four numbers read off a vector know nothing of where in the region the edges lie. A fully convolutional "
    "branch keeps places: it draws a heat map for each point of a three by three grid on the object, over twice the "
    "region, so that an object may stick out. Points that are neighbours tell each other what they see. An edge is the "
    "mean of its three points, so that one which is hidden does not spoil it.",
    parents=(Parent(fpn.PAPER, (
        ("stages", "the second look says classes alone"),
        ("branches", "nine heat maps a region, whose points are the box"),
        ("post", "regions of a class may overlap by three tenths alone, for their boxes move afterwards"),
    )),),
    claims=(
        Claim("COCO minival box AP, R50-FPN", 0.396, "experiments on COCO"),
        Claim("COCO val2017 box AP, R50-FPN, released head", 0.404, "mmdetection, configs/grid_rcnn"),
    ),
    facts=(
        Fact("directed edges of the grid", 24, source="12 pairs of neighbours, both ways"),
        Fact("side of a heat map", 56, source="14 cells, two deconvolutions"),
        Fact("side of a heat map", 28, variant="plus", source="the half in which a point can lie"),
    ),
    notes=(
        "The paper leaves open how far its convolutions are dilated (here 2), and how maps become points' own; here "
        "the last has 64 channels a point and both deconvolutions go by points, as in the released head, and so do "
        "transfers: a 5x5 a channel and a 1x1, where the paper has three 5x5s.",
        "'plus' is the released head as mmdetection has it: 576 channels, group norm, a first stride of 2, half maps, "
        "192 regions a picture; anchors inside the picture alone, the best of an object from an overlap of .3 on.",
        "The grid of two by two is branches.0.points=4, no transfers branches.0.fused=false, the plain "
        "region without jitter branches.0.jitter=0.",
        "Cells are floored, also left of and above the region, where mmdetection's cast goes towards zero. 96 regions "
        "are a picture's best placed, where mmdetection draws of all pictures together. Its regions without three "
        "pixels a side pay for background alone; here they are asked as all are.",
        "Pooling reads two points a bin and side, the parent's; mmdetection's reads as many as the bin has cells.",
    ),
)
