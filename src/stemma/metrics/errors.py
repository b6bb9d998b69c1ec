"""What goes wrong, by kind, and what mending each kind alone would gain: after TIDE (Bolya et al. 2020, arXiv
2008.08115).

A detection that takes no object at IoU .5 is, in this order:

    localisation  overlaps an object of its class by .1 up to .5
    class         overlaps an object of another class by .5 or more
    duplicate     overlaps by .5 or more an object of its class that a better one has taken
    background    overlaps no object by more than .1
    both          what is left: overlaps an object of another class by more than .1, up to .5

and an object that nothing takes, and that no localisation or class error points to, is missed.

Mending (sec. 2.3): a localisation error gets its object's box and a class error its object's class, which makes it
right; but it is dropped when another detection has that object already, or a better one of its kind points to it too.
Duplicate, background and both are dropped; a missed object is taken out of the count.

Where there are no crowd objects, counts equal those of the authors' tidecv 1.0.1, and gains do but in two corners: an
object that a class error and a localisation error point to can be had by either here (there by the better one alone),
and a class whose every object is missed leaves the mean here (there it stays in with 0).
What a crowd object holds is no error here.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .detection import (
    IGNORED,
    Bools,
    Floats,
    Ints,
    Kind,
    Record,
    by_class,
    by_score,
    interpolate,
    match,
    mean_of,
    overlap,
)

ErrorKind = Literal["class", "localisation", "both", "duplicate", "background", "missed"]
KINDS: tuple[ErrorKind, ...] = ("class", "localisation", "both", "duplicate", "background", "missed")
_HIT = -1


@dataclass(frozen=True)
class Errors:
    """Counts of each kind, and the AP50 that mending each alone would gain (0..1; NaN without objects)."""

    ap50: float
    count: dict[ErrorKind, int]
    gain: dict[ErrorKind, float]

    def as_dict(self) -> dict[str, dict[str, float]]:
        """{kind: {"count": ..., "dAP": ...}}"""
        return {k: {"count": self.count[k], "dAP": self.gain[k]} for k in KINDS}


@dataclass
class _Table:
    """All detections of a record, with the object each has or points to, numbered over the record."""

    scores: Floats
    labels: Ints
    state: Ints  # _HIT or index into KINDS
    target: Ints  # object, or -1
    true_labels: Ints
    counts: Bools  # objects that are not crowd
    missed: Bools


def errors(record: Record, positive: float = 0.5, background: float = 0.1, kind: Kind = "boxes",
           limit: int | None = 100) -> Errors:
    """Sort a record's mistakes into kinds and measure what each costs. Thresholds are TIDE's t_f = .5 and t_b = .1."""
    table = _sort(record, positive, background, kind, limit)
    base = _ap(table, None, len(record.names))
    count: dict[ErrorKind, int] = {k: int((table.state == i).sum()) for i, k in enumerate(KINDS)}
    count["missed"] = int(table.missed.sum())
    gain: dict[ErrorKind, float] = {k: _ap(table, k, len(record.names)) - base for k in KINDS}
    return Errors(base, count, gain)


def _sort(record: Record, positive: float, background: float, kind: Kind, limit: int | None) -> _Table:
    empty: Ints = np.zeros(0, np.int64)
    scores, labels, states, targets, true_labels = [np.zeros(0)], [empty], [empty], [empty], [empty]
    counted, missed = [np.zeros(0, bool)], [np.zeros(0, bool)]
    start = 0
    for one in record:
        best = by_score(one, limit)
        ious = overlap(one, kind)[best]
        said = one.found_labels[best]
        taken = match(ious, said, one.labels, one.crowd, positive)
        plain = np.where(one.crowd[None], 0.0, ious)
        same = said[:, None] == one.labels[None]
        mine, others = np.where(same, plain, 0.0), np.where(same, 0.0, plain)
        if len(one.labels):
            near, near_at, far, far_at = mine.max(1), mine.argmax(1), others.max(1), others.argmax(1)
        else:
            near = far = np.zeros(len(best))
            near_at = far_at = np.full(len(best), -1)
        state = np.full(len(best), KINDS.index("both"))
        state[np.maximum(near, far) <= background] = KINDS.index("background")
        state[near >= positive] = KINDS.index("duplicate")
        state[far >= positive] = KINDS.index("class")
        state[(near >= background) & (near < positive)] = KINDS.index("localisation")
        state[taken >= 0] = _HIT
        target = np.full(len(best), -1)
        for name, at in (("localisation", near_at), ("class", far_at)):
            pointed = state == KINDS.index(name)
            target[pointed] = at[pointed]
        target[taken >= 0] = taken[taken >= 0]
        keep = taken != IGNORED
        covered = np.zeros(len(one.labels), bool)
        covered[target[keep & (target >= 0)]] = True
        scores.append(one.scores[best][keep])
        labels.append(said[keep])
        states.append(state[keep])
        targets.append(np.where(target >= 0, target + start, -1)[keep])
        true_labels.append(one.labels)
        counted.append(~one.crowd)
        missed.append(~one.crowd & ~covered)
        start += len(one.labels)
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return _Table(
        score[order], np.concatenate(labels)[order], np.concatenate(states)[order], np.concatenate(targets)[order],
        np.concatenate(true_labels), np.concatenate(counted), np.concatenate(missed),
    )


def _ap(t: _Table, mended: ErrorKind | None, classes: int) -> float:
    """AP at the positive threshold after mending one kind (or none), over the classes that have objects."""
    hit, labels, counts = t.state == _HIT, t.labels, t.counts
    keep = np.ones(len(hit), bool)
    if mended == "missed":
        counts = counts & ~t.missed
    elif mended in ("localisation", "class"):
        fixed = t.state == KINDS.index(mended)
        keep = ~fixed
        free = np.flatnonzero(fixed & ~np.isin(t.target, t.target[hit]))
        chosen = free[np.unique(t.target[free], return_index=True)[1]]  # of several that point to an object the best
        keep[chosen] = True
        labels, hit = labels.copy(), hit.copy()
        labels[chosen], hit[chosen] = t.true_labels[t.target[chosen]], True
    elif mended is not None:
        keep = t.state != KINDS.index(mended)
    positives = np.bincount(t.true_labels[counts], minlength=classes)
    hit = hit[keep]
    each = by_class(labels[keep], classes)
    return mean_of(float(interpolate(hit[each[c]], int(positives[c])).mean()) for c in np.flatnonzero(positives))
