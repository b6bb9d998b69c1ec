"""Masks between a region's own grid, the picture and run-length codes.

Axes: D detections, M side of a region's mask, H W of the picture.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .compiled import compiled

Rle = dict[str, Any]  # {"size": [height, width], "counts": bytes}, COCO's compressed form


def paste(masks: Float[Tensor, "D M M"], boxes: Float[Tensor, "D 4"], size: tuple[int, int],
          padding: int = 1) -> Float[Tensor, "D H W"]:
    """Probabilities inside boxes -> probabilities on a picture of `size` (height, width), 0 elsewhere.

    As torchvision does it (`paste_masks_in_image`, equal to the last bit): the mask gets a rim of `padding` zeros, the
    box grows with it, is cut to whole pixels with both ends inclusive, and the mask is resized bilinearly to that.
    """
    out = masks.new_zeros(len(masks), *size)
    for i, (part, (x, y)) in enumerate(patches(masks, boxes, size, padding)):
        out[i, y : y + part.shape[0], x : x + part.shape[1]] = part
    return out


def patches(masks: Float[Tensor, "D M M"], boxes: Float[Tensor, "D 4"], size: tuple[int, int],
            padding: int = 1) -> list[tuple[Tensor, tuple[int, int]]]:
    """For each mask the piece of `paste` that can be non-zero, with the (x, y) of its first pixel.
    Empty pieces have no pixels."""
    m = masks.shape[-1]
    grown = F.pad(masks, (padding,) * 4)
    scale = float(m + 2 * padding) / m
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * scale
    middle = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    whole = torch.cat([middle - half, middle + half], 1).to(torch.int64).tolist()  # one wait for the device
    found = []
    for mask, (x1, y1, x2, y2) in zip(grown, whole):
        w, h = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2 + 1, size[1]), min(y2 + 1, size[0])
        if right <= left or bottom <= top:
            found.append((mask.new_zeros(0, 0), (0, 0)))
            continue
        resized = F.interpolate(mask[None, None], size=(h, w), mode="bilinear", align_corners=False)[0, 0]
        found.append((resized[top - y1 : bottom - y1, left - x1 : right - x1], (left, top)))
    return found


def crop(masks: Bool[Tensor, "B N H W"], boxes: Float[Tensor, "B R 4"], owner: Int[Tensor, "B R"], size: int,
         at: Int[Tensor, " K"] | None = None) -> Float[Tensor, "*R {size} {size}"]:
    """What the mask of each region should have been: the covered share of each cell of its own object's mask inside the
    box, in 0..1; of all regions "B R", or of the K at the places `at` among them.

    RoIAlign on the mask's pixels with as many samples as a cell has pixels, half-pixel shift kept, as torchvision's
    `project_masks_on_boxes`.
    """
    b, n, h, w = masks.shape
    index = torch.arange(b, device=boxes.device)[:, None] * n + owner
    rois = torch.cat([index[..., None].to(boxes.dtype), boxes], -1).flatten(0, 1)
    rois = rois if at is None else rois[at]
    share: Tensor = compiled().roi_align(masks.to(boxes.dtype).view(b * n, 1, h, w), rois, size, 1.0, -1, False)
    return share.view(*(owner.shape if at is None else at.shape), size, size)


def bounds(masks: Bool[Tensor, "*A H W"]) -> Float[Tensor, "*A 4"]:
    """The tightest boxes around masks, edges continuous; zeros where a mask is empty."""
    found = []
    for line in (masks.any(-2), masks.any(-1)):  # along x, along y
        n, mark = line.shape[-1], line.to(torch.uint8)
        first, last = mark.argmax(-1), n - mark.flip(-1).argmax(-1)
        found.append(torch.stack([first, last], -1) * line.any(-1, keepdim=True))
    return torch.stack([found[0][..., 0], found[1][..., 0], found[0][..., 1], found[1][..., 1]], -1).float()


def encode(mask: np.ndarray) -> Rle:
    """A (height, width) bool or 0/1 array as COCO's compressed run-length code."""
    from hotcoco import mask as rle

    code: Rle = rle.encode(np.ascontiguousarray(mask, dtype=np.uint8))
    return code


def decode(code: Rle) -> np.ndarray:
    """A run-length code, compressed or a plain list of counts, as a bool array of (height, width)."""
    h, w = code["size"]
    if isinstance(code["counts"], list):
        return runs(code["counts"], h, w)
    from hotcoco import mask as rle

    return np.asarray(rle.decode(code)).astype(bool)


def runs(counts: list[int], h: int, w: int) -> np.ndarray:
    """Alternating runs of 0 and 1 down the columns -> a bool array. Raises `ValueError` when they do not fill the
    picture."""
    if sum(counts) != h * w:
        raise ValueError(f"run lengths add up to {sum(counts)}, the picture has {h} x {w} = {h * w} pixels")
    ones = np.arange(len(counts)) % 2 == 1
    return np.repeat(ones, counts).reshape(w, h).T


def area(code: Rle) -> int:
    """Pixels of a compressed code."""
    from hotcoco import mask as rle

    return int(rle.area(code))
