"""COCO's measures: average precision and recall over boxes, masks or keypoints, as pycocotools computes them.

The matching runs in hotcoco; this face holds the columns that go in and the arrays that come out, so that another
evaluator can take its place. Numbers equal pycocotools' to 1e-9 (tests compare them over real and drawn results).

T IoU thresholds, R recall levels, C classes, A area ranges, M detection limits.
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..core.types import DataError, StemmaError
from ..core.values import flag, ident
from .detection import INSTALL, MOST, Bools, Floats, Ints, Kind, Picture, Record, Rle, mean_of, rle_tools
from .resample import Group, Ratios, Tally, ranked

_began = 0  # the process in which hotcoco works
_AT_ONCE = 500  # images whose matches are held as hotcoco hands them out, a list of lists each
_CELLS = 250_000  # and pairs of an image and a class, of which there is an entry each, empty or not
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
    labels: Ints  # (C,) of the classes that were measured: of thousands of names those that have objects
    precision: Floats  # (T, R, C, A, M), NaN where a class has no objects
    recall: Floats  # (T, C, A, M)
    thresholds: Floats  # (T,)
    areas: tuple[str, ...]
    limits: tuple[int, ...]
    frequency: tuple[str, ...] = ()  # of the classes, where LVIS's rules were followed

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
            part = part[self._level(threshold)]
        if label is not None:
            part = part[..., self.labels == label]
        kept = part[~np.isnan(part)]
        return float(np.mean(kept)) if kept.size else float("nan")

    def _level(self, threshold: float) -> int:
        at = np.flatnonzero(np.isclose(self.thresholds, threshold, rtol=0, atol=1e-9))
        if not len(at):
            raise StemmaError(f"no IoU threshold {threshold} among {', '.join(f'{t:g}' for t in self.thresholds)}")
        return int(at[0])

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
        if self.frequency:
            for f in "rcf":
                of = self.precision[:, :, np.array(self.frequency)[self.labels] == f, 0, -1]
                out[f"AP{f}"] = mean_of(of[~np.isnan(of)])
        return out | {f"AR{n}": self.ar(limit=n) for n in self.limits} | {f"AR_{s}": self.ar(area=s) for s in sizes}

    def per_class(self) -> dict[str, dict[str, float]]:
        """AP, AP50, AP75 and AR of each class."""
        precision, recall = self.precision[..., 0, -1], self.recall[..., 0, -1]
        parts = {"AP": precision, "AP50": precision[self._level(0.5)], "AP75": precision[self._level(0.75)],
                 "AR": recall}
        columns = []
        for part in parts.values():  # a class is NaN everywhere or nowhere
            column = np.full(len(self.names), np.nan)
            column[self.labels] = np.ascontiguousarray(np.moveaxis(part, -1, 0)).reshape(len(self.labels), -1).mean(1)
            columns.append(column.tolist())
        return {name: dict(zip(parts, row)) for name, *row in zip(self.names, *columns, strict=True)}

    def curve(self, label: int | None = None, threshold: float = 0.5) -> Floats:
        """Precision at the 101 recalls, of one class or the mean over classes; NaN where there are no objects."""
        t = int(np.argmin(np.abs(self.thresholds - threshold)))
        part = self.precision[t, :, :, 0, -1]
        if label is not None:
            part = part[:, self.labels == label]
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


@dataclass(frozen=True)
class Federated:
    """What LVIS's rules ask besides: how frequent each class is ("r", "c", "f"), and of each image the labels of which
    there is no object, and those of which not every object is marked."""

    frequency: tuple[str, ...]
    absent: Sequence[Ints]
    partial: Sequence[Ints]

    @classmethod
    def of(cls, record: Record) -> Federated | None:
        """That of a record; None where its data are not federated."""
        if not record.frequency:
            return None
        absent, partial = ([np.zeros(0, np.int64) if v is None else v for v in of]
                           for of in ([p.absent for p in record], [p.partial for p in record]))
        return cls(record.frequency, absent, partial)

    def part(self, begin: int, count: int) -> Federated:
        """Of `count` images from `begin` on."""
        return replace(self, absent=self.absent[begin : begin + count], partial=self.partial[begin : begin + count])


Columns = TypeVar("Columns", Truths, Found)


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
    federated: Federated | None = None,
) -> Scores:
    """COCO's evaluation of columns.

    sizes: (height, width) of every image, in the order that settles ties; names: of the classes, by label.
    limits: detections an image and class that count (1, 10, 100; keypoints 20).
    thresholds: IoU or OKS (.5 to .95 by .05).
    sigmas: one a keypoint; COCO's for 17 points and 0.05 each for another number when not given.
    agnostic: labels do not count.
    federated: follow LVIS's rules: a detection counts where its class is there or known to be absent, one of a class
    that is not marked everywhere costs nothing, and the best 300 of a picture are looked at, of all classes together.

    The size of a detection is its mask's area, its box's, or that of the box around its keypoints, as in COCO's result
    files. Raises `StemmaError` where hotcoco is absent, or a number is NaN, or the columns do not fit together.
    """
    labels, truths, found = _there(sizes, names, truths, found, kind, agnostic or federated is not None)
    hotcoco, gt, dt, points = _loaded(sizes, [names[c] for c in labels], truths, found, kind, federated)
    return _run(hotcoco, gt, dt, kind, tuple(names), limits, thresholds, sigmas, agnostic, points,
                () if federated is None else federated.frequency, labels)


def tally(
    sizes: Sequence[tuple[int, int]], names: Sequence[str], truths: Truths, found: Found, kind: Kind = "boxes", *,
    limit: int | None = None, sigmas: Sequence[float] = (), agnostic: bool = False, recall: bool = False,
    federated: Federated | None = None,
) -> Tally:
    """AP (with `recall` AR) over .5 to .95 and objects of all sizes as `evaluate` has it, by picture: `resample.Tally`.

    limit: detections an image and class that count (100; keypoints 20). Raises as `evaluate`.
    """
    limits = (limit,) if limit else (20,) if kind == "keypoints" else (MOST,) if federated is not None else (100,)
    labels, truths, found = _there(sizes, names, truths, found, kind, agnostic or federated is not None)
    names = [names[c] for c in labels]
    classes, levels = 1 if agnostic else len(names), len(THRESHOLDS)
    positives = np.zeros((len(sizes), classes), np.int64)
    groups: list[Group] = []
    step = max(min(_AT_ONCE, _CELLS // max(classes, 1)), 1)
    for begin in range(0, len(sizes), step):
        some = sizes[begin : begin + step]
        parts = _of(truths, begin, len(some)), _of(found, begin, len(some))
        own = None if federated is None else federated.part(begin, len(some))
        hotcoco, gt, dt, points = _loaded(some, names, *parts, kind, own)
        run, _ = _asked(hotcoco, gt, dt, kind, limits, None, sigmas, agnostic, points, ("all",), own is not None)
        run.evaluate()
        every = [one for one in run.eval_imgs if one is not None]
        for one in sorted(every, key=lambda one: int(one["image_id"])):
            i, c = begin + int(one["image_id"]) - 1, 0 if agnostic else int(one["category_id"]) - 1
            positives[i, c] += sum(one["gtInDenominator"])
            n = len(one["dtScores"])
            off, took = (np.asarray(one[k], bool).reshape(levels, n) for k in ("dtIgnore", "dtMatched"))
            groups.append((np.full(n, i), np.full(n, c), np.asarray(one["dtScores"], np.float64), took & ~off, off))
    ranks = ranked(groups, positives, levels)
    if not recall:
        return ranks
    begins = [0, *ranks.stops.tolist()]
    above = np.zeros((len(sizes), levels, classes))
    for c, (begin, end) in enumerate(zip(begins, begins[1:])):
        for k in range(levels):
            at = begin + np.flatnonzero(ranks.hit[k, begin:end])
            above[:, k, c] = np.bincount(ranks.picture[at], minlength=len(sizes))
    below = np.repeat(positives[:, None].astype(np.float64), levels, 1)
    return Ratios(above.reshape(len(sizes), -1), below.reshape(len(sizes), -1))


def _of(columns: Columns, begin: int, count: int) -> Columns:
    """The objects of `count` images from `begin` on, which are then numbered from 0."""
    part = _rows(columns, (columns.image >= begin) & (columns.image < begin + count))
    return replace(part, image=part.image - begin)


def _rows(columns: Columns, which: Bools) -> Columns:
    at = np.flatnonzero(which)
    part: dict[str, Any] = {
        k: v if v is None else v[at] if isinstance(v, np.ndarray) else [v[i] for i in at]
        for k, v in vars(columns).items()
    }
    return replace(columns, **part)


def _there(sizes: Sequence[tuple[int, int]], names: Sequence[str], truths: Truths, found: Found, kind: Kind,
           every: bool) -> tuple[Ints, Truths, Found]:
    """(labels of the classes that have objects, or of `every` class; truth and detections of these, numbered by them).
    The others have no precision, and of thousands of classes they would fill most of what hotcoco holds."""
    _check(sizes, names, truths, found, kind)
    labels = np.arange(len(names)) if every else np.unique(truths.label)
    if len(labels) == len(names) or not len(labels):
        return np.arange(len(names)), truths, found
    found = _rows(found, np.isin(found.label, labels))
    return (labels, replace(truths, label=np.searchsorted(labels, truths.label)),
            replace(found, label=np.searchsorted(labels, found.label)))


def _library() -> Any:
    """hotcoco, in the process in which it began. Raises `StemmaError` where it is absent, or in a process that was
    forked from that one: the threads that hotcoco shares its work with did not come along, and it would wait for them
    for ever."""
    global _began
    try:
        import hotcoco
    except ImportError as error:
        raise StemmaError(INSTALL) from error
    if _began not in (0, os.getpid()):
        raise StemmaError("detections cannot be measured in a process that was forked from one in which some were "
                          "measured already: start it with multiprocessing.get_context('spawn')")
    _began = os.getpid()
    return hotcoco


def _loaded(
    sizes: Sequence[tuple[int, int]], names: Sequence[str], truths: Truths, found: Found, kind: Kind,
    federated: Federated | None = None,
) -> tuple[Any, Any, Any, int]:
    """hotcoco, truth and results as it holds them, and the number of keypoints.
    Image i has the id i + 1, class c the id c + 1."""
    hotcoco = _library()
    _check(sizes, names, truths, found, kind)
    images: list[dict[str, Any]] = [{"id": i + 1, "height": int(h), "width": int(w), "file_name": ""}
                                    for i, (h, w) in enumerate(sizes)]
    categories = [{"id": c + 1, "name": n} for c, n in enumerate(names)]
    if federated is not None:
        for im, absent, partial in zip(images, federated.absent, federated.partial, strict=True):
            im |= {"neg_category_ids": [int(c) + 1 for c in absent],
                   "not_exhaustive_category_ids": [int(c) + 1 for c in partial]}
        categories = [c | {"frequency": f or "f"} for c, f in zip(categories, federated.frequency, strict=True)]
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
    return hotcoco, gt, dt, 0 if truths.keypoints is None else truths.keypoints.shape[1]


def evaluate_files(
    truth: str | Path | dict[str, Any], results: str | Path | list[dict[str, Any]], kind: Kind = "boxes", *,
    limits: Sequence[int] | None = None
) -> Scores:
    """COCO's evaluation of a result list against an annotation file (paths, or their parsed JSON).
    Classes come by category id. A file whose images say `neg_category_ids` is LVIS's, and measured by its rules.

    Ids may be numbers or text. As in pycocotools, a result that holds a box beside its mask or keypoints has the size
    of the box (`evaluate` takes the mask's). Raises `DataError` naming the file and record that cannot be used.
    """
    hotcoco = _library()
    data, found = _read(truth, dict), _read(results, list)
    said, where = (str(x) if isinstance(x, (str, Path)) else name
                   for x, name in ((truth, "truth"), (results, "results")))
    images, categories, annotations = _truth_of(data, said, kind)
    image_of, category_of = ({v["was"]: v["id"] for v in rows} for rows in (images, categories))
    field = {"boxes": "bbox", "masks": "segmentation", "keypoints": "keypoints"}[kind]
    rows: list[dict[str, Any]] = []
    for i, r in enumerate(found):
        if not isinstance(r, dict):
            raise DataError(where, "is no object", "write image_id, category_id, score and what was found",
                            record=str(i))
        missing = next((f for f in ("image_id", "category_id", "score", field) if f not in r), None)
        if missing:
            raise DataError(where, "is not there", f"{kind} are measured with it", record=str(i), field=missing)
        image, category = image_of.get(ident(r["image_id"])), category_of.get(ident(r["category_id"]))
        if image is None:
            raise DataError(where, f"image {str(r['image_id'])[:40]} is not in the truth",
                            "use the results of the same split", record=str(i), field="image_id")
        if category is None:
            raise DataError(where, f"category {str(r['category_id'])[:40]} is not in the truth",
                            "give results the truth's category ids", record=str(i), field="category_id")
        if not _finite(r["score"]) or (kind == "boxes" and not _box(r["bbox"])):
            raise DataError(where, "score or box holds NaN, infinity or no number", "such a model has diverged",
                            record=str(i))
        rows.append({**r, "image_id": image, "category_id": category})
    names = tuple(str(c["name"]) for c in categories)
    points = len(found[0]["keypoints"]) // 3 if kind == "keypoints" and found else 0
    frequency = _federated(images, categories) if kind != "keypoints" else ()
    try:
        gt = hotcoco.COCO({"images": images, "categories": categories, "annotations": annotations})
        return _run(hotcoco, gt, gt.load_res(rows), kind, names, limits, None, (), False, points, frequency)
    except (ValueError, TypeError, KeyError, OverflowError, RuntimeError) as error:
        # what is wrong inside a record of many kinds, hotcoco says best
        raise DataError(where, f"cannot be measured against {said}: {' '.join(str(error).split())[:300]}",
                        "correct what is named there") from error


def _federated(images: list[dict[str, Any]], categories: list[dict[str, Any]]) -> tuple[str, ...]:
    """How frequent the classes of LVIS's data are, () of others; ids in the images' lists become those of `categories`.
    """
    if not any(isinstance(im.get("neg_category_ids"), list) for im in images):
        return ()
    new = {c["was"]: c["id"] for c in categories}
    for im in images:
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            given = im.get(key)
            im[key] = [new[i] for v in (given if isinstance(given, list) else ()) if (i := ident(v)) in new]
    return tuple(str(c.get("frequency") or "f") for c in categories)


def _truth_of(data: dict[str, Any], said: str,
              kind: Kind) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Images, categories and annotations of an annotation file, numbered from 1 in the order of their ids,
    which "was" keeps.

    What pycocotools stumbles over is filled in: a missing `area` is the mask's or the box's, a missing `iscrowd` 0, a
    missing `num_keypoints` is counted; an annotation with id 0 would count as unmatched, and two of one id as one.
    """
    parts: dict[str, list[Any]] = {}
    for key in ("images", "categories", "annotations"):
        given = data.get(key, [] if key == "annotations" else None)
        if not isinstance(given, list) or not all(isinstance(x, dict) for x in given):
            raise DataError(said, f"has no list of objects '{key}'", "name a COCO annotation file", field=key)
        parts[key] = given
    numbered: dict[str, list[dict[str, Any]]] = {}
    for key in ("images", "categories"):
        ids = [ident(x.get("id")) for x in parts[key]]
        bad = next((k for k, i in enumerate(ids) if i is None or (key == "categories" and "name" not in parts[key][k])),
                   None)
        if bad is not None:
            raise DataError(said, f"is no {key[:-1].replace('ie', 'y')} with an id and a name" if key == "categories"
                            else "is an image without an id", "correct it", f"{key} {bad}", "id")
        order = sorted(range(len(ids)), key=lambda k: (isinstance(ids[k], str), ids[k]))
        numbered[key] = [{**parts[key][k], "id": n + 1, "was": ids[k]} for n, k in enumerate(order)]
    image_of, category_of = ({v["was"]: v for v in numbered[key]} for key in ("images", "categories"))
    rows: list[dict[str, Any]] = []
    for i, a in enumerate(parts["annotations"]):
        image, category = image_of.get(ident(a.get("image_id"))), category_of.get(ident(a.get("category_id")))
        if image is None or category is None:
            # of a picture or a class that is not measured: people cut the lists of images and not the annotations
            continue
        record = f"annotation {str(a.get('id', i))[:40]}"
        try:
            crowd = int(flag(a.get("iscrowd")))
        except ValueError as error:
            raise DataError(said, str(error), "write 0 or 1", record, "iscrowd") from None
        row = {**a, "id": i + 1, "image_id": image["id"], "category_id": category["id"], "iscrowd": crowd}
        if kind == "boxes" and not _box(a.get("bbox")):
            raise DataError(said, "is not four finite numbers", "write [x, y, width, height]", record, "bbox")
        if kind == "masks" and not a.get("segmentation"):
            raise DataError(said, "is not there", "masks are measured with it", record, "segmentation")
        if kind == "keypoints" and "num_keypoints" not in a:
            row["num_keypoints"] = sum(1 for v in (a.get("keypoints") or [])[2::3] if v)
        if not _finite(a.get("area")):
            row["area"] = _area(a, image)
        rows.append(row)
    return numbered["images"], numbered["categories"], rows


def _area(a: dict[str, Any], image: dict[str, Any]) -> float:
    """The area of an annotation that gives none: of its mask where there is one that can be read, else of its box."""
    if a.get("segmentation") and _finite(image.get("height")) and _finite(image.get("width")):
        try:
            runs = rle_tools().frPyObjects(a["segmentation"], int(image["height"]), int(image["width"]))
            return float(rle_tools().area(rle_tools().merge(runs) if isinstance(runs, list) else runs))
        except (ValueError, TypeError, KeyError):
            pass  # the box below; a mask that is to be measured is refused where it is read
    box = a.get("bbox")
    return float(box[2] * box[3]) if isinstance(box, list) and _box(box) else 0.0


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _box(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 4 and all(map(_finite, value))


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


def _asked(
    hotcoco: Any, gt: Any, dt: Any, kind: Kind, limits: Sequence[int], thresholds: Floats | None,
    sigmas: Sequence[float], agnostic: bool, points: int, sizes: Sequence[str] = tuple(AREAS),
    lvis: bool = False,
) -> tuple[Any, tuple[str, ...]]:
    """hotcoco's evaluation with its settings made, and the names of its area ranges. lvis: by LVIS's rules."""
    run = hotcoco.COCOeval(gt, dt, _NAMES[kind], lvis_style=lvis)
    areas = {k: v for k, v in AREAS.items() if k in sizes and (kind != "keypoints" or k != "small")}
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
    return run, tuple(areas)


def _run(
    hotcoco: Any, gt: Any, dt: Any, kind: Kind, names: tuple[str, ...], limits: Sequence[int] | None,
    thresholds: Floats | None, sigmas: Sequence[float], agnostic: bool, points: int,
    frequency: tuple[str, ...] = (), labels: Ints | None = None,
) -> Scores:
    limits = tuple(sorted(limits or ((20,) if kind == "keypoints" else (MOST,) if frequency else (1, 10, 100))))
    run, areas = _asked(hotcoco, gt, dt, kind, limits, thresholds, sigmas, agnostic, points, lvis=bool(frequency))
    run.evaluate()
    run.accumulate()
    out = run.eval
    names = ("object",) if agnostic else names
    precision, recall = (np.array(out[k], np.float64) for k in ("precision", "recall"))
    precision[precision < 0], recall[recall < 0] = np.nan, np.nan
    return Scores(
        kind, names, np.arange(len(names)) if labels is None or agnostic else labels, precision, recall,
        np.asarray(THRESHOLDS if thresholds is None else thresholds, np.float64), areas, limits, frequency,
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


__all__ = ["AREAS", "RECALLS", "THRESHOLDS", "Federated", "Found", "Scores", "Truths", "columns", "evaluate",
           "evaluate_files", "mean_of", "tally"]
