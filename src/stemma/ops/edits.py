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


def _column(colour: Any, like: Any) -> Any:
    """A colour [3], or one of each picture [B, 3], as [..., 3, 1, 1] of the kind of `like`."""
    if not isinstance(like, np.ndarray):
        made = colour if hasattr(colour, "new_tensor") else like.new_tensor(np.asarray(colour, np.float32).tolist())
        return made.to(like)[..., None, None]
    return np.asarray(colour, np.float32)[..., None, None]


def paint_mask(picture: Any, mask: Any, colour: Sequence[float], alpha: float = ALPHA) -> Any:
    """`picture` with `mask` (0..1: coverage) mixed with a colour, of which marked pixels take `1 - alpha`."""
    share = (1 - alpha) * mask[..., None, :, :]
    return picture + share * (_column(colour, picture) - picture)


def share_of(before: Any, after: Any, colour: Any) -> Any:
    """How far each pixel went from what it was towards a colour: <after - before, c - before> / |c - before|^2,
    [..., H, W]. 0 where nothing changed, 1 where the colour stands; what went aside counts by its part along."""
    to = _column(colour, before) - before
    return ((after - before) * to).sum(-3) / (to * to).sum(-3).clip(CLEAR**2)


def shows(before: Any, colour: Any) -> Any:
    """bool [..., H, W]: where a mark of that colour would show."""
    to = _column(colour, before) - before
    return (to * to).sum(-3) >= CLEAR**2


def read_mask(before: Any, after: Any, colour: Any, threshold: float = THRESHOLD) -> Any:
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
    """(x, y) of the disc that was painted into one picture [3, H, W], or None: `centre` of the pixels of its colour."""
    share = np.clip(share_of(before, after, colour), 0.0, 1.0)
    aside = np.sqrt(np.square(after - _column(colour, after)).sum(-3))
    return centre(share, (share >= 0.5) & shows(before, colour) & (aside <= 0.6), radius)


def centre(share: np.ndarray, painted: np.ndarray, radius: float) -> tuple[float, float] | None:
    """(x, y) of the middle, weighted by `share` [H, W], of the largest connected patch of `painted` [H, W]; pixels
    further than two radii from it are left out. None where nothing is painted."""
    from scipy.ndimage import label

    patches, count = label(painted)
    if not count:
        return None
    largest = 1 + int(np.argmax(np.bincount(patches[painted] - 1)))
    weight = np.where(patches == largest, share, 0.0)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    middle = lambda w: (float((w * x).sum() / w.sum()), float((w * y).sum() / w.sum()))
    for _ in range(2):
        at = middle(weight)
        inner = np.where(np.hypot(x - at[0], y - at[1]) <= 2 * radius, weight, 0.0)
        weight = inner if inner.any() else weight
    return middle(weight)


def patches(mask: np.ndarray, least: int = 4) -> list[np.ndarray]:
    """The connected patches of a mask [H, W], each bool [H, W], the largest first; of less than `least` pixels none."""
    from scipy.ndimage import label

    numbered, count = label(mask)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    return [numbered == k + 1 for k in np.argsort(-sizes, kind="stable") if sizes[k] >= least]


def frames(mask: np.ndarray, least: int = 4) -> np.ndarray:
    """Boxes around the `patches` of a mask [H, W]: float64 (N, 4), x1 y1 x2 y2 with continuous edges."""
    found = []
    for patch in patches(mask, least):
        y, x = np.nonzero(patch)
        found.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
    return np.array(found, np.float64).reshape(-1, 4)


__all__ = ["ALPHA", "CLEAR", "THRESHOLD", "centre", "disc", "frames", "paint_disc", "paint_mask", "patches",
           "read_disc", "read_mask", "share_of", "shows"]
