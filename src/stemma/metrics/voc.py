"""Pascal VOC's average precision: at 11 recalls (2007) or under the whole curve (2010 on), difficult objects left out.

It differs from COCO's at one threshold: a detection is held against the object that it overlaps most, taken or not.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .detection import Floats, Ints, Record, box_iou, by_class, mean_of

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

    "11": mean over recalls 0, .1, ... 1 of the best precision at that recall or beyond (VOC 2007, Everingham et al.
    2010, eq. 1).
    "all": area under the curve made monotone (VOC 2010 on).
    """
    if points == "11":
        # The levels are k * 0.1 in floating point, as in the evaluators that papers used: a recall of 3/5 falls short
        # of 0.6000000000000001.
        return float(reached(recall, precision, np.arange(11, dtype=np.float64) * 0.1).mean())
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


def reached(recall: Floats, precision: Floats, levels: Floats) -> Floats:
    """The best precision at each of `levels` of recall or beyond, 0 where it is not reached."""
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return np.asarray(envelope[np.searchsorted(recall, levels, side="left")])


def voc(record: Record, threshold: float = 0.5, points: Points = "all", inclusive: bool = False) -> VocScores:
    """VOC's AP of a record; its crowd objects are VOC's difficult ones.

    inclusive: the boxes' far edges are pixels that belong to them (VOC's own files), so that width = x2 - x1 + 1.
    """
    far = np.array([0.0, 0.0, 1.0, 1.0]) if inclusive else np.zeros(4)
    none: Ints = np.zeros(0, np.int64)
    scores, labels, reaches, true_labels, hard = [np.zeros(0)], [none], [none], [none], [np.zeros(0, bool)]
    seen = 0
    for one in record:
        # number over the record of the object of its class overlapped most, -1 for none
        reached = np.full(len(one.scores), -1)
        if len(one.labels) and len(reached):
            mine = one.found_labels[:, None] == one.labels[None]
            ious = np.where(mine, box_iou(one.found + far, one.boxes + far), -1.0)
            reached = np.where(ious.max(1) >= threshold, ious.argmax(1) + seen, -1)
        scores.append(one.scores)
        labels.append(one.found_labels)
        reaches.append(reached)
        true_labels.append(one.labels)
        hard.append(one.crowd)
        seen += len(one.labels)
    score, difficult, true_label = np.concatenate(scores), np.concatenate(hard), np.concatenate(true_labels)
    order = np.argsort(-score, kind="stable")
    label, reach = np.concatenate(labels)[order], np.concatenate(reaches)[order]
    counts = np.ones(len(reach), bool)
    counts[reach >= 0] = ~difficult[reach[reach >= 0]]
    label, reach = label[counts], reach[counts]
    hit = np.zeros(len(reach), bool)
    hit[np.unique(reach, return_index=True)[1]] = True  # the best detection of each object
    hit &= reach >= 0
    classes = len(record.names)
    true_n = np.bincount(true_label[~difficult], minlength=classes)
    hit_n, all_n = np.bincount(label[hit], minlength=classes), np.bincount(label, minlength=classes)
    ap = np.full(classes, np.nan)
    each = by_class(label, classes)
    for c in np.flatnonzero(true_n):
        tp = np.cumsum(hit[each[c]])
        ap[c] = average_precision(tp / true_n[c], tp / np.arange(1, len(tp) + 1), points) if len(tp) else 0.0
    return VocScores(record.names, ap, tuple(true_n.tolist()), tuple(hit_n.tolist()), tuple((all_n - hit_n).tolist()))
