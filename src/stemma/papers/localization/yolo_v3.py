"""YOLOv3: YOLOv2 on maps of three sizes that hand their features down, and every class a yes or no of its own.
arXiv 1804.02767"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Recipe, Resize
from ...core.types import StemmaError
from ...ops.kmeans import kmeans
from ...parts.backbones.darknet import Darknet53
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import ScalePriors
from ...parts.dense.assign import ByShape
from ...parts.dense.coders import DirectLocation
from ...parts.dense.losses import MultiLabel
from ...parts.dense.region import ImageRule
from ...parts.necks import ConcatPyramid
from ...skeletons.dense import Dense
from . import fpn, yolo_v2

# not in the paper: shapes of drawn scenes, until a training finds those of its data
SMALL = (10.8, 11.0, 13.7, 15.5, 18.7, 18.2, 21.5, 25.1, 27.5, 27.9, 40.0, 24.8, 31.9, 36.6, 42.3, 44.7, 54.6, 53.2)


def spec(preset: str = "paper") -> Dense[Any]:
    """COCO's anchors at 80 classes; "classifier": Darknet-53, to begin from; "small"."""
    p = yolo_v2.spec(preset)
    if preset == "classifier":
        return replace(p, backbone=part(Darknet53, levels=(3,)))
    rule = replace(
        p.rule, anchors=ScalePriors(), assign=ByShape(0.7), coder=DirectLocation(0.0), cls=MultiLabel(), object=1.0,
        rescore=False, cross=True, pull=None,
    )
    # not in the paper: YOLOv2's small net with one more level, and a narrow neck of one convolution a level
    if preset == "small":
        return replace(p, rule=replace(rule, anchors=ScalePriors(SMALL, fit=True)),
                       backbone=part(TinyResNet, levels=(1, 2, 3)),
                       neck=part(ConcatPyramid, widths=(32, 64, 128), depth=1, momentum=0.1))
    return replace(p, rule=rule, backbone=part(Darknet53), neck=part(ConcatPyramid))


def recipe(preset: str = "paper") -> Recipe:
    """YOLOv2's for 500,200 steps of 64 pictures from 1e-3, a tenth from 400,000 and from 450,000, 1,000 of burn-in
    (released configuration); "classifier": YOLOv2's at 256 pixels (sec. 2.4); "small": YOLOv2's small."""
    p = yolo_v2.recipe(preset)
    if preset == "paper":
        return replace(p, length="500200steps", milestones=(400_000 / 500_200, 450_000 / 500_200),
                       warmup=1000 / 500_200, resize=replace(p.resize, size=608),
                       augment=replace(p.augment, scale=0.0, stretch=0.3))
    return replace(p, resize=Resize("square", 256)) if preset == "classifier" else p


def measure(spec: Dense[Any], boxes: np.ndarray) -> dict[str, Any]:
    """Sec. 2.3: as many anchors as the spec has, by k-means over the training boxes, in pixels. Where `fit` asks for
    it."""
    anchors = spec.rule.anchors
    if isinstance(spec.rule, ImageRule) or not anchors.fit:
        return {}
    try:
        shapes, _ = kmeans(boxes[:, 2:] - boxes[:, :2], len(anchors.pairs()))
    except ValueError as error:
        raise StemmaError(f"anchors cannot be found in the training data: {error}. Give them: --set "
                          "rule.anchors.fit=false") from error
    return {"rule.anchors.sizes": tuple(round(float(v), 3) for v in shapes.flatten())}


PAPER = Paper(
    title="YOLOv3: An Incremental Improvement",
    authors="Redmon, Farhadi",
    year=2018,
    arxiv="1804.02767",
    task="detection",
    spec=spec,
    recipe=recipe,
    measure=measure,
    summary="YOLO with what others had found in the meantime. Nine anchors are shared out over three maps, and the "
    "coarse ones hand their features down to the fine, laid beside the backbone's own, so that small things are found "
    "again. The backbone is deeper and has shortcuts. Classes do not exclude one another: each is asked for by a "
    "logistic of its own, since a woman is a person too. Boxes near an object that do not answer for it pay nothing.",
    parents=(
        Parent(
            yolo_v2.PAPER,
            (
                (("rule.anchors", "rule.coder.stride"), "nine anchors in pixels, three to each of three maps"),
                ("rule.assign", "a box is spared from .7 IoU with any object, where .6 had been enough"),
                ("rule.cls", "a logistic for each class in the place of a softmax: a box may be of several"),
                (("rule.cross", "rule.object", "rule.rescore"), "cross entropy in the place of squares; the objectness "
                 "learns 1 and not the IoU, and weighs no more than the rest"),
                ("rule.pull", "no pull to the anchors while training is young"),
                ("backbone", "Darknet-53: shortcuts, and strides in the place of pools; three levels are handed out"),
                ("neck", "coarse features are upsampled and laid before finer ones, in the place of fine ones folded "
                 "into a coarse map"),
            ),
        ),
        Parent(fpn.PAPER, (("", "its way down from coarse maps to fine ones, by concatenation and not by addition, in "
                                "a detector of one look"),)),
    ),
    claims=(
        Claim("AP, COCO test-dev, at 608", 0.330, "table 3"),
        Claim("AP50, COCO test-dev, at 608", 0.579, "table 3"),
        Claim("AP, COCO val2017, at 608", 0.337, "MMDetection, configs/yolo, 273 epochs"),
        Claim("the same at 416", 0.309, "MMDetection, configs/yolo, 273 epochs"),
        Claim("the same at 320", 0.279, "MMDetection, configs/yolo, 273 epochs"),
    ),
    facts=(
        Fact("parameters", 61_949_149, 80, source="sum over the layers of the released yolov3.cfg"),
        Fact("parameters", 41_609_928, 1_000, variant="classifier", source="table 1, Darknet-53"),
    ),
    notes=(
        "The detector begins as a classifier: train preset classifier, then paper with --start of that run, or of "
        "Darknet's own file. `stemma import darknet` reads released detectors, `stemma export` writes them.",
        "The loss is told by its gradients in the released code, differences of what is said and what is wanted. Those "
        "are of cross entropy for objectness, classes and the place in the cell, and of half a square for the "
        "logarithms of the sides. What no answer could avoid is taken off, so that a perfect one pays nothing.",
        "Of objects that want one anchor of one cell the last has the box and all have their class; the code reads 90 "
        "objects of a picture, here all count.",
        "A box that overlaps an object by more than a threshold may learn it too; the released threshold is 1, so none "
        "does, and it is left out.",
        "rule.cls.by=softmax makes classes exclude one another; rule.rescore=true lets the objectness learn the IoU. "
        "Sec. 2.1 spares a box from .5, the released configuration from .7, which rule.assign.spare is.",
        "Training changes a picture's shape and lays it anywhere in a square, as the code does; else it is padded on "
        "the right and below, where the code puts it into the middle. The code's squares are grey, ours black.",
        "Other thresholds than the code's: the best 1,000 pairs of box and class go on to NMS (rule.pre), and the best "
        "100 are kept.",
    ),
    presets=("paper", "small", "classifier"),
    tasks=(("classifier", "weak"),),
    size=Size("the letterbox, in whole cells, and the sizes it is drawn at; anchors are in pixels, the same from 320 "
              "to 608 as published, and found anew in 'small'"),
)
