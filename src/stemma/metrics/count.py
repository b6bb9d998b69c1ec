"""Counting by detection: how far the number found is from the number there, and how many lie between two objects."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .detection import Ints, Picture, Record, box_iou


@dataclass(frozen=True)
class Counts:
    """Objects and accepted detections of every image and class, crowd objects not counted."""

    names: tuple[str, ...]
    true: Ints  # (I,)
    found: Ints  # (I,)
    apart: Ints  # (C,) |found - true|, summed over the images

    @property
    def error(self) -> float:
        """Mean over images of |found - true|, all classes together (ReInspect's count error, arXiv 1506.04878
        sec. 4)."""
        return self._mean(abs(self.found - self.true))

    @property
    def bias(self) -> float:
        """Mean over images of found - true: above 0 where too many are found."""
        return self._mean(self.found - self.true)

    @property
    def per_class(self) -> dict[str, float]:
        """Mean over images of |found - true|, class by class."""
        images = len(self.true)
        each = self.apart / images if images else np.full(len(self.names), np.nan)
        return dict(zip(self.names, each.tolist(), strict=True))

    @staticmethod
    def _mean(values: Ints) -> float:
        return float(values.mean()) if len(values) else float("nan")


def counts(record: Record, score: float = 0.5) -> Counts:
    """Count the detections that score above `score`."""
    true, found = np.zeros(len(record), np.int64), np.zeros(len(record), np.int64)
    apart = np.zeros(len(record.names), np.int64)
    for i, p in enumerate(record):
        there, said = p.labels[~p.crowd], p.found_labels[p.scores > score]
        true[i], found[i] = len(there), len(said)
        more = np.bincount(said, minlength=len(apart)) - np.bincount(there, minlength=len(apart))
        apart += abs(more)
    return Counts(record.names, true, found, apart)


def between(record: Record, score: float = 0.5, low: float = 0.2, high: float = 0.5) -> float:
    """Mean over images of the detections above `score` that lie between objects: each overlaps two of its class or
    more by over `low`, and none of its class by `high` (the false positives of Repulsion Loss, arXiv 1711.07752
    sec. 3.3). Crowd objects aside; NaN without images."""
    found = [_between(p, score, low, high) for p in record]
    return float(np.mean(found)) if found else float("nan")


def _between(p: Picture, score: float, low: float, high: float) -> int:
    keep, true = p.scores > score, ~p.crowd
    both = box_iou(p.found[keep], p.boxes[true])
    both = np.where(p.found_labels[keep][:, None] == p.labels[true], both, 0.0)
    return int((((both > low).sum(1) >= 2) & (both < high).all(1)).sum())
