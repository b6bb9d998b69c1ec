"""Boxes that agree become one: OverFeat's accumulation, in the place of suppression.

Axes: B images, N candidates.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...core.part import Count
from ...core.types import Detections
from ...ops import boxes as bx
from ...ops.nms import nms


@dataclass(frozen=True)
class GreedyMerge:
    """OverFeat sec. 4.3: the two boxes of one class that match best become their mean, and their scores add up,
    until none match.

    match = distance of the centres + a term that falls as the boxes' intersection grows, here side * (1 - IoU), where
    side is the geometric mean of the four sides. unit: "pixels" as in the paper, where one threshold means something
    else for large and for small boxes; "side" divides the match by that side. `limit` is the largest match that merges.
    A score s leaves as 1 - exp(-s), which keeps the order, stays below 1, and is nearly s where it is small.

    Only the `pre` best candidates take part, so there are pre - 1 merges at most. `nms` above 0 switches merging off:
    boxes of a class that overlap a better one by more than this IoU are dropped.
    """

    limit: float = 0.6
    unit: Literal["side", "pixels"] = "side"
    pre: int = 100
    keep: Count = 100
    nms: float = 0.0

    def match(self, a: Float[Tensor, "*A 4"], b: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A"]:
        """The match score of each box of `a` with that of `b`; they broadcast."""
        (ca, sa), (cb, sb) = bx.centre_size(a), bx.centre_size(b)
        side = (sa.prod(-1) * sb.prod(-1)).clamp(min=bx.TINY) ** 0.25
        apart = (ca - cb).square().sum(-1).sqrt()
        both = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
        overlap = both / (sa.prod(-1) + sb.prod(-1) - both).clamp(min=bx.TINY)
        return apart / side + (1 - overlap) if self.unit == "side" else apart + side * (1 - overlap)

    def __call__(self, d: Detections) -> Detections:
        """Padded candidates -> detections, best first."""
        if self.nms:
            return d.take(nms(d.boxes, d.scores, d.labels, self.nms, self.keep))
        n = min(self.pre, d.scores.shape[1])
        first = d.scores.masked_fill(d.labels < 0, -1.0).topk(n, dim=1)
        d = d.take(torch.where(first.values >= 0, first.indices, -1))
        boxes, scores, alive = self.merged(d.boxes, d.scores, d.labels)
        scores = 1 - torch.exp(-scores)
        top = scores.masked_fill(~alive, -1.0).topk(min(self.keep, n), dim=1)
        return Detections(boxes, scores, d.labels).take(torch.where(top.values >= 0, top.indices, -1))

    def merged(self, boxes: Tensor, scores: Tensor, labels: Int[Tensor, "B N"]) -> tuple[Tensor, Tensor, Tensor]:
        """(boxes, summed scores, which of them are left): a merged box stands where the earlier of the two stood.

        Every round merges the best pair of each picture that still has one.
        """
        b, n = labels.shape
        rows, place = torch.arange(b, device=boxes.device), torch.arange(n, device=boxes.device)
        alive = labels >= 0
        apart = ((labels[:, :, None] != labels[:, None]) | ~alive[:, :, None] | ~alive[:, None]
                 | torch.eye(n, dtype=torch.bool, device=boxes.device))
        cost = self.match(boxes[:, :, None], boxes[:, None]).masked_fill(apart, torch.inf)

        def more(boxes: Tensor, scores: Tensor, alive: Tensor, cost: Tensor) -> Tensor:
            return (cost <= self.limit).any()

        def once(boxes: Tensor, scores: Tensor, alive: Tensor, cost: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            least, pair = cost.flatten(1).min(1)
            go = (least <= self.limit)[:, None]
            i, j = torch.minimum(pair // n, pair % n), torch.maximum(pair // n, pair % n)
            keeps, goes = (place == i[:, None]) & go, (place == j[:, None]) & go
            mean = (boxes[rows, i] + boxes[rows, j]) / 2
            boxes = torch.where(keeps[..., None], mean[:, None], boxes)
            scores = torch.where(keeps, scores + scores[rows, j][:, None], scores)
            alive = alive & ~goes
            fresh = self.match(mean[:, None], boxes).masked_fill(keeps | ~alive | (labels != labels[rows, i][:, None]),
                                                                 torch.inf)
            cost = torch.where(keeps[:, :, None], fresh[:, None], torch.where(keeps[:, None], fresh[:, :, None], cost))
            return boxes, scores, alive, cost.masked_fill(goes[:, :, None] | goes[:, None], torch.inf)

        state = (boxes, scores, alive, cost)
        if torch.compiler.is_compiling():
            state = torch.while_loop(more, once, state)
        else:
            while bool(more(*state)):
                state = once(*state)
        return state[:3]
