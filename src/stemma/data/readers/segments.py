"""Outlines of the objects of a split: sound polygons in columns, everything else as it stands.

A million polygons as lists of numbers take gigabytes and a vetting each; as columns they take their numbers, and are
vetted at once while they are gathered.
"""
from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Float, Int

from . import rle

_BLOCK = 1 << 20  # numbers


@dataclass
class Store:
    """What `Segments` look into: S rows of R polygons of P numbers. A row is in `others`, or its polygons are sound:
    each of three points or more, even, finite and near (`rle.problem`)."""

    points: Float[np.ndarray, " P"] | Int[np.ndarray, " P"]  # x, y, x, y, ...; int32: in hundredths
    rings: Int[np.ndarray, " R1"]  # where each polygon begins in `points`, and the end of the last
    first: Int[np.ndarray, " S1"]  # where the polygons of each row begin in `rings`, and the end of the last
    others: dict[int, Any]  # run lengths, and what is no outline; None for what was taken away

    def bounds(self) -> Float[np.ndarray, "S 4"]:
        """Around the polygons of each row; NaN without any, and in `others`."""
        some = self.first[1:] > self.first[:-1]
        found = np.full((len(self.first) - 1, 4), np.nan)
        if some.any():
            starts, rows = self.rings[:-1] // 2, self.first[:-1][some]
            for axis in (0, 1):
                line = self.points[axis::2]
                found[some, axis] = np.minimum.reduceat(np.minimum.reduceat(line, starts), rows)
                found[some, axis + 2] = np.maximum.reduceat(np.maximum.reduceat(line, starts), rows)
            if self.points.dtype == np.int32:
                found /= 100
        found[list(self.others)] = np.nan
        return found


class Segments(Sequence[Any]):
    """The outline of each of O objects, as `rle` has them: a list of float64 polygons, run lengths, or None."""

    def __init__(self, store: Store, at: Int[np.ndarray, " O"] | None = None):
        self.store = store
        self.at = np.arange(len(store.first) - 1) if at is None else at  # the row of each object

    @classmethod
    def of(cls, values: Iterable[Any]) -> Segments:
        """Of segmentations as files hold them, None for an object without one."""
        new = Growing()
        for value in values:
            new.add(value)
        return new.segments()

    def __len__(self) -> int:
        return len(self.at)

    @overload
    def __getitem__(self, k: int) -> Any: ...
    @overload
    def __getitem__(self, k: slice) -> list[Any]: ...
    def __getitem__(self, k: int | slice) -> Any:
        if isinstance(k, slice):
            return [self._row(s) for s in self.at[k].tolist()]
        return self._row(int(self.at[k]))

    def __iter__(self) -> Iterator[Any]:
        return map(self._row, self.at.tolist())

    def _row(self, s: int) -> Any:
        t = self.store
        if s in t.others:
            return t.others[s]
        ends = t.rings[t.first[s] : t.first[s + 1] + 1].tolist()
        rings = [t.points[a:b] for a, b in zip(ends, ends[1:])]
        return (rings if t.points.dtype == np.float64 else [r / 100 for r in rings]) or None

    def take(self, at: np.ndarray) -> Segments:
        """Those at an index; nothing is copied."""
        return Segments(self.store, self.at[at])

    def mended(self, new: Mapping[int, Any]) -> Segments:
        """With these in the place of others, by object."""
        others = self.store.others | {int(self.at[k]): v for k, v in new.items()}
        return Segments(replace(self.store, others=others), self.at)

    def odd(self) -> list[int]:
        """The objects whose outline is not known to be sound polygons, ascending: run lengths, and what is none."""
        rows = [s for s, v in self.store.others.items() if v is not None]
        return np.flatnonzero(np.isin(self.at, rows)).tolist() if rows else []

    def absent(self) -> Bool[np.ndarray, " O"]:
        """True for an object without an outline."""
        t = self.store
        none = t.first[1:] == t.first[:-1]
        for s, v in t.others.items():
            none[s] = v is None
        found: np.ndarray = none[self.at]
        return found

    def bounds(self) -> Float[np.ndarray, "O 4"]:
        """`rle.all_bounds` of vetted outlines."""
        if 16 * len(self.at) < len(self.store.first):
            return rle.all_bounds(self[:])
        out = self.store.bounds()[self.at]
        odd = self.odd()
        if odd:
            out[odd] = rle.all_bounds([self[k] for k in odd])
        return out


class Growing:
    """`Segments` in the making, row by row."""

    def __init__(self) -> None:
        self.lengths, self.counts, self.others = array("q"), array("q"), dict[int, Any]()  # of polygons, of rows
        self.cents: array[int] | None = array("i")  # hundredths, while they say all that the numbers do
        self.whole, self.points = array("d"), array("d")  # otherwise; and what came last

    def add(self, value: Any) -> None:
        """A segmentation as a file holds it."""
        rings = [_floats(r) for r in value] if isinstance(value, list) else []
        plain = [r for r in rings if r is not None]
        if plain and len(plain) == len(rings):
            self.extend([plain])
        else:
            self.extend([() if isinstance(value, list) else value])
            if isinstance(value, list):
                self.others[len(self.counts) - 1] = value

    def extend(self, values: Sequence[Any]) -> None:
        """Of rows that hold lists of lists of floats, run lengths or nothing."""
        plain = [v if type(v) is list else () for v in values]
        rings = list(chain.from_iterable(plain))
        lengths = list(map(len, rings))
        if lengths and (min(lengths) < 6 or any(n & 1 for n in lengths)):  # vetted later
            plain = [() if any(len(r) < 6 or len(r) & 1 for r in v) else v for v in plain]
            rings = list(chain.from_iterable(plain))
            lengths = list(map(len, rings))
        for k, (v, p) in enumerate(zip(values, plain), len(self.counts)):
            if v is not p and v:
                self.others[k] = v
        for r in rings:
            self.points.fromlist(r)
        self.lengths.fromlist(lengths)
        self.counts.extend(map(len, plain))
        if len(self.points) >= _BLOCK:
            self._pack()

    def _pack(self) -> None:
        """What came last, in half the space where hundredths say the same: COCO's polygons have two decimals."""
        last = np.frombuffer(self.points)
        if self.cents is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                cents = np.rint(last * 100)
                same = bool((np.abs(cents) < 1 << 31).all()) and np.array_equal(cents / 100, last)
            if same:
                self.cents.frombytes(cents.astype(np.int32).tobytes())
            else:
                self.whole.frombytes((np.frombuffer(self.cents, np.int32) / 100).tobytes() if self.cents else b"")
                self.cents = None
        if self.cents is None:
            self.whole.frombytes(last.tobytes())
        self.points = array("d")

    def segments(self) -> Segments:
        """All of them; polygons that are not finite or reach too far are left to the vetting."""
        if self.points:
            self._pack()
        points = np.frombuffer(self.cents or b"", np.int32) if self.cents is not None else np.frombuffer(self.whole)
        rings, first = (np.concatenate([[0], np.cumsum(np.array(x, dtype=np.int64))]).astype(np.int64)
                        for x in (self.lengths, self.counts))
        found = Segments(Store(points, rings, first, self.others))
        far = rle.FAR * (100 if points.dtype == np.int32 else 1)
        if len(points) and not (points.min() > -far and points.max() < far):
            bounds = found.store.bounds()
            wild = (first[1:] > first[:-1]) & ~((bounds > -rle.FAR) & (bounds < rle.FAR)).all(1)
            for s in np.flatnonzero(wild).tolist():
                self.others[s] = [r.tolist() for r in found._row(s)]
        return found


def _floats(ring: Any) -> list[float] | None:
    """The numbers of a polygon; None where it is no list of numbers."""
    if not isinstance(ring, list):
        return None
    try:
        found = np.asarray(ring)
    except ValueError:  # lists of several lengths in it
        return None
    if found.ndim != 1 or found.dtype.kind not in "biuf":
        return None
    plain: list[float] = found.astype(np.float64).tolist()
    return plain


__all__ = ["Growing", "Segments", "Store"]
