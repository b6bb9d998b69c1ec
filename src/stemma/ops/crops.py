"""Crops of pictures, warped to one size, all regions of a batch at once (R-CNN sec. 2.1 and appendix A).

Axes: N regions, B images, P regions an image, C channels, H W pixels, s side of a crop.
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


FEW = 3  # sides of a crop that a picture has at most where products are faster than reading sample by sample


def averaged(images: Float[Tensor, "B C H W"], boxes: Float[Tensor, "B P 4"],
             side: int) -> Float[Tensor, "BP C {side} {side}"]:
    """The content of each box of its image at `side` x `side`: the mean of as many bilinear readings a pixel and axis
    as it has pixels of the image, rounded up. What lies outside the image, or in a box of no area, is 0.

    That is RoIAlign with its adaptive number of samples, through torchvision. On a CPU, of images that are few crops
    wide, it is two products: what a row of a crop reads of each row of the image is one number, and so with columns.
    Not without gradient: an answer is read as its exported graph reads it, to the last bit. Computed in float32.
    """
    b, c, h, w = images.shape
    learns = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    if not learns or images.is_cuda or max(h, w) > FEW * side or not boxes.numel():
        image = torch.arange(b, device=boxes.device).repeat_interleave(boxes.shape[1]).to(boxes)
        rois = torch.cat([image[:, None], boxes.flatten(0, 1)], 1).float()
        found: Tensor = compiled().roi_align(images.float(), rois, side, 1.0, -1, True)
        return found
    x1, y1, x2, y2 = boxes.float().unbind(-1)
    with torch.autocast("cpu", enabled=False):
        ys, xs = _shares(y1, y2, side, h), _shares(x1, x2, side, w)
        rows = ys.flatten(1, 2) @ images.float().transpose(1, 2).reshape(b, h, c * w)
        both: Tensor = rows.reshape(-1, side * c, w) @ xs.flatten(0, 1).mT
    return both.view(-1, side, c, side).transpose(1, 2)


def _shares(low: Float[Tensor, "B P"], high: Float[Tensor, "B P"], side: int,
            size: int) -> Float[Tensor, "B P {side} {size}"]:
    """What each of the `side` pixels of a crop between `low` and `high` reads of each pixel of a line of `size`."""
    first, last = (v[..., None, None] - 0.5 for v in (low, high))
    step = (last - first) / side
    samples = step.ceil()
    sample = torch.arange(max(int(samples.max()), 1))
    point = first + torch.arange(side)[:, None] * step + (sample + 0.5) * (step / samples.clamp(min=1))
    each = ((point >= -1) & (point <= size) & (sample < samples)) / samples.clamp(min=1)
    point = point.clamp(0, size - 1)
    near = point.floor().long()
    far = (point - near) * each
    shares = point.new_zeros(*low.shape, side, size).scatter_add_(3, near, each - far)
    return shares.scatter_add_(3, (near + 1).clamp(max=size - 1), far)
