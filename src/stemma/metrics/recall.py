"""Recall of class-agnostic proposals: AR@10/100/1000, and recall against IoU."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import coco
from .detection import Floats, Kind, Record


def average_recall(record: Record, limits: Sequence[int] = (10, 100, 1000), kind: Kind = "boxes") -> dict[str, float]:
    """Recall averaged over IoU .5, .55, ... .95, labels aside, for so many proposals an image; by object size at the largest.

    Keys: AR10, AR100, AR1000, AR1000_small, ...; NaN where there are no objects.
    """
    scores = _agnostic(record, kind, limits)
    top = max(limits)
    return {f"AR{n}": scores.ar(limit=n) for n in sorted(limits)} | {f"AR{top}_{a}": scores.ar(area=a, limit=top) for a in scores.areas[1:]}


def recall_by_iou(record: Record, limit: int = 1000, thresholds: Floats | None = None, kind: Kind = "boxes") -> tuple[Floats, Floats]:
    """(IoU thresholds, recall at each) of the best `limit` proposals an image, labels aside; .5, .55, ... 1 unless told."""
    levels = np.linspace(0.5, 1.0, 11) if thresholds is None else np.asarray(thresholds, np.float64)
    scores = _agnostic(record, kind, (limit,), levels)
    return levels, scores.recall[:, 0, 0, 0]


def _agnostic(record: Record, kind: Kind, limits: Sequence[int], thresholds: Floats | None = None) -> coco.Scores:
    sizes, truths, found = coco.columns(list(record), kind)
    return coco.evaluate(sizes, record.names, truths, found, kind, limits=limits, thresholds=thresholds, agnostic=True)
