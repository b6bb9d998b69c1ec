"""Outlines of the objects of a split: sound polygons in columns, everything else as it stands.

A million polygons as lists of numbers take gigabytes and a vetting each; as columns they take their numbers, and are
vetted at once while they are gathered.
"""
from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Float, Int

from . import rle


@dataclass
class Store:
    """What `Segments` look into: S rows of R polygons of P numbers. A row is in `others`, or its polygons are sound:
    each of three points or more, even, finite and near (`rle.problem`)."""

    points: Float[np.ndarray, " P"]  # x, y, x, y, ...
    rings: Int[np.ndarray, " R1"]  # where each polygon begins in `points`, and the end of the last
    first: Int[np.ndarray, " S1"]  # where the polygons of each row begin in `rings`, and the end of the last
    bounds: Float[np.ndarray, "S 4"]  # of the polygons of a row; NaN without any, and in `others`
    others: dict[int, Any]  # run lengths, and what is no outline; None for what was taken away


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
        return [t.points[a:b] for a, b in zip(ends, ends[1:])] or None

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
        return none[self.at]

    def bounds(self) -> Float[np.ndarray, "O 4"]:
        """`rle.all_bounds` of vetted outlines."""
        out = self.store.bounds[self.at]
        odd = self.odd()
        if odd:
            out[odd] = rle.all_bounds([self[k] for k in odd])
        return out


class Growing:
    """`Segments` in the making, row by row."""

    def __init__(self) -> None:
        self.points, self.rings, self.first = array("d"), array("q", [0]), array("q", [0])
        self.others: dict[int, Any] = {}

    def add(self, value: Any) -> None:
        """A segmentation as a file holds it."""
        if value is None:
            self.first.append(len(self.rings) - 1)
            return
        rings = [_floats(r) for r in value] if isinstance(value, list) else []
        plain = [r for r in rings if r is not None]
        if plain and len(plain) == len(rings):
            self.polygons(plain)
        else:
            self.other(value)

    def other(self, value: Any) -> None:
        """What is not known to be polygons."""
        self.others[len(self.first) - 1] = value
        self.first.append(len(self.rings) - 1)

    def polygons(self, value: list[list[float]]) -> None:
        """Lists of floats; those that are too short or odd are vetted later."""
        for r in value:
            if len(r) < 6 or len(r) % 2:
                return self.other(value)
        for r in value:
            self.points.fromlist(r)
            self.rings.append(len(self.points))
        self.first.append(len(self.rings) - 1)

    def segments(self) -> Segments:
        """All of them; polygons that are not finite or reach too far are left to the vetting."""
        points = np.frombuffer(self.points, dtype=np.float64) if self.points else np.zeros(0)
        rings, first = np.array(self.rings, dtype=np.int64), np.array(self.first, dtype=np.int64)
        some = first[1:] > first[:-1]
        bounds = np.full((len(first) - 1, 4), np.nan)
        if len(rings) > 1:
            starts, rows = rings[:-1] // 2, first[:-1][some]
            for axis in (0, 1):
                line = points[axis::2]
                bounds[some, axis] = np.minimum.reduceat(np.minimum.reduceat(line, starts), rows)
                bounds[some, axis + 2] = np.maximum.reduceat(np.maximum.reduceat(line, starts), rows)
        found = Segments(Store(points, rings, first, bounds, self.others))
        with np.errstate(invalid="ignore"):
            wild = some & ~((bounds > -rle.FAR) & (bounds < rle.FAR)).all(1)
        for s in np.flatnonzero(wild).tolist():
            self.others[s] = [r.tolist() for r in found._row(s)]
            bounds[s] = np.nan
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
