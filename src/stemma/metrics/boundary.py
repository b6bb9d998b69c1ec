"""How well the edges of a label map lie: the boundary F of Csurka et al. (2013), and the bands around true edges of a
trimap (Kohli et al. 2009).

Axes: H W pixels of the file. Distances are between pixels' centres.
"""
from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Bools = NDArray[np.bool_]
SHARE = 0.0075  # of the picture's diagonal: the usual tolerance of the boundary F


def edges(labels: NDArray) -> Bools:
    """Pixels with another label beside them, across an edge; the border of the picture is no boundary."""
    found = np.zeros(labels.shape, bool)
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= across
    found[:, :-1] |= across
    return found


def boundary(mask: Bools) -> Bools:
    """Pixels of the mask that touch its outside by an edge."""
    return edges(mask) & mask


def tolerance_of(size: tuple[int, int], share: float = SHARE) -> float:
    """A share of the diagonal in pixels, at least one."""
    return max(1.0, share * math.hypot(*size))


def reached(points: NDArray, others: NDArray, tolerance: float) -> float:
    """Share of `points` (n, 2) that have one of `others` within `tolerance`."""
    distance, _ = cKDTree(others).query(points, distance_upper_bound=np.nextafter(tolerance, np.inf))
    return float(np.mean(distance <= tolerance))


def f_of(true: NDArray, found: NDArray, tolerance: float) -> float:
    """F of two sets of boundary pixels (n, 2) and (m, 2), each pixel right when the other set comes within `tolerance`.
    1 where both are empty."""
    if not len(true) or not len(found):
        return float(not len(true) and not len(found))
    recall, precision = reached(true, found, tolerance), reached(found, true, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_f(truth: Bools, predicted: Bools, tolerance: float) -> float:
    """The boundary F of one mask."""
    return f_of(np.argwhere(boundary(truth)), np.argwhere(boundary(predicted)), tolerance)


def boundary_f_by_class(truth: NDArray, predicted: NDArray, tolerance: float, ignore: int) -> dict[int, float]:
    """The boundary F of every class that the truth holds; where that says `ignore`, nothing was predicted either."""
    seen = np.where(truth == ignore, ignore, predicted)
    true_edge, edge = edges(truth), edges(seen)
    true_at, at = np.argwhere(true_edge), np.argwhere(edge)
    true_class, found_class = truth[true_edge], seen[edge]
    return {int(c): f_of(true_at[true_class == c], at[found_class == c], tolerance)
            for c in np.unique(truth) if c != ignore}


def edge_distance(labels: NDArray) -> NDArray[np.float64]:
    """Distance of every pixel to the nearest boundary pixel; infinite where all labels are alike."""
    edge = edges(labels)
    return np.asarray(ndimage.distance_transform_edt(~edge)) if edge.any() else np.full(labels.shape, np.inf)


def edge_band(labels: NDArray, width: float) -> Bools:
    """Pixels within `width` of a change of label."""
    return np.asarray(edge_distance(labels) <= width)
