"""Recognition as editing: masks and points painted into a picture with a colour, and read back out of it
(InstructDiffusion, sec. 3.1 and 3.3).

Pictures are float arrays or tensors [..., 3, H, W] in 0..1, a colour three numbers in 0..1, a mask [..., H, W].
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ALPHA = 0.5  # what a marked pixel keeps of the picture; the rest is the colour
THRESHOLD = 0.25  # least share of the colour at which a pixel counts as marked: halfway between none and `ALPHA`
CLEAR = 0.1  # a pixel nearer to the colour than this does not show whether it was marked


def _column(colour: Sequence[float], like: Any) -> Any:
    """A colour as [3, 1, 1], of the kind of `like`."""
    made = np.asarray(colour, np.float32)[:, None, None]
    return made if isinstance(like, np.ndarray) else like.new_tensor(made.tolist())


def paint_mask(picture: Any, mask: Any, colour: Sequence[float], alpha: float = ALPHA) -> Any:
    """`picture` with `mask` (0..1: coverage) mixed with a colour, of which marked pixels take `1 - alpha`."""
    share = (1 - alpha) * mask[..., None, :, :]
    return picture + share * (_column(colour, picture) - picture)


def share_of(before: Any, after: Any, colour: Sequence[float]) -> Any:
    """How far each pixel went from what it was towards a colour: <after - before, c - before> / |c - before|^2,
    [..., H, W]. 0 where nothing changed, 1 where the colour stands; what went aside counts by its part along."""
    to = _column(colour, before) - before
    return ((after - before) * to).sum(-3) / (to * to).sum(-3).clip(CLEAR**2)


def shows(before: Any, colour: Sequence[float]) -> Any:
    """bool [..., H, W]: where a mark of that colour would show."""
    to = _column(colour, before) - before
    return (to * to).sum(-3) >= CLEAR**2


def read_mask(before: Any, after: Any, colour: Sequence[float], threshold: float = THRESHOLD) -> Any:
    """The mask that was painted, bool [..., H, W]; False where it would not show."""
    return (share_of(before, after, colour) >= threshold) & shows(before, colour)


def disc(size: tuple[int, int], at: tuple[float, float], radius: float) -> np.ndarray:
    """Coverage, float32 (H, W), of a disc around `at` (x, y; pixel centres at .5), its edge one pixel soft."""
    y, x = np.mgrid[: size[0], : size[1]] + np.float32(0.5)
    far = np.sqrt((x - at[0]) ** 2 + (y - at[1]) ** 2)
    return np.asarray(np.clip(radius + 0.5 - far, 0.0, 1.0), np.float32)


def paint_disc(picture: Any, at: tuple[float, float], radius: float, colour: Sequence[float]) -> Any:
    """`picture` with an opaque disc: how a keypoint is answered."""
    cover = disc(picture.shape[-2:], at, radius)
    cover = cover if isinstance(picture, np.ndarray) else picture.new_tensor(cover)
    return paint_mask(picture, cover, colour, alpha=0.0)


def read_disc(before: np.ndarray, after: np.ndarray, colour: Sequence[float],
              radius: float) -> tuple[float, float] | None:
    """(x, y) of the disc that was painted into one picture [3, H, W], or None: the centre of the largest connected
    patch of its colour, of which pixels further than two radii from the patch's middle are left out."""
    from scipy.ndimage import label

    share = np.clip(share_of(before, after, colour), 0.0, 1.0)
    aside = np.sqrt(np.square(after - _column(colour, after)).sum(-3))
    near = (share >= 0.5) & shows(before, colour) & (aside <= 0.6)
    patches, count = label(near)
    if not count:
        return None
    largest = 1 + int(np.argmax(np.bincount(patches[near] - 1)))
    weight = np.where(patches == largest, share, 0.0)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    for _ in range(2):
        at = float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())
        inner = np.where(np.hypot(x - at[0], y - at[1]) <= 2 * radius, weight, 0.0)
        weight = inner if inner.any() else weight
    return float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())


__all__ = ["ALPHA", "CLEAR", "THRESHOLD", "disc", "paint_disc", "paint_mask", "read_disc", "read_mask", "share_of",
           "shows"]
