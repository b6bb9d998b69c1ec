"""Crops of pictures, warped to one size, all regions of a batch at once (R-CNN sec. 2.1 and appendix A).

Axes: N regions, B images, H W pixels, s side of a crop.
"""
from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .compiled import compiled


def with_context(boxes: Float[Tensor, "N 4"], side: int, pad: int, square: bool = False) -> Float[Tensor, "N 4"]:
    """Boxes grown so that, warped to `side` pixels, there are `pad` pixels of context on each side: side / (side - 2
    pad) times as large.

    `square` first grows the shorter side to the longer ("tightest square with context"), so that nothing is warped.
    """
    assert side > 2 * pad >= 0, f"a crop of {side} pixels has no room for {pad} of context on each side"
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    if square:
        half = half.amax(1, keepdim=True).expand_as(half)
    half = half * (side / (side - 2 * pad))
    return torch.cat([centre - half, centre + half], 1)


def warp(images: Float[Tensor, "B C H W"], boxes: Float[Tensor, "N 4"], image: Int[Tensor, " N"],
         side: int) -> Float[Tensor, "N C {side} {side}"]:
    """The content of each box of its image, stretched to `side` x `side`: one bilinear reading at the middle of each
    pixel, without antialiasing.

    What lies outside the image is 0: the mean, of a normalised picture.
    """
    h, w = images.shape[-2:]
    rois = torch.cat([image.to(boxes)[:, None], boxes], 1)
    crops: Tensor = compiled().roi_align(images, rois.to(images.dtype), side, 1.0, 1, True)
    at = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) / side

    def inside(low: Tensor, high: Tensor, limit: int) -> Bool[Tensor, "N s"]:
        point = low[:, None] + (high - low)[:, None] * at
        return (point >= 0) & (point <= limit)

    x1, y1, x2, y2 = boxes.unbind(1)
    return crops * (inside(y1, y2, h)[:, None, :, None] & inside(x1, x2, w)[:, None, None, :])
