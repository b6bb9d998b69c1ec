"""Box arithmetic on plain tensors.

A box is (x1, y1, x2, y2) in pixels with continuous edges: width = x2 - x1, no +1. The last axis is 4, the other
axes broadcast. Axes: A, N, M boxes, B images.
"""
from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Form = Literal["xyxy", "xywh", "cxcywh"]
TINY = 1e-9  # below any area that a float32 box of a picture has: 0/0 becomes 0


def area(boxes: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A"]:
    """Square pixels; a box that is inside out has none."""
    w, h = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).unbind(-1)
    return w * h


def intersection(a: Float[Tensor, "*B N 4"], b: Float[Tensor, "*B M 4"]) -> Float[Tensor, "*B N M"]:
    """Common area of every pair, in square pixels."""
    ax1, ay1, ax2, ay2 = a[..., :, None, :].unbind(-1)
    bx1, by1, bx2, by2 = b[..., None, :, :].unbind(-1)
    w = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)  # in place: these are large
    return w * torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)


def iou(a: Float[Tensor, "*B N 4"], b: Float[Tensor, "*B M 4"],
        both: Float[Tensor, "*B N M"] | None = None) -> Float[Tensor, "*B N M"]:
    """Intersection over union of every pair; 0 where both are empty. `both`: their intersection, where it is known."""
    both = intersection(a, b) if both is None else both
    return both / (area(a)[..., :, None] + area(b)[..., None, :]).sub_(both).clamp_(min=TINY)


def iof(a: Float[Tensor, "*B N 4"], b: Float[Tensor, "*B M 4"]) -> Float[Tensor, "*B N M"]:
    """Intersection over the area of `a`: how much of each `a` lies in each `b` (the "foreground" is `a`)."""
    return intersection(a, b) / area(a)[..., :, None].clamp(min=TINY)


def iou_each(a: Float[Tensor, "*A 4"], b: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A"]:
    """Intersection over union, box by box."""
    both = _common(a, b)
    return both / (area(a) + area(b) - both).clamp(min=TINY)


def iof_each(a: Float[Tensor, "*A 4"], b: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A"]:
    """Intersection over the area of `a`, box by box."""
    return _common(a, b) / area(a).clamp(min=TINY)


def giou_each(a: Float[Tensor, "*A 4"], b: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A"]:
    """Generalised IoU, box by box (Rezatofighi et al., arXiv 1902.09630, algorithm 1): IoU less the empty share of the
    hull, in -1..1."""
    both = _common(a, b)
    union = area(a) + area(b) - both
    hull = torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)
    whole = area(hull).clamp(min=TINY)
    return both / union.clamp(min=TINY) - (whole - union) / whole


def giou(a: Float[Tensor, "*B N 4"], b: Float[Tensor, "*B M 4"]) -> Float[Tensor, "*B N M"]:
    """Generalised IoU of every pair."""
    a, b = torch.broadcast_tensors(a[..., :, None, :], b[..., None, :, :])
    return giou_each(a, b)


def _common(a: Tensor, b: Tensor) -> Tensor:
    side = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    return side[..., 0] * side[..., 1]


def centre_size(boxes: Float[Tensor, "*A 4"]) -> tuple[Float[Tensor, "*A 2"], Float[Tensor, "*A 2"]]:
    """((x, y) of the centre, (width, height))."""
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size


def from_centre(centre: Float[Tensor, "*A 2"], size: Float[Tensor, "*A 2"]) -> Float[Tensor, "*A 4"]:
    """The inverse of `centre_size`."""
    return torch.cat([centre - 0.5 * size, centre + 0.5 * size], -1)


def convert(boxes: Float[Tensor, "*A 4"], source: Form, target: Form = "xyxy") -> Float[Tensor, "*A 4"]:
    """Between corners ("xyxy"), corner and size ("xywh", COCO's files) and centre and size ("cxcywh", YOLO's files)."""
    if source == target:
        return boxes
    if source == "xywh":
        boxes = torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)
    elif source == "cxcywh":
        boxes = from_centre(boxes[..., :2], boxes[..., 2:])
    if target == "xywh":
        return torch.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], -1)
    return torch.cat(centre_size(boxes), -1) if target == "cxcywh" else boxes


def clip(boxes: Float[Tensor, "B *A 4"], sizes: Float[Tensor, "B 2"] | tuple[int, int]) -> Float[Tensor, "B *A 4"]:
    """Boxes cut to the picture: `sizes` is one (height, width), or a tensor with one of them an image."""
    if isinstance(sizes, tuple):
        x, y = boxes[..., 0::2].clamp(0, sizes[1]), boxes[..., 1::2].clamp(0, sizes[0])
    else:
        edge = sizes.to(boxes).flip(-1).repeat(1, 2).view(-1, *([1] * (boxes.ndim - 2)), 4)
        return boxes.clamp(min=0).minimum(edge)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1)


def take(boxes: Float[Tensor, "B N *D"], index: Int[Tensor, "B K"]) -> Float[Tensor, "B K *D"]:
    """The rows of each image at `index`."""
    at = index.view(*index.shape, *([1] * (boxes.ndim - 2))).expand(*index.shape, *boxes.shape[2:])
    return boxes.gather(1, at)
