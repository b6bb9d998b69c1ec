"""Curves over the score: precision against recall, F1 against the threshold, and how far scores are from frequencies.

All read `Matches`: every detection of a record with its score and whether it took an object, best first.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .detection import RECALLS, Floats, Ints, Matches, by_class, interpolate


@dataclass(frozen=True)
class Curve:
    """Precision at 101 recalls, by class and their mean; NaN where a class has no objects."""

    names: tuple[str, ...]
    recall: Floats  # (101,)
    precision: Floats  # (C, 101)

    @property
    def mean(self) -> Floats:
        """Mean over the classes that have objects, (101,)."""
        defined = self.precision[~np.isnan(self.precision).any(1)]
        return defined.mean(0) if len(defined) else np.full(len(self.recall), np.nan)


def precision_recall(found: Matches) -> Curve:
    """Precision at recalls 0, .01, ... 1, interpolated as COCO does; a class's mean precision is its AP at that IoU."""
    rows, each = np.full((len(found.names), len(RECALLS)), np.nan), by_class(found.labels, len(found.names))
    for c in np.flatnonzero(found.positives):
        rows[c] = interpolate(found.hit[each[c]], int(found.positives[c]), RECALLS)
    return Curve(found.names, RECALLS, rows)


@dataclass(frozen=True)
class F1:
    """Precision, recall and F1 of keeping the detections that score at least a threshold, all classes pooled."""

    threshold: Floats
    precision: Floats  # 1 where nothing is kept
    recall: Floats
    f1: Floats
    best: float  # highest F1 over all thresholds, not only those listed; NaN without objects
    best_threshold: float  # the score at which it is reached


def f1(found: Matches, thresholds: Floats | None = None) -> F1:
    """F1 against the threshold, at 0, .01, ... 1 unless told."""
    levels = np.linspace(0, 1, 101) if thresholds is None else np.asarray(thresholds, np.float64)
    total = int(found.positives.sum())
    tp = np.concatenate([[0], np.cumsum(found.hit)])

    def at(kept: Ints) -> tuple[Floats, Floats, Floats]:
        hits = tp[kept]
        precision = np.where(kept > 0, hits / np.maximum(kept, 1), 1.0)
        recall = hits / total if total else np.full(len(kept), np.nan)
        return precision, recall, 2 * hits / (kept + total) if total else np.full(len(kept), np.nan)

    best, best_threshold = float("nan"), float("nan")
    if total:
        last = np.flatnonzero(np.diff(found.scores, append=-np.inf) != 0)  # equal scores are kept or dropped together
        best, best_threshold = 0.0, 1.0
        if len(last):
            values = at(last + 1)[2]
            top = int(np.argmax(values))
            best, best_threshold = float(values[top]), float(found.scores[last[top]])
    kept = np.searchsorted(-found.scores, -levels, side="right")
    precision, recall, score = at(kept)
    return F1(levels, precision, recall, score, best, best_threshold)


def equal_error(found: Matches) -> Floats:
    """(C,) the value at which precision equals recall, 1 best, by class; NaN without objects.

    The two are equal where as many detections are kept as there are objects; with fewer detections than that it is the
    recall of all. ReInspect (arXiv 1506.04878, sec. 4) calls it the equal error rate.
    """
    out, each = np.full(len(found.names), np.nan), by_class(found.labels, len(found.names))
    for c in np.flatnonzero(found.positives):
        out[c] = found.hit[each[c][: found.positives[c]]].sum() / found.positives[c]
    return out


@dataclass(frozen=True)
class Calibration:
    """Scores against the frequency of being right, in bins of equal width."""

    error: float  # ECE: |frequency - mean score|, weighted by the bins' counts; NaN without detections
    worst: float  # the largest bin's gap
    count: Ints  # (bins,)
    score: Floats  # (bins,) mean score, NaN where empty
    right: Floats  # (bins,) frequency of taking an object, NaN where empty


def calibration(found: Matches, bins: int = 10) -> Calibration:
    """Expected calibration error of detections (Naeini et al. 2015; Guo et al. 2017, eq. 5).
    Scores must lie in 0..1."""
    which = np.clip(np.ceil(found.scores * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        score = np.bincount(which, found.scores, bins) / count
        right = np.bincount(which, found.hit.astype(np.float64), bins) / count
    gap = np.abs(score - right)
    total = int(count.sum())
    error = float(np.nansum(gap * count) / total) if total else float("nan")
    return Calibration(error, float(np.nanmax(gap)) if total else float("nan"), count, score, right)
