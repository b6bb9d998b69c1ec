"""Measures of label maps: a confusion matrix that grows image by image, and what is read from it.

Axes: C classes, H W pixels of the file. Row = true class, column = predicted class;
a last column counts pixels left without a class.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import IGNORE, Classes, DataError, Sample, StemmaError
from .boundary import boundary_f_by_class, edge_distance, tolerance_of
from .resample import Ratios, Tally

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def confusion(truth: NDArray[Any], predicted: NDArray[Any], classes: int, where: Bools | None = None) -> Ints:
    """Pixels by (true, predicted) class, (C, C + 1). True 255 is left out; a predicted label outside 0..C-1 falls in
    the last column."""
    counted = truth != IGNORE if where is None else (truth != IGNORE) & where
    t, p = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    p = np.where((p < 0) | (p >= classes), classes, p)
    return np.bincount(t * (classes + 1) + p, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def merged(matrix: Ints, groups: Sequence[Sequence[int]]) -> Ints:
    """The confusion matrix after classes are joined: entry g of `groups` lists the classes of new class g."""
    pick = np.zeros((len(groups), len(matrix)), np.int64)
    for g, members in enumerate(groups):
        pick[g, list(members)] = 1
    return np.concatenate([pick @ matrix[:, :-1] @ pick.T, (pick @ matrix[:, -1])[:, None]], 1)


def ious(matrix: Ints) -> NDArray[np.float64]:
    """IoU of each class, NaN where it is neither true nor predicted anywhere."""
    hit = np.diag(matrix)
    union = matrix.sum(1) + matrix[:, :-1].sum(0) - hit
    return np.asarray(np.divide(hit, union, out=np.full(len(matrix), np.nan), where=union > 0))


class SemanticMetric:
    """Pixel accuracy, mean accuracy, mean IoU and frequency-weighted IoU (FCN sec. 5), over any number of images.

    `tolerance`, in pixels, or `share`, of a picture's diagonal, adds the boundary F, whose mean is over pictures, then
    classes; `trimap`, band widths in pixels, adds the mean IoU near true edges. Where the classes are both things and
    stuff, all things joined into one class "foreground" are measured beside the stuff.
    """

    def __init__(self, classes: Classes, tolerance: float | None = None, trimap: Sequence[int] = (),
                 share: float | None = None) -> None:
        n = len(classes)
        self.classes, self.tolerance, self.share = classes, tolerance, share
        self.matrix: Ints = np.zeros((n, n + 1), np.int64)
        self.bands: dict[int, Ints] = {w: np.zeros((n, n + 1), np.int64) for w in trimap}
        self.f_sum, self.f_count = np.zeros(n), np.zeros(n, np.int64)
        # of each picture the pixels of every class in the intersection and in the union
        self.shares: list[tuple[Ints, Ints]] = []
        self.images = 0

    def add(self, truth: Sample, prediction: Mapping[str, Any]) -> None:
        """Count one image. `prediction["semantic"]` is a label map of the file's size.

        Raises `DataError` where the truth has no map or an unknown label,
        `StemmaError` where the prediction does not fit.
        """
        where = truth.file or f"image {truth.id}"
        t = truth.semantic
        if t is None:
            raise DataError(where, "has no semantic map, which this measure needs", field="semantic")
        if "semantic" not in prediction:
            raise StemmaError(f"prediction for {where}: 'semantic', a label map, is missing")
        p = np.asarray(prediction["semantic"])
        if p.shape != t.shape:
            raise StemmaError(f"prediction for {where}: the map is {p.shape}, the picture {t.shape}")
        n = len(self.classes)
        unknown = t[(t >= n) & (t != IGNORE)]
        if unknown.size:
            raise DataError(where, f"the map holds label {int(unknown[0])} and there are {n} classes",
                            "label it 255 to ignore it", field="semantic")
        self.count(confusion(t, p, n))
        if self.bands:
            distance = edge_distance(t)
            for width, matrix in self.bands.items():
                matrix += confusion(t, p, n, np.asarray(distance <= width))
        if self.tolerance is not None or self.share is not None:
            within = (tolerance_of((t.shape[0], t.shape[1]), self.share or 0.0) if self.tolerance is None
                      else self.tolerance)
            for c, f in boundary_f_by_class(t, p, within, IGNORE).items():
                self.f_sum[c] += f
                self.f_count[c] += 1

    def count(self, matrix: Ints) -> None:
        """Add the confusion matrix (C, C + 1) of one picture."""
        self.matrix += matrix
        hit = np.diag(matrix).copy()
        self.shares.append((hit, matrix.sum(1) + matrix[:, :-1].sum(0) - hit))
        self.images += 1

    def merge(self, other: SemanticMetric) -> None:
        """Add what another metric, of another part of the data, has counted."""
        assert (self.classes == other.classes and self.bands.keys() == other.bands.keys()
                and (self.tolerance, self.share) == (other.tolerance, other.share))
        self.matrix += other.matrix
        for width, matrix in self.bands.items():
            matrix += other.bands[width]
        self.f_sum += other.f_sum
        self.f_count += other.f_count
        self.shares += other.shares
        self.images += other.images

    def tallies(self) -> dict[str, Tally]:
        """mIoU by picture, in the order in which they were counted."""
        both = np.asarray(self.shares, np.float64).reshape(-1, 2, len(self.classes))
        return {"mIoU": Ratios(both[:, 0], both[:, 1])}

    def result(self) -> dict[str, Any]:
        """Fractions, not percent. Classes that are neither true nor predicted count in no mean;
        with nothing counted a mean is 0."""
        true, hit = self.matrix.sum(1), np.diag(self.matrix)
        iou = ious(self.matrix)
        accuracy = np.divide(hit, true, out=np.full(len(true), np.nan), where=true > 0)
        total = max(int(true.sum()), 1)
        out: dict[str, Any] = {
            "mIoU": _mean(iou),
            "pixel_accuracy": float(hit.sum() / total),
            "mean_accuracy": _mean(accuracy),
            "fwIoU": float(np.nansum(iou * true) / total),
        }
        things = [i for i, thing in enumerate(self.classes.things) if thing]
        stuff = [i for i, thing in enumerate(self.classes.things) if not thing]
        if things and stuff:
            joined = ious(merged(self.matrix, [*([i] for i in stuff), things]))
            out |= {"mIoU_stuff_foreground": _mean(joined), "foreground_IoU": _number(joined[-1]) or 0.0,
                    "mIoU_stuff": _mean(joined[:-1])}
        if self.tolerance is not None or self.share is not None:
            out["boundary_F"] = _mean(np.divide(self.f_sum, self.f_count, out=np.full(len(true), np.nan),
                                                where=self.f_count > 0))
        for width, matrix in self.bands.items():
            out[f"trimap_mIoU_{width}"] = _mean(ious(matrix))
        out["per_class"] = {
            name: {"IoU": _number(iou[i]), "accuracy": _number(accuracy[i]), "pixels": int(true[i])}
            for i, name in enumerate(self.classes.names)
        }
        out["images"] = self.images
        return out


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
