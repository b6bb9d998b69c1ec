"""Measures of detection and segmentation, and `Evaluator`, which picks those of a task.

    evaluator = Evaluator(data.info, "instances")
    for i in range(len(data)):
        evaluator.add(data.truth(i), predict(data[i].image))
    evaluator.result()     {"AP": .41, "AP50": .63, ..., "mask_AP": .38, ..., "per_class": {...}}
    evaluator.details()    curves, confusion matrix, errors by kind, for a report

Only what has to be is kept of a picture: boxes, and masks as run lengths. A number that is undefined (the AP of large
objects where there are none) is NaN inside and None in what these two return, so that both can be written as JSON.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.paper import AGNOSTIC, Task
from ..core.types import Classes, Info, Sample, StemmaError
from . import amodal, coco
from .boundary import SHARE
from .confusion import confusion, joined
from .count import between, counts
from .curves import calibration, equal_error, f1, precision_recall
from .detection import RECALLS, Kind, Matches, Picture, Record, Rle, matches, picture, to_rles
from .errors import errors
from .miss import by_subset, from_matches, miss_rate
from .points import image_ap, image_tally, point_ap, point_tally
from .recall import average_recall, recall_by_count, recall_by_iou
from .resample import Ratios, Tallies, Tally
from .voc import voc

_KINDS: dict[str, tuple[Kind, ...]] = {
    "detection": ("boxes",), "weak": ("boxes",), "proposals": ("boxes",), "instances": ("boxes", "masks"),
    "amodal": ("masks",), "keypoints": ("boxes", "keypoints"),
}
_PREFIX: dict[Kind, str] = {"boxes": "", "masks": "mask_", "keypoints": "keypoint_"}
LVIS = ("LVIS: a detection counts where its class is marked or known to be absent, one of a class that is not marked "
        "everywhere costs nothing, at most 300 a picture")
PIXEL_TASKS = ("semantic", "panoptic")
# widths, in pixels of the file, of the bands around true edges in which a semantic map is measured besides
TRIMAP = (2, 5, 10)


def plain(value: Any) -> Any:
    """A value that JSON can hold: NaN and infinities become None, arrays and tuples lists, numpy numbers Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        sound = value.dtype.kind in "biuU" or value.dtype.kind == "f" and np.isfinite(value).all()
        return value.tolist() if sound else plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def describe(record: Record, kind: Kind = "boxes", iou: float = 0.5) -> dict[str, Any]:
    """What a report draws of a record of detections, pairs made at `iou`. Keys as in `Evaluator.details`."""
    found: Matches = matches(record, iou, kind)
    curve, f = precision_recall(found), f1(found)
    keep = f.best_threshold if np.isfinite(f.best_threshold) else 0.5
    mistakes = errors(record, iou, kind=kind)
    rows, row = joined(record)
    number = counts(record, float(np.nextafter(keep, -np.inf)))
    fit = calibration(found)
    every, eleven = voc(record, iou), voc(record, iou, "11")
    levels, reached = recall_by_iou(record, 100)
    return {
        "iou": iou,
        "pr": {name: [curve.recall, row] for name, row in zip(curve.names, curve.precision) if not np.isnan(row).any()},
        "pr_mean": [curve.recall, curve.mean],
        "f1": {"threshold": f.threshold, "f1": f.f1, "precision": f.precision, "recall": f.recall, "best": f.best,
               "best_threshold": f.best_threshold},
        "confusion": {
            "labels": [*rows, "background"], "rows": [*rows, "(nothing)"], "columns": [*rows, "(missed)"],
            "matrix": confusion(record, keep, iou, kind, row), "score": keep, "iou": iou,
        },
        "errors": mistakes.as_dict(),
        "errors_AP50": mistakes.ap50,
        "calibration": {"ECE": fit.error, "worst": fit.worst, "count": fit.count, "score": fit.score,
                        "right": fit.right},
        "recall": {"iou": levels, "recall": reached, **average_recall(record)},
        "count": {"error": number.error, "bias": number.bias, "score": keep, "per_class": number.per_class},
        "voc": {"AP50": every.mean, "AP50_11": eleven.mean, "per_class": every.per_class()},
    }


def describe_proposals(record: Record) -> dict[str, Any]:
    """What a report draws of proposals, labels aside: recall by IoU with 100 and 1,000 of them,
    and average recall by their number."""
    out: dict[str, Any] = {}
    for kind in record.kinds:
        counted, reached = recall_by_count(record, kind=kind)
        levels, hundred = recall_by_iou(record, 100, kind=kind)
        out[_PREFIX[kind] + "recall"] = {
            "iou": levels, "100": hundred, "1000": recall_by_iou(record, 1000, kind=kind)[1], "count": counted,
            "AR": reached,
        }
    return out


def describe_points(record: Record) -> dict[str, Any]:
    """What a report draws of points: precision against recall, by class and in the mean."""
    points = point_ap(record)
    defined = points.precision[points.positives > 0]
    return {
        "pr": {name: [RECALLS, row] for name, row in zip(points.names, points.precision) if not np.isnan(row).any()},
        "pr_mean": [RECALLS, defined.mean(0) if len(defined) else np.full(len(RECALLS), np.nan)],
    }


class Evaluator:
    """Measures of one task over a data set, fed image by image.

    task: "detection" (boxes), "instances" (boxes and masks), "keypoints" (boxes and keypoints), "amodal" (whole
    masks, labels aside), "proposals" (boxes without classes, and masks where the first prediction has them and the
    data do), "weak" (the best box of a class is a point, its centre), "semantic" or "panoptic". kinds: "boxes",
    "masks", "keypoints", where they should be others than the task's.
    classes: the label list, `info`'s for the task unless given.
    Raises `StemmaError` for a task without measures here.
    """

    def __init__(self, info: Info, task: Task = "detection", kinds: Sequence[Kind] | None = None,
                 classes: Classes | None = None) -> None:
        self.info, self.task = info, task
        self.classes = classes or info.classes_for(task)
        self.pixels: Any = None
        if task in PIXEL_TASKS:
            self.pixels = self._pixel_metric()
        elif task not in _KINDS:
            raise StemmaError(f"no measures for the task '{task}'; there are some for "
                              f"{', '.join([*_KINDS, *PIXEL_TASKS])}")
        self.kinds: tuple[Kind, ...] = tuple(kinds or _KINDS.get(task, ()))
        self.hidden: dict[int, amodal.Hidden] = {}  # of an amodal task: what is occluded, by position
        self.agnostic = task in AGNOSTIC
        self._free = task == "proposals" and not kinds  # the first prediction tells whether there are masks to measure
        # of LVIS's data; measures without classes look at all that is found
        self.frequency = info.frequency if task in ("detection", "instances") and self.classes == info.classes else ()
        self.record = Record(self.classes.names, self.kinds, self.frequency)
        self._orders: dict[int, None] = {}  # positions of the pictures, as they came
        self._told: tuple[int, dict[str, Any]] | None = None  # what `result` said, of how many pictures

    def _pixel_metric(self) -> Any:
        if self.task == "semantic":
            from .semantic import SemanticMetric

            return SemanticMetric(self.classes, share=SHARE, trimap=TRIMAP)
        from .panoptic import PanopticMetric

        return PanopticMetric(self.classes)

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, truth: Sample, prediction: dict[str, Any], index: int | None = None) -> None:
        """Take in one image: its truth and what was predicted, in pixels of the file.

        `index` is its position in the data set, and the running number when not given. It settles ties between scores,
        and a position that is already there is left out: processes that saw padding twice can be merged.
        Raises `StemmaError` for a prediction of wrong shapes, labels or NaN;
        `DataError` for truth without the needed kind.
        """
        order = len(self._orders) if index is None else int(index)
        if order in self._orders:
            return
        if self.pixels is not None:
            self.pixels.add(truth, prediction)
        else:
            if not self._orders and self._free and prediction.get("masks") is not None and truth.masks is not None:
                self.kinds = ("boxes", "masks")
                self.record = Record(self.classes.names, self.kinds)
            self.record.add(picture(truth, prediction, len(self.classes), order, self.kinds, self.task == "amodal",
                                    bool(self.frequency)))
            if self.task == "amodal":
                self.hidden[order] = amodal.hidden(truth, prediction)
        self._orders[order] = None

    def merge(self, other: Evaluator) -> None:
        """Take in what another process saw. Objects seen by both count once;
        pixel measures must have seen different images.

        Raises `StemmaError` when the tasks or classes differ, or pixel measures overlap.
        """
        if (self.task, self.classes) != (other.task, other.classes):
            raise StemmaError("evaluators of different tasks or classes do not merge")
        if self.pixels is None:
            if not self._orders:
                self.kinds, self.record = other.kinds, Record(self.classes.names, other.kinds, self.frequency)
            if other._orders:
                self.record.merge(other.record)
        elif both := self._orders.keys() & other._orders.keys():
            raise StemmaError(f"both evaluators have seen image {min(both)}; give each image's position as `index`, "
                              "and each image to one of them")
        else:
            self.pixels.merge(other.pixels)
        self.hidden = other.hidden | self.hidden
        self._orders |= other._orders

    def result(self) -> dict[str, Any]:
        """The task's numbers, flat but for `per_class`; ready for JSON, None where undefined.

        Boxes: AP, AP50, AP75, AP_small, AP_medium, AP_large, AR1, AR10, AR100, AR_small, AR_medium, AR_large; masks the
        same with "mask_", keypoints AP, AP50, AP75, AP_medium, AP_large, AR, AR50, AR75, AR_medium, AR_large with
        "keypoint_". Of boxes besides:
        EER (where precision equals recall), MR2 (log-average miss rate, less is better; where data tell what can be
        seen of an object also MR2_reasonable, MR2_small, MR2_heavy, MR2_all, MR2_bare, MR2_partial), count_error (mean
        |found - true| of detections that score above .5), between (those a picture that overlap two objects of their
        class by .2 to .5 each) and point_AP (their centres as points); and Pascal VOC's mAP at IoU .5,
        VOC_AP50 under the whole curve (2010 on), VOC_AP50_11 at eleven recalls (2007).
        LVIS's data are measured by LVIS's rules ("rules" says so): APr, APc and APf of rare, common and frequent
        classes and AR300 in the place of AR1 to AR100, and none of VOC's.
        Proposals: AR10, AR100, AR1000, and by size AR100_small, ..., AR1000_small, ...; of masks with "mask_". Weak:
        point_AP, image_AP.
        Amodal: the same of whole masks with labels aside, mask_AR10, mask_AR100, mask_AR1000, recall by occlusion
        (mask_AR100_none, _partial, _heavy, and of 1,000) and, where there are both, of things and of stuff
        (mask_AR100_things, _stuff, and of 1,000), and the share of pairs put in the right order by each
        criterion (order_score, order_area, order_y, order_invisible, order_oracle).
        Semantic: mIoU, pixel_accuracy, mean_accuracy, fwIoU,
        boundary_F (tolerance .0075 of the diagonal), trimap_mIoU_2, _5, _10 within so many pixels of a true edge, and
        where there are things and stuff mIoU_stuff_foreground, all things being one class. Panoptic: PQ, SQ, RQ, for
        things and for stuff, and the mIoUs.
        """
        if self._told is None or self._told[0] != len(self._orders):  # `details` asks again
            self._told = len(self._orders), self._measured()
        return dict(self._told[1])

    def _measured(self) -> dict[str, Any]:
        if self.pixels is not None:
            return dict(plain(self.pixels.result()))
        if self.task == "proposals":
            return dict(plain({_PREFIX[kind] + k: v for kind in self.kinds
                               for k, v in average_recall(self.record, kind=kind).items()}))
        if self.task == "weak":
            points, images = point_ap(self.record), image_ap(self.record)
            rows = {name: {"point_AP": point, "image_AP": image}
                    for name, point, image in zip(points.names, points.ap.tolist(), images.ap.tolist(), strict=True)}
            return dict(plain({"point_AP": points.mean, "image_AP": images.mean, "per_class": rows}))
        if self.task == "amodal":
            return dict(plain(self._whole()))
        out: dict[str, Any] = {}
        per_class: dict[str, dict[str, float]] = {name: {} for name in self.classes.names}
        for kind in self.kinds:
            scores = self.scores(kind)
            out |= {_PREFIX[kind] + k: v for k, v in scores.numbers().items()}
            for name, row in scores.per_class().items():
                per_class[name] |= {_PREFIX[kind] + k: v for k, v in row.items()}
        if "boxes" in self.kinds:
            found = matches(self.record, limit=None)
            missed = from_matches(found, len(self.record))
            for name, rate in missed.per_class().items():
                per_class[name]["MR2"] = rate
            out |= {"EER": coco.mean_of(equal_error(found)), "MR2": missed.mean, "point_AP": point_ap(self.record).mean}
            out |= {f"MR2_{name}": rate for name, rate in by_subset(self.record).items()}
            if not self.frequency:  # VOC knows no classes that were not searched for
                out |= {"VOC_AP50": voc(self.record).mean, "VOC_AP50_11": voc(self.record, points="11").mean}
        if not self.frequency:
            out |= {"count_error": counts(self.record).error, "between": between(self.record)}
        return dict(plain(out | {"per_class": per_class} | ({"rules": LVIS} if self.frequency else {})))

    def _whole(self) -> dict[str, Any]:
        rates = [self.hidden[p.order].rates for p in self.record]
        found = (self.scores("masks").numbers() | average_recall(self.record, kind="masks")
                 | amodal.by_occlusion(self.record, rates) | amodal.by_kind(self.record, self.classes.things))
        return {"mask_" + k: v for k, v in found.items()} | amodal.order_accuracy(self.hidden.values())

    def scores(self, kind: Kind = "boxes") -> coco.Scores:
        """COCO's full arrays for one kind. Raises `StemmaError` when the record does not hold it."""
        if kind not in self.kinds:
            raise StemmaError(f"this evaluator measures {' and '.join(self.kinds) or self.task}, not {kind}")
        sizes, truths, found = coco.columns(list(self.record), kind)
        return coco.evaluate(sizes, self.classes.names, truths, found, kind, sigmas=self._sigmas(kind),
                             agnostic=self.agnostic, federated=coco.Federated.of(self.record))

    def tallies(self, fingerprint: str = "") -> Tallies:
        """What each picture adds to the measures by which systems are ranked,
        to be had again under other weights of the pictures.

        By task: AP and point_AP, mask_AP, keypoint_AP; AR100 and mask_AR100; point_AP and image_AP; mIoU; PQ and mIoU.
        `fingerprint` is the data set's: measures of two systems are compared on the same resamples where it and the
        pictures are the same.
        """
        order = np.array(sorted(self._orders), np.int64)
        found: dict[str, Tally]
        if self.pixels is not None:
            at = np.argsort(np.array(list(self._orders), np.int64))
            found = {k: Ratios(v.above[at], v.below[at]) for k, v in self.pixels.tallies().items()}
        elif self.task == "weak":
            found = {"point_AP": point_tally(self.record), "image_AP": image_tally(self.record)}
        elif self.task == "proposals":
            found = {_PREFIX[kind] + "AR100": self._tally(kind) for kind in self.kinds}
        else:
            found = {_PREFIX[kind] + "AP": self._tally(kind) for kind in self.kinds}
            found |= {"point_AP": point_tally(self.record)} if "boxes" in self.kinds and not self.agnostic else {}
        return Tallies(fingerprint, order, found)

    def _tally(self, kind: Kind) -> Tally:
        recall = self.task == "proposals"
        sizes, truths, found = coco.columns(list(self.record), kind)
        return coco.tally(sizes, self.classes.names, truths, found, kind, sigmas=self._sigmas(kind),
                          agnostic=self.agnostic, recall=recall, federated=coco.Federated.of(self.record))

    def _sigmas(self, kind: Kind) -> tuple[float, ...]:
        return self.info.points.sigmas if self.info.points is not None and kind == "keypoints" else ()

    def details(self, kind: Kind = "boxes") -> dict[str, Any]:
        """What a report draws, ready for JSON: "pr" {class: [recalls, precisions]}, "pr_mean", "per_class", "f1",
        "confusion" {"labels", "rows", "columns", "matrix", "score"}, "errors" {kind: {"count", "dAP"}}, "calibration",
        "recall", "count", "voc".

        Pairs are made at IoU .5; confusion and counts keep detections from the score with the best F1 on. Proposals:
        "recall" (and "mask_recall") {"iou", "100", "1000": recall at each IoU of so many, "count", "AR"}. Weak: "pr",
        "pr_mean", "per_class".
        Semantic: "confusion", its last column pixels without a class, and "per_class". Panoptic: "per_class".
        """
        if self.pixels is not None:
            numbers = self.result()
            out: dict[str, Any] = {"per_class": numbers.get("per_class", {})}
            if self.task == "semantic":
                names = list(self.classes.names)
                out["confusion"] = {"labels": [*names, "(none)"], "rows": names, "columns": [*names, "(none)"],
                                    "matrix": plain(self.pixels.matrix)}
            return out
        if self.agnostic:
            return dict(plain(describe_proposals(self.record)))
        if self.task == "weak":
            return dict(plain(describe_points(self.record) | {"per_class": self.result()["per_class"]}))
        return dict(plain(describe(self.record, kind) | {"per_class": self.result().get("per_class", {})}))


__all__ = [
    "Evaluator", "Matches", "Picture", "Record", "Rle", "Tallies", "average_recall", "calibration", "coco", "confusion",
    "counts", "describe", "describe_points", "describe_proposals", "equal_error", "errors", "f1", "image_ap", "matches",
    "miss_rate", "picture", "plain", "point_ap", "precision_recall", "recall_by_count", "recall_by_iou",
    "to_rles", "voc",
]
