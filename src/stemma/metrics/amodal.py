"""What is hidden: recall by how much of an object is occluded, and which of two that overlap is in front.

As in COCO-A (Zhu et al. 2015, sec. 5, and their `amodaleval`): labels aside; an object outside a range of occlusion is
ignored, not deleted; pairs count whether or not both are found. A picture with one pair counts here, which
`amodaleval` leaves out.

G true objects, D found, P pairs, T IoU thresholds.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.samples import DataError, Sample
from ..ops.depth import depth_pairs
from . import coco
from .detection import Bools, Floats, Ints, Record, Rle, rle_tools, to_rles

OCCLUSION = ("none", "partial", "heavy")  # 0; up to .25; above
HEAVY = 0.25
CRITERIA = ("score", "area", "y", "invisible", "oracle")
THRESHOLDS = coco.THRESHOLDS


@dataclass(frozen=True)
class Hidden:
    """One picture: the occlusion rate of every true object, its pairs, and which of them each criterion puts right."""

    rates: Floats  # (G,)
    pairs: Ints  # (P, 2): index of the object in front and of that behind
    right: dict[str, Bools]  # criterion -> (T, P)


def occlusion(visible: Iterable[Any], amodal: Iterable[Any]) -> Floats:
    """1 - |visible| / |amodal| of each object; 0 where both are empty. Masks (H, W), or runs."""
    tools = rle_tools()
    seen, whole = (np.asarray([tools.area(m.as_dict()) for m in to_rles(v)], np.float64) for v in (visible, amodal))
    return np.asarray(1 - seen / np.maximum(whole, 1), np.float64).clip(0, 1) * (whole > 0)


def matched(iou: Floats, threshold: float) -> Ints:
    """(G,) the detection, of rows best first in `iou` (D, G), that finds each object, or -1: each takes the free object
    that it overlaps most, by `threshold` at least."""
    free, out = np.ones(iou.shape[1], bool), np.full(iou.shape[1], -1, np.int64)
    for d, row in enumerate(iou):
        if not free.any():
            break
        g = int(np.where(free, row, -1).argmax())
        if row[g] >= threshold - 1e-10:
            out[g], free[g] = d, False
    return out


def hidden(truth: Sample, prediction: dict[str, Any]) -> Hidden:
    """A picture's rates and order. `truth` has visible and amodal masks, and perhaps `extra["depth"]`, pairs (P, 2);
    else they follow from the masks. `prediction`: masks (amodal), scores, and perhaps visible (their seen part).

    Raises `DataError` where the visible or the amodal masks are missing.
    """
    if truth.amodal is None or truth.masks is None:
        raise DataError(truth.file or f"image {truth.id}", "has no visible and amodal masks, which this measure needs",
                        field="amodal")
    pairs = np.asarray(truth.extra.get("depth", depth_pairs(truth.masks, truth.amodal)), np.int64).reshape(-1, 2)
    scores = np.asarray(prediction["scores"], np.float64)
    best = np.argsort(-scores, kind="stable")
    masks = to_rles(prediction["masks"]) if prediction.get("masks") is not None else ()
    found = [masks[k].as_dict() for k in best]
    seen = to_rles(prediction["visible"]) if prediction.get("visible") is not None else None
    tools, true = rle_tools(), [m.as_dict() for m in to_rles(truth.amodal)]
    iou = (np.asarray(tools.iou(found, true, [False] * len(true)), np.float64) if found and true
           else np.zeros((len(found), len(true)))).reshape(len(found), len(true))
    right = {c: np.zeros((len(THRESHOLDS), len(pairs)), bool) for c in CRITERIA}
    known: dict[tuple[int, int], dict[str, bool]] = {}
    for t, threshold in enumerate(THRESHOLDS):
        at = matched(iou, threshold)
        for p, (front, back) in enumerate(pairs.tolist()):
            two = (int(at[front]), int(at[back]))
            if min(two) < 0:
                continue
            if two not in known:
                known[two] = judged(*(Said(masks[best[d]], None if seen is None else seen[best[d]], scores[best[d]])
                                      for d in two))
            for c in CRITERIA:
                right[c][t, p] = known[two][c]
    return Hidden(occlusion(truth.masks, truth.amodal), pairs, right)


@dataclass(frozen=True)
class Said:
    """A detection as the order is judged by it."""

    amodal: Rle
    visible: Rle | None
    score: float


def judged(front: Said, back: Said) -> dict[str, bool]:
    """Whether each criterion says that `front` is in front. False for all where the two do not overlap."""
    a, b = front.amodal.decode(), back.amodal.decode()
    common = a & b
    if not common.any():
        return dict.fromkeys(CRITERIA, False)
    surer = front.score > back.score
    lost = [0 if s.visible is None else int((common & ~s.visible.decode()).sum()) for s in (front, back)]
    tops = [int(m.any(1).argmax()) for m in (a, b)]
    return {"score": surer, "area": bool(a.sum() < b.sum()), "y": tops[0] > tops[1],
            "invisible": lost[0] < lost[1] if any(lost) else surer, "oracle": True}


def by_occlusion(record: Record, rates: list[Floats], limits: tuple[int, ...] = (10, 100, 1000)) -> dict[str, float]:
    """AR of amodal masks at the largest of `limits` and at 100, by occlusion: keys AR100_none, AR100_partial, ...

    rates: of each picture's objects, in the order of the record.
    """
    rate = np.concatenate(rates) if rates else np.zeros(0)
    return _apart(record, np.select([rate <= 0, rate <= HEAVY], [0, 1], 2), OCCLUSION, limits)


def by_kind(record: Record, things: tuple[bool, ...], limits: tuple[int, ...] = (10, 100, 1000)) -> dict[str, float]:
    """The same of things and of stuff, the other kind ignored and not deleted (`onlyThings` of amodaleval): keys
    AR100_things, AR100_stuff, ...; {} where the classes are of one kind alone. things: of each class."""
    if len(set(things)) < 2:
        return {}
    labels = np.concatenate([p.labels for p in record]) if len(record) else np.zeros(0, np.int64)
    return _apart(record, np.where(np.asarray(things)[labels], 0, 1), ("things", "stuff"), limits)


def _apart(record: Record, group: Ints, names: tuple[str, ...], limits: tuple[int, ...]) -> dict[str, float]:
    """AR by group of objects; `group` of each, in the order of the record, is a place in `names`, of which there are
    three at most."""
    sizes, truths, found = coco.columns(list(record), "masks")
    # COCO's evaluation ignores objects by their area; here one stands for each group: inside small, medium, large
    stand = np.array([1.0, 50.0**2, 200.0**2])[group]
    scores = coco.evaluate(sizes, record.names, replace(truths, area=stand), found, "masks", limits=limits,
                           agnostic=True)
    return {f"AR{n}_{name}": scores.ar(area=a, limit=n) for n in sorted({100, max(limits)})
            for name, a in zip(names, ("small", "medium", "large"), strict=False)}


@dataclass(frozen=True)
class Agreement:
    """What two annotators of one picture say alike."""

    best: Floats  # (A,) greatest IoU of each region of the first with a region of the second
    rates: Floats  # (A,) how much of each is occluded, as the first says
    pairs: int  # regions of both that each has a partner for at IoU .5
    counts: tuple[int, int]  # regions of the first, of the second
    ordered: int  # pairs of such regions that both put in an order
    alike: int  # and those of them that both put in the same

    @property
    def f(self) -> float:
        """F of the regions of one against those of the other, paired at IoU .5; NaN where neither has any."""
        return 2 * self.pairs / sum(self.counts) if sum(self.counts) else float("nan")


def agreement(one: Sample, other: Sample, least: float = 0.5) -> Agreement:
    """How far two annotations of one picture agree (Zhu et al. 2015, sec. 4): on whole regions, each taking the free
    one that it overlaps most by `least` at least, and on the depth order of those that both have.

    Raises `DataError` where visible or amodal masks are missing.
    """
    sides = []
    for s in (one, other):
        if s.amodal is None or s.masks is None:
            raise DataError(s.file or f"image {s.id}", "has no visible and amodal masks, which this measure needs",
                            field="amodal")
        pairs = np.asarray(s.extra.get("depth", depth_pairs(s.masks, s.amodal)), np.int64).reshape(-1, 2)
        sides.append(([m.as_dict() for m in to_rles(s.amodal)], {(int(a), int(b)) for a, b in pairs}))
    (a, first), (b, second) = sides
    iou = np.zeros((len(a), len(b)))
    if a and b:
        iou = np.asarray(rle_tools().iou(a, b, [False] * len(b)), np.float64).reshape(len(a), len(b))
    rows = np.argsort(-iou.max(1, initial=0.0), kind="stable")
    partner = {int(rows[d]): g for g, d in enumerate(matched(iou[rows], least)) if d >= 0}
    both = [(partner[i], partner[j]) for i, j in first if i in partner and j in partner]
    alike = sum(p in second for p in both)
    assert one.masks is not None and one.amodal is not None
    return Agreement(iou.max(1, initial=0.0), occlusion(one.masks, one.amodal), len(partner), (len(a), len(b)),
                     alike + sum(p[::-1] in second for p in both), alike)


def order_accuracy(pictures: Iterable[Hidden]) -> dict[str, float]:
    """The share of pairs whose order is right, by criterion: `order_score` at IoU .5, ...; NaN where there are none."""
    seen = list(pictures)
    count = sum(len(h.pairs) for h in seen)
    return {f"order_{c}": sum(int(h.right[c][0].sum()) for h in seen) / count if count else float("nan")
            for c in CRITERIA}


__all__ = ["CRITERIA", "OCCLUSION", "Agreement", "Hidden", "agreement", "by_kind", "by_occlusion", "depth_pairs",
           "hidden", "occlusion", "order_accuracy"]
