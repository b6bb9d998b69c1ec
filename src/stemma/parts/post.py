"""Steps after the last stage of a two-stage detector.

Axes: B images, R regions, C classes, G sets of boxes, D detections.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.types import Detections
from ..ops.nms import nms

Look = Callable[[Float[Tensor, "B D 4"]], tuple[Float[Tensor, "B D C"], Float[Tensor, "B D G 4"]]]


@runtime_checkable
class Post(Protocol):
    """The first step is given every (region, class) pair. `look` asks the last stage about any boxes: (scores, boxes by class)."""

    def __call__(self, d: Detections, look: Look) -> Detections: ...


@dataclass(frozen=True)
class PerClassNMS:
    """Candidates above `score` and at least `side` pixels wide and high, NMS within each class, the best `keep` (Fast R-CNN sec. 3).

    `pre` > 0 looks at that many best candidates only; a traced graph always does, at most 2,000.
    """

    iou: float = 0.5
    score: float = 0.05
    keep: int = 100
    side: float = 1e-2
    pre: int = 0

    def __call__(self, d: Detections, look: Look) -> Detections:
        big = ((d.boxes[..., 2:] - d.boxes[..., :2]) >= self.side).all(-1)
        d = Detections(d.boxes, d.scores, torch.where((d.scores > self.score) & big, d.labels, -1))
        pre = self.pre or (2000 if torch.compiler.is_compiling() else 0)
        if pre and pre < d.scores.shape[1]:
            d = d.take(d.scores.masked_fill(d.labels < 0, -1.0).topk(pre, dim=1).indices)
        return d.take(nms(d.boxes, d.scores, d.labels, self.iou, self.keep))


def every_pair(boxes: Float[Tensor, "B R G 4"], scores: Float[Tensor, "B R C"]) -> Detections:
    """Every region as every class, with the box of that class (G = 1: the same for all; G = C + 1: the last is background's)."""
    b, r, c = scores.shape
    boxes = boxes.expand(-1, -1, c, -1) if boxes.shape[2] == 1 else boxes[:, :, :c]
    labels = torch.arange(c, device=scores.device).expand(b, r, c)
    return Detections(boxes.reshape(b, r * c, 4), scores.reshape(b, r * c), labels.reshape(b, r * c))
