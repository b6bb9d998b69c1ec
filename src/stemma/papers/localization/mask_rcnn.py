"""Mask R-CNN: a third branch draws each region's mask, one binary mask a class, on features pooled without rounding.
arXiv 1703.06870"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Info
from ...parts.dense.sample import Random
from ...parts.regions.branches import KeypointBranch, MaskBranch
from ...parts.regions.heads import Align
from ...skeletons.two_stage import TwoStage
from . import faster_rcnn, fpn


def spec(preset: str = "paper") -> TwoStage:
    """On FPN; "c4": ResNet-50-C4, whose mask branch reads the box head's stage; "keypoint": heat maps of 17 points;
    "small" and "-small": ours."""
    if preset == "c4":  # sec. 3.1: 64 regions a picture in training, 300 in testing
        p = faster_rcnn.spec("c4")
        assert p.rpn is not None
        return replace(p, rpn=replace(p.rpn, proposals=replace(p.rpn.proposals, keep=300)),
                       stages=(replace(p.stages[0], sample=Random(64, 0.25), count=64),),
                       branches=(part(MaskBranch, pool=None),))
    if preset == "c4-small":
        return replace(faster_rcnn.spec("c4-small"),
                       branches=(part(MaskBranch, pool=None, width=64, shared_channels=128),))
    p = fpn.spec("small" if preset.endswith("small") else "paper")
    if preset == "keypoint":
        return replace(p, branches=(part(KeypointBranch),))
    small = Align(14, aligned=True, levels=3, canonical=96.0)  # not in the paper, as all of "small"
    if preset == "keypoint-small":
        return replace(p,
                       branches=(part(KeypointBranch, pool=small, width=64, depth=3, decode="quadratic", weight=0.2),))
    if preset == "small":
        return replace(p, branches=(part(MaskBranch, pool=small, width=64, depth=2),))
    return replace(p, branches=(part(MaskBranch, background=True),))


def prepare(net: TwoStage, info: Info) -> TwoStage:
    """A keypoint branch draws as many points as the data has."""
    if info.points is None or not info.points.names:
        return net
    count = len(info.points.names)
    return replace(net, branches=tuple(b.but(points=count) if b.cls is KeypointBranch else b for b in net.branches))


def recipe(preset: str = "paper") -> Recipe:
    """160,000 steps of 16 pictures at .02 (sec. 3.1); "keypoint": 90,000, short sides of 640 to 800 (sec. 5); "small":
    ours, for two cores."""
    if preset.endswith("small"):
        return fpn.recipe("small")
    plain = Recipe(
        lr=0.02, momentum=0.9, weight_decay=1e-4, batch=16, length="160000steps", milestones=(0.75,), warmup=0.006,
        resize=Resize("shortest", 800, 1333, 32), augment=Augment(flip=0.5),
    )
    if preset == "keypoint":
        scales = Resize("shortest", 800, 1333, 32, (640, 672, 704, 736, 768, 800))
        return replace(plain, length="90000steps", milestones=(2 / 3, 8 / 9), warmup=0.011, resize=scales)
    return plain


PAPER = Paper(
    title="Mask R-CNN",
    authors="He, Gkioxari, Dollar, Girshick",
    year=2017,
    arxiv="1703.06870",
    task="instances",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's ResNet-50; the stem, C2 and all batch norms stay as they come",
    prepare=prepare,
    presets=("paper", "c4", "keypoint", "small", "c4-small", "keypoint-small"),
    summary="Beside the class and the box of a region, a small fully convolutional branch draws its mask, one for "
    "every class and without competition between them: the box head says which of them counts. RoIPool had rounded "
    "regions to whole cells, which a class survives and a mask does not, so pooling reads the map bilinearly and "
    "rounds nothing. With one-hot maps for masks the same branch finds the joints of a body.",
    parents=(Parent(fpn.PAPER,
                    (("branches", "four convolutions, a deconvolution and one mask a class, beside the box head"),)),),
    claims=(
        Claim("COCO minival mask AP, R50-C4", 0.303, "table 2 a"),
        Claim("COCO minival mask AP, R50-FPN", 0.336, "table 2 a"),
        Claim("COCO minival mask AP, R101-FPN", 0.354, "table 2 a"),
        Claim("COCO minival mask AP, R50-C4, softmax masks", 0.248, "table 2 b"),
        Claim("COCO minival mask AP, R50-C4, class-agnostic masks", 0.297, "sec. 4.2"),
        Claim("COCO minival mask AP, R50-C4, RoIPool", 0.269, "table 2 c"),
        Claim("COCO val2017 mask AP, R50-FPN", 0.346, "torchvision model card"),
        Claim("COCO test-dev keypoint AP, R50-FPN", 0.627, "table 4"),
    ),
    facts=(
        Fact("parameters", 44_401_393, 90, source="torchvision's maskrcnn_resnet50_fpn"),
        Fact("parameters", 35_962_732, 80, faster_rcnn.TRAINED, "c4",
             "sum over the layers of detectron2's R50-C4, batch norm counted"),
        Fact("parameters", 59_137_258, 1, variant="keypoint", source="torchvision's keypointrcnn_resnet50_fpn"),
        Fact("parameters of the branches", 2_360_320 + 285_787, 90, source="torchvision's mask head and predictor"),
        Fact("side of a mask", 28, 90, source="fig. 4 right"),
        Fact("side of a mask", 14, 80, variant="c4", source="fig. 4 left"),
        Fact("side of a heat map", 56, 1, variant="keypoint", source="sec. 5"),
    ),
    notes=(
        "RoIAlign keeps the half-pixel shift of the first release, as torchvision's weights expect; "
        "branches.0.pool.aligned and stages.0.head.pool.aligned take it away.",
        "branches.0.kind=softmax is table 2 b, agnostic sec. 4.2; MaxPool in place of Align, set in Python, is the "
        "RoIPool of table 2 c and d.",
        "One mask more than classes is drawn and never used, for background, as in torchvision "
        "(branches.0.background).",
        "A mask's target is the covered share of each cell, as in torchvision; the paper does not say how it "
        "is resized.",
        "Boxes, masks and proposals are trained at once; the paper's tables train the proposal network apart.",
        "'c4' shares the last ResNet stage between boxes and masks, on 14 x 14 cells with a stride of 2, as released; "
        "fig. 4 draws 7 x 7 without it. Its 64 regions a picture and 300 proposals are the paper's; its authors' later "
        "code has 512 and 1,000: stages.0.sample.count and stages.0.count, rpn.proposals.keep.",
        "Keypoints of a box without a visible one pay nothing; a point outside its region is not asked for, as in "
        "torchvision.",
    ),
)
