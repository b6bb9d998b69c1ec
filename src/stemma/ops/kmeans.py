"""K-means of box shapes by 1 - IoU, from which YOLOv2 takes its anchors."""
from __future__ import annotations

import numpy as np

ROUNDS = 300
STARTS = 8


def shape_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (N, M) of boxes (N, 2) and (M, 2), width and height, laid with their centres on one point."""
    both = np.minimum(a[:, None], b[None]).prod(-1)
    whole = a.prod(-1)[:, None] + b.prod(-1)[None] - both
    return np.asarray(both / np.maximum(whole, 1e-12))


def kmeans(shapes: np.ndarray, k: int, seed: int = 0) -> tuple[np.ndarray, float]:
    """(`k` widths and heights, smallest area first (k, 2); the mean IoU of each shape with its nearest).

    Lloyd's rounds with the distance 1 - IoU (YOLOv2 sec. 2), the centre of a cluster being its mean width and height.
    The best of several starts, one at even quantiles of area and the rest drawn from `seed`, so that equal boxes give
    equal anchors. With fewer different shapes than `k` some anchors are alike.
    Raises `ValueError` when there is no shape.
    """
    shapes = np.asarray(shapes, np.float64)
    shapes = shapes[(shapes > 0).all(1)]
    if not len(shapes):
        raise ValueError("no box has a width and a height")
    order = np.argsort(shapes.prod(1), kind="stable")
    dice = np.random.default_rng(seed)
    best, score = shapes[:1].repeat(k, 0), -1.0
    for start in range(STARTS):
        at = (order[((np.arange(k) + 0.5) * len(order) / k).astype(int)] if start == 0
              else dice.choice(len(shapes), k, replace=len(shapes) < k))
        centres, mean = _lloyd(shapes, shapes[at])
        if mean > score + 1e-12:
            best, score = centres, mean
    return best[np.argsort(best.prod(1), kind="stable")], score


def _lloyd(shapes: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    own = np.full(len(shapes), -1)
    for _ in range(ROUNDS):
        now = shape_iou(shapes, centres).argmax(1)
        if (now == own).all():
            break
        own = now
        count = np.bincount(own, minlength=len(centres))
        sums = np.stack([np.bincount(own, shapes[:, i], len(centres)) for i in (0, 1)], 1)
        centres = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], centres)
    return centres, float(shape_iou(shapes, centres).max(1).mean())
