"""YOLO: one network looks once at the whole picture and regresses boxes, confidences and classes for every cell of a
grid.  arXiv 1506.02640"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...core.paper import Claim, Fact, Paper, Parent, Size, in_steps
from ...core.part import Count, part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Detections, Losses, Targets
from ...ops import boxes as bx
from ...ops.nms import nms
from ...ops.scalars import normaliser
from ...parts.backbones.darknet import Darknet24
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import Anchors, CellBoxes
from ...parts.dense.assign import Assign, ByCell, Candidates
from ...parts.dense.coders import Coder, RootCell
from ...parts.dense.heads import YoloHead
from ...parts.dense.losses import ClassLoss, Squared
from ...parts.necks import Same
from ...parts.preprocess import UNIT
from ...skeletons.dense import Dense, DenseRaw
from . import faster_rcnn, overfeat


@dataclass(frozen=True)
class YoloRule:
    """Eq. 3 and its reading at test time (sec. 2.2, 2.3). Sums over the picture, means over pictures.

    `rescore`: the confidence learns the IoU of its own box with the object (as in the paper's definition of
    confidence); else 1.
    """

    anchors: Anchors = CellBoxes(2)
    assign: Assign = ByCell()
    coder: Coder = RootCell(7)
    cls: ClassLoss = Squared()
    coord: float = 5.0
    no_object: float = 0.5
    rescore: bool = True
    score: float = 0.001
    nms: float = 0.5
    keep: Count = 100

    def targets(self, raw: DenseRaw, t: Targets, classes: int,
                sizes: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(state, index, label) of every predictor."""
        guess = self.coder.decode(raw.references(), raw.codes).detach()
        state, index = self.assign(Candidates(raw.references(), raw.stride, guess, raw.sizes(sizes)), t)
        if t.boxes.shape[1] == 0:
            return state, index, torch.full_like(index, classes)
        return state, index, torch.where(state == 1, t.labels.clamp(0, classes - 1).gather(1, index), classes)

    def loss(self, raw: DenseRaw, t: Targets, classes: int, sizes: Tensor | None = None) -> Losses:
        assert raw.object is not None, "YOLO's head says a confidence"
        with torch.no_grad():
            state, index, label = self.targets(raw, t, classes, sizes)
        pos, neg = state == 1, state == 0
        cls = torch.where(pos, self.cls(raw.logits, label), 0.0)
        box, goal = torch.zeros_like(cls), pos.to(cls)
        if t.boxes.shape[1]:
            truth, ref = bx.take(t.boxes, index), raw.references()
            box = torch.where(pos, (raw.codes - self.coder.encode(ref, truth)).square().sum(-1), 0.0)
            if self.rescore:
                goal = goal * bx.iou_each(self.coder.decode(ref, raw.codes.detach()), truth)
        miss = (raw.object - goal).square()
        seen = torch.where(pos, miss, 0.0) + self.no_object * torch.where(neg, miss, 0.0)
        count = normaliser(torch.full((), float(len(cls)), device=cls.device))
        return {"box": self.coord * box.sum() / count, "object": seen.sum() / count, "cls": cls.sum() / count}

    def predict(self, raw: DenseRaw, sizes: Tensor | None = None) -> Detections:
        """Eq. 1: a box's score is its confidence times the cell's probability of the class. Boxes are cut after NMS."""
        assert raw.object is not None
        scores: Float[Tensor, "B A C"] = self.cls.scores(raw.logits) * raw.object.clamp(0, 1)[..., None]
        boxes = self.coder.decode(raw.references(), raw.codes)
        c = scores.shape[2]
        label = torch.arange(c, device=scores.device).expand_as(scores).flatten(1)
        scores, boxes = scores.flatten(1), boxes.repeat_interleave(c, 1)
        label = torch.where(scores > self.score, label, -1)
        d = Detections(boxes, scores, label).take(nms(boxes, scores, label, self.nms, self.keep))
        return replace(d, boxes=bx.clip(d.boxes, raw.image if sizes is None else sizes))


def spec(preset: str = "paper") -> Dense[YoloRule]:
    """The net of fig. 3; "cfg": the released configuration (batch norm, a local layer, three predictors a cell);
    "small"."""
    # not in the paper: a residual net, 8 x 8 cells of 16 pixels, a 1x1 convolution as head, boxes of a fifth at first
    if preset == "small":
        return Dense(
            rule=YoloRule(coder=RootCell(8)), preprocess=UNIT, backbone=part(TinyResNet, levels=(2,)), neck=part(Same),
            head=part(YoloHead, cells=8, hidden=0, start=(0.5, 0.5, 0.45, 0.45, 0.1)),
        )
    if preset == "cfg":
        return Dense(rule=YoloRule(anchors=CellBoxes(3)), preprocess=UNIT, backbone=part(Darknet24, norm="batch"),
                     neck=part(Same), head=part(YoloHead, local=256))
    return Dense(rule=YoloRule(), preprocess=UNIT, backbone=part(Darknet24), neck=part(Same), head=part(YoloHead))


def recipe(preset: str = "paper") -> Recipe:
    """135 epochs of VOC 2007 and 2012: 75 at 1e-2, 30 at 1e-3, 30 at 1e-4 (sec. 2.2); "small": ours, for two cores and
    128-pixel scenes."""
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995,
            resize=Resize("square", 128), augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    return Recipe(
        optimizer="sgd", lr=1e-2, momentum=0.9, weight_decay=5e-4, batch=64, length="135epochs", schedule="step",
        milestones=(75 / 135, 105 / 135), warmup=0.02, warmup_factor=0.1, no_decay=r"\.bias$|^BatchNorm",
        resize=Resize("square", 448), augment=Augment(flip=0.5, colour=0.5, scale=0.2, shuffle=True),
    )


def resized(spec: Dense[YoloRule], recipe: Recipe, size: int) -> tuple[Dense[YoloRule], Recipe]:
    """Cells keep their side, the network's stride: 64 pixels as published. Raises `StemmaError` for a part of one."""
    rule, head = spec.rule, spec.head
    assert isinstance(rule.coder, RootCell)
    in_steps(step := recipe.resize.size // head["cells"], size)
    cells = size // step
    spec = replace(spec, rule=replace(rule, coder=replace(rule.coder, cells=cells)), head=head.but(cells=cells))
    return spec, recipe.at(size)


PAPER = Paper(
    title="You Only Look Once: Unified, Real-Time Object Detection",
    authors="Redmon, Divvala, Girshick, Farhadi",
    year=2015,
    arxiv="1506.02640",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="its first 20 convolutions, trained on ImageNet",
    summary="Detection as one regression. The picture is cut into a grid; the cell that holds an object's middle must "
    "find it. Each cell says a few boxes with a confidence, meant to be the IoU they will reach, and one distribution "
    "over classes. In training only the box that already fits best answers for the object. Fully connected layers see "
    "the whole picture: background is seldom taken for an object, but small crowded things share a cell and are lost.",
    parents=(
        Parent(faster_rcnn.PAPER, (("", "proposals that say the class themselves, from cells without anchors: no "
                                    "second look, no pooling"),)),
        Parent(overfeat.PAPER, (("", "all cells see the whole picture and learn class and box at once, where each "
                                 "window sees itself alone and learns one after the other"),)),
    ),
    claims=(
        Claim("mAP, VOC 2007", 0.634, "table 1, YOLO"),
        Claim("frames per second, Titan X", 45.0, "table 1, YOLO"),
        Claim("mAP, VOC 2012", 0.579, "table 3, YOLO"),
    ),
    facts=(
        Fact("parameters", 271_703_550, 20, source="sum over the layers of fig. 3"),
        Fact("parameters", 197_301_875, 20, variant="cfg", source="sum over the layers of the released yolov1.cfg"),
        Fact("outputs", 1_470, 20, source="sec. 2: 7 x 7 x 30"),
        Fact("outputs", 1_715, 20, variant="cfg", source="last layer of the released yolov1.cfg"),
        Fact("boxes", 98, 20, source="sec. 2"),
    ),
    notes=(
        "Where no predictor of a cell overlaps the object, the least root mean square error decides, as in the "
        "released code; the paper does not say.",
        "The paper does not say how many objects a cell may hold: one, the first of a list that is shuffled, as in the "
        "released code.",
        "Fractions of the picture are kept as pixels and cells here, so the loss is the published one only up to "
        "float rounding.",
        "Scores above .001 are kept, as for the published measures, and the best 100 after NMS (rule.keep), where the "
        "code writes all; its demo shows those above .2. Confidences and probabilities are cut to 0..1 before they are "
        "multiplied; the code multiplies what the net says.",
        "The loss is eq. 3; the released code's gradients are those of half of it, so its rate r moves as far as "
        "r / 2 here. Biases and batch norms do not decay, as in the code.",
        "Brightness, contrast, saturation and hue change; the paper changes exposure and saturation, by up to "
        "1.5 in HSV.",
        "The 24 convolutions were first trained on ImageNet at 224 pixels; the warm-up stands for 'slowly raised in "
        "the first epochs'.",
    ),
    presets=("paper", "small", "cfg"),
    size=Size("the side of the square, in whole cells: the grid grows, and with it the layers that see it", resized),
)
