"""SSD: default boxes of several shapes on feature maps of several sizes, each scored for every class at once.
arXiv 1512.02325"""
from __future__ import annotations

import itertools
from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import StemmaError
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import Extras, VGGReduced
from ...parts.dense.anchors import DefaultBoxes
from ...parts.dense.assign import Bipartite
from ...parts.dense.coders import Delta
from ...parts.dense.heads import LevelHeads
from ...parts.dense.losses import SmoothL1, Softmax
from ...parts.dense.sample import HardNegatives
from ...parts.dense.select import PerClass
from ...parts.preprocess import VGG, Preprocess
from ...skeletons.dense import Dense, DenseRule
from . import faster_rcnn, yolo_v1

SHRINK, SAME = (3, 2, 1), (3, 1, 0)  # kernel, stride, padding of an extra level
EXTRAS_300 = ((256, 512, *SHRINK), (128, 256, *SHRINK), (128, 256, *SAME), (128, 256, *SAME))
EXTRAS_512 = ((256, 512, *SHRINK), (128, 256, *SHRINK), (128, 256, *SHRINK), (128, 256, *SHRINK), (128, 256, 4, 1, 1))
BOXES_512 = DefaultBoxes(
    (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8), (76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6),
    ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,)), (8, 16, 32, 64, 128, 256, 512),
)
BOXES_COCO = DefaultBoxes((21.0, 45.0, 99.0, 153.0, 207.0, 261.0), (45.0, 99.0, 153.0, 207.0, 261.0, 315.0),
                          limit=300.0)
BOXES_SMALL = DefaultBoxes((10.0, 22.0, 38.0, 56.0), (22.0, 38.0, 56.0, 80.0), ((2.0,), (2.0,), (2.0,), (2.0,)), ())


def spec(preset: str = "paper") -> Dense[DenseRule]:
    """SSD300 with the default boxes of VOC; "ssd512"; "torchvision": SSD300 with COCO's boxes, as torchvision's weights
    expect; "small"."""
    rule = DenseRule(
        anchors=DefaultBoxes(), assign=Bipartite(0.5), sample=HardNegatives(3), cls=Softmax(), box=SmoothL1(1.0),
        coder=Delta((0.1, 0.1, 0.2, 0.2)), divide="positives", score=0.01, select=PerClass(400), nms=0.45, keep=200,
        cut="after",
    )
    p = Dense(rule=rule, preprocess=VGG, backbone=part(VGGReduced), neck=part(Extras, layers=EXTRAS_300),
              head=part(LevelHeads))
    # not in the paper: a residual net with batch norm, colours of deviation near 1, four levels,
    # boxes of 10 to 67 pixels
    if preset == "small":
        neck = part(Extras, layers=((64, 128, *SHRINK), (64, 128, *SHRINK)), norm="batch")
        colours = Preprocess(VGG.mean, (0.25, 0.25, 0.25))
        return replace(p, preprocess=colours, backbone=part(TinyResNet, levels=(1, 2)), neck=neck,
                       rule=replace(rule, anchors=BOXES_SMALL))
    if preset == "ssd512":
        return replace(p, neck=part(Extras, layers=EXTRAS_512), rule=replace(rule, anchors=BOXES_512))
    if preset == "torchvision":
        mean = Preprocess((0.48235, 0.45882, 0.40784), VGG.std)  # rounded there
        return replace(p, preprocess=mean, rule=replace(rule, anchors=BOXES_COCO, cut="before"))
    return p


def recipe(preset: str = "paper") -> Recipe:
    """The longer schedule of the authors' code, 120,000 steps of 32 pictures; "small": ours, for two cores and
    128-pixel scenes."""
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,),
            warmup=0.03, ema=0.995, resize=Resize("square", 128), augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    return Recipe(
        optimizer="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=32, length="120000steps", schedule="step",
        milestones=(2 / 3, 5 / 6), warmup=0.0,
        lr_mult=((r"\.bias$", 2.0),), no_decay=r"\.bias$",
        resize=Resize("square", 512 if preset == "ssd512" else 300),
        augment=Augment(flip=0.5, colour=0.5, expand=0.5, crop=True), difficult=True,
    )


def resized(spec: Dense[DenseRule], recipe: Recipe, size: int) -> tuple[Dense[DenseRule], Recipe]:
    """A level that shrinks by half has a step of its stride, one that shrinks for want of padding the picture's share
    of a cell: 100 and 300 of 300 pixels. Raises `StemmaError` where nothing is left of the last."""
    boxes, layers = spec.rule.anchors.times(size / recipe.resize.size), spec.neck["layers"]
    assert isinstance(boxes, DefaultBoxes)
    if boxes.steps:
        cells = maps(size, layers)
        if cells[-1] < 1:
            least = next(s for s in itertools.count(size) if maps(s, layers)[-1] >= 1)
            raise StemmaError(f"nothing is left of its last map at {size} pixels; {least} are the least")
        strides = [True, True, *(stride > 1 for _, _, _, stride, _ in layers)]
        steps = tuple(8 * 2**i if halved else round(size / n) for i, (n, halved) in enumerate(zip(cells, strides)))
        boxes = replace(boxes, steps=steps)
    return replace(spec, rule=replace(spec.rule, anchors=boxes)), recipe.at(size)


def maps(size: int, layers: tuple[tuple[int, int, int, int, int], ...]) -> list[int]:
    """Cells a side of every map that is read from a picture of `size`: conv4_3, fc7 and the extra levels."""
    cells = [-(-(size // 4) // 2), -(-(size // 4) // 2) // 2]
    for _, _, kernel, stride, padding in layers:
        cells.append((cells[-1] + 2 * padding - kernel) // stride + 1)
    return cells


PAPER = Paper(
    title="SSD: Single Shot MultiBox Detector",
    authors="Liu, Anguelov, Erhan, Szegedy, Reed, Fu, Berg",
    year=2015,
    arxiv="1512.02325",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's VGG-16, fc6 and fc7 cut down to convolutions",
    summary="One pass, no proposals: small convolutions on six maps, from fine to a single cell, say for each of a set "
    "of default boxes how it moves and which class it holds, background included. Small things are found on fine maps "
    "and large ones on coarse. Since nearly every box is background, only the negatives of highest loss are trained, "
    "three for each positive. Heavy cropping and zooming out of the pictures buys as much as any part of the net.",
    parents=(
        Parent(
            yolo_v1.PAPER,
            (
                ("rule", "cells without shapes become default boxes that IoU assigns; softmax with a background and "
                 "mined negatives for squared errors"),
                ("preprocess", "the mean colour is taken off, as VGG wants it"),
                ("backbone", "VGG16 with a dilated fc6 in the place of Darknet, and two of its maps are read"),
                ("neck", "further levels that shrink to a single cell"),
                ("head", "a convolution on each level in the place of fully connected layers"),
            ),
        ),
        Parent(faster_rcnn.PAPER, (("", "anchors on several maps say the class at once: no second look, no pooling"),)),
    ),
    claims=(
        Claim("mAP, VOC 2007, SSD300", 0.772, "README of the authors' code"),
        Claim("mAP, VOC 2007, SSD512", 0.798, "README of the authors' code"),
        Claim("AP, COCO test-dev, SSD300", 0.251, "README of RFBNet, comparison table"),
        Claim("AP, COCO test-dev, SSD512", 0.288, "README of RFBNet, comparison table"),
    ),
    facts=(
        Fact("parameters", 26_285_486, 20, source="sum over the layers, VOC"),
        Fact("parameters", 35_641_826, 90, source="torchvision's ssd300_vgg16, whose 91 classes count the background"),
        Fact("boxes", 8_732, 20, source="sec. 2.1"),
        Fact("boxes", 24_564, 20, variant="ssd512", source="authors' README"),
    ),
    notes=(
        "Default boxes of VOC follow the authors' configuration: 10 % of the side on conv4_3, then 20 % to 88 %; COCO "
        "has 7 % and 15 % there.",
        "Negatives are boxes below IoU .5 with everything; a picture without objects has none and pays nothing, as in "
        "the authors' code.",
        "The loss is divided by the positives of the whole batch.",
        "Biases learn at twice the rate and do not decay, and boxes are cut to the picture after NMS, as in the "
        "authors' code.",
        "Colours always change, by factors of .5 to 1.5 and a turn of hue; the code draws each change with probability "
        "one half and shifts the brightness by at most 32 of 255. Pictures are resized bilinearly, the code's by an "
        "interpolation drawn at random.",
        "A crop draws one of the seven constraints and the first patch that meets it; the code finds a patch for each "
        "and draws among them.",
        "Objects that Pascal VOC calls difficult are learned, as in the authors' code; measuring leaves them out.",
        "The preset 'torchvision' differs in COCO's box sizes, cut at 300 pixels, and in the rounding of the mean, and "
        "cuts boxes to the picture before NMS.",
    ),
    presets=("paper", "small", "ssd512", "torchvision"),
    size=Size("the side of the square; default boxes in proportion, and the steps of maps that are laid out by their "
              "cells", resized),
)
