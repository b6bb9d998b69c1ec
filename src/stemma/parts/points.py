"""Image labels, and points: what a system learns from that is told no boxes, and what it answers.

Axes: B images, C classes.
"""
from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.part import Count
from ..core.types import Detections, Targets


def labels_of(t: Targets, classes: int) -> Float[Tensor, "B C"]:
    """1 for each class that is in the picture, else 0: the batch's image labels,
    or those of its objects where it has none."""
    if t.image_labels is not None:
        return t.image_labels.float()
    room = t.boxes.new_zeros(len(t.labels), classes + 1)  # the last column takes the padding
    return room.scatter(1, torch.where(t.labels < 0, classes, t.labels), 1.0)[:, :classes]


def point_detections(
    scores: Float[Tensor, "B C"], points: Float[Tensor, "B C 2"], sizes: Float[Tensor, "B 2"], side: float = 4.0,
    keep: Count = 100
) -> Detections:
    """One detection a class, best first, at most `keep`: a square of `side` pixels whose centre is the point (x, y).

    Near the picture's edge the square is narrower, so that its centre stays the point,
    which is brought into the picture.
    """
    edge = sizes.to(points).flip(-1)[:, None]
    points = torch.minimum(points.clamp(min=0), edge)
    half = torch.minimum(torch.minimum(points, edge - points), points.new_tensor(side / 2))
    top, label = scores.topk(min(keep, scores.shape[1]), dim=1)
    boxes = torch.cat([points - half, points + half], -1)
    return Detections(boxes.gather(1, label[..., None].expand(-1, -1, 4)), top, label)
