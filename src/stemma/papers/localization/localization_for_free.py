"""Weak localisation: told only which classes a picture holds, a sliding classifier finds where by keeping its best
place alone (HAL 01015140)."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Batch, Detections, Losses, Targets
from ...ops import boxes as bx
from ...ops.constants import constant
from ...parts.backbones.chain import Chain
from ...parts.backbones.onto import with_timm
from ...parts.points import labels_of, point_detections
from ...parts.windows.aggregate import Aggregate, LogMeanExp, Max
from ...parts.windows.heads import ClassBoxHead
from ...parts.windows.map_boxes import enclose
from ...parts.windows.windows import Looks, WindowsRaw
from ...skeletons.windows import Windows
from . import fcn, overfeat

ALEXNET = ((96, 11, 4, 0), (0, 3, 2, 0), (256, 5, 1, 2), (0, 3, 2, 0), (384, 3, 1, 1), (384, 3, 1, 1),
           (256, 3, 1, 1), (0, 3, 2, 0))
SMALL = ((32, 8, 4, 2), (48, 4, 2, 1), (96, 4, 2, 1), (96, 3, 1, 1))


@dataclass(frozen=True)
class PresenceRule:
    """Sec. 3: one logistic loss a class on the aggregated score, so that only places that aggregate learn.

    boxes: the places that may speak for a class that is there are those inside its boxes (the masked pooling that
    sec. 5 compares with).
    answer: "points", the best place of each class over all sizes; or "regions", the places of its size with `region` of
    its probability or more, as box and mask. present: the probability from which a class is said to be there, one a
    class or one for all.
    """

    aggregate: Aggregate = Max()
    boxes: bool = False
    answer: Literal["points", "regions"] = "points"
    region: float = 0.5
    present: tuple[float, ...] = (0.0,)

    def logits(self, classes: int) -> int:
        return classes

    def loss(self, net: Looks, batch: Batch) -> Losses:
        """Sum over classes of log(1 + exp(-y f)), y = 1 or -1 (sec. 3.2), mean over pictures."""
        raw, there = net.look(batch.images), labels_of(batch.targets, net.classes)
        ok = raw.inside(batch.sizes)[..., None].expand_as(raw.logits)
        score = self.aggregate(raw.logits, self.within(raw, batch.targets, ok) if self.boxes else ok)
        return {"presence": F.softplus((1 - 2 * there) * score).sum(1).mean()}

    @staticmethod
    def within(raw: WindowsRaw, t: Targets, ok: Bool[Tensor, "B A C"]) -> Bool[Tensor, "B A C"]:
        """Of the places `ok`, those whose middle lies in a box of the class; all of them for a class without one, or
        with none so placed."""
        middle = bx.centre_size(raw.windows)[0]
        held = ((middle >= t.boxes[:, :, None, :2]) & (middle <= t.boxes[:, :, None, 2:])).all(-1)  # B N A
        of_class = t.labels[..., None] == torch.arange(ok.shape[2], device=ok.device)
        inside = ok & (torch.einsum("bna,bnc->bac", held.to(raw.logits), of_class.to(raw.logits)) > 0)
        return torch.where(inside.any(1, keepdim=True), inside, ok)

    def predict(self, net: Looks, raw: WindowsRaw, sizes: Tensor | None = None) -> Detections:
        """Sec. 4: a class scores what its best place over all sizes says, and is at that place; classes best first."""
        true = raw.sizes(sizes)
        score, at = raw.logits.masked_fill(~raw.inside(sizes)[..., None], -torch.inf).max(1)
        if self.answer == "regions":
            d = self.regions(raw, score, at, true)
        else:
            d = point_detections(score.sigmoid(), bx.centre_size(raw.windows)[0][at], true)
        least = constant(self.present, d.scores).expand(score.shape[1])[d.labels]
        return replace(d, labels=torch.where(d.scores >= least, d.labels, -1))

    def regions(self, raw: WindowsRaw, score: Float[Tensor, "B C"], at: Tensor,
                sizes: Float[Tensor, "B 2"]) -> Detections:
        """The thresholded map of each class at the size where it scores best."""
        p = score.sigmoid()
        limit = torch.logit((self.region * p).clamp(1e-6, 1 - 1e-6))
        boxes, masks, start = torch.zeros(*p.shape, 4).to(p), torch.zeros(*p.shape, 28, 28).to(p), 0
        for (h, w), mirror, maps in zip(raw.passes, raw.mirrors, raw.split(raw.logits)):
            middle = bx.centre_size(raw.windows[start : start + h * w])[0]
            low, high = torch.minimum(middle[0], middle[-1]), torch.maximum(middle[0], middle[-1])
            cell = (high - low) / middle.new_tensor([max(w - 1, 1), max(h - 1, 1)])
            frame, grid = torch.cat([low - cell / 2, high + cell / 2]), maps.mT.unflatten(2, (h, w))
            box, mask, _ = enclose(grid.flip(-1) if mirror else grid, frame.expand(*p.shape, 4), limit, sizes)
            here = (at >= start) & (at < start + h * w)
            boxes, masks = torch.where(here[..., None], box, boxes), torch.where(here[..., None, None], mask, masks)
            start += h * w
        order = p.sort(1, descending=True).indices[:, :100]
        label = torch.arange(p.shape[1], device=p.device).expand_as(p)
        return Detections(boxes, p, label, masks).take(order)


def spec(preset: str = "paper") -> Windows[PresenceRule]:
    """Eight layers with three sizes at test; "small"; "pretrained": small on ImageNet's features, asleep, from the
    extra `weights`."""
    if preset == "pretrained":
        return replace(with_timm(p := spec("small"), weights="package"), head=p.head.but(kernel=3))
    # not in the paper: four convolutions of stride 16, one hidden layer, a maximum that is soft at first
    if preset == "small":
        head = part(ClassBoxHead, kernel=1, pool=1, widths=(96,), boxes=(), dropout=0.0, std=0.0)
        trunk = part(Chain, layers=SMALL, norm="batch", levels=(2,))
        return Windows(PresenceRule(LogMeanExp(4.0)), trunk, head, window=24, scales=(0.7, 1.0, 1.4))
    head = part(ClassBoxHead, kernel=6, pool=1, widths=(6144, 6144, 2048), boxes=())
    return Windows(PresenceRule(), part(Chain, layers=ALEXNET, std=0.01, levels=(3,)), head, window=227,
                   scales=(0.7, 1.0, 1.4), border=112)


def recipe(preset: str = "paper") -> Recipe:
    """Pictures of 500 pixels, each step at a size of .7 to 1.4 times that (sec. 3.3); rates and length are ours, as is
    all of "small"."""
    if preset in ("small", "pretrained"):
        still = (("backbone", 0.0),) if preset == "pretrained" else ()
        return Recipe(
            optimizer="muon", lr=0.01, other_lr=2e-3, momentum=0.95, weight_decay=1e-2, batch=16,
            length="100s", schedule="linear", milestones=(0.7,), lr_mult=still, warmup=0.03, ema=0.995,
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5), resize=Resize("letterbox", 128, 128),
        )
    return Recipe(
        optimizer="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=16, length="30epochs", schedule="step",
        milestones=(2 / 3,), warmup=0.0,
        resize=Resize("letterbox", 500, 500, scales=tuple(range(350, 701, 10))), augment=Augment(flip=0.5),
    )


PAPER = Paper(
    title="Is object localization for free? Weakly-supervised learning with convolutional neural networks",
    authors="Oquab, Bottou, Laptev, Sivic", year=2015, arxiv="", task="weak",
    spec=spec, recipe=recipe, presets=("paper", "small", "pretrained"),
    starts="a network of this shape, trained on ImageNet",
    summary="A classifier made of convolutions scores every place of a picture for every class. Nothing says where "
    "objects are: only the place that scores best is compared with the picture's labels. Where the class is present "
    "its best place is pushed up, which in time is a place on the object; where it is absent the hardest place is "
    "pushed down. Points fall out for free, extents do not: the most telling part is enough.", parents=(
        Parent(fcn.PAPER, (("", "scores at places are not compared with pixels' labels: the best of them alone, with "
                            "the picture's"),)),
        Parent(overfeat.PAPER, (("", "windows learn from image labels through their maximum, each class by itself, and "
                                 "answer with a point"),)),
    ),
    claims=(
        Claim("mAP of image labels, VOC 2012", 0.863, "sec. 5, classification"),
        Claim("AP of points, VOC 2012", 0.745, "sec. 5, location prediction"),
        Claim("AP of points, VOC 2012, R-CNN's best boxes", 0.758, "sec. 5, location prediction"),
        Claim("AP of points, VOC 2012, pooling inside boxes", 0.723, "sec. 5, location prediction"),
        Claim("mAP of image labels, COCO", 0.628, "sec. 5"), Claim("AP of points, COCO", 0.412, "sec. 5"),
    ),
    facts=(Fact("parameters", 110_757_268, 20, source="sum over the layers of fig. 2, ungrouped"),
           Fact("stride", 32, 20, source="sec. 3.1")),
    notes=(
        "The first layers are its predecessor's, trained on ImageNet; no such weights are here. Convolutions are not "
        "grouped, responses not normalised.",
        "The picture is bordered by half a window, so that an object at its edge can lie in the middle of a window; "
        "the paper pads to a fixed square.",
        "Each step takes one size of 36 between 350 and 700 pixels, which is .7 to 1.4 of 500, for all of "
        "its pictures.",
        "Every class has a point, a 4-pixel box, however low its score; rule.present tells from what probability on it "
        "is said to be there.",
        "Optimiser and length are ours: the paper refers to its predecessor.",
        "small keeps one size in training. From nothing, a minute of labels teaches where objects are, hardly which; "
        "on ImageNet's features, both.",
        "rule.boxes=true is the paper's comparison, pooling inside the boxes of what is there; rule.answer=regions "
        "gives the thresholded map as box and mask.",
    ),
    size=Size("the letterbox, and the sizes it is drawn at; windows keep their pixels, looks at test are added",
              overfeat.resized),
)
