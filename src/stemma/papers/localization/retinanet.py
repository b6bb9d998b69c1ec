"""RetinaNet: FPN without the second look, trained on every anchor, which the focal loss makes possible.
arXiv 1708.02002"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...parts.dense.anchors import Pyramid
from ...parts.dense.assign import ByIoU
from ...parts.dense.coders import Delta
from ...parts.dense.heads import TowerHead
from ...parts.dense.losses import L1, Focal, SmoothL1
from ...parts.dense.sample import Everything
from ...parts.dense.select import PerLevel
from ...skeletons.dense import Dense, DenseRule
from . import fpn, ssd

OCTAVE = (4.0, 4.0 * 2 ** (1 / 3), 4.0 * 2 ** (2 / 3))


def spec(preset: str = "paper") -> Dense[DenseRule]:
    """ResNet-50 and P3..P7; "torchvision": its anchors, P6, box loss and list length, for its weights; "small"."""
    p = fpn.spec("small" if preset == "small" else "paper")
    rule = DenseRule(
        anchors=Pyramid(OCTAVE), assign=ByIoU(0.5, 0.4, rescue=True), sample=Everything(),
        cls=Focal(gamma=2.0, alpha=0.25), box=SmoothL1(0.1), coder=Delta(),
        divide="positives of each picture", score=0.05, select=PerLevel(1000), nms=0.5, keep=100,
    )
    # not in the paper: strides 8 and 16, towers of one convolution with batch norm,
    # square anchors of 12 to 67 pixels, more positives
    if preset == "small":
        rule = replace(rule, anchors=Pyramid((1.5, 2.1, 3.0, 4.2), (1.0,), offset=0.5),
                       assign=ByIoU(0.4, 0.3, rescue=True), cls=Focal(gamma=2.0, alpha=0.5))
        return Dense(
            rule=rule, preprocess=p.preprocess, backbone=p.backbone.but(levels=(1, 2)), neck=p.neck.but(extra="none"),
            head=part(TowerHead, depth=1, norm="batch"),
        )
    extra = "p5" if preset == "torchvision" else "c5"
    if preset == "torchvision":
        rule = replace(rule, anchors=Pyramid(OCTAVE, whole=True), box=L1(), keep=300)
    return Dense(rule=rule, preprocess=p.preprocess, backbone=p.backbone.but(levels=(1, 2, 3)),
                 neck=p.neck.but(extra=extra), head=part(TowerHead, width=256))


def recipe(preset: str = "paper") -> Recipe:
    """90,000 steps of 16 pictures at .01 (sec. 4.1); "small": ours, for two cores and 128-pixel scenes."""
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 32),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    return Recipe(
        optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=1e-4, batch=16, length="90000steps", schedule="step",
        milestones=(2 / 3, 8 / 9), warmup=0.01, resize=Resize("shortest", 800, 1333, 32), augment=Augment(flip=0.5),
    )


def resized(spec: Dense[DenseRule], recipe: Recipe, size: int) -> tuple[Dense[DenseRule], Recipe]:
    """Where no level is coarse enough for what grows, the anchors grow."""
    if spec.neck["extra"] != "none":
        return spec, recipe.at(size)
    anchors = spec.rule.anchors.times(size / recipe.resize.size)
    return replace(spec, rule=replace(spec.rule, anchors=anchors)), recipe.at(size)


PAPER = Paper(
    title="Focal Loss for Dense Object Detection",
    authors="Lin, Goyal, Girshick, He, Dollar",
    year=2017,
    arxiv="1708.02002",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's ResNet-50; the stem, C2 and all batch norms stay as they come",
    summary="A dense detector sees a hundred thousand easy backgrounds for each object, and their small losses add up "
    "to drown it. Instead of sampling them away, the cross entropy of each anchor is multiplied by how wrong it still "
    "is, to the power gamma: what is already right costs next to nothing. Two towers of convolutions, shared by the "
    "levels of a pyramid, then reach the accuracy of two stages, provided they start by believing in background.",
    parents=(
        Parent(
            fpn.PAPER,
            (
                ("()", "one look: every anchor is a detection, and nothing is pooled"),
                ("backbone.levels", "the finest level is C3"),
                ("neck.extra", "coarser levels by strided convolutions"),
                (("rpn_head", "rpn", "rpn_levels", "detach_proposals"), "no proposals"),
                (("stages", "rounds", "average", "branches"), "no second look"),
                ("post", "the rule's own NMS"),
                ("head", "two towers shared by the levels, classes and boxes apart"),
                ("rule", "nine anchors a cell, all of them trained, by the focal loss"),
            ),
        ),
        Parent(
            ssd.PAPER,
            (
                ("rule", "focal loss on all anchors in the place of softmax with mined negatives; IoU with a gap, nine "
                 "anchors a cell"),
                ("preprocess", "ImageNet's mean and deviation"),
                ("backbone", "a residual net"),
                ("neck", "levels made fine again from above, where SSD reads the fine maps as they are"),
                ("head", "one deep head shared by all levels"),
            ),
        ),
    ),
    claims=(
        Claim("AP, COCO test-dev, R50 at 800", 0.357, "table 1 e"),
        Claim("AP, COCO test-dev, R101 at 800", 0.391, "table 2"),
        Claim("AP, COCO val2017, R50", 0.374, "detectron2 model zoo, 1x, sides drawn of 640 to 800"),
        Claim("AP, COCO val2017, R50", 0.364, "torchvision, retinanet_resnet50_fpn"),
    ),
    facts=(
        Fact("parameters", 37_968_692, 80, (("backbone.norm", "batch"),),
             source="sum over the layers, batch norm trained, P6 from C5"),
        Fact("parameters", 33_839_924, 80, (("backbone.norm", "batch"), ("neck.extra", "p5")),
             source="the same with P6 from P5"),
        Fact("parameters", 34_014_999, 91, variant="torchvision",
             source="torchvision, retinanet_resnet50_fpn, batch norm frozen"),
        Fact("anchors of 800 x 1344", 201_600, 80, source="sec. 4: nine a cell on P3 to P7"),
    ),
    notes=(
        "P6 is made from C5, as in the paper and detectron2; torchvision's weights make it from P5 (neck.extra=p5).",
        "The loss of a picture is divided by its own positives, then averaged over pictures; the paper leaves open "
        "whether the batch shares one count.",
        "The best anchors of an object are positive whatever their IoU, as in detectron2; in the authors' first code "
        "(Detectron) only from .4 on, and the paper speaks of the thresholds alone.",
        "Table 1 a to c are rule.cls: gamma=0 is the balanced cross entropy (alpha=.75 its best). Table 1 d, hard "
        "example mining, is cls=Sigmoid(), divide='sampled' and sample=HardestAfterNMS(128, .7) of the rule, or "
        "HardNegatives(3) for its 1:3, set in Python.",
        "Detectron takes whatever P7 says, and not what scores above .05 alone; its anchors lie in the middle of a "
        "cell, those of detectron2 and ours on its corner.",
        "Smooth L1 bends at .1 here, as in detectron2; the paper inherits 1/9 from Faster R-CNN.",
        "torchvision cuts anchor sides to integers, rounds corners and spaces levels by the padded side over the "
        "map's: the preset 'torchvision' does so too.",
    ),
    presets=("paper", "small", "torchvision"),
    size=Size("the short side; P3 to P7 keep their anchors, as the paper's at 400 to 800 pixels (table 1e); the two "
              "levels of 'small' have theirs in proportion", resized),
)
