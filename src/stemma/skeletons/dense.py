"""One look at the picture: features -> a prediction at every anchor. SSD, YOLO, RetinaNet, and every RPN.

Axes: B images, A anchors over all levels, K logits, C classes, N objects, D detections.
"""
from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Generic, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import TypeVar

from ..core.part import Count, In, Part, part
from ..core.types import Batch, Detections, Losses, Targets
from ..ops import boxes as bx
from ..ops.nms import nms
from ..ops.scalars import normaliser
from ..parts.backbones.tiny import TinyResNet
from ..parts.dense.anchors import Anchors, Pyramid, lay
from ..parts.dense.assign import Assign, ByIoU, Candidates
from ..parts.dense.coders import Coder, Delta
from ..parts.dense.heads import TowerHead
from ..parts.dense.losses import BoxLoss, ClassLoss, Focal, OverBatch, SmoothL1
from ..parts.dense.raw import DenseRaw as DenseRaw
from ..parts.dense.repulsion import Repulsion
from ..parts.dense.sample import Everything, Sampler, draw
from ..parts.dense.select import PerLevel, Proposals, Select
from ..parts.necks import FPN
from ..parts.preprocess import Preprocess
from ..parts.trunk import Trunk


@dataclass(frozen=True)
class DenseRule:
    """Everything of a dense detector that has no weights: anchors, assignment, sampling, losses, decoding, selection.

    A loss that remembers is a `Part`; the model builds it and keeps it (`awaken`). `divide` says by what the summed
    losses are divided: the batch's positives (SSD), each picture's own positives and then the pictures (RetinaNet), or
    the batch's sampled candidates (RPN). At least 1. A loss over the batch divides by itself. `repel` drives boxes from
    what is not theirs. Answers are cut to the picture `cut` NMS: before it (RetinaNet) or after it (SSD).
    """

    anchors: Anchors = Pyramid()
    assign: Assign = ByIoU(0.5, 0.4, rescue=True)
    sample: Sampler = Everything()
    cls: ClassLoss | Part[Any] = Focal()
    box: BoxLoss | Part[Any] = SmoothL1(1 / 9)
    coder: Coder = Delta()
    box_weight: float = 1.0
    divide: Literal["positives", "positives of each picture", "sampled"] = "positives of each picture"
    score: float = 0.05
    select: Select = PerLevel(1000)
    nms: float = 0.5
    keep: Count = 100
    proposals: Proposals = Proposals()
    repel: Repulsion | None = None
    cut: Literal["before", "after"] = "before"

    def targets(self, raw: DenseRaw, t: Targets, classes: int,
                sizes: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(state, index, label) of every anchor; with one class every object has label 0, whatever it is (an RPN)."""
        state, index = self.assign(Candidates(raw.references(), raw.stride, None, raw.sizes(sizes)), t)
        if t.boxes.shape[1] == 0:
            return state, index, torch.full_like(index, classes)
        label = t.labels.clamp(0, classes - 1).gather(1, index)
        return state, index, torch.where(state == 1, label, classes)

    def loss(self, raw: DenseRaw, t: Targets, classes: int, sizes: Tensor | None = None, prefix: str = "") -> Losses:
        """Scalars `cls` and `box`, and with `repel` those of its terms, their names after `prefix`."""
        with torch.no_grad():
            state, index, label = self.targets(raw, t, classes, sizes)
        cls, box = built(self.cls), built(self.box)
        cost = (raw.codes[..., 0].detach() * 0 if isinstance(cls, OverBatch) and not self.sample.needs_loss
                else cls(raw.logits, label))
        used = draw(self.sample, state, cost.detach(), raw.references(), label)
        pos = used & (state == 1)
        n, count = self.divisors(used, pos)
        seen = (cls.over(raw.logits, label, used) if isinstance(cls, OverBatch)
                else (torch.where(used, cost, 0.0) / n).sum() / count)
        if t.boxes.shape[1] == 0:
            return {prefix + "cls": seen, prefix + "box": raw.codes.sum() * 0}
        ref, truth = raw.references(), bx.take(t.boxes, index)
        said, want = (self.coder.decode(ref, raw.codes), truth) if box.decoded else (raw.codes,
                                                                                     self.coder.encode(ref, truth))
        off = (box.over(said, want, pos) if isinstance(box, OverBatch)
               else (torch.where(pos, box(said, want), 0.0) / n).sum() / count)
        more = {} if self.repel is None else self.repel(self.coder.decode(ref, raw.codes), ref, index, pos, t)
        return {prefix + "cls": seen, prefix + "box": self.box_weight * off, **{prefix + k: v for k, v in more.items()}}

    def divisors(self, used: Tensor, pos: Tensor) -> tuple[Tensor | int, Tensor]:
        """By what each picture's losses are divided, and then their sum."""
        if self.divide != "positives of each picture":
            return 1, normaliser((used if self.divide == "sampled" else pos).sum().float())
        n = pos.sum(1, keepdim=True).clamp(min=1)
        return n, normaliser(torch.full_like(n.sum(), len(n)).float())

    def predict(self, raw: DenseRaw, sizes: Tensor | None = None) -> Detections:
        """The selected candidates above `score`, decoded; NMS within a class."""
        scores, label, at = self.select(raw.logits, built(self.cls), raw.levels)
        boxes, edges = self.said(raw, at), raw.image if sizes is None else sizes
        boxes = bx.clip(boxes, edges) if self.cut == "before" else boxes
        label = torch.where(scores > self.score, label, -1)
        d = Detections(boxes, scores, label).take(nms(boxes, scores, label, self.nms, self.keep))
        return d if self.cut == "before" else replace(d, boxes=bx.clip(d.boxes, edges))

    def rank(self, raw: DenseRaw) -> Float[Tensor, "B A"]:
        """How much more an anchor of one class looks like an object than like background, as a logit."""
        return raw.logits[..., 0] - raw.logits[..., 1] if built(self.cls).extra else raw.logits[..., 0]

    @torch.no_grad()
    def propose(self, raw: DenseRaw, sizes: Tensor | None = None, training: bool = False) -> Detections:
        """Class-agnostic proposals, best first; without gradient. Label 0,
        or -1 where there are fewer than asked for."""
        return self.proposals(self.rank(raw), raw.levels, lambda at: self.decode(raw, at, sizes), training)

    def decode(self, raw: DenseRaw, at: Tensor, sizes: Tensor | None) -> Float[Tensor, "B M 4"]:
        """The boxes of the anchors at `at` "B M", cut to the picture."""
        return bx.clip(self.said(raw, at), raw.image if sizes is None else sizes)

    def said(self, raw: DenseRaw, at: Tensor) -> Float[Tensor, "B M 4"]:
        """The boxes of the anchors at `at` "B M"."""
        return self.coder.decode(bx.take(raw.references(), at), bx.take(raw.codes, at))


@runtime_checkable
class Rule(Protocol):
    """The weightless half of a one-stage detector. A paper changes slots of `DenseRule`,
    or brings a rule of its own."""

    @property
    def anchors(self) -> Anchors: ...
    @property
    def cls(self) -> ClassLoss | Part[Any]: ...
    def loss(self, raw: DenseRaw, t: Targets, classes: int, sizes: Tensor | None = None) -> Losses: ...
    def predict(self, raw: DenseRaw, sizes: Tensor | None = None) -> Detections: ...


@runtime_checkable
class Sparing(Protocol):
    """A rule that reads, in an answer, only the cells where `asked` is true of the head's third word."""

    def asked(self, object: Float[Tensor, "*A"]) -> Bool[Tensor, "*A"]: ...


RuleT = TypeVar("RuleT", bound=Rule, default=DenseRule)
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Dense(Generic[RuleT]):
    """The spec of a one-stage detector."""

    rule: RuleT
    preprocess: Preprocess = Preprocess()
    backbone: Part[Trunk] = part(TinyResNet)
    neck: Part[Trunk] = part(FPN, width=64)
    head: Part[nn.Module] = part(TowerHead)

    @property
    def needs(self) -> frozenset[str]:
        """The kinds of target that the rule can use beside boxes."""
        return frozenset(getattr(self.rule, "needs", ()))

    def build(self, classes: int) -> DenseModel:
        return DenseModel(self, classes)


def built(x: Kind | Part[Any]) -> Kind:
    """What stands in a slot of a rule that a model has made its own."""
    assert not isinstance(x, Part), f"{x.name} has a memory: a model must build it first (`awaken`)"
    return x


def awaken(rule: Kind, inp: In) -> tuple[Kind, nn.ModuleDict]:
    """The rule with its parts built, and those by slot: as modules of the model they are saved,
    moved and resumed with it."""
    parts = {f.name: v.build(inp)
             for f in fields(rule) if isinstance(v := getattr(rule, f.name), Part)}  # type: ignore[arg-type]
    return (replace(rule, **parts) if parts else rule), nn.ModuleDict(parts)  # type: ignore[type-var]


def head_in(out: In, rule: Rule, classes: int) -> In:
    """What a dense head over these levels is told, under this rule."""
    return replace(out, classes=classes, anchors=rule.anchors.counts(len(out.strides)),
                   logits=classes + built(rule.cls).extra)


def look(head: nn.Module, rule: Rule, xs: list[Tensor], strides: tuple[int, ...], image: tuple[int, int],
         answer: bool = False) -> DenseRaw:
    """The head's word on these levels, with the anchors that it speaks of. `answer`: no loss will read it, and what a
    sparing rule does not ask for need not be said."""
    logits, codes, *more = head(xs, rule.asked) if answer and isinstance(rule, Sparing) else head(xs)
    grid = lay(rule.anchors, tuple((x.shape[-2], x.shape[-1]) for x in xs), strides, image, logits)
    return DenseRaw(logits.float(), codes.float(), more[0].float() if more else None, grid.boxes, grid.stride,
                    grid.levels, image, more[1].float() if len(more) > 1 else None)


class DenseModel(nn.Module):
    """A one-stage detector: `model(images)`, `model.loss(batch)`, `model.predict(images, sizes)`."""

    def __init__(self, spec: Dense[Any], classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.rule: Rule
        self.rule, self.memory = awaken(spec.rule, In((3,), (1,), classes))
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        self.neck = spec.neck.build(self.backbone.out)
        self.out: In = self.neck.out
        self.head = spec.head.build(head_in(self.out, self.rule, classes))

    def forward(self, images: Float[Tensor, "B 3 H W"], answer: bool = False) -> DenseRaw:
        """The network alone: no targets, no NMS, static shapes. This is what is compiled and exported."""
        xs = self.neck(self.backbone(self.spec.preprocess(images)))
        return look(self.head, self.rule, xs, self.out.strides, (images.shape[-2], images.shape[-1]), answer)

    def loss(self, batch: Batch) -> Losses:
        return self.rule.loss(self(batch.images), batch.targets, self.classes, batch.sizes)

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> Detections:
        return self.rule.predict(self(images, True), sizes)
