"""YOLOv2: YOLO on anchors that the data's own boxes give, with finer features and many input sizes; YOLO9000 adds a
tree of classes.  arXiv 1612.08242"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Info, StemmaError
from ...ops.kmeans import kmeans
from ...parts.backbones.darknet import Darknet19
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import Priors
from ...parts.dense.coders import DirectLocation
from ...parts.dense.heads import ClassMaps, RegionHead
from ...parts.dense.region import ImageRule, Pull, RegionRule
from ...parts.dense.word_tree import WordTree
from ...parts.necks import Passthrough, Same
from ...parts.preprocess import UNIT
from ...skeletons.dense import Dense
from . import faster_rcnn, localization_for_free, yolo_v1

COCO = (0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434, 7.88282, 3.52778, 9.77052, 9.16828)
NINE = (0.77871, 1.14074, 3.00525, 4.31277, 9.22725, 9.61974)  # yolo9000.cfg: three shapes, so that 9,418 classes fit
# not in the paper: shapes of drawn scenes, until a training finds those of its data
SMALL = (0.97, 1.0, 1.38, 1.42, 2.46, 1.46, 1.74, 2.16, 2.76, 2.83)


def spec(preset: str = "paper") -> Dense[Any]:
    """VOC's anchors; "coco"; "classifier": Darknet-19, to begin from; "yolo9000"; and "small", "classifier-small",
    "yolo9000-small"."""
    small = preset.endswith("small")
    rule = RegionRule()
    # not in the paper: a residual net at half the stride, anchors found in the training set,
    # the pull to them a twentieth as long
    if small:
        rule = RegionRule(anchors=Priors(SMALL, fit=True), coder=DirectLocation(16), pull=part(Pull, images=640))
    if preset == "coco":
        rule = replace(rule, anchors=Priors(COCO))
    if preset in ("yolo9000", "yolo9000-small"):
        nine = Priors((1.1, 1.1, 1.6, 1.8, 2.6, 2.4), fit=True) if small else Priors(NINE)
        rule = replace(rule, anchors=nine, cls=WordTree(), labels=8, top_down=0.5)
    if preset in ("paper", "coco", "small"):
        body = part(TinyResNet, levels=(1, 2)) if small else part(Darknet19)
        neck = part(Passthrough, width=128, narrow=16, depth=1, momentum=0.1) if small else part(Passthrough)
        return Dense(rule=rule, preprocess=UNIT, backbone=body, neck=neck,
                     head=part(RegionHead, prior=0.05 if small else None))
    body = part(TinyResNet, levels=(2,)) if small else part(Darknet19, levels=(3,))
    if preset.startswith("classifier"):
        return Dense(rule=ImageRule(), preprocess=UNIT, backbone=body, neck=part(Same), head=part(ClassMaps))
    return Dense(rule=rule, preprocess=UNIT, backbone=body, neck=part(Same),
                 head=part(RegionHead, prior=0.05 if small else None))


def recipe(preset: str = "paper") -> Recipe:
    """160 epochs from 1e-3, a tenth from epochs 60 and 90, after Darknet's burn-in of 1,000 steps; a size from 320 to
    608 drawn every ten batches; small ones are YOLOv1's small at such sizes.

    "classifier": 160 epochs at 224 from .1, falling with the fourth power; "classifier-448": ten more at 448 (sec. 2,
    "high resolution classifier").
    """
    look = Augment(flip=0.5, colour=0.5, scale=0.2, shuffle=True)
    if preset.endswith("small"):
        p = yolo_v1.recipe("small")
        return (p if preset.startswith("classifier")
                else replace(p, resize=Resize("letterbox", 128, scales=(96, 112, 128, 144, 160), hold=10)))
    plain = yolo_v1.recipe().no_decay  # Darknet's, there too
    if preset in ("classifier", "classifier-448"):
        fine = preset == "classifier-448"
        return Recipe(
            optimizer="sgd", lr=1e-3 if fine else 0.1, momentum=0.9, weight_decay=5e-4, batch=128,
            length="10epochs" if fine else "160epochs", schedule="poly", power=4.0, warmup=0.0, no_decay=plain,
            resize=Resize("square", 448 if fine else 224), augment=look,
        )
    pictures = 16_551 if preset == "paper" else 118_287  # of VOC 2007 and 2012, of COCO
    return Recipe(
        optimizer="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=64,
        length="160epochs", schedule="step", milestones=(60 / 160, 90 / 160), warmup=1000 / (160 * pictures / 64),
        warmup_factor=0.0, warmup_power=4.0, no_decay=plain,
        resize=Resize("letterbox", 544 if preset == "yolo9000" else 416, scales=tuple(range(320, 609, 32)), hold=10),
        augment=look,
    )


def prepare(spec: Dense[Any], info: Info) -> Dense[Any]:
    """The tree of the data's own classes, where a tree is wanted."""
    tree = isinstance(spec.rule, RegionRule) and isinstance(spec.rule.cls, WordTree)
    return replace(spec, rule=replace(spec.rule, cls=WordTree.over(info.classes))) if tree else spec


def measure(spec: Dense[Any], boxes: np.ndarray) -> dict[str, Any]:
    """Sec. 2, "dimension clusters": as many anchors as the spec has, by k-means over the training boxes, in cells.
    Where `fit` asks for it."""
    if not isinstance(spec.rule.anchors, Priors) or not spec.rule.anchors.fit:
        return {}
    try:
        shapes, _ = kmeans((boxes[:, 2:] - boxes[:, :2]) / spec.rule.coder.stride, len(spec.rule.anchors.pairs()))
    except ValueError as error:
        raise StemmaError(f"anchors cannot be found in the training data: {error}. Give them: --set "
                          "rule.anchors.fit=false") from error
    return {"rule.anchors.sizes": tuple(round(float(v), 4) for v in shapes.flatten())}


PAPER = Paper(
    title="YOLO9000: Better, Faster, Stronger",
    authors="Redmon, Farhadi",
    year=2016,
    arxiv="1612.08242",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="its own classifiers: presets 'classifier', then 'classifier-448'",
    prepare=prepare,
    measure=measure,
    summary="YOLO mended step by step. Batch norm everywhere; anchors, chosen by clustering the boxes of the training "
    "set under 1 - IoU; a centre that cannot leave its cell; finer features folded into the channels of coarse ones; "
    "input sizes that change while it trains. YOLO9000 hangs the classes on a tree, with a softmax among siblings, so "
    "that pictures with a label and no box can teach thousands of classes to a detector that has seen boxes of eighty.",
    parents=(
        Parent(
            yolo_v1.PAPER,
            (
                ("rule", "anchors from the data's boxes in the place of free predictors; direct location, classes a "
                 "box and not a cell"),
                ("backbone", "Darknet-19 with batch norm; the level before the last is handed out too"),
                ("neck", "the finer level passes through, folded into channels"),
                ("head", "convolutions alone: any size of picture"),
            ),
        ),
        Parent(faster_rcnn.PAPER,
               (("", "its anchors, a word on objectness and class at every place, and no second look"),)),
        Parent(localization_for_free.PAPER, (("", "'yolo9000': a picture's label teaches the one place that says it "
                                              "loudest; here the place is a box"),)),
    ),
    claims=(
        Claim("mAP, VOC 2007, at 416", 0.768, "table 3"),
        Claim("mAP, VOC 2007, at 544", 0.786, "table 3"),
        Claim("AP, COCO test-dev", 0.216, "table 5"),
        Claim("mAP, ImageNet detection, YOLO9000", 0.197, "sec. 4"),
        Claim("the same, the 156 classes without boxes", 0.160, "sec. 4"),
        Claim("mean IoU of boxes with 5 anchors, VOC 2007", 0.610, "table 1"),
        Claim("the same with 9 anchors", 0.672, "table 1"),
    ),
    facts=(
        Fact("parameters", 50_655_389, 20, source="sum over the layers of the released yolov2-voc.cfg"),
        Fact("parameters", 50_962_889, 80, variant="coco", source="sum over the layers of the released yolov2.cfg"),
        Fact("parameters", 48_793_101, 9_418, variant="yolo9000",
             source="sum over the layers of the released yolo9000.cfg"),
        Fact("parameters", 20_842_376, 1_000, variant="classifier", source="table 6, Darknet-19"),
    ),
    notes=(
        "The paper's detector begins as a classifier: train preset classifier on pictures with labels, then "
        "classifier-448 with --start of that run, then paper with --start of this one; the backbone's weights are "
        "taken over.",
        "The passthrough folds a block into channels; neck.order=darknet is what the released code computes, which its "
        "weights need.",
        "Of two objects that want one anchor of one cell the last has it, as in the released code, which shuffles "
        "them; at most .6 IoU with an object makes background. All objects of a picture count; the code reads 30.",
        "The paper leaves the weights of the loss open: those of the released configuration. Its squares are halved, "
        "so gradients are equal. Biases and batch norms do not decay, as in the code.",
        "On a picture without boxes the chosen box's objectness learns nothing (released code); rule.assume=.3 is the "
        "paper's reading. The paper repeats COCO until ImageNet is four times as large: --data COCO*N+labels:IMAGENET.",
        "Read from the top of the tree, a box scores objectness times the node's probability (the code: objectness "
        "alone); rule.top_down=0 scores every class, as the code does where it maps the tree to the classes of "
        "a data set.",
        "Pictures are changed as YOLO's; the released configuration crops by up to .3 and turns hues by .1, and its "
        "classifier rotates by up to 7 degrees.",
        "The best 1,000 pairs of box and class go on to NMS (rule.pre), and the best 100 are kept; the code keeps all.",
        "The released code ends with 200 batches at the largest size; here sizes are drawn to the end.",
    ),
    presets=("paper", "small", "coco", "classifier", "classifier-448", "classifier-small", "yolo9000",
             "yolo9000-small"),
    tasks=(("classifier", "weak"), ("classifier-448", "weak"), ("classifier-small", "weak")),
    size=Size("the letterbox, in whole cells, and the sizes it is drawn at; anchors are in cells, the same from 320 to "
              "608 as published, and found anew in 'small'"),
)
