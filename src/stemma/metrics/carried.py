"""How well features carry over: measures of a classification, and the statistics of many networks on many data sets
(Kornblith, Shlens and Le 2018, arXiv 1805.08974).

Accuracies are compared as logits, ln(a / (1 - a)), so that from .97 to .99 is as far as from .60 to .82; what a data
set is by itself harder than another is taken off (`adjusted`) before networks are averaged over sets.

Axes: M networks, S data sets, N pictures, C classes.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .detection import Floats
from .voc import average_precision

Measure = Literal["top-1", "per-class", "map-11"]
MEASURES: tuple[str, ...] = get_args(Measure)
RESAMPLES = 10_000


def measured(measure: str, scores: Floats, labels: NDArray[Any]) -> float:
    """One number of a classification, in 0..1.

    scores: (N, C). labels: int (N,) for "top-1" (share that is right) and "per-class" (mean over the classes that are
    there of each one's share); bool (N, C) for "map-11" (VOC 2007: mean over classes of the precision at eleven
    recalls).
    """
    if measure == "map-11":
        return float(np.mean([_ap(scores[:, c], labels[:, c] > 0)
                              for c in range(scores.shape[1]) if labels[:, c].any()]))
    right = scores.argmax(1) == labels
    if measure == "top-1":
        return float(right.mean())
    return float(np.mean([right[labels == c].mean() for c in np.unique(labels)]))


def _ap(scores: Floats, true: NDArray[np.bool_]) -> float:
    hit = true[np.argsort(-scores, kind="stable")]
    found = np.cumsum(hit)
    return average_precision(found / max(int(true.sum()), 1), found / np.arange(1, len(hit) + 1), "11")


def tightness(rows: Floats, labels: NDArray[Any]) -> float:
    """Mean squared distance of two rows (N, D) of one class over that of two of different classes: the smaller, the
    tighter classes lie. NaN where there are no two of either kind."""
    x = rows - rows.mean(0)
    apart = lambda v: len(v) * float((v * v).sum()) - float((v.sum(0) ** 2).sum())  # over all pairs
    groups = [x[labels == c] for c in np.unique(labels)]
    inside, pairs = sum(map(apart, groups)), sum(len(g) * (len(g) - 1) / 2 for g in groups)
    outside, others = apart(x) - inside, len(x) * (len(x) - 1) / 2 - pairs
    return (inside / pairs) / (outside / others) if pairs and others and outside > 0 else math.nan


def logit(accuracy: Floats | float, count: NDArray[np.int64] | int) -> Floats:
    """ln(a / (1 - a)); 0 and 1 of `count` pictures are half a picture off, so that they are finite."""
    half = 0.5 / np.maximum(np.asarray(count, np.float64), 1)
    a = np.clip(np.asarray(accuracy, np.float64), half, 1 - half)
    return np.asarray(np.log(a / (1 - a)))


def adjusted(logits: Floats) -> Floats:
    """(M, S) -> (M, S): less each set's mean over networks, so that every column adds up to 0."""
    return np.asarray(logits - logits.mean(0, keepdims=True))


def intervals(logits: Floats) -> Floats:
    """Half-widths (M,) of the 95 % intervals of each network's mean over sets, with what sets differ by themselves
    removed (Morey 2008: M networks leave M - 1 of M of the variance). NaN for one set or one network."""
    m, s = logits.shape
    if m < 2 or s < 2:
        return np.full(m, np.nan)
    spread = adjusted(logits).std(1, ddof=1) * math.sqrt(m / (m - 1))
    return np.asarray(stats.t.ppf(0.975, s - 1) * spread / math.sqrt(s))


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of n pairs with its 95 % interval by Fisher's z (NaN under four pairs), by resampling pairs, and
    Spearman's rank correlation."""

    r: float
    low: float
    high: float
    n: int
    drawn_low: float
    drawn_high: float
    rank: float


def correlation(x: Floats, y: Floats, seed: int = 0) -> Correlation:
    """Of two rows of numbers; NaN where one of them does not vary or there are fewer than three pairs."""
    x, y, n = np.asarray(x, np.float64), np.asarray(y, np.float64), len(x)
    nothing = float("nan")
    if n < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(nothing, nothing, nothing, n, nothing, nothing, nothing)
    r = float(np.corrcoef(x, y)[0, 1])
    low = high = nothing
    if n > 3:
        z, half = math.atanh(min(max(r, -1 + 1e-15), 1 - 1e-15)), 1.959963984540054 / math.sqrt(n - 3)
        low, high = math.tanh(z - half), math.tanh(z + half)
    at = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    a, b = x[at] - x[at].mean(1, keepdims=True), y[at] - y[at].mean(1, keepdims=True)
    below = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    drawn = (a * b).sum(1)[below > 0] / below[below > 0]
    ends = np.quantile(drawn, (0.025, 0.975))
    return Correlation(r, low, high, n, float(ends[0]), float(ends[1]), float(stats.spearmanr(x, y).statistic))


def exchanged(one: NDArray[np.bool_], other: NDArray[np.bool_], draws: int = 100_000, seed: int = 0,
              labels: NDArray[Any] | None = None) -> float:
    """p of a permutation test of two networks on one set: how often exchanging their answers at random, picture by
    picture, makes them differ as much. one, other: which pictures each has right, (N,). For top-1 accuracy this is
    McNemar's exact test, drawn; with the classes `labels` (N,) it is of the mean over
    classes of each one's share, in which a picture of a small class weighs more."""
    group = np.zeros(len(one), np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    weight = 1 / np.bincount(group)
    seen = abs(float((weight[group] * (one.astype(np.int64) - other)).sum()))
    rng, drawn = np.random.default_rng(seed), np.zeros(draws)
    for w, apart in zip(weight, np.bincount(group, one != other).astype(np.int64)):
        drawn += w * (2 * rng.binomial(apart, 0.5, draws) - apart)
    return float((1 + (np.abs(drawn) >= seen - 1e-9).sum()) / (1 + draws))  # what was seen is one of the exchanges


def packed(right: NDArray[np.bool_]) -> str:
    """Which pictures are right, as text: four a letter."""
    return np.packbits(right).tobytes().hex()


def unpacked(text: str, count: int) -> NDArray[np.bool_]:
    """The reverse of `packed`, (count,)."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


__all__ = ["MEASURES", "Correlation", "Measure", "adjusted", "correlation", "exchanged", "intervals", "logit",
           "measured", "packed", "tightness", "unpacked"]
