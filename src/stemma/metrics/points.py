"""Localisation by points, and image labels: what is measured of a system that learnt from image labels alone."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .detection import RECALLS, Bools, Floats, Ints, Picture, Record, mean_of
from .resample import Ranked, ranked
from .voc import average_precision, reached

TOLERANCE = 18.0  # pixels, about half the stride of the net (Oquab et al. 2015, sec. 5)
SIDE = 500.0  # longer side of the pictures that this was said of


@dataclass(frozen=True)
class PointScores:
    """Average precision by class, of points or of image labels; NaN where no picture holds the class."""

    names: tuple[str, ...]
    ap: Floats  # (C,)
    precision: Floats  # (C, 101) at recalls 0, .01, ... 1, made monotone; NaN as `ap`
    positives: Ints  # (C,) pictures that hold the class

    @property
    def mean(self) -> float:
        """Mean over the classes that some picture holds."""
        return mean_of(self.ap)

    def per_class(self) -> dict[str, float]:
        return dict(zip(self.names, self.ap.tolist()))


def tolerance_in(size: tuple[int, int], tolerance: float = TOLERANCE) -> float:
    """Pixels that a point may lie outside a box in a picture of `size` (height, width): the paper's 18, and less in
    proportion where no side has its 500."""
    return tolerance * min(1.0, max(size) / SIDE)


def centres(boxes: Floats) -> Floats:
    """The point that a box stands for: its centre, (D, 2) as x, y."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def inside(points: Floats, boxes: Floats, tolerance: float) -> Bools:
    """Whether each point (D, 2) lies in each box (G, 4) widened by `tolerance` on every side, edges included,
    (D, G)."""
    low, high = points[:, None] >= boxes[None, :, :2] - tolerance, points[:, None] <= boxes[None, :, 2:] + tolerance
    return np.asarray((low & high).all(-1))


def best_of_class(one: Picture) -> Ints:
    """Indices of the highest-scoring detection of every class found in a picture; the first of equals."""
    order = np.argsort(-one.scores, kind="stable")
    return order[np.unique(one.found_labels[order], return_index=True)[1]]


def point_ap(record: Record, tolerance: float = TOLERANCE) -> PointScores:
    """AP of the best point of each class in each picture (Oquab et al. 2015, sec. 5, "metric").

    A class has one point a picture, the centre of its best detection. It is right when it lies in any of the class's
    boxes, widened by the tolerance (`tolerance_in`); else it is false, and the picture's object is not found. Recall is
    of the pictures that hold the class. A class whose every object in a picture is crowd (VOC: difficult) does not
    count there, nor does a point that only a crowd object holds. AP is the area under the monotone curve,
    as in VOC 2010 on.
    """
    return _averaged(record, tolerance)


def point_tally(record: Record, tolerance: float = TOLERANCE) -> Ranked:
    """`point_ap` by picture, to be had under other weights of the pictures."""
    return _ranked(record, tolerance)


def image_tally(record: Record) -> Ranked:
    """`image_ap` by picture, to be had under other weights of the pictures."""
    return _ranked(record, None)


def image_ap(record: Record) -> PointScores:
    """AP of image labels: pictures ranked by their best detection of the class, wherever it lies. Pictures with
    difficult objects alone do not count."""
    return _averaged(record, None)


def _ranked(record: Record, tolerance: float | None) -> Ranked:
    """The best detections of each class in each picture, those that do not count left out."""
    classes = len(record.names)
    groups = []
    positives = np.zeros((len(record), classes), np.int64)
    for i, one in enumerate(record):
        there, excused = np.zeros(classes, bool), np.zeros(classes, bool)
        there[one.labels[~one.crowd]] = True
        excused[one.labels[one.crowd]] = True
        positives[i] = there
        best = best_of_class(one)
        said = one.found_labels[best]
        if tolerance is None:
            hit, held = there[said], excused[said]
        else:
            near = (inside(centres(one.found[best]), one.boxes, tolerance_in(one.size, tolerance))
                    & (said[:, None] == one.labels[None]))
            hit, held = ((near & ~one.crowd[None]).any(1),
                         (near & one.crowd[None]).any(1) | (excused[said] & ~there[said]))
        kept = hit | ~held
        right = hit[kept][None]
        groups.append((np.full(right.shape[1], i), said[kept], one.scores[best][kept], right, np.zeros_like(right)))
    return ranked(groups, positives, 1, "all")


def _averaged(record: Record, tolerance: float | None) -> PointScores:
    ranks = _ranked(record, tolerance)
    positives = ranks.positives.sum(0)
    ap, precision = np.full(len(positives), np.nan), np.full((len(positives), len(RECALLS)), np.nan)
    begins = [0, *ranks.stops.tolist()]
    for c in np.flatnonzero(positives):
        tp = np.cumsum(ranks.hit[0, begins[c] : begins[c + 1]])
        recall, exact = tp / positives[c], tp / np.arange(1, len(tp) + 1)
        ap[c] = average_precision(recall, exact) if len(tp) else 0.0
        precision[c] = reached(recall, exact, RECALLS)
    return PointScores(record.names, ap, precision, positives)
