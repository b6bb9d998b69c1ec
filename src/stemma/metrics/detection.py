"""What was true and what was found, image by image: the record that every measure of objects reads,
and greedy matching.

Axes: G true objects, D detections, K keypoints, T thresholds. Boxes are float64 (x1, y1, x2, y2), edges continuous.
Masks are compressed runs (`Rle`), as COCO writes them, so that a record of 5,000 images stays small.
"""
from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.types import DataError, Sample, StemmaError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Kind = Literal["boxes", "masks", "keypoints"]

INSTALL = "COCO measures need the package hotcoco: pip install 'hotcoco>=1.3'"


def rle_tools() -> Any:
    """hotcoco's run-length functions. Raises `StemmaError` saying what to install where the package is absent."""
    try:
        from hotcoco import mask
    except ImportError as error:
        raise StemmaError(INSTALL) from error
    return mask


@dataclass(frozen=True)
class Rle:
    """A binary mask as COCO's compressed run lengths, column by column."""

    height: int
    width: int
    counts: bytes

    def as_dict(self) -> dict[str, Any]:
        return {"size": [self.height, self.width], "counts": self.counts}

    @property
    def area(self) -> int:
        return int(rle_tools().area(self.as_dict()))

    def decode(self) -> Bools:
        """The mask, bool (H, W)."""
        return cast(Bools, np.ascontiguousarray(rle_tools().decode(self.as_dict())).astype(bool))


def to_rles(masks: Any) -> tuple[Rle, ...]:
    """Masks as runs. `masks`: (N, H, W) of bool or numbers above 0, or a sequence of RLE dicts,
    `Rle`s or (H, W) arrays.

    Raises `StemmaError` for anything else.
    """
    tools = rle_tools()
    if isinstance(masks, np.ndarray):
        if masks.ndim != 3:
            raise StemmaError(f"masks must be (N, H, W), not {masks.shape}")
        if not len(masks):
            return ()
        height, width = masks.shape[1:]
        stack = np.asfortranarray((masks > 0).transpose(1, 2, 0))
        return tuple(Rle(int(height), int(width), bytes(r["counts"])) for r in tools.encode(stack))
    found: list[Rle] = []
    for m in masks:
        if isinstance(m, Rle):
            found.append(m)
        elif isinstance(m, dict):
            height, width = (int(v) for v in m["size"])
            counts = m["counts"]
            if isinstance(counts, (list, tuple, np.ndarray)):
                counts = tools.frPyObjects({"size": [height, width], "counts": [int(c) for c in counts]}, height,
                                           width)["counts"]
            found.append(Rle(height, width, counts.encode("ascii") if isinstance(counts, str) else bytes(counts)))
        elif isinstance(m, np.ndarray) and m.ndim == 2:
            found.append(to_rles(m[None])[0])
        else:
            raise StemmaError(f"a mask must be a run-length dict or an (H, W) array, not {type(m).__name__}")
    return tuple(found)


# ---------------------------------------------------------------- the record


@dataclass(frozen=True)
class Picture:
    """One image: its true objects and what was found in it."""

    order: int  # position in the data set: ties between equal scores of different images are settled by it
    size: tuple[int, int]  # (height, width)
    boxes: Floats  # (G, 4)
    labels: Ints  # (G,)
    crowd: Bools  # (G,) matched by whatever lies inside, and neither gains nor costs
    area: Floats  # (G,)
    found: Floats  # (D, 4)
    scores: Floats  # (D,)
    found_labels: Ints  # (D,)
    masks: tuple[Rle, ...] | None = None
    keypoints: Floats | None = None  # (G, K, 3)
    found_masks: tuple[Rle, ...] | None = None
    found_keypoints: Floats | None = None  # (D, K, 3)
    visible: Floats | None = None  # (G,) share of a box that can be seen, NaN unknown
    absent: Ints | None = None  # of federated data: labels of which there is no object
    partial: Ints | None = None  # and those of which not every object is marked

    def only(self, true: Any, found: Any) -> Picture:
        """The picture with these objects and detections alone, each a slice, a mask or indices."""

        def of(v: Any, keep: Any) -> Any:
            return v if v is None else tuple(np.array(v, object)[keep]) if isinstance(v, tuple) else v[keep]

        return replace(self, boxes=self.boxes[true], labels=self.labels[true], crowd=self.crowd[true],
                       area=self.area[true], masks=of(self.masks, true), keypoints=of(self.keypoints, true),
                       visible=of(self.visible, true), found=self.found[found], scores=self.scores[found],
                       found_labels=self.found_labels[found], found_masks=of(self.found_masks, found),
                       found_keypoints=of(self.found_keypoints, found))


def _column(where: str, name: str, value: ArrayLike, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    array = np.asarray(value, dtype)
    if array.size == 0:
        array = array.reshape(tuple(0 if n < 0 else n for n in shape)) if shape[0] in (-1, 0) else array
    if array.ndim != len(shape) or any(n >= 0 and n != m for n, m in zip(shape, array.shape)):
        want = ", ".join("n" if n < 0 else str(n) for n in shape)
        raise StemmaError(f"prediction for {where}: '{name}' must have the shape ({want}), not {array.shape}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise StemmaError(f"prediction for {where}: '{name}' holds NaN or infinity; such a model has diverged")
    return array


def picture(truth: Sample, prediction: dict[str, Any], classes: int, order: int, kinds: Iterable[Kind] = ("boxes",),
            amodal: bool = False, federated: bool = False) -> Picture:
    """One image's record, checked; of federated data with what was searched for.

    `prediction` holds boxes (n, 4), scores (n,), labels (n,) and, where `kinds` asks, masks and keypoints (n, K, 3);
    all in pixels of the file. Boxes may be left out where there are masks: they are then the masks' bounds.

    Raises `StemmaError` when the prediction does not fit, `DataError` when the truth lacks what is asked for.
    """
    where = truth.file or f"image {truth.id or order}"
    kinds = tuple(kinds)
    scores = _column(where, "scores", prediction.get("scores", ()), (-1,), np.float64)
    n = len(scores)
    labels = _column(where, "labels", prediction.get("labels", ()), (n,), np.int64)
    masks = to_rles(prediction["masks"]) if "masks" in kinds and prediction.get("masks") is not None else None
    if prediction.get("boxes") is None and masks:
        bounds = np.asarray(rle_tools().toBbox([m.as_dict() for m in masks]), np.float64).reshape(-1, 4)
        boxes = np.concatenate([bounds[:, :2], bounds[:, :2] + bounds[:, 2:]], 1)
    else:
        boxes = _column(where, "boxes", prediction.get("boxes", ()), (n, 4), np.float64)
    if n and (labels.min() < 0 or labels.max() >= classes):
        raise StemmaError(f"prediction for {where}: label {labels.min() if labels.min() < 0 else labels.max()} is "
                          f"outside 0..{classes - 1}")
    points = None
    if "keypoints" in kinds:
        if truth.keypoints is None:
            raise DataError(where, "has no keypoints, which this measure needs", field="keypoints")
        k = truth.keypoints.shape[1]
        points = _column(where, "keypoints", prediction.get("keypoints", np.zeros((0, k, 3))), (n, k, 3), np.float64)
    true_masks = None
    if "masks" in kinds:
        given = truth.amodal if amodal else truth.masks
        if given is None:
            raise DataError(where, "has no masks, which this measure needs", field="amodal" if amodal else "masks")
        true_masks = to_rles(given)
        masks = masks if masks is not None else ()
        if len(masks) != n:
            raise StemmaError(f"prediction for {where}: {len(masks)} masks for {n} scores")
        bad = next((m for m in masks if (m.height, m.width) != tuple(truth.size)), None)
        if bad is not None:
            raise StemmaError(f"prediction for {where}: a mask is {bad.height}x{bad.width} but the image is "
                              f"{truth.size[0]}x{truth.size[1]}")
    area, true_boxes = np.asarray(truth.area, np.float64), np.asarray(truth.boxes, np.float64).reshape(-1, 4)
    if amodal and true_masks is not None:
        area = np.array([m.area for m in true_masks], np.float64)
        bounds = np.asarray(rle_tools().toBbox([m.as_dict() for m in true_masks]), np.float64).reshape(-1, 4)
        true_boxes = np.concatenate([bounds[:, :2], bounds[:, :2] + bounds[:, 2:]], 1)
    searched = ([np.asarray(truth.extra[k], np.int64) for k in ("absent", "partial")]
                if federated and "absent" in truth.extra else [None, None])
    seen = np.full(len(true_boxes), np.nan) if truth.visible is None else np.asarray(truth.visible, np.float64)
    return Picture(
        order, (int(truth.size[0]), int(truth.size[1])), true_boxes, np.asarray(truth.labels, np.int64),
        np.asarray(truth.crowd, bool), area, boxes, scores, labels, true_masks,
        np.asarray(truth.keypoints, np.float64) if "keypoints" in kinds else None, masks if "masks" in kinds else None,
        points, seen, *searched,
    )


class Record:
    """The pictures of an evaluation. Records of several processes merge;
    a picture with an `order` already there is left out. frequency: of the classes of federated data."""

    def __init__(self, names: Sequence[str], kinds: Sequence[Kind] = ("boxes",), frequency: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self.kinds = tuple(kinds)
        self.frequency = tuple(frequency)
        self._pictures: dict[int, Picture] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[Picture]:
        """By position in the data set."""
        return iter([self._pictures[k] for k in sorted(self._pictures)])

    def add(self, one: Picture) -> None:
        self._pictures.setdefault(one.order, one)

    def merge(self, other: Record) -> None:
        """Take in the pictures of `other`. Raises `StemmaError` when it measures other classes or kinds."""
        if (self.names, self.kinds) != (other.names, other.kinds):
            raise StemmaError("records of different classes or kinds do not merge")
        for one in other:
            self.add(one)

    def to_bytes(self) -> bytes:
        """The record as the bytes of an npz file, to send between processes; nothing in it is pickled."""
        pictures = list(self)
        out: dict[str, NDArray[Any]] = {
            "names": np.array(self.names, np.str_), "kinds": np.array(self.kinds, np.str_),
            "frequency": np.array(self.frequency, np.str_),
            "order": np.array([p.order for p in pictures], np.int64),
            "size": np.array([p.size for p in pictures], np.int64).reshape(-1, 2),
        }
        for f in fields(Picture)[2:]:
            columns = [getattr(p, f.name) for p in pictures]
            if not columns or columns[0] is None:
                continue
            out[f.name + ":n"] = np.array([len(c) for c in columns], np.int64)
            if isinstance(columns[0], tuple):
                runs = [r for c in columns for r in c]
                out[f.name + ":hw"] = np.array([(r.height, r.width) for r in runs], np.int64).reshape(-1, 2)
                out[f.name + ":len"] = np.array([len(r.counts) for r in runs], np.int64)
                out[f.name] = np.frombuffer(b"".join(r.counts for r in runs), np.uint8)
            else:
                out[f.name] = np.concatenate(columns)
        buffer = io.BytesIO()
        np.savez(buffer, **cast(Any, out))
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Record:
        """The record that `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            a = {k: file[k] for k in file.files}
        new = Record([str(n) for n in a["names"]], cast("list[Kind]", [str(k) for k in a["kinds"]]),
                     [str(f) for f in a["frequency"]])
        columns: dict[str, list[Any]] = {}
        for f in fields(Picture)[2:]:
            if f.name not in a:
                continue
            stops = np.cumsum(a[f.name + ":n"])
            if f.name + ":hw" in a:
                ends = np.concatenate([[0], np.cumsum(a[f.name + ":len"])])
                raw = a[f.name].tobytes()
                runs = [Rle(int(h), int(w), raw[ends[i] : ends[i + 1]]) for i, (h, w) in enumerate(a[f.name + ":hw"])]
                columns[f.name] = [tuple(runs[s - n : s]) for s, n in zip(stops, a[f.name + ":n"])]
            else:
                columns[f.name] = np.split(a[f.name], stops[:-1])
        for i, (order, size) in enumerate(zip(a["order"], a["size"])):
            new.add(Picture(int(order), (int(size[0]), int(size[1])), **{k: v[i] for k, v in columns.items()}))
        return new


# ---------------------------------------------------------------- overlap and matching


def box_iou(found: Floats, true: Floats, crowd: Bools | None = None) -> Floats:
    """IoU of every found box with every true one, (D, G). For a crowd object: the share of the found box that lies
    inside it.

    Boxes without area overlap nothing.
    """
    corner = np.maximum(found[:, None, :2], true[None, :, :2])
    sides = np.clip(np.minimum(found[:, None, 2:], true[None, :, 2:]) - corner, 0, None)
    inter = sides[..., 0] * sides[..., 1]
    a = np.prod(found[:, 2:] - found[:, :2], 1)[:, None]
    b = np.prod(true[:, 2:] - true[:, :2], 1)[None]
    union = a + b - inter
    if crowd is not None:
        union = np.where(crowd[None], a, union)
    return cast(Floats, np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))


def mask_iou(found: Sequence[Rle], true: Sequence[Rle], crowd: Bools | None = None) -> Floats:
    """IoU of every found mask with every true one, (D, G). For a crowd object: the share of the found mask inside
    it."""
    if not len(found) or not len(true):
        return np.zeros((len(found), len(true)))
    flags = np.zeros(len(true), bool) if crowd is None else crowd
    return np.asarray(rle_tools().iou([m.as_dict() for m in found], [m.as_dict() for m in true],
                                      flags.astype(int).tolist()), np.float64)


def overlap(one: Picture, kind: Kind = "boxes") -> Floats:
    """(D, G) overlaps of a picture's detections with its objects, by box or by mask."""
    if kind == "masks":
        assert one.found_masks is not None and one.masks is not None, "the record holds no masks"
        return mask_iou(one.found_masks, one.masks, one.crowd)
    return box_iou(one.found, one.boxes, one.crowd)


def by_score(one: Picture, limit: int | None = 100) -> Ints:
    """Indices of a picture's detections, best first, the first `limit` of each class. Of federated data: of the first
    `MOST` of all classes, those of classes that the picture was searched for (LVIS's rules)."""
    order = np.argsort(-one.scores, kind="stable")
    if one.absent is not None:
        order = order[:MOST]
        order = order[np.isin(one.found_labels[order], np.concatenate([one.labels, one.absent]))]
    if limit is None or len(order) <= limit:
        return order
    labels = one.found_labels[order]
    grouped = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[grouped], labels[grouped], side="left")
    rank = np.empty(len(order), np.int64)
    rank[grouped] = np.arange(len(order)) - starts
    return order[rank < limit]


UNMATCHED, IGNORED = -1, -2
MOST = 300  # detections a picture that LVIS counts


def match(ious: Floats, found_labels: Ints, labels: Ints, crowd: Bools, threshold: float) -> Ints:
    """COCO's greedy matching at one threshold: for each detection the index of its object, -1 for none,
    -2 for a crowd object.

    Detections come best first. Each takes the free object of its class that it overlaps most, a crowd object only when
    there is no other; crowd objects can be taken again and again. Of objects overlapped equally the last is taken.
    """
    least = min(threshold, 1 - 1e-10)
    result = np.full(len(ious), UNMATCHED, np.int64)
    if not ious.size:
        return result
    possible = (ious >= least) & (found_labels[:, None] == labels[None])
    free = ~crowd
    for d in np.flatnonzero(possible.any(1)):
        row = possible[d]
        open_ = np.flatnonzero(row & free)
        if len(open_):
            values = ious[d, open_]
            g = open_[len(values) - 1 - int(np.argmax(values[::-1]))]
            result[d] = g
            free[g] = False
        elif (row & crowd).any():
            result[d] = IGNORED
    return result


@dataclass(frozen=True)
class Matches:
    """All detections of a record matched at one threshold; crowd's are left out. Best first over the whole record."""

    names: tuple[str, ...]
    scores: Floats  # (D,)
    labels: Ints  # (D,)
    hit: Bools  # (D,) whether it took an object
    positives: Ints  # (C,) objects of each class, crowd ones not counted


def matches(record: Record, threshold: float = 0.5, kind: Kind = "boxes", limit: int | None = 100) -> Matches:
    """Match a whole record; `limit` is the number of detections an image and class that count."""
    scores, labels, hits = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    positives = np.zeros(len(record.names), np.int64)
    for one in record:
        best = by_score(one, limit)
        m = match(overlap(one, kind)[best], one.found_labels[best], one.labels, one.crowd, threshold)
        if one.partial is not None:  # what is found of such a class may well be there
            m[(m == UNMATCHED) & np.isin(one.found_labels[best], one.partial)] = IGNORED
        kept = best[m != IGNORED]
        scores.append(one.scores[kept])
        labels.append(one.found_labels[kept])
        hits.append(m[m != IGNORED] >= 0)
        positives += np.bincount(one.labels[~one.crowd], minlength=len(positives))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return Matches(record.names, score[order], np.concatenate(labels)[order], np.concatenate(hits)[order], positives)


def by_class(labels: Ints, classes: int) -> list[Ints]:
    """Positions of each class among `labels`, in their order: one sort in the place of a look at all for each class."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.searchsorted(labels[order], np.arange(1, classes)))


RECALLS = np.linspace(0, 1, 101)


def interpolate(hit: Bools, positives: int, recalls: Floats = RECALLS) -> Floats:
    """Precision at each recall, made monotone from the right and 0 where the recall is not reached.
    `hit` best first."""
    out = np.zeros(len(recalls))
    if len(hit):
        tp = np.cumsum(hit)
        precision = tp / (np.arange(1, len(hit) + 1) + np.spacing(1))
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(tp / positives, recalls, side="left")
        reached = at < len(hit)
        out[reached] = envelope[at[reached]]
    return out


def mean_of(values: Iterable[float]) -> float:
    """Mean of the values that are defined; NaN when none is."""
    kept = [v for v in values if not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")
