"""How good an edit is: was it made, was the rest left alone, and what can be read back out of it.

Pictures are float arrays [3, H, W] in 0..1; `before` and `after` are the truth, `made` is what is judged.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.edits import patches

CHANGED = 0.08  # a pixel of which one colour differs by more has changed
NEAR = 0.3  # a colour within so much of another, in RGB of 0..1, passes for it
WINDOW = 11  # pixels of the window of `ssim`
NEAR_BODY = 0.2  # of the longer side of a person's box: a joint so near is right (PCK)
FOUND = 2.0  # a point within so many radii of the disc is found


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """bool [H, W]: which pixels the edit is about."""
    return np.asarray(np.abs(after - before).max(0) > CHANGED)


def background_error(before: np.ndarray, after: np.ndarray, made: np.ndarray) -> float | None:
    """Mean absolute change of the colours that should stay; None where none should."""
    stays = ~changed(before, after)
    return float(np.abs(made - before)[:, stays].mean()) if stays.any() else None


def done(before: np.ndarray, after: np.ndarray, made: np.ndarray) -> bool | None:
    """Whether an edit was made, where nothing is known of it but the pictures: what should change went more than half
    the way, pixel by pixel on average, and what should stay changed by less than half of that way; None where nothing
    should change."""
    at = changed(before, after)
    if not at.any():
        return None
    half = float(np.abs(after - before)[:, at].mean()) / 2
    return bool(np.abs(made - after)[:, at].mean() < half and (background_error(before, after, made) or 0.0) < half)


def coloured(made: np.ndarray, mask: np.ndarray, colour: Sequence[float],
             palette: Sequence[Sequence[float]]) -> bool | None:
    """Whether the mean colour inside `mask` is within `NEAR` of `colour` and nearer to it than to any other of the
    palette; None without a mask."""
    if not mask.any():
        return None
    far = [float(np.linalg.norm(made[:, mask].mean(1) - np.asarray(c))) for c in (colour, *palette)]
    return far[0] <= min(NEAR, *far) + 1e-9


def near(picture: np.ndarray, colour: Sequence[float]) -> np.ndarray:
    """bool [H, W]: which pixels pass for a colour."""
    return np.asarray(np.sqrt(np.square(picture - np.asarray(colour, picture.dtype)[:, None, None]).sum(0)) <= NEAR)


def as_many(after: np.ndarray, made: np.ndarray, colour: Sequence[float]) -> bool:
    """Whether as many patches of a colour are there as there should be."""
    true, found = (len(patches(near(x, colour))) for x in (after, made))
    return true == found


def moved(before: np.ndarray, after: np.ndarray, made: np.ndarray, colour: Sequence[float]) -> bool:
    """Whether what has a colour went at least half of its way, not further aside than half of it, and is as large as it
    was by a factor of two."""
    at = [near(x, colour) for x in (before, after, made)]
    if not all(m.any() for m in at):
        return False
    first, true, found = (np.array([i.mean() for i in np.nonzero(m)]) for m in at)
    way, went = true - first, found - first
    far = float(np.linalg.norm(way))
    along = float(went @ way) / max(far, 1e-9)
    aside = float(np.sqrt(max(went @ went - along**2, 0.0)))
    return bool(far > 0 and along >= far / 2 and aside <= far / 2 and 0.5 <= at[2].sum() / at[1].sum() <= 2)


def left_alone(before: np.ndarray, after: np.ndarray, made: np.ndarray) -> bool:
    """Whether coloured things that should stay changed by no more than twice `CHANGED`, on average over pixels."""
    stays = ~changed(before, after) & (before.max(0) - before.min(0) > NEAR)
    return bool(not stays.any() or np.abs(made - before)[:, stays].mean() <= 2 * CHANGED)


def direction(before: np.ndarray, after: np.ndarray, made: np.ndarray) -> float | None:
    """Cosine of the change that was made and the one that was asked for, in pixels; None where nothing was asked."""
    a, b = (after - before).ravel(), (made - before).ravel()
    if not np.linalg.norm(a):
        return None
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def cosine(first: Any, second: Any) -> np.ndarray:
    """How alike rows of features are, float64 (N,)."""
    return np.asarray((_unit(first) * _unit(second)).sum(-1))


def directional_similarity(first: Any, second: Any, said: Any, then: Any) -> np.ndarray:
    """cos(I1 - I0, T1 - T0) of rows of features: of the pictures before and after and of their captions, each of length
    1 before they are subtracted (InstructPix2Pix sec. 3.1.2, after Gal et al., arXiv 2108.00946). float64 (N,).
    0 where a difference is none."""
    i0, i1, t0, t1 = (_unit(x) for x in (first, second, said, then))
    return cosine(i1 - i0, t1 - t0)


def kept_by_filter(first: Any, second: Any, said: Any, then: Any, pictures: float = 0.7, captions: float = 0.2,
                   directions: float = 0.2, most: int = 4) -> np.ndarray:
    """Which of the pairs made for one prompt are kept, best first: the pictures alike by `pictures`, each like its
    caption by `captions`, changed as the captions by `directions`, and of those the `most` whose direction is best
    (InstructPix2Pix's released code). Features as in `directional_similarity`; int64 (K,)."""
    along = directional_similarity(first, second, said, then)
    ok = ((cosine(first, second) >= pictures) & (cosine(first, said) >= captions) & (cosine(second, then) >= captions)
          & (along >= directions))
    order = np.argsort(-along, kind="stable")
    return np.asarray(order[ok[order]][:most])


def _unit(x: Any) -> np.ndarray:
    v = np.asarray(x, np.float64)
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12))


def iou(found: np.ndarray, mask: np.ndarray) -> float | None:
    """Intersection over union of two masks; None where there is none in truth."""
    return float((found & mask).sum() / (found | mask).sum()) if mask.any() else None


def psnr(made: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal to noise in decibels, of colours in 0..1; 100 where nothing differs."""
    return float(-10 * np.log10(max(float(np.square(made.clip(0, 1) - truth).mean()), 1e-10)))


def ssim(made: np.ndarray, truth: np.ndarray) -> float | None:
    """Structural similarity (Wang et al. 2004: a Gaussian window of 1.5 pixels, K1 = .01, K2 = .03), the mean over
    colours and over the places where the window of 11 pixels is whole; None for pictures smaller than that."""
    from scipy.ndimage import gaussian_filter

    if min(made.shape[-2:]) < WINDOW:
        return None
    x, y = made.clip(0, 1).astype(np.float64), truth.astype(np.float64)
    mean = lambda v: gaussian_filter(v, (0, 1.5, 1.5), truncate=3.5)
    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    said = ((2 * mx * my + 1e-4) * (2 * both + 9e-4)) / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4))
    edge = WINDOW // 2
    return float(said[:, edge:-edge, edge:-edge].mean())


def mended(before: np.ndarray, after: np.ndarray, made: np.ndarray) -> bool:
    """Whether a picture has at most half the squared error that it had before."""
    error = lambda x: float(np.square(x - after).mean())
    return error(made.clip(0, 1)) <= error(before) / 2


def keypoint_similarity(distance: float, root: float, sigma: float) -> float:
    """COCO's OKS of one point: exp(-d^2 / (2 s^2 (2 sigma)^2)), s the root of the object's area."""
    return float(np.exp(-(distance**2) / (2 * max(root, 1e-9) ** 2 * (2 * sigma) ** 2)))


__all__ = ["CHANGED", "FOUND", "NEAR", "NEAR_BODY", "as_many", "background_error", "changed", "coloured", "cosine",
           "direction", "directional_similarity", "done", "iou", "kept_by_filter", "keypoint_similarity", "left_alone",
           "mended", "moved", "near", "psnr", "ssim"]
