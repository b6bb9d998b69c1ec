"""Steps after the last stage of a two-stage detector.

Axes: B images, R regions, C classes, G sets of boxes, D detections.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...core.part import Count
from ...core.types import Detections
from ...ops import boxes as bx
from ...ops.nms import nms, soft_nms
from ..regions.heads import own

Look = Callable[[Float[Tensor, "B D 4"]], tuple[Float[Tensor, "B D C"], Float[Tensor, "B D G 4"]]]


@runtime_checkable
class Post(Protocol):
    """The first step is given every (region, class) pair. `look` asks the last stage about any boxes: (scores, boxes by
    class)."""

    def __call__(self, d: Detections, look: Look) -> Detections: ...


@dataclass(frozen=True)
class PerClassNMS:
    """Candidates above `score` and at least `side` pixels wide and high, NMS within each class,
    the best `keep` (Fast R-CNN sec. 3).

    `pre` > 0 looks at that many best candidates only; a traced graph always does, at most 2,000.
    """

    iou: float = 0.5
    score: float = 0.05
    keep: Count = 100
    side: float = 1e-2
    pre: int = 0

    def __call__(self, d: Detections, look: Look) -> Detections:
        return d.take(self.places(d))

    def places(self, d: Detections) -> Int[Tensor, "B {self.keep}"]:
        """Where the survivors are among `d`, best first, -1 where there are fewer."""
        labels = self.able(d)
        pre = self.pre or (2000 if torch.compiler.is_compiling() else 0)
        if not pre or pre >= d.scores.shape[1]:
            return nms(d.boxes, d.scores, labels, self.iou, self.keep)
        first = d.scores.masked_fill(labels < 0, -1.0).topk(pre, dim=1).indices
        at = nms(bx.take(d.boxes, first), d.scores.gather(1, first), labels.gather(1, first), self.iou, self.keep)
        return torch.where(at >= 0, first.gather(1, at.clamp(min=0)), -1)

    def able(self, d: Detections) -> Int[Tensor, "B D"]:
        """Labels of those that may survive, -1 of the others."""
        big = ((d.boxes[..., 2:] - d.boxes[..., :2]) >= self.side).all(-1)
        return torch.where((d.scores > self.score) & big, d.labels, -1)


@dataclass(frozen=True)
class SoftNMS(PerClassNMS):
    """What overlaps a better box of its class loses a factor exp(-IoU^2 / `sigma`) and is not dropped (arXiv
    1704.04503); with `sigma` 0, NMS."""

    sigma: float = 0.5

    def __call__(self, d: Detections, look: Look) -> Detections:
        if not self.sigma:
            return PerClassNMS.__call__(self, d, look)
        at, scores = soft_nms(d.boxes, d.scores, self.able(d), self.keep, self.sigma, 0.0)
        return replace(d.take(at), scores=scores)


@dataclass(frozen=True)
class Again:
    """Iterative localisation (MR-CNN sec. 5): look again inside the boxes found, `times`;
    all that was found, each time round, goes on.

    Before, what scores `score` or less is left out, of boxes of a class that overlap by more than `iou` the best is
    taken, and the best `each` of a class, `keep` in all. A box keeps its class; its new score is what is said inside
    it, its new box what that look says.
    """

    times: int = 1
    score: float = 0.05
    iou: float = 0.95
    each: Count = 100
    keep: Count = 2000

    def __call__(self, d: Detections, look: Look) -> Detections:
        d = PerClassNMS(self.iou, self.score, min(self.keep, d.scores.shape[1]))(d, look)
        same = d.labels[:, :, None] == d.labels[:, None, :]
        # best first, so a box's place in its class is the count of those before it
        over = same.tril().sum(2) > self.each
        d = Detections(d.boxes, d.scores.masked_fill(over, 0.0), d.labels.masked_fill(over, -1))
        found = [d]
        for _ in range(self.times):
            scores, boxes = look(d.boxes)
            score = scores.gather(-1, d.labels.clamp(min=0)[..., None])[..., 0]
            d = Detections(own(boxes, d.labels.clamp(min=0)), score.masked_fill(d.labels < 0, 0.0), d.labels)
            found.append(d)
        return Detections(torch.cat([f.boxes for f in found], 1), torch.cat([f.scores for f in found], 1),
                          torch.cat([f.labels for f in found], 1))


@dataclass(frozen=True)
class Voting(PerClassNMS):
    """NMS, and then each survivor's box is the mean of all boxes of its class that overlap it by `overlap`, itself
    included (MR-CNN sec. 5).

    A box weighs max(0, s + `add`), s being the margin whose sigmoid is its score, as in the authors' code, or with
    `by="score"` its score, as in the paper. The voters are all that came in, also what the NMS left out.
    """

    overlap: float = 0.5
    by: Literal["margin", "score"] = "margin"
    add: float = 1.5

    def __call__(self, d: Detections, look: Look) -> Detections:
        kept = PerClassNMS.__call__(self, d, look)
        weight = d.scores if self.by == "score" else (torch.logit(d.scores, eps=1e-6) + self.add).clamp(min=0)
        near = ((bx.iou(kept.boxes, d.boxes) >= self.overlap) & (kept.labels[..., None] == d.labels[:, None])
                & (d.labels >= 0)[:, None])
        share = near * (weight + 1e-9)[:, None]
        boxes = (share @ d.boxes) / share.sum(2, keepdim=True).clamp(min=1e-30)
        return Detections(boxes.masked_fill((kept.labels < 0)[..., None], 0.0), kept.scores, kept.labels)


def every_pair(boxes: Float[Tensor, "B R G 4"], scores: Float[Tensor, "B R C"]) -> Detections:
    """Every region as every class, with the box of that class (G = 1: the same for all; G = C + 1: the last is
    background's)."""
    b, r, c = scores.shape
    boxes = boxes.expand(-1, -1, c, -1) if boxes.shape[2] == 1 else boxes[:, :, :c]
    labels = torch.arange(c, device=scores.device).expand(b, r, c)
    return Detections(boxes.reshape(b, r * c, 4), scores.reshape(b, r * c), labels.reshape(b, r * c))
