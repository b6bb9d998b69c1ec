"""Which predictions of a dense head go on to non-maximum suppression.

Axes: B images, A anchors, K logits, C classes, M selected, L levels.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ...core.part import Count
from ...core.types import Detections
from ...ops import boxes as bx
from ...ops.nms import nms
from .losses import ClassLoss

Selected = tuple[Float[Tensor, "B M"], Int[Tensor, "B M"], Int[Tensor, "B M"]]  # score, label, anchor


@runtime_checkable
class Select(Protocol):
    def __call__(self, logits: Float[Tensor, "B A K"], cls: ClassLoss, levels: tuple[int, ...]) -> Selected: ...


@dataclass(frozen=True)
class PerLevel:
    """RetinaNet sec. 4.1: the `pre` best (anchor, class) pairs of each level."""

    pre: int = 1000

    def __call__(self, logits: Tensor, cls: ClassLoss, levels: tuple[int, ...]) -> Selected:
        found, start = [], 0
        for n in levels:
            rank = logits[:, start : start + n]
            rank = cls.scores(rank) if cls.extra else rank
            # the best pairs lie on the anchors whose best class is best
            row = rank.amax(2).topk(min(self.pre, n), dim=1).indices
            rank = bx.take(rank, row)
            value, pair = rank.flatten(1).topk(min(self.pre, rank.shape[1] * rank.shape[2]), dim=1)
            at = row.gather(1, pair // rank.shape[2]) + start
            found.append((value if cls.extra else cls.scores(value), pair % rank.shape[2], at))
            start += n
        scores, label, anchor = (torch.cat(v, 1) for v in zip(*found))
        return scores, label, anchor


@dataclass(frozen=True)
class PerClass:
    """SSD's detection output layer: the `pre` best anchors of each class, over all levels."""

    pre: int = 400

    def __call__(self, logits: Tensor, cls: ClassLoss, levels: tuple[int, ...]) -> Selected:
        by_class = cls.scores(logits).transpose(1, 2)  # B C A
        scores, anchor = by_class.topk(min(self.pre, by_class.shape[2]), dim=2)
        label = torch.arange(by_class.shape[1], device=anchor.device)[:, None].expand_as(anchor)
        return scores.flatten(1), label.flatten(1), anchor.flatten(1)


@dataclass(frozen=True)
class Proposals:
    """Faster R-CNN sec. 3.3 and FPN sec. 4.1: of each level the `pre` best, those too small dropped, NMS within the
    level, then the best `keep` of all levels. Training has numbers of its own.
    `min_side` in pixels, after cutting to the picture.
    """

    pre: int = 1000
    keep: Count = 1000
    pre_train: int = 2000
    keep_train: Count = 2000
    nms: float = 0.7
    min_side: float = 1e-3

    def __call__(self, rank: Float[Tensor, "B A"], levels: tuple[int, ...], decode: Callable[[Tensor], Tensor],
                 training: bool) -> Detections:
        """`rank` are logits of "object"; `decode` gives the boxes "B M 4" of anchors "B M".
        Levels are suppressed side by side."""
        pre, keep = (self.pre_train, self.keep_train) if training else (self.pre, self.keep)
        most, start, found = min(pre, max(levels)), 0, []
        for n in levels:
            value, at = rank[:, start : start + n].topk(min(most, n), dim=1)
            short = most - value.shape[1]
            found.append((F.pad(value, (0, short), value=-torch.inf), F.pad(at + start, (0, short))))
            start += n
        value, at = (torch.stack(v, 1) for v in zip(*found))  # B L M
        boxes = decode(at.flatten(1)).unflatten(1, at.shape[1:])
        big = ((boxes[..., 2:] - boxes[..., :2]) >= self.min_side).all(-1)
        label = torch.where(big & (value > -torch.inf), 0, -1)
        boxes, value, label = (v.flatten(0, 1) for v in (boxes, value, label))
        each = Detections(boxes, value.sigmoid(), label)
        each = each.take(nms(boxes, value, label, self.nms, min(keep, most)))
        boxes, scores, label = (v.unflatten(0, (-1, len(levels))).flatten(1, 2)
                                for v in (each.boxes, each.scores, each.labels))
        top, best = scores.masked_fill(label < 0, -1.0).topk(min(keep, scores.shape[1]), dim=1)
        return Detections(boxes, scores, label).take(torch.where(top >= 0, best, -1))
