"""Darknet's region layer, how YOLOv2 and YOLO9000 are trained and read; with other settings its yolo layer, YOLOv3's.

Axes: B images, A priors over all cells, K logits, C classes, N objects, L labels of a picture, D detections.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import Count, In, Part, part
from ...core.types import Detections, Losses, Targets
from ...ops import boxes as bx
from ...ops.nms import nms
from ...ops.scalars import normaliser, over_ranks
from ..points import labels_of, point_detections
from .anchors import Anchors, Priors
from .assign import ByShape, Candidates
from .coders import DirectLocation
from .losses import Choice, ClassLoss, MultiLabel
from .raw import DenseRaw
from .word_tree import WordTree


def squared(x: Float[Tensor, "*A"], want: Float[Tensor, "*A"]) -> Float[Tensor, "*A"]:
    """Half the squared difference of what a logit says, 0..1, and what is wanted."""
    return 0.5 * (x.sigmoid() - want).square()


def crossed(x: Float[Tensor, "*A"], want: Float[Tensor, "*A"]) -> Float[Tensor, "*A"]:
    """Cross entropy of the same, less that of the best answer."""
    want = want.clamp(0, 1)
    least = torch.xlogy(want, want) + torch.xlogy(1 - want, 1 - want)
    return F.binary_cross_entropy_with_logits(x, want, reduction="none") + least


class Pull(nn.Module):
    """The weight with which boxes are drawn to their priors while training is young: `weight` for the first `images`,
    then 0. It counts them."""

    seen: Tensor

    def __init__(self, inp: In, images: int = 12_800, weight: float = 0.01) -> None:
        super().__init__()
        self.images, self.weight = images, weight
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, batch: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The weight for a batch of so many images, over all processes."""
        now = torch.where(self.seen < self.images, self.weight, 0.0).float()
        if self.training:
            self.seen.add_(batch.round().long())
        return now


@dataclass(frozen=True)
class RegionRule:
    """YOLOv2's loss and reading. Sums over a picture, means over pictures, each square halved: gradients are those of
    the released code.

    `cross`: objectness and the place in the cell pay cross entropy, less what no answer could avoid, in the place of
    squares: their gradients are then plain differences (YOLOv3). `rescore`: the objectness learns the IoU of its own
    box; else 1. `pull`: see `Pull`; None switches it off. Box errors weigh 2 less the object's share of the picture, so
    that small boxes count more.

    With `labels` > 0 it learns from pictures without boxes too (`Targets.boxed` false), from at most so many of their
    labels: for each, the box that says it loudest, objectness times P(label), learns the label's path and no other box
    learns a class (YOLO9000 sec. 4). Its objectness learns nothing, as in the released code, or with `assume` > 0 to be
    at least that, as in the paper (.3); all others learn that they are nothing.

    `top_down` > 0 reads one class a box, from the top of the tree down to where its probability falls below; 0 every
    class of every box.
    """

    anchors: Anchors = Priors()
    assign: ByShape = ByShape()
    coder: DirectLocation = DirectLocation()
    cls: ClassLoss = Choice()
    object: float = 5.0
    no_object: float = 1.0
    cls_weight: float = 1.0
    coord: float = 1.0
    rescore: bool = True
    cross: bool = False
    pull: Part[Any] | None = part(Pull)
    assume: float = 0.0
    labels: int = 0
    top_down: float = 0.0
    score: float = 0.005
    pre: int = 1000
    nms: float = 0.45
    keep: Count = 100

    @property
    def needs(self) -> frozenset[str]:
        """The kinds of target that it can use beside boxes."""
        return frozenset({"image_labels"} if self.labels else ())

    def loss(self, raw: DenseRaw, t: Targets, classes: int, sizes: Tensor | None = None) -> Losses:
        """Scalars `box`, `object`, `cls`; with pictures that have labels alone also `image`;
        while training is young also `pull`."""
        assert raw.object is not None and not isinstance(self.pull, Part), ("a region head, and a rule that its "
                                                                            "model has built")
        ref, sure, b = raw.references(), raw.object.sigmoid(), len(raw.codes)
        images = torch.full((), float(b), device=sure.device)
        many = normaliser(images)
        guess = self.coder.decode(ref, raw.codes.detach(), raw.stride)
        candidates = Candidates(ref, raw.stride, guess, raw.sizes(sizes))
        with torch.no_grad():
            wanted = self.assign.chosen(candidates, t) if t.boxes.shape[1] else None
            state, index = self.assign(candidates, t, wanted)
        boxed = torch.ones(b, 1, dtype=torch.bool, device=sure.device) if t.boxed is None else t.boxed[:, None]
        state = torch.where(boxed, state, 0)
        pos = state == 1
        said, cost = self.coder.said(raw.codes), crossed if self.cross else squared
        box, goal = torch.zeros_like(sure), pos.to(sure)
        cls = torch.zeros_like(sure)
        besides = cls.sum()
        if t.boxes.shape[1]:
            truth = bx.take(t.boxes, index)
            share = bx.area(truth) / (raw.image[0] * raw.image[1])
            want = self.coder.wanted(ref, truth, raw.stride)
            off = cost(raw.codes[..., :2], want[..., :2]) + 0.5 * (said - want)[..., 2:].square()
            box = torch.where(pos, self.coord * (2 - share) * off.sum(-1), 0.0)
            goal = goal * bx.iou_each(guess, truth) if self.rescore else goal
            cls = torch.where(pos, self.cls(raw.logits, t.labels.clamp(0, classes - 1).gather(1, index)), 0.0)
            if isinstance(self.cls, MultiLabel) and wanted is not None:
                besides = self.other_labels(self.cls, raw, t, *wanted, index, pos)
        miss = cost(raw.object, goal)
        seen = torch.where(pos, self.object * miss, torch.where(state == 0, self.no_object * miss, 0.0))
        out: Losses = {}
        if self.labels and t.boxed is not None and t.image_labels is not None:
            learned, chosen = self.image_loss(raw, t.image_labels, ~boxed)
            few = torch.where(sure < self.assume, 0.5 * self.object * (self.assume - sure).square(), 0.0)
            seen = torch.where(chosen, few, seen)
            out["image"] = self.cls_weight * learned / many
        if self.pull is not None:
            drawn = 0.5 * ((said[..., :2] - 0.5).square().sum(-1) + said[..., 2:].square().sum(-1))
            out["pull"] = self.pull(over_ranks(images)) * torch.where(boxed & ~pos, drawn, 0.0).sum() / many
        named = self.cls_weight * (cls.sum() + besides)
        return {"box": box.sum() / many, "object": seen.sum() / many, "cls": named / many, **out}

    def other_labels(self, cls: MultiLabel, raw: DenseRaw, t: Targets, at: Tensor, wants: Tensor, index: Tensor,
                     pos: Tensor) -> Float[Tensor, ""]:
        """What is paid for the classes of objects that wanted a box which answers for another: it is of all of them,
        and of each once (delta_yolo_class in the released code)."""
        with torch.no_grad():
            label = t.labels.clamp(0, raw.logits.shape[2] - 1)
            known = label.gather(1, index.gather(1, at))  # the class that the box at `at` has anyhow
            again = (at[:, :, None] == at[:, None]) & (label[:, :, None] == label[:, None]) & wants[:, None]
            more = wants & pos.gather(1, at) & (label != known) & ~again.tril(-1).any(2)
        return torch.where(more, cls.also(bx.take(raw.logits, at).gather(2, label[..., None])[..., 0]), 0.0).sum()

    def image_loss(self, raw: DenseRaw, labels: Float[Tensor, "B C"], alone: Tensor) -> tuple[Tensor, Tensor]:
        """(summed loss of the pictures that have labels `alone` "B 1"; the boxes chosen to learn them "B A")."""
        assert raw.object is not None
        there, label = labels.topk(min(self.labels, labels.shape[1]), dim=1)  # B L
        there = (there > 0) & alone
        with torch.no_grad():
            p = raw.object.sigmoid()[..., None] * self.cls.scores(raw.logits)
            best = p.gather(2, label[:, None].expand(-1, p.shape[1], -1)).argmax(1)  # B L
            chosen = torch.zeros_like(raw.object, dtype=torch.int32).scatter_add(1, best, there.int()) > 0
        cost = self.cls(bx.take(raw.logits, best), label)
        return torch.where(there, cost, 0.0).sum(), chosen

    def predict(self, raw: DenseRaw, sizes: Tensor | None = None) -> Detections:
        """A box's score for a class is its objectness times P(class); NMS within a class, then cut to the picture."""
        assert raw.object is not None
        if self.top_down:
            assert isinstance(self.cls, WordTree), "only a tree can be read from its top"
            node, p = self.cls.descend(raw.logits, self.top_down)
            label = self.cls.nearest_class(node, self.cls.scores(raw.logits)) if self.cls.extra else node
            value, at = (p * raw.object.sigmoid()).topk(min(self.pre, p.shape[1]), dim=1)
            label = label.gather(1, at)
        else:
            scores: Float[Tensor, "B A C"] = self.cls.scores(raw.logits)
            c = scores.shape[2]
            value, pair = (scores * raw.object.sigmoid()[..., None]).flatten(1).topk(min(self.pre, scores.shape[1] * c),
                                                                                     dim=1)
            at, label = pair // c, pair % c
        boxes = self.coder.decode(bx.take(raw.references(), at), bx.take(raw.codes, at),
                                  raw.stride[at])
        label = torch.where(value > self.score, label, -1)
        d = Detections(boxes, value, label).take(nms(boxes, value, label, self.nms, self.keep))
        return replace(d, boxes=bx.clip(d.boxes, raw.image if sizes is None else sizes))


@dataclass(frozen=True)
class ImageRule:
    """A classifier of whole pictures whose last layer says the classes cell by cell (Darknet-19): softmax of the mean
    over the cells.

    A picture of several classes shares one unit of cross entropy among them, less what no answer could avoid. It
    answers with each class
    once: its probability, and the middle of the cell where it is loudest.
    """

    anchors: Anchors = Priors((1.0, 1.0))
    cls: ClassLoss = Choice()
    side: float = 4.0
    keep: Count = 100

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"image_labels"})

    def loss(self, raw: DenseRaw, t: Targets, classes: int, sizes: Tensor | None = None) -> Losses:
        want = labels_of(t, classes)
        many = want.sum(1)
        cost = -(raw.logits.mean(1).log_softmax(-1) * want).sum(1) / many.clamp(min=1) - many.clamp(min=1).log()
        return {"cls": cost.sum() / normaliser(torch.full((), float(len(cost)), device=cost.device))}

    def predict(self, raw: DenseRaw, sizes: Tensor | None = None) -> Detections:
        middle = bx.centre_size(bx.take(raw.references(), raw.logits.argmax(1)))[0]
        return point_detections(raw.logits.mean(1).softmax(-1), middle, raw.sizes(sizes), self.side, self.keep)
