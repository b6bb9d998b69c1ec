"""Detectors whose regions look at one another, and which learn what to do about duplicates (Relation Networks).

Axes: B images, R regions, C classes, n best regions of a class.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.part import In, Part
from ..core.types import Batch, Detections, Losses
from ..ops import boxes as bx
from ..ops.constants import constant
from ..parts.dense.post import every_pair
from ..parts.regions.regions import there, with_truth
from ..parts.regions.relation import DuplicateRemoval, RelationHead
from .two_stage import TwoStage, TwoStageModel, TwoStageRaw


@dataclass(frozen=True)
class Related(TwoStage):
    """A two-stage detector of one stage, all of whose regions are looked at together; with one box for all classes.

    `removal`: what says which of a class's regions to keep; then no step after it need suppress anything. None: `post`
    is given every pair of region and class, as ever.
    """

    removal: Part[DuplicateRemoval] | None = None

    def build(self, classes: int) -> RelatedModel:
        return RelatedModel(self, classes)


class RelatedModel(TwoStageModel):
    """The regions of a picture are seen at once, objects among them; these are looked at by no other region (authors'
    code), since there are none when predicting."""

    spec: Related

    def __init__(self, spec: Related, classes: int) -> None:
        super().__init__(spec, classes)
        assert len(spec.stages) == 1 and spec.rounds == 1 and not spec.branches, "regions are looked at once"
        told = In((self.head.width,), (1,), classes)
        self.removal = None if spec.removal is None else spec.removal.build(told)

    @property
    def head(self) -> RelationHead:
        head = self.heads[0]
        assert isinstance(head, RelationHead)
        return head

    def loss(self, batch: Batch, raw: TwoStageRaw | None = None) -> Losses:
        t, spec, s = batch.targets, self.spec, self.stages[0]
        raw = raw or self(batch.images)
        xs = self.head.prepare(raw.levels)
        every = s.label(with_truth(self.propose(raw, batch.sizes, True, t.proposals), t), t, self.classes)
        place = torch.arange(every.labels.shape[1], device=every.labels.device)
        keys = (bx.area(every.boxes) > 0) & (place >= t.valid.sum(1, keepdim=True))
        (logits, deltas), f = self.head.says(xs, every.boxes, keys)
        logits, deltas = logits.float(), deltas.float()
        chosen = s.choose(every, s.cost(logits, deltas, every, t) if s.sample.needs_loss else None)
        r, at = every.at(chosen), chosen.clamp(min=0)
        out: Losses = {} if spec.rpn is None or raw.rpn is None else spec.rpn.loss(raw.rpn, t, 1, batch.sizes,
                                                                                   prefix="rpn_")
        out |= s.losses(bx.take(logits, at), bx.take(deltas, at), r, t)
        if self.removal is not None:
            moved = bx.clip(s.alike(every.boxes, deltas), batch.sizes)
            out["removal"] = self.removal.loss(s.scores(logits), moved.detach(), f, keys, t)
        return out

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None, proposals: Tensor | None = None,
                raw: Any = None) -> Detections:
        if sizes is None:
            sizes = constant((float(images.shape[-2]), float(images.shape[-1])), images).float().expand(len(images), 2)
        raw, s = raw or self(images), self.stages[0]
        xs, boxes = self.head.prepare(raw.levels), there(self.propose(raw, sizes, False, proposals))
        real = bx.area(boxes) > 0

        def look(at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            (logits, deltas), f = self.head.says(xs, at, bx.area(at) > 0)
            return s.scores(logits.float()), bx.clip(s.boxes(at, deltas.float()), sizes), f

        scores, each, f = look(boxes)
        if self.removal is None:
            d = every_pair(each, scores.masked_fill(~real[..., None], 0.0))
        else:
            top, at, kept = self.removal(scores, each[:, :, 0], f, real)
            labels = torch.arange(self.classes, device=at.device)[:, None].expand_as(at)
            d = Detections(bx.take(each[:, :, 0], at.flatten(1)), self.removal.final(top, kept).flatten(1),
                           labels.flatten(1))
        for post in self.spec.post:
            d = post(d, lambda boxes: look(boxes)[:2])
        return d
