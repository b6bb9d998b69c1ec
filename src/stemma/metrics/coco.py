"""COCO's measures: average precision and recall over boxes, masks or keypoints, as pycocotools computes them.

The matching runs in hotcoco; this face holds the columns that go in and the arrays that come out, so that another
evaluator can take its place. Numbers equal pycocotools' to 1e-9 (tests compare them over real and drawn results).

T IoU thresholds, R recall levels, C classes, A area ranges, M detection limits.
"""
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.types import DataError, StemmaError
from .detection import INSTALL, Bools, Floats, Ints, Kind, Picture, Rle, mean_of

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS: dict[str, tuple[float, float]] = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2),
                                         "large": (96**2, 1e10)}
PERSON = tuple(s / 10 for s in (0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87,
                                0.87, 0.89, 0.89))
UNIFORM = 0.05  # OKS sigma of points whose data set gives none
_NAMES: dict[Kind, str] = {"boxes": "bbox", "masks": "segm", "keypoints": "keypoints"}


@dataclass(frozen=True)
class Scores:
    """What COCO's evaluation yields. NaN stands for what is undefined: no object of the class, or none of the size."""

    kind: Kind
    names: tuple[str, ...]
    precision: Floats  # (T, R, C, A, M), NaN where a class has no objects
    recall: Floats  # (T, C, A, M)
    confidence: Floats  # (T, R, C, A, M) score at which each recall is reached
    thresholds: Floats  # (T,)
    areas: tuple[str, ...]
    limits: tuple[int, ...]

    def ap(self, threshold: float | None = None, area: str = "all", limit: int | None = None,
           label: int | None = None) -> float:
        """Average precision over thresholds (or at one), classes (or of one),
        at the largest detection limit unless told."""
        return self._mean(self.precision, threshold, area, limit, label)

    def ar(self, threshold: float | None = None, area: str = "all", limit: int | None = None,
           label: int | None = None) -> float:
        """Average over thresholds (or at one) and classes (or of one) of the largest recall reached."""
        return self._mean(self.recall, threshold, area, limit, label)

    def _mean(self, values: Floats, threshold: float | None, area: str, limit: int | None, label: int | None) -> float:
        a = self.areas.index(area)
        m = self.limits.index(limit) if limit is not None else len(self.limits) - 1
        part = values[..., a, m]
        if threshold is not None:
            at = np.flatnonzero(np.isclose(self.thresholds, threshold, rtol=0, atol=1e-9))
            if not len(at):
                raise StemmaError(f"no IoU threshold {threshold} among {', '.join(f'{t:g}' for t in self.thresholds)}")
            part = part[at]
        if label is not None:
            part = part[..., label]
        kept = part[~np.isnan(part)]
        return float(np.mean(kept)) if kept.size else float("nan")

    def numbers(self) -> dict[str, float]:
        """The twelve numbers of boxes and masks, or the ten of keypoints, by name."""
        sizes = self.areas[1:]
        if self.kind == "keypoints":
            out = {"AP": self.ap(), "AP50": self.ap(0.5), "AP75": self.ap(0.75)} | {f"AP_{s}": self.ap(area=s)
                                                                                    for s in sizes}
            return out | {"AR": self.ar(), "AR50": self.ar(0.5), "AR75": self.ar(0.75)} | {f"AR_{s}": self.ar(area=s)
                                                                                           for s in sizes}
        out = {"AP": self.ap(), "AP50": self.ap(0.5), "AP75": self.ap(0.75)} | {f"AP_{s}": self.ap(area=s)
                                                                                for s in sizes}
        return out | {f"AR{n}": self.ar(limit=n) for n in self.limits} | {f"AR_{s}": self.ar(area=s) for s in sizes}

    def per_class(self) -> dict[str, dict[str, float]]:
        """AP, AP50, AP75 and AR of each class."""
        return {
            name: {"AP": self.ap(label=c), "AP50": self.ap(0.5, label=c), "AP75": self.ap(0.75, label=c),
                   "AR": self.ar(label=c)}
            for c, name in enumerate(self.names)
        }

    def curve(self, label: int | None = None, threshold: float = 0.5) -> Floats:
        """Precision at the 101 recalls, of one class or the mean over classes; NaN where there are no objects."""
        t = int(np.argmin(np.abs(self.thresholds - threshold)))
        part = self.precision[t, :, :, 0, -1]
        if label is not None:
            return np.asarray(part[:, label])
        defined = part[:, ~np.isnan(part[0])] if part.size else part
        return np.asarray(defined.mean(1)) if defined.size else np.full(part.shape[0], np.nan)


@dataclass(frozen=True)
class Truths:
    """True objects of all images in columns. Boxes are (x, y, width, height), as COCO's files have them."""

    image: Ints  # (G,) index into `sizes`
    label: Ints
    boxes: Floats  # (G, 4)
    area: Floats
    crowd: Bools
    masks: Sequence[Rle] | None = None
    keypoints: Floats | None = None  # (G, K, 3)


@dataclass(frozen=True)
class Found:
    """Detections of all images in columns. `boxes` (x, y, width, height) may be zeros where masks or keypoints are
    measured."""

    image: Ints  # (D,)
    label: Ints
    boxes: Floats  # (D, 4)
    scores: Floats
    masks: Sequence[Rle] | None = None
    keypoints: Floats | None = None  # (D, K, 3)


def evaluate(
    sizes: Sequence[tuple[int, int]],
    names: Sequence[str],
    truths: Truths,
    found: Found,
    kind: Kind = "boxes",
    *,
    limits: Sequence[int] | None = None,
    thresholds: Floats | None = None,
    sigmas: Sequence[float] = (),
    agnostic: bool = False,
) -> Scores:
    """COCO's evaluation of columns.

    sizes: (height, width) of every image, in the order that settles ties; names: of the classes, by label.
    limits: detections an image and class that count (1, 10, 100; keypoints 20).
    thresholds: IoU or OKS (.5 to .95 by .05).
    sigmas: one a keypoint; COCO's for 17 points and 0.05 each for another number when not given.
    agnostic: labels do not count.

    The size of a detection is its mask's area, its box's, or that of the box around its keypoints, as in COCO's result
    files. Raises `StemmaError` where hotcoco is absent, or a number is NaN, or the columns do not fit together.
    """
    try:
        import hotcoco
    except ImportError as error:
        raise StemmaError(INSTALL) from error
    _check(sizes, names, truths, found, kind)
    images = [{"id": i + 1, "height": int(h), "width": int(w), "file_name": ""} for i, (h, w) in enumerate(sizes)]
    categories = [{"id": c + 1, "name": n} for c, n in enumerate(names)]
    if kind == "keypoints":
        gt = hotcoco.COCO({"images": images, "categories": categories, "annotations": list(_point_truths(truths))})
        dt = gt.load_res(list(_point_results(found)))
    else:
        true_runs: Any = [r.as_dict() for r in truths.masks or ()] if kind == "masks" else None
        gt = hotcoco.COCO.from_arrays(
            images, categories, truths.image + 1, truths.label + 1, truths.boxes, area=truths.area,
            iscrowd=truths.crowd, segmentation=true_runs
        )
        table = np.concatenate([found.image[:, None] + 1.0, found.boxes, found.scores[:, None],
                                found.label[:, None] + 1.0], 1)
        runs: Any = [r.as_dict() for r in found.masks or ()] if kind == "masks" else None
        dt = gt.load_res(table, segmentation=runs)
        if runs:
            dt.update_anns(ids=np.arange(1, len(runs) + 1), area=np.asarray(hotcoco.mask.area(runs), np.float64))
    return _run(hotcoco, gt, dt, kind, tuple(names), limits, thresholds, sigmas, agnostic,
                0 if truths.keypoints is None else truths.keypoints.shape[1])


def evaluate_files(
    truth: str | Path | dict[str, Any], results: str | Path | list[dict[str, Any]], kind: Kind = "boxes", *,
    limits: Sequence[int] | None = None
) -> Scores:
    """COCO's evaluation of a result list against an annotation file (paths, or their parsed JSON).
    Classes come by category id.

    As in pycocotools, a result that holds a box beside its mask or keypoints has the size of the box (`evaluate` takes
    the mask's). Raises `DataError` naming the file and record that cannot be used.
    """
    try:
        import hotcoco
    except ImportError as error:
        raise StemmaError(INSTALL) from error
    data = _read(truth, dict)
    found = _read(results, list)
    where = str(results) if isinstance(results, (str, Path)) else "results"
    images = {im["id"] for im in data["images"]}
    categories = sorted(data["categories"], key=lambda c: int(c["id"]))
    field = {"boxes": "bbox", "masks": "segmentation", "keypoints": "keypoints"}[kind]
    for i, r in enumerate(found):
        missing = next((f for f in ("image_id", "category_id", "score", field) if f not in r), None)
        if missing:
            raise DataError(where, "is not there", f"{kind} are measured with it", record=str(i), field=missing)
        if r["image_id"] not in images:
            raise DataError(where, f"image {r['image_id']} is not in the truth", "use the results of the same split",
                            record=str(i), field="image_id")
        if not np.isfinite(r["score"]) or (kind == "boxes" and not np.isfinite(r["bbox"]).all()):
            raise DataError(where, "score or box holds NaN or infinity", "such a model has diverged", record=str(i))
    # Ids are numbered anew: an annotation with id 0 would count as unmatched in pycocotools.
    annotations = [{**a, "id": i + 1, "iscrowd": int(a.get("iscrowd", 0))}
                   for i, a in enumerate(data.get("annotations", ()))]
    gt = hotcoco.COCO({"images": data["images"], "categories": categories, "annotations": annotations})
    dt = gt.load_res(found)
    names = tuple(str(c["name"]) for c in categories)
    return _run(hotcoco, gt, dt, kind, names, limits, None, (), False,
                len(found[0]["keypoints"]) // 3 if kind == "keypoints" and found else 0)


def columns(pictures: Sequence[Picture], kind: Kind = "boxes") -> tuple[list[tuple[int, int]], Truths, Found]:
    """The columns of a record's pictures."""

    def stack(parts: list[Any], shape: tuple[int, ...], dtype: Any) -> Any:
        return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(shape, dtype)

    def corner(boxes: Floats) -> Floats:
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)

    true_n = [len(p.labels) for p in pictures]
    found_n = [len(p.scores) for p in pictures]
    points, seen = kind == "keypoints", kind == "masks"
    truths = Truths(
        np.repeat(np.arange(len(pictures)), true_n), stack([p.labels for p in pictures], (0,), np.int64),
        corner(stack([p.boxes for p in pictures], (0, 4), np.float64)),
        stack([p.area for p in pictures], (0,), np.float64),
        stack([p.crowd for p in pictures], (0,), bool), [r for p in pictures for r in p.masks or ()] if seen else None,
        stack([p.keypoints for p in pictures], (0, 0, 3), np.float64) if points else None,
    )
    found = Found(
        np.repeat(np.arange(len(pictures)), found_n), stack([p.found_labels for p in pictures], (0,), np.int64),
        corner(stack([p.found for p in pictures], (0, 4), np.float64)),
        stack([p.scores for p in pictures], (0,), np.float64),
        [r for p in pictures for r in p.found_masks or ()] if seen else None,
        stack([p.found_keypoints for p in pictures], (0, 0, 3), np.float64) if points else None,
    )
    return [p.size for p in pictures], truths, found


def _check(sizes: Sequence[tuple[int, int]], names: Sequence[str], truths: Truths, found: Found, kind: Kind) -> None:
    for name, part in (("truth", truths), ("found", found)):
        n = len(part.image)
        for field, value in vars(part).items():
            if value is not None and len(value) != n:
                raise StemmaError(f"{name}: {len(value)} {field} for {n} objects")
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
                raise StemmaError(f"{name}: '{field}' holds NaN or infinity")
        for field, value, end in (("image", part.image, len(sizes)), ("label", part.label, len(names))):
            if n and not (value.min() >= 0 and value.max() < end):
                raise StemmaError(f"{name}: '{field}' reaches from {value.min()} to {value.max()}, outside "
                                  f"0..{end - 1}")
        if kind != "boxes" and getattr(part, kind) is None:
            raise StemmaError(f"{name}: no {kind} are there to measure")


def _point_truths(truths: Truths) -> Iterator[dict[str, Any]]:
    assert truths.keypoints is not None
    seen = (truths.keypoints[..., 2] > 0).sum(1)
    for i in range(len(truths.image)):
        yield {
            "id": i + 1, "image_id": int(truths.image[i]) + 1, "category_id": int(truths.label[i]) + 1,
            "bbox": truths.boxes[i].tolist(), "area": float(truths.area[i]), "iscrowd": int(truths.crowd[i]),
            "keypoints": truths.keypoints[i].reshape(-1).tolist(), "num_keypoints": int(seen[i]),
        }


def _point_results(found: Found) -> Iterator[dict[str, Any]]:
    assert found.keypoints is not None
    for i in range(len(found.image)):
        yield {
            "image_id": int(found.image[i]) + 1, "category_id": int(found.label[i]) + 1,
            "score": float(found.scores[i]), "keypoints": found.keypoints[i].reshape(-1).tolist(),
        }


def _run(
    hotcoco: Any, gt: Any, dt: Any, kind: Kind, names: tuple[str, ...], limits: Sequence[int] | None,
    thresholds: Floats | None, sigmas: Sequence[float], agnostic: bool, points: int,
) -> Scores:
    run = hotcoco.COCOeval(gt, dt, _NAMES[kind])
    limits = tuple(sorted(limits or ((20,) if kind == "keypoints" else (1, 10, 100))))
    areas = {k: v for k, v in AREAS.items() if kind != "keypoints" or k != "small"}
    run.params.max_dets = list(limits)
    run.params.iou_thrs = list(THRESHOLDS if thresholds is None else thresholds)
    run.params.rec_thrs = list(RECALLS)
    run.params.area_rng = [list(v) for v in areas.values()]
    run.params.area_rng_lbl = list(areas)
    run.params.use_cats = not agnostic
    if kind == "keypoints":
        k = points or len(sigmas) or len(PERSON)
        chosen = tuple(sigmas) or (PERSON if k == len(PERSON) else (UNIFORM,) * k)
        if len(chosen) != k:
            raise StemmaError(f"{len(chosen)} OKS sigmas for {k} keypoints")
        run.params.kpt_oks_sigmas = list(chosen)
    run.evaluate()
    run.accumulate()
    out = run.eval
    precision, recall = np.asarray(out["precision"], np.float64), np.asarray(out["recall"], np.float64)
    undefined = precision < 0
    return Scores(
        kind, ("object",) if agnostic else names, np.where(undefined, np.nan, precision),
        np.where(recall < 0, np.nan, recall), np.where(undefined, np.nan, np.asarray(out["scores"], np.float64)),
        np.asarray(THRESHOLDS if thresholds is None else thresholds, np.float64), tuple(areas), limits,
    )


def _read(source: Any, kind: type) -> Any:
    if not isinstance(source, (str, Path)):
        return source
    try:
        value = json.loads(Path(source).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(str(source), f"cannot be read as JSON: {error}") from error
    if not isinstance(value, kind):
        raise DataError(str(source), f"holds a {type(value).__name__} where a {kind.__name__} is due")
    return value


__all__ = ["AREAS", "RECALLS", "THRESHOLDS", "Found", "Scores", "Truths", "columns", "evaluate",
           "evaluate_files", "mean_of"]
