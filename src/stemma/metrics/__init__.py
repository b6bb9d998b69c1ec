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

from ..core.paper import Task
from ..core.types import Classes, Info, Sample, StemmaError
from . import coco
from .confusion import confusion
from .count import counts
from .curves import calibration, f1, precision_recall
from .detection import Kind, Matches, Picture, Record, Rle, matches, picture, to_rles
from .errors import errors
from .recall import average_recall, recall_by_iou
from .voc import voc

_KINDS: dict[str, tuple[Kind, ...]] = {
    "detection": ("boxes",), "weak": ("boxes",), "proposals": ("boxes",), "instances": ("boxes", "masks"), "amodal": ("boxes", "masks"),
    "keypoints": ("boxes", "keypoints"),
}
_PREFIX: dict[Kind, str] = {"boxes": "", "masks": "mask_", "keypoints": "keypoint_"}
PIXEL_TASKS = ("semantic", "panoptic")


def plain(value: Any) -> Any:
    """A value that JSON can hold: NaN and infinities become None, arrays and tuples lists, numpy numbers Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
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
    number = counts(record, float(np.nextafter(keep, -np.inf)))
    fit = calibration(found)
    every, eleven = voc(record, iou), voc(record, iou, "11")
    levels, reached = recall_by_iou(record, 100)
    return {
        "iou": iou,
        "pr": {name: [curve.recall, row] for name, row in zip(curve.names, curve.precision) if not np.isnan(row).any()},
        "pr_mean": [curve.recall, curve.mean],
        "f1": {"threshold": f.threshold, "f1": f.f1, "precision": f.precision, "recall": f.recall, "best": f.best, "best_threshold": f.best_threshold},
        "confusion": {
            "labels": [*record.names, "background"], "rows": [*record.names, "(nothing)"], "columns": [*record.names, "(missed)"],
            "matrix": confusion(record, keep, iou, kind), "score": keep, "iou": iou,
        },
        "errors": mistakes.as_dict(),
        "errors_AP50": mistakes.ap50,
        "calibration": {"ECE": fit.error, "worst": fit.worst, "count": fit.count, "score": fit.score, "right": fit.right},
        "recall": {"iou": levels, "recall": reached, **average_recall(record)},
        "count": {"error": number.error, "bias": number.bias, "score": keep, "per_class": number.per_class},
        "voc": {"AP50": every.mean, "AP50_11": eleven.mean, "per_class": every.per_class()},
    }


class Evaluator:
    """Measures of one task over a data set, fed image by image.

    task: "detection" (boxes), "instances" (boxes and masks), "keypoints" (boxes and keypoints), "amodal" (boxes and whole masks),
    "proposals" (boxes without classes), "semantic" or "panoptic". kinds: "boxes", "masks", "keypoints", where they should be
    others than the task's. classes: the label list, `info`'s for the task unless given.
    Raises `StemmaError` for a task without measures here.
    """

    def __init__(self, info: Info, task: Task = "detection", kinds: Sequence[Kind] | None = None, classes: Classes | None = None) -> None:
        self.info, self.task = info, task
        self.classes = classes or info.classes_for(task)
        self.pixels: Any = None
        if task in PIXEL_TASKS:
            self.pixels = self._pixel_metric()
        elif task not in _KINDS:
            raise StemmaError(f"no measures for the task '{task}'; there are some for {', '.join([*_KINDS, *PIXEL_TASKS])}")
        self.kinds: tuple[Kind, ...] = tuple(kinds or _KINDS.get(task, ()))
        self.record = Record(self.classes.names, self.kinds)
        self._orders: set[int] = set()

    def _pixel_metric(self) -> Any:
        if self.task == "semantic":
            from .semantic import SemanticMetric

            return SemanticMetric(self.classes)
        from .panoptic import PanopticMetric

        return PanopticMetric(self.classes)

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, truth: Sample, prediction: dict[str, Any], index: int | None = None) -> None:
        """Take in one image: its truth and what was predicted, in pixels of the file.

        `index` is its position in the data set, and the running number when not given. It settles ties between scores, and a
        position that is already there is left out: processes that saw padding twice can be merged.
        Raises `StemmaError` for a prediction of wrong shapes, labels or NaN; `DataError` for truth without the needed kind.
        """
        order = len(self._orders) if index is None else int(index)
        if order in self._orders:
            return
        if self.pixels is not None:
            self.pixels.add(truth, prediction)
        else:
            self.record.add(picture(truth, prediction, len(self.classes), order, self.kinds, self.task == "amodal"))
        self._orders.add(order)

    def merge(self, other: Evaluator) -> None:
        """Take in what another process saw. Objects seen by both count once; pixel measures must have seen different images.

        Raises `StemmaError` when the tasks or classes differ, or pixel measures overlap.
        """
        if (self.task, self.classes) != (other.task, other.classes):
            raise StemmaError("evaluators of different tasks or classes do not merge")
        if self.pixels is None:
            self.record.merge(other.record)
        elif both := self._orders & other._orders:
            raise StemmaError(f"both evaluators have seen image {min(both)}; give each image's position as `index`, and each image to one of them")
        else:
            self.pixels.merge(other.pixels)
        self._orders |= other._orders

    def result(self) -> dict[str, Any]:
        """The task's numbers, flat but for `per_class`; ready for JSON, None where undefined.

        Boxes: AP, AP50, AP75, AP_small, AP_medium, AP_large, AR1, AR10, AR100, AR_small, AR_medium, AR_large; masks the same with
        "mask_", keypoints AP, AP50, AP75, AP_medium, AP_large, AR, AR50, AR75, AR_medium, AR_large with "keypoint_".
        Proposals: AR10, AR100, AR1000, AR1000_small, ... . Semantic: mIoU, pixel_accuracy, mean_accuracy, fwIoU, and where there are
        things and stuff mIoU_stuff_foreground, all things being one class. Panoptic: PQ, SQ, RQ, for things and for stuff.
        """
        if self.pixels is not None:
            return dict(plain(self.pixels.result()))
        if self.task == "proposals":
            return dict(plain(average_recall(self.record)))
        out: dict[str, Any] = {}
        per_class: dict[str, dict[str, float]] = {name: {} for name in self.classes.names}
        for kind in self.kinds:
            scores = self.scores(kind)
            out |= {_PREFIX[kind] + k: v for k, v in scores.numbers().items()}
            for name, row in scores.per_class().items():
                per_class[name] |= {_PREFIX[kind] + k: v for k, v in row.items()}
        out["count_error"] = counts(self.record).error
        return dict(plain(out | {"per_class": per_class}))

    def scores(self, kind: Kind = "boxes") -> coco.Scores:
        """COCO's full arrays for one kind. Raises `StemmaError` when the record does not hold it."""
        if kind not in self.kinds:
            raise StemmaError(f"this evaluator measures {' and '.join(self.kinds) or self.task}, not {kind}")
        sigmas = self.info.points.sigmas if self.info.points is not None and kind == "keypoints" else ()
        sizes, truths, found = coco.columns(list(self.record), kind)
        return coco.evaluate(sizes, self.classes.names, truths, found, kind, sigmas=sigmas)

    def details(self, kind: Kind = "boxes") -> dict[str, Any]:
        """What a report draws, ready for JSON: "pr" {class: [recalls, precisions]}, "pr_mean", "per_class", "f1", "confusion"
        {"labels", "rows", "columns", "matrix", "score"}, "errors" {kind: {"count", "dAP"}}, "calibration", "recall", "count", "voc".

        Pairs are made at IoU .5; confusion and counts keep detections from the score with the best F1 on.
        Semantic: "confusion", its last column pixels without a class, and "per_class". Panoptic: "per_class".
        """
        if self.pixels is not None:
            numbers = plain(self.pixels.result())
            out: dict[str, Any] = {"per_class": numbers.get("per_class", {})}
            if self.task == "semantic":
                names = list(self.classes.names)
                out["confusion"] = {"labels": [*names, "(none)"], "rows": names, "columns": [*names, "(none)"], "matrix": plain(self.pixels.matrix)}
            return out
        return dict(plain(describe(self.record, kind) | {"per_class": self.result().get("per_class", {})}))


__all__ = [
    "Evaluator", "Matches", "Picture", "Record", "Rle", "average_recall", "calibration", "coco", "confusion", "counts", "describe", "errors", "f1", "matches",
    "picture", "plain", "precision_recall", "recall_by_iou", "to_rles", "voc",
]
