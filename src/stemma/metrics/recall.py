"""Recall of class-agnostic proposals: AR@10/100/1000, and recall against IoU and against their number."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import coco
from .detection import Floats, Ints, Kind, Record


def average_recall(record: Record, limits: Sequence[int] = (10, 100, 1000), kind: Kind = "boxes") -> dict[str, float]:
    """Recall averaged over IoU .5, .55, ... .95, labels aside, for so many proposals an image; by object size at 100
    and at the largest.

    Twice the area between the recall-IoU curve and IoU .5 (Hosang et al. 2015, sec. 5);
    limits and sizes as DeepMask's table 1 has them.
    Keys: AR10, AR100, AR1000, AR100_small, ..., AR1000_small, ...; NaN where there are no objects.
    """
    scores = _agnostic(record, kind, limits)
    sized = sorted({n for n in limits if n == 100} | {max(limits)})
    return {f"AR{n}": scores.ar(limit=n) for n in sorted(limits)} | {f"AR{n}_{a}": scores.ar(area=a, limit=n)
                                                                     for n in sized for a in scores.areas[1:]}


def recall_by_count(record: Record, counts: Sequence[int] = (1, 3, 10, 30, 100, 300, 1000),
                    kind: Kind = "boxes") -> tuple[Ints, Floats]:
    """(numbers of proposals an image, average recall of so many): the curve by which proposal methods are drawn."""
    scores = _agnostic(record, kind, counts)
    return np.array(sorted(counts)), np.array([scores.ar(limit=n) for n in sorted(counts)])


def recall_by_iou(record: Record, limit: int = 1000, thresholds: Floats | None = None,
                  kind: Kind = "boxes") -> tuple[Floats, Floats]:
    """(IoU thresholds, recall at each) of the best `limit` proposals an image, labels aside; .5, .55, ...
    1 unless told."""
    levels = np.linspace(0.5, 1.0, 11) if thresholds is None else np.asarray(thresholds, np.float64)
    scores = _agnostic(record, kind, (limit,), levels)
    return levels, scores.recall[:, 0, 0, 0]


def _agnostic(record: Record, kind: Kind, limits: Sequence[int], thresholds: Floats | None = None) -> coco.Scores:
    sizes, truths, found = coco.columns(list(record), kind)
    return coco.evaluate(sizes, record.names, truths, found, kind, limits=limits, thresholds=thresholds, agnostic=True)
