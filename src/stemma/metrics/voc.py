"""Pascal VOC's average precision: at 11 recalls (2007) or under the whole curve (2010 on), difficult objects left out.

It differs from COCO's at one threshold: a detection is held against the object that it overlaps most, taken or not.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .detection import Bools, Floats, Record, box_iou, mean_of

Points = Literal["11", "all"]


@dataclass(frozen=True)
class VocScores:
    """Average precision by class; NaN where a class has no object that counts."""

    names: tuple[str, ...]
    ap: Floats  # (C,)
    true: tuple[int, ...]  # objects that count, by class
    hits: tuple[int, ...]  # detections that found one, by class
    false: tuple[int, ...]  # detections that did not, by class

    @property
    def mean(self) -> float:
        """Mean over the classes that have objects."""
        return mean_of(self.ap)

    def per_class(self) -> dict[str, float]:
        return dict(zip(self.names, self.ap.tolist()))


def average_precision(recall: Floats, precision: Floats, points: Points = "all") -> float:
    """AP of a curve given best detection first.

    "11": mean over recalls 0, .1, ... 1 of the best precision at that recall or beyond (VOC 2007, Everingham et al. 2010, eq. 1).
    "all": area under the curve made monotone (VOC 2010 on).
    """
    if points == "11":
        # The levels are k * 0.1 in floating point, as in the evaluators that papers used: a recall of 3/5 falls short of 0.6000000000000001.
        return float(np.mean([precision[recall >= level].max(initial=0.0) for level in np.arange(11) * 0.1]))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


def voc(record: Record, threshold: float = 0.5, points: Points = "all", inclusive: bool = False) -> VocScores:
    """VOC's AP of a record; its crowd objects are VOC's difficult ones.

    inclusive: the boxes' far edges are pixels that belong to them (VOC's own files), so that width = x2 - x1 + 1.
    """
    far = np.array([0.0, 0.0, 1.0, 1.0]) if inclusive else np.zeros(4)
    count = len(record.names)
    scores: list[list[Floats]] = [[] for _ in range(count)]
    reaches: list[list[Floats]] = [[] for _ in range(count)]  # number within the class of the object overlapped most, -1 for none
    hard: list[list[Bools]] = [[] for _ in range(count)]
    seen = np.zeros(count, np.int64)
    for one in record:
        ious = box_iou(one.found + far, one.boxes + far)
        for c in np.union1d(one.labels, one.found_labels):
            mine, true = np.flatnonzero(one.found_labels == c), np.flatnonzero(one.labels == c)
            reached = np.full(len(mine), -1.0)
            if len(true) and len(mine):
                part = ious[np.ix_(mine, true)]
                best = part.argmax(1)
                reached = np.where(part.max(1) >= threshold, best + seen[c], -1.0)
            scores[c].append(one.scores[mine])
            reaches[c].append(reached)
            hard[c].append(one.crowd[true])
            seen[c] += len(true)
    ap, true_n, hit_n, false_n = np.full(count, np.nan), [0] * count, [0] * count, [0] * count
    for c in range(count):
        difficult = np.concatenate([np.zeros(0, bool), *hard[c]])
        true_n[c] = int((~difficult).sum())
        score = np.concatenate([np.zeros(0), *scores[c]])
        reached = np.concatenate([np.zeros(0), *reaches[c]])[np.argsort(-score, kind="stable")].astype(np.int64)
        counts = np.ones(len(reached), bool)
        counts[reached >= 0] = ~difficult[reached[reached >= 0]]
        reached = reached[counts]
        first = np.zeros(len(reached), bool)
        first[np.unique(reached, return_index=True)[1]] = True
        hit = first & (reached >= 0)
        hit_n[c], false_n[c] = int(hit.sum()), int((~hit).sum())
        if true_n[c]:
            tp = np.cumsum(hit)
            ap[c] = average_precision(tp / true_n[c], tp / np.arange(1, len(hit) + 1), points) if len(hit) else 0.0
    return VocScores(record.names, ap, tuple(true_n), tuple(hit_n), tuple(false_n))
