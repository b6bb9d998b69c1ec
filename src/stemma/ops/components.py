"""Objects from a label map: connected pixels of one class. Axes: C classes, N objects, H W pixels.
numpy, one picture at a time."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.types import Classes

EIGHT = np.ones((3, 3), bool)  # pixels that touch by an edge or a corner are connected


def closed(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Component numbers with the thin line between two of them given back: a pixel of 0 that has two components within
    two pixels goes to the nearest, where that touches it by an edge. Undoes `parts.pixel_losses.separated`.
    """
    free = numbers == 0
    high = ndimage.maximum_filter(numbers, 5)
    low = ndimage.minimum_filter(np.where(free, np.iinfo(np.int32).max, numbers), 5)
    away, nearest = ndimage.distance_transform_edt(free, return_indices=True)
    line = free & (low < high) & (away <= 1)
    return np.where(line, numbers[tuple(nearest)], numbers).astype(np.int32)


def components(
    semantic: NDArray[Any], classes: Classes, objects: Classes | None = None, scores: NDArray[Any] | None = None,
    least: int = 8, close: bool = True
) -> dict[str, NDArray[Any]]:
    """Each connected region of a thing class as an object, best first: boxes (N, 4), scores (N,), labels (N,),
    masks (N, H, W).

    `classes` are those of the map; labels are places in `objects`, by name, or in `classes` without it. `scores` (C, H,
    W), probabilities, give an object the mean of its class over its pixels; without them it gets 1. Regions under
    `least` pixels are left out. `close` joins the line that training drew between touching objects to them.
    """
    label = {name: i for i, name in enumerate((objects or classes).names)}
    found: list[tuple[float, int, NDArray[np.bool_]]] = []
    for c, (name, thing) in enumerate(zip(classes.names, classes.things)):
        if not thing or name not in label:
            continue
        numbers, count = ndimage.label(semantic == c, EIGHT)
        if not count:
            continue
        means = np.ones(count) if scores is None else np.asarray(ndimage.mean(scores[c], numbers,
                                                                              np.arange(1, count + 1)))
        whole = closed(numbers) if close else numbers
        areas = np.bincount(whole.ravel(), minlength=count + 1)[1:]
        found += [(float(means[k]), label[name], whole == k + 1) for k in np.flatnonzero(areas >= least)]
    found.sort(key=lambda f: -f[0])
    masks = np.stack([m for _, _, m in found]) if found else np.zeros((0, *semantic.shape), bool)
    boxes = np.zeros((len(found), 4), np.float32)
    for box, mask in zip(boxes, masks):
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
    return {
        "boxes": boxes, "scores": np.array([s for s, _, _ in found], np.float32),
        "labels": np.array([i for _, i, _ in found], np.int64), "masks": masks,
    }
