"""Masks as COCO writes them: polygons, uncompressed and compressed run lengths, to and from bool arrays.

Axes: N objects, H W pixels, S strings. Rasterisation and run lengths are those of the COCO mask API (hotcoco's kernels,
bit-equal to pycocotools); what it is given is checked first, because files hold anything.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hotcoco import mask as coco_mask
from jaxtyping import Bool, Float, Int

# list of flat polygons [x, y, x, y, ...] (lists, or arrays once vetted), or {"size": [h, w],
# "counts": list | str | bytes}
Segmentation = Any
FAR = 1e6  # pixels; a polygon that reaches farther would only burn time in the rasteriser


def problem(seg: Segmentation, h: int, w: int) -> str:
    """What is wrong with one segmentation of an (h, w) picture, in words; "" where nothing is. Compressed strings are
    checked by `string_faults`."""
    if isinstance(seg, list):
        if not seg:
            return "is empty"
        for ring in seg:
            if not isinstance(ring, list):
                return "is no list of polygons [x, y, x, y, ...]"
            if len(ring) < 6 or len(ring) % 2:
                return f"has a polygon of {len(ring)} numbers; three points or more make one"
            try:
                low, high = min(ring), max(ring)
                sane = math.isfinite(sum(ring)) and -FAR < low and high < FAR
            except TypeError:
                return "has a polygon with something that is no number"
            if not sane:
                return "has a polygon with NaN, infinite or far-off coordinates"
        return ""
    if isinstance(seg, dict):
        size, counts = seg.get("size"), seg.get("counts")
        if not isinstance(size, list | tuple) or list(size) != [h, w]:
            return f"has run lengths for a picture of size {str(size)[:40]}, and the picture is [{h}, {w}]"
        if isinstance(counts, list):
            if set(map(type, counts)) - {int} or min(counts, default=0) < 0:
                return "has run lengths that are not whole numbers >= 0"
            return ("" if sum(counts) == h * w else f"has run lengths that sum to {sum(counts):,}, and the picture has "
                    f"{h * w:,} pixels")
        return "" if isinstance(counts, str | bytes) else "has no 'counts'"
    return f"is neither polygons nor run lengths ({type(seg).__name__})"


def respelled(seg: Segmentation) -> list[list[float]] | None:
    """Polygons that were written in other brackets, as flat lists: one flat list alone, points as pairs [x, y] or as
    {"x": x, "y": y}, of one polygon or of several. None for what is none of them."""
    if not isinstance(seg, list) or not seg:
        return None
    if (one := _flat(seg)) is not None:
        return [one]
    rings = [_flat(r) if isinstance(r, list) else None for r in seg]
    return None if None in rings else rings  # type: ignore[return-value]


def _flat(ring: list[Any]) -> list[float] | None:
    """The numbers of one polygon, however its points are written; None where it is none."""
    if all(isinstance(p, dict) for p in ring):
        ring = [[p.get("x"), p.get("y")] for p in ring]
    if all(isinstance(p, list) and len(p) == 2 for p in ring):
        ring = [v for p in ring for v in p]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in ring):
        return None
    try:
        return [float(v) for v in ring]
    except OverflowError:  # a number of hundreds of digits
        return None


def string_faults(strings: Sequence[str | bytes], pixels: Int[np.ndarray, " S"]) -> Bool[np.ndarray, " S"]:
    """True where a compressed string is no run lengths of a picture with so many pixels.
    All strings are decoded in one vectorised pass.

    The code (COCO mask API, `rleFrString`): six bits a character from '0', five of value and one of continuation,
    signed; from the fourth number on, each is a difference to the one two before.
    """
    n = len(strings)
    raw = [s if isinstance(s, bytes) else s.encode("utf-8", "replace") for s in strings]
    length = np.array([len(s) for s in raw], dtype=np.int64)
    bad: np.ndarray = length == 0
    if not length.sum():
        return bad
    codes = np.frombuffer(b"".join(raw), dtype=np.uint8).astype(np.int64) - 48
    of_char = np.repeat(np.arange(n), length)
    last = np.cumsum(length) - 1
    wild = (codes < 0) | (codes > 63)
    np.logical_or.at(bad, of_char[wild], True)
    codes = np.where(wild, 0, codes)
    ends = (codes & 0x20) == 0
    filled = length > 0
    bad[filled] |= ~ends[last[filled]]
    ends[last[filled]] = True
    number = np.cumsum(ends) - ends  # of each character
    first_char = np.concatenate([[0], np.flatnonzero(ends)[:-1] + 1])
    place = np.arange(len(codes)) - first_char[number]
    np.logical_or.at(bad, of_char[place > 7], True)
    place = np.minimum(place, 7)
    total = int(ends.sum())
    value = np.zeros(total, dtype=np.int64)
    np.add.at(value, number, (codes & 31) << (5 * place))
    negative = ends & ((codes & 0x10) != 0)
    np.add.at(value, number[negative], -(np.int64(1) << (5 * (place[negative] + 1))))
    of_number = of_char[ends]
    first = np.searchsorted(of_number, np.arange(n))
    rank = np.arange(total) - first[of_number]
    runs = np.where(rank == 0, value, 0)
    # differences accumulate along 1, 3, 5, ... and 2, 4, 6, ...
    for chain in ((rank % 2 == 1), (rank % 2 == 0) & (rank > 0)):
        run = np.cumsum(np.where(chain, value, 0))
        before = np.where(first > 0, run[np.maximum(first - 1, 0)], 0)
        runs = np.where(chain, run - before[of_number], runs)
    np.logical_or.at(bad, of_number[runs < 0], True)
    sums = np.zeros(n, dtype=np.int64)
    np.add.at(sums, of_number, np.clip(runs, -(2**40), 2**40))
    wrong: np.ndarray = bad | (sums != pixels)
    return wrong


def to_rle(seg: Segmentation, h: int, w: int) -> dict[str, Any]:
    """One segmentation as compressed run lengths {"size": [h, w], "counts": bytes}. Raises ValueError for what
    `problem` would name."""
    if isinstance(seg, dict):
        if isinstance(seg["counts"], list):
            return dict(coco_mask.frPyObjects({"size": [h, w], "counts": seg["counts"]}, h, w))
        counts = seg["counts"]
        return {"size": [h, w], "counts": counts.encode("ascii") if isinstance(counts, str) else counts}
    return dict(coco_mask.merge(coco_mask.frPyObjects([np.asarray(ring, dtype=np.float64).tolist() for ring in seg], h,
                                                      w)))


def all_bounds(segs: Sequence[Segmentation | None]) -> Float[np.ndarray, "N 4"]:
    """`bounds` of many vetted segmentations at once; NaN where there is none, or none of its pixels is set."""
    out = np.full((len(segs), 4), np.nan)
    rings, owner, runs, at = [], [], [], []
    for k, seg in enumerate(segs):
        if isinstance(seg, list):
            rings += seg
            owner += [k] * len(seg)
        elif seg is not None:
            runs.append(to_rle(seg, *seg["size"]))
            at.append(k)
    if rings:
        points = np.concatenate(rings).reshape(-1, 2)
        begin = np.cumsum([0, *(len(r) // 2 for r in rings[:-1])])
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        low = np.minimum.reduceat(np.minimum.reduceat(points, begin), first)
        high = np.maximum.reduceat(np.maximum.reduceat(points, begin), first)
        out[np.asarray(owner)[first]] = np.concatenate([low, high], 1)
    if runs:
        found = np.asarray(coco_mask.toBbox(runs), dtype=np.float64).reshape(-1, 4)
        found[:, 2:] += found[:, :2]
        found[(found[:, 2:] <= found[:, :2]).any(1)] = np.nan
        out[at] = found
    return out


def compact(seg: Segmentation) -> Segmentation:
    """Sound polygons as arrays: a quarter of the memory of lists of numbers. Run lengths as they are."""
    return [np.asarray(ring, dtype=np.float64) for ring in seg] if isinstance(seg, list) else seg


def listed(seg: Segmentation) -> Segmentation:
    """`compact` undone."""
    return [r.tolist() if isinstance(r, np.ndarray) else r for r in seg] if isinstance(seg, list) else seg


def decode(seg: Segmentation, h: int, w: int) -> Bool[np.ndarray, "H W"]:
    """One segmentation as a bool mask."""
    mask: np.ndarray = np.asarray(coco_mask.decode(to_rle(seg, h, w))).astype(bool)
    return mask


def decode_all(segs: Sequence[Segmentation | None], boxes: Float[np.ndarray, "N 4"], h: int,
               w: int) -> Bool[np.ndarray, "N H W"]:
    """Masks of one picture's objects; an object without a segmentation (None) gets its filled box."""
    out = np.zeros((len(segs), h, w), dtype=bool)
    for k, seg in enumerate(segs):
        if seg is None:
            x1, y1, x2, y2 = boxes[k]
            out[k, max(int(round(y1)), 0) : max(int(round(y2)), 0),
                max(int(round(x1)), 0) : max(int(round(x2)), 0)] = True
        else:
            out[k] = coco_mask.decode(to_rle(seg, h, w))
    return out


def encode(mask: Bool[np.ndarray, "H W"]) -> dict[str, Any]:
    """A bool mask as compressed run lengths, JSON-able: {"size": [h, w], "counts": str}."""
    return jsonable(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def jsonable(rle: Mapping[str, Any]) -> dict[str, Any]:
    """Compressed run lengths with their string as text."""
    counts = rle["counts"]
    return {"size": [int(v) for v in rle["size"]],
            "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}


def area(seg: Segmentation, h: int, w: int) -> float:
    """Pixels under one segmentation."""
    return float(coco_mask.area(to_rle(seg, h, w)))


def areas(segs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Pixels under each of many vetted run lengths."""
    return [float(v) for v in coco_mask.area([to_rle(s, *s["size"]) for s in segs])] if segs else []


def bounds(seg: Segmentation, h: int, w: int) -> tuple[float, float, float, float]:
    """The tightest box (x1, y1, x2, y2): of the points for polygons, of the pixels for run lengths."""
    if isinstance(seg, list):
        xs = [v for ring in seg for v in ring[0::2]]
        ys = [v for ring in seg for v in ring[1::2]]
        return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))
    x, y, bw, bh = (float(v) for v in coco_mask.toBbox(to_rle(seg, h, w)))
    return x, y, x + bw, y + bh


def around(seg: Segmentation, h: int, w: int) -> tuple[tuple[float, float, float, float] | None, str]:
    """`bounds` of a segmentation as it was written, in other brackets too; or None, and why it has none."""
    outline = listed(seg)
    wrong = problem(outline, h, w)
    if wrong and (other := respelled(outline)) is not None:
        outline, wrong = other, problem(other, h, w)
    try:
        return (None, wrong) if wrong else (bounds(outline, h, w), "")
    except (ValueError, OverflowError) as e:
        return None, f"cannot be decoded ({e})"


def turned(x: float, y: float, w: float, h: float, degrees: float, about: tuple[float, float]) -> list[float]:
    """The corners of a box, turned clockwise as pictures are looked at around a point."""
    a = math.radians(degrees)
    out: list[float] = []
    for px, py in ((x, y), (x + w, y), (x + w, y + h), (x, y + h)):
        dx, dy = px - about[0], py - about[1]
        out += [about[0] + dx * math.cos(a) - dy * math.sin(a), about[1] + dx * math.sin(a) + dy * math.cos(a)]
    return out


def id_boxes(ids: np.ndarray, count: int) -> Float[np.ndarray, "N 4"]:
    """Tight boxes (x1, y1, x2, y2), edges continuous, of the instances 1..count of an id map (H, W);
    zeros where an id has no pixel."""
    from scipy import ndimage

    out = np.zeros((count, 4), dtype=np.float32)
    for k, found in enumerate(ndimage.find_objects(ids, max_label=count) if count else []):
        if found is not None:
            ys, xs = found
            out[k] = xs.start, ys.start, xs.stop, ys.stop
    return out


def id_masks(ids: np.ndarray, boxes: Float[np.ndarray, "N 4"]) -> Bool[np.ndarray, "N H W"]:
    """Masks of the instances 1..N of an id map (H, W), each compared inside its tight box (`id_boxes`) alone; the rest
    costs no writing."""
    out = np.zeros((len(boxes), *ids.shape), dtype=bool)
    for k, (x1, y1, x2, y2) in enumerate(boxes.astype(np.int64).tolist()):
        np.equal(ids[y1:y2, x1:x2], k + 1, out=out[k, y1:y2, x1:x2])
    return out
