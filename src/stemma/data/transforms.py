"""From a picture's pixels to the network's: `recipe.Resize` applied to a Sample.

Every kind only scales, and pads on the right and below, "letterbox" too. A point of the network's picture therefore
lies at `point * original / size` of the file, and a Batch needs nothing but `sizes` and `original` to map predictions
back.

Coordinates are continuous: a box edge at 10.0 lies between pixels 9 and 10, and scaling multiplies it.
"""
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from ..core.recipe import Resize
from ..core.types import Sample, StemmaError


def network_size(size: tuple[int, int], how: Resize, short: int | None = None) -> tuple[int, int]:
    """(height, width) that a picture of `size` is scaled to, before padding.

    shortest: side lengths as torchvision's GeneralizedRCNNTransform has them, floor(side * min(short / shorter, longest
    / longer)). `short` replaces `how.size` (a size drawn from `how.scales`).
    """
    h, w = size
    if how.kind == "keep":
        return h, w
    target = how.size if short is None else short
    if target < 1:
        raise StemmaError(f"recipe.resize.size must be 1 or more, not {target}")
    if how.kind == "square":
        return target, target
    if how.kind == "letterbox":
        scale = target / max(h, w)
        return min(max(round(h * scale), 1), target), min(max(round(w * scale), 1), target)
    if how.kind == "shortest":
        scale = min(target / min(h, w), how.longest / max(h, w))
        return max(math.floor(h * scale), 1), max(math.floor(w * scale), 1)
    raise StemmaError(f"recipe.resize.kind must be shortest, square, letterbox or keep, not '{how.kind}'")


def padded_size(sizes: list[tuple[int, int]], how: Resize, short: int | None = None) -> tuple[int, int]:
    """(height, width) of the batch that pictures of these network sizes share."""
    h, w = max(s[0] for s in sizes), max(s[1] for s in sizes)
    if how.kind in ("square", "letterbox"):
        side = how.size if short is None else short
        return side, side
    d = max(how.divisor, 1)
    return -(-h // d) * d, -(-w // d) * d


def resize(s: Sample, size: tuple[int, int]) -> Sample:
    """A sample scaled to `size` (height, width): the picture bilinearly with antialiasing, maps by their nearest pixel,
    coordinates exactly."""
    h, w = s.size
    if (h, w) == size:
        return s
    y, x = size[0] / h, size[1] / w
    xyxy, edge, to = (np.array([*v, *v], np.float32) for v in ((x, y), (w, h), size[::-1]))

    def moved(v: np.ndarray) -> np.ndarray:
        out = v * xyxy
        return np.where(v <= edge, np.minimum(out, to), out)  # rounded, what lies in the picture would leave it

    def maps(v: np.ndarray) -> np.ndarray:
        rows = np.minimum(((np.arange(size[0]) + 0.5) / y).astype(np.int64), h - 1)
        columns = np.minimum(((np.arange(size[1]) + 0.5) / x).astype(np.int64), w - 1)
        return v.take(columns, -1).take(rows, -2)  # whole rows last: nearly three times as fast as one index of both

    masks = None if s.masks is None else maps(s.masks)
    keypoints = s.keypoints
    if keypoints is not None:
        keypoints = (keypoints * np.array([x, y, 1], np.float32)).astype(np.float32)
    return replace(
        s,
        image=None if s.image is None else scale_image(s.image, size),
        size=size,
        boxes=moved(s.boxes),
        area=s.area * np.float32(x * y),
        masks=masks,
        amodal=None if s.amodal is None else maps(s.amodal),
        keypoints=keypoints,
        semantic=None if s.semantic is None else maps(s.semantic),
        panoptic=None if s.panoptic is None else maps(s.panoptic),
        proposals=None if s.proposals is None else moved(s.proposals),
    )


def scale_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) -> uint8 (*size, 3), bilinear, antialiased where it shrinks."""
    # channels-last in memory: the quick path for bytes
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return F.interpolate(pixels, size=size, mode="bilinear", antialias=True,
                         align_corners=False)[0].permute(1, 2, 0).numpy()


def prepare(s: Sample, how: Resize, short: int | None = None) -> Sample:
    """`s` at the network's size, unpadded: its `size` is what `Batch.sizes` holds. `short` replaces `how.size`."""
    return resize(s, network_size(s.size, how, short))
