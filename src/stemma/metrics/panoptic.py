"""Panoptic quality (Kirillov et al. 2018, sec. 4), and the conversions between panoptic, semantic and instance maps.

Axes: S segments, C classes, N instances, H W pixels of the file. A panoptic map holds 0 for void,
else 1 + the segment's index.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import IGNORE, Classes, DataError, Sample, StemmaError
from .resample import Ratios, Tally
from .semantic import SemanticMetric, confusion

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def rgb_to_id(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """COCO's colour coding of segment ids: R + 256 G + 256^2 B. (H, W, 3) -> (H, W)."""
    c = rgb.astype(np.int32)
    return c[..., 0] + 256 * c[..., 1] + 65536 * c[..., 2]


def id_to_rgb(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """The colours of segment ids, 0 <= id < 256^3. (H, W) -> (H, W, 3)."""
    ids = np.asarray(ids).astype(np.int64)
    assert ids.size == 0 or (ids.min() >= 0 and ids.max() < 1 << 24), "segment ids must fit three bytes"
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)


def to_semantic(ids: NDArray[Any], segments: NDArray[Any]) -> NDArray[np.uint8]:
    """The class of every pixel, 255 at void: what remains of a panoptic map without identities."""
    table = np.concatenate([[IGNORE], np.where(np.asarray(segments) < 0, IGNORE, segments)])
    return np.asarray(table[ids], np.uint8)


def to_instances(ids: NDArray[Any], segments: NDArray[Any], things: tuple[bool, ...]) -> tuple[Bools, Ints]:
    """Masks (N, H, W) and labels (N,) of the segments that are things; they do not overlap."""
    segments = np.asarray(segments, np.int64)
    keep = np.flatnonzero([label >= 0 and things[label] for label in segments])
    return ids[None] == (keep + 1)[:, None, None], segments[keep]


def to_panoptic(semantic: NDArray[Any], masks: Bools, labels: Ints, depth: NDArray[Any],
                things: tuple[bool, ...]) -> tuple[NDArray[np.int32], Ints]:
    """A panoptic map from a semantic one and overlapping instances, of which `depth` says who hides whom (the smaller
    is nearer).

    Stuff keeps one segment a class. Pixels of a thing class that no instance covers become void: nobody says whose they
    are. Returns ids (H, W) and the class of each segment. An instance hidden altogether keeps its segment,
    without pixels.
    """
    ids = np.zeros(semantic.shape, np.int32)
    stuff = [int(c) for c in np.unique(semantic) if c != IGNORE and not things[c]]
    for s, c in enumerate(stuff):
        ids[semantic == c] = s + 1
    for i in np.argsort(-np.asarray(depth), kind="stable"):  # farthest first
        ids[masks[i]] = len(stuff) + i + 1
    return ids, np.concatenate([np.asarray(stuff, np.int64), np.asarray(labels, np.int64)])


@dataclass(frozen=True)
class Shared:
    """What the true segments T and the predicted P of a picture have in common. pixels[i, j]: those of true segment i
    and predicted segment j; row and column 0 are void."""

    pixels: Ints  # (T + 1, P + 1)
    true: Ints  # (T,) classes
    crowd: Bools  # (T,)
    found: Ints  # (P,) classes
    spared: Bools | None = None  # (T,) true segments that are not missed where nothing matches them


class PanopticMetric:
    """PQ = sum of matched IoU / (TP + FP/2 + FN/2) a class, averaged over classes. Additive over images.

    A true and a predicted segment match when they share the class and their IoU is above .5 (strictly), void pixels of
    the prediction left out of the union; then at most one can match. An unmatched prediction that lies by more than
    half on void, or on crowd of its class, counts nothing; neither does an unmatched crowd.
    Beside it the classes of the pixels are measured, identities aside: mIoU, and where there is stuff that of stuff and
    of things as one class.
    """

    def __init__(self, classes: Classes) -> None:
        n = len(classes)
        self.classes = classes
        self.tp, self.fp, self.fn = (np.zeros(n, np.int64) for _ in range(3))
        self.iou = np.zeros(n)
        # of each picture PQ's two sums of every class
        self.shares: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        self.shared: list[Shared] = []  # by which the numbers of other rules are had (`panoptic_differences`)
        self.pixels = SemanticMetric(classes)
        self.images = 0

    def add(self, truth: Sample, prediction: Mapping[str, Any]) -> None:
        """Count one image. `prediction`: "panoptic" ids (H, W) as in `Sample.panoptic`,
        "segments" the class of each id (S,), -1 unused.

        Segments without a pixel are not there. Raises `DataError` where the truth has no panoptic map, `StemmaError`
        where the prediction does not fit.
        """
        where = truth.file or f"image {truth.id}"
        if truth.panoptic is None or truth.segments is None:
            raise DataError(where, "has no panoptic map, which this measure needs", field="panoptic")
        missing = [k for k in ("panoptic", "segments") if k not in prediction]
        if missing:
            raise StemmaError(f"prediction for {where}: '{missing[0]}' is missing")
        true_class = np.asarray(truth.segments, np.int64)
        crowd = (np.zeros(len(true_class), bool) if truth.segments_crowd is None
                 else np.asarray(truth.segments_crowd, bool))
        found_class = np.asarray(prediction["segments"], np.int64)
        t, p = np.asarray(truth.panoptic, np.int64), np.asarray(prediction["panoptic"], np.int64)
        if t.shape != p.shape:
            raise StemmaError(f"prediction for {where}: the map is {p.shape}, the picture {t.shape}")
        for name, ids, labels in (("the truth", t, true_class), ("the prediction", p, found_class)):
            if ids.size and (ids.min() < 0 or ids.max() > len(labels)):
                raise StemmaError(f"{name} for {where}: the map holds id {int(ids.max())} and there are "
                                  f"{len(labels)} segments")
            if labels.size and labels.max() >= len(self.classes):
                raise StemmaError(f"{name} for {where}: a segment has class {int(labels.max())} and there are "
                                  f"{len(self.classes)} classes")
        shared = np.bincount((t * (len(found_class) + 1) + p).ravel(),
                             minlength=(len(true_class) + 1) * (len(found_class) + 1))
        shared = shared.reshape(len(true_class) + 1, len(found_class) + 1)
        self.shared.append(Shared(shared, true_class, crowd, found_class))
        tp, fp, fn, iou = count(self.shared[-1], len(self.classes))
        self.tp += tp
        self.fp += fp
        self.fn += fn
        self.iou += iou
        self.shares.append((iou, tp + 0.5 * fp + 0.5 * fn))
        self.pixels.count(confusion(to_semantic(t, true_class), to_semantic(p, found_class), len(self.classes)))
        self.images += 1

    def merge(self, other: PanopticMetric) -> None:
        """Add what another metric, of another part of the data, has counted."""
        assert self.classes == other.classes
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn
        self.iou += other.iou
        self.shares += other.shares
        self.shared += other.shared
        self.pixels.merge(other.pixels)
        self.images += other.images

    def tallies(self) -> dict[str, Tally]:
        """PQ and mIoU by picture, in the order in which they were counted."""
        both = np.asarray(self.shares, np.float64).reshape(-1, 2, len(self.classes))
        return {"PQ": Ratios(both[:, 0], both[:, 1])} | self.pixels.tallies()

    def result(self) -> dict[str, Any]:
        """PQ, SQ, RQ over all classes, and with _things and _stuff behind; mIoU, mIoU_stuff, mIoU_stuff_foreground.
        Fractions, not percent.

        Classes never seen count in no mean; NaN where none is seen.
        """
        pq, sq, rq, seen = _by_class(self.tp, self.fp, self.fn, self.iou)
        out: dict[str, Any] = dict(quality(self.tp, self.fp, self.fn, self.iou, np.asarray(self.classes.things)))
        out |= {k: v for k, v in self.pixels.result().items() if k.startswith("mIoU")}
        out["per_class"] = {
            name: {"PQ": float(pq[c]), "SQ": float(sq[c]), "RQ": float(rq[c]), "TP": int(self.tp[c]),
                   "FP": int(self.fp[c]), "FN": int(self.fn[c])}
            for c, name in enumerate(self.classes.names) if seen[c]
        }
        out["images"] = self.images
        return out


def _by_class(tp: Any, fp: Any, fn: Any, iou: Any) -> tuple[Any, Any, Any, Bools]:
    """PQ, SQ and RQ of each class (C,), 0 where they are undefined, and which classes are seen."""
    half = tp + 0.5 * fp + 0.5 * fn
    seen = half > 0
    zero = np.zeros(len(half))
    return (np.divide(iou, half, out=zero.copy(), where=seen), np.divide(iou, tp, out=zero.copy(), where=tp > 0),
            np.divide(tp, half, out=zero.copy(), where=seen), seen)


def quality(tp: Any, fp: Any, fn: Any, iou: Any, things: Bools, whole: bool = False) -> dict[str, float]:
    """PQ, SQ and RQ over the classes that are seen, or the `whole` list, and with _things and _stuff behind; NaN over
    none."""
    pq, sq, rq, seen = _by_class(tp, fp, fn, iou)
    seen = seen | whole
    out: dict[str, float] = {}
    for suffix, group in (("", seen), ("_things", seen & things), ("_stuff", seen & ~things)):
        for name, values in (("PQ", pq), ("SQ", sq), ("RQ", rq)):
            out[name + suffix] = float(values[group].mean()) if group.any() else float("nan")
    return out


def count(one: Shared, classes: int) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """One picture's matched, false and missed segments, and the sum of the IoUs of the matched, by class, (C,) each."""
    shared, true_class, crowd, found_class = one.pixels, one.true, one.crowd, one.found
    true_area, found_area = shared.sum(1)[1:], shared.sum(0)[1:]
    found_class = np.where(found_area > 0, found_class, -1)
    if found_area[found_class < 0].any():
        raise StemmaError("a predicted segment has pixels and no class")
    both, on_void = shared[1:, 1:], shared[0, 1:]
    union = true_area[:, None] + found_area[None] - both - on_void[None]
    same = (true_class[:, None] == found_class[None]) & ~crowd[:, None]
    i, j = np.nonzero(same & (2 * both > union))
    lost = (true_area > 0) & ~crowd & (True if one.spared is None else ~one.spared)
    lost[i] = False
    ignored = on_void + np.where((true_class[:, None] == found_class[None]) & crowd[:, None], both, 0).sum(0)
    false = (found_class >= 0) & (2 * ignored <= found_area)
    false[j] = False
    tp, fp, fn = (np.bincount(c, minlength=classes) for c in (true_class[i], found_class[false], true_class[lost]))
    return tp, fp, fn, np.bincount(true_class[i], both[i, j] / union[i, j], classes).astype(np.float64)
