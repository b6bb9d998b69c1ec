"""Repulsion loss (arXiv 1711.07752): a box is drawn to its own object by the rule's box loss, and driven from the other
objects and from the boxes of others by this.

Axes: B images, A candidates, N objects, K candidates that answer for an object.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.part import Count
from ...core.types import Losses, Targets
from ...ops import boxes as bx
from ...ops.scalars import normaliser


def smooth_ln(x: Float[Tensor, "*A"], sigma: float, least: float = 1e-3) -> Float[Tensor, "*A"]:
    """Eq. 6: -ln(1 - x) up to `sigma`, a line from there on that continues it: at 0 it is x itself.

    1 - x is taken to be at least `least` (not in the paper): of what is covered wholly the logarithm has no end.
    """
    if sigma >= 1:
        return -(1 - x).clamp(min=least).log()
    bent = -(1 - x.clamp(max=sigma)).log()
    return torch.where(x >= sigma, (x - sigma) / (1 - sigma) - math.log(1 - sigma), bent)


@dataclass(frozen=True)
class Repulsion:
    """Eq. 1 and 4 to 7. `gt` and `box` are alpha and beta, 0 switches a term off; each has its sigma.

    RepGT: of the objects that are not its own, the one that a candidate overlaps most by IoU, and how much of that the
    box covers, by IoG, intersection over the object; `overlap="iou"` divides by the union, which a box escapes by
    growing. A candidate that overlaps no other object pays nothing. RepBox: the IoU of every two boxes of a picture
    that answer for different objects, over the pairs that overlap. Of a picture the first `most` such boxes are
    compared.
    """

    gt: float = 0.5
    box: float = 0.5
    sigma_gt: float = 1.0
    sigma_box: float = 0.0
    overlap: Literal["iog", "iou"] = "iog"
    most: Count = 256

    def __call__(self, said: Float[Tensor, "B A 4"], refs: Float[Tensor, "B A 4"], index: Int[Tensor, "B A"],
                 positive: Bool[Tensor, "B A"], t: Targets) -> Losses:
        """Scalars `rep_gt` and `rep_box`, of those that are not switched off.

        said: the decoded boxes, through which the gradient flows; refs: the candidates; index: the object of each.
        """
        out: Losses = {}
        many = min(self.most, positive.shape[1])
        here, at = positive.to(said).topk(many, dim=1) if positive.shape[1] > many else (positive.to(said), None)
        said, refs = (said.float(), refs.float()) if at is None else (bx.take(said, at).float(), bx.take(refs, at))
        index, here = index if at is None else index.gather(1, at), here > 0
        if t.boxes.shape[1] == 0:
            return {k: said.sum() * 0 for k, w in (("rep_gt", self.gt), ("rep_box", self.box)) if w}
        if self.gt:
            cost, there = self.of_objects(said, refs, index, t)
            n = normaliser(positive.sum().float())
            out["rep_gt"] = self.gt * torch.where(there & here, cost, 0.0).sum() / n
        if self.box:
            iou = bx.iou(said, said)
            pairs = (index[:, :, None] != index[:, None]) & here[:, :, None] & here[:, None] & (iou > 0)
            cost = torch.where(pairs, smooth_ln(iou, self.sigma_box), 0.0)
            out["rep_box"] = self.box * cost.sum() / normaliser(pairs.sum().float())
        return out

    def of_objects(self, said: Tensor, refs: Tensor, index: Tensor, t: Targets) -> tuple[Tensor, Tensor]:
        """(cost "B K" of covering the other object that each overlaps most, whether there is one "B K")."""
        with torch.no_grad():
            own = index[..., None] == torch.arange(t.boxes.shape[1], device=index.device)
            best, other = bx.iou(refs, t.boxes).masked_fill(own | ~t.valid[:, None], -1.0).max(-1)
        truth = bx.take(t.boxes, other).to(said)
        share = bx.iof_each(truth, said) if self.overlap == "iog" else bx.iou_each(said, truth)
        return smooth_ln(share, self.sigma_gt), best > 0
