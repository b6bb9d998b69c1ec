"""What every writer is given: a split as a list of pages, each a picture's name and its truth."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from stemma.core.samples import IGNORE, Classes, DataError, Dataset, Points, Sample

from ..images import header
from ..mix import origin
from ..readers import rle
from ..records import Records

SEARCHED = ("{n} pictures say which classes they were searched for, and that is left out: what is not marked will "
            "count as absent")
POINTS = "{n} objects' points are left out: the sets that are joined have not all the same points"
STUFF = "{n} segments of stuff are left out: objects alone are held"
MAPS = "{n} maps of classes that are no objects' are left out: objects alone are held"
PARENTS = "{n} classes say what they are a kind of, which is left out; coco holds it"
SEEN = "{n} objects say how much of them can be seen, which is left out; coco holds it"
AREAS = "{n} areas are left out: those of boxes and outlines will be taken"
UNREAD = "{n} objects have {what}, which is not read"
HIDDEN = "{n} objects have hidden parts, which are left out; coco-a holds them"


@dataclass(frozen=True)
class Page:
    """A picture's truth. N objects, boxes (N, 4) xyxy in pixels with continuous edges; `segments`: polygons (a list of
    flat x, y rings), run lengths, or None for each object; `keypoints` (N, K, 3) or None."""

    name: str  # relative to the split's folder of pictures
    id: int
    size: tuple[int, int]  # height, width
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    segments: Sequence[Any]
    keypoints: np.ndarray | None
    visible: np.ndarray | None = None  # share of each box that can be seen, NaN where that is not said
    searched: tuple[np.ndarray, np.ndarray] | None = None  # labels that are absent, and partial, of federated data
    numbers: Sequence[int] = ()  # of the objects; 0 where the source gives it none of its own
    turn: int = 1  # by which EXIF turns the picture, where its truth was drawn on the raster as it is stored


@dataclass(frozen=True)
class Book:
    """A data set to be written: the pages of each split, as often as they are asked for."""

    splits: Mapping[str, Dataset]
    names: Mapping[str, Sequence[str]]  # of the pictures of each split
    classes: Classes
    points: Points | None
    lost: dict[str, int] = field(default_factory=dict)  # what the format cannot hold -> how often
    held: dict[tuple[str, str], int] = field(default_factory=dict)  # objects of each page that was turned

    @cached_property
    def numbers(self) -> dict[str, list[int]]:
        """Of the pictures of each split: the source's own, though two splits may have one; else those of no other."""
        own = {k: [_numbered(*origin(d, i)) for i in range(len(d))] for k, d in self.splits.items()}
        free = 1 + max((n for of in own.values() for n, _ in of), default=0)
        every: set[int] = set()
        out: dict[str, list[int]] = {}
        for split, of in own.items():
            mine: set[int] = set()
            for number, kept in of:
                if number in (mine if kept else every):
                    number, free = free, free + 1
                mine.add(number)
                every.add(number)
                out.setdefault(split, []).append(number)
        return out

    @property
    def next_number(self) -> int:
        """Of an object: above those that the source gives."""
        return 1 + max((n for d in self.splits.values() for i in range(len(d)) for n in _objects(d, i)), default=0)

    @property
    def masks(self) -> bool:
        """Whether objects have masks."""
        return any("masks" in d.info.kinds for d in self.splits.values())

    @property
    def frequency(self) -> tuple[str, ...]:
        """Of the classes of federated data."""
        return next(iter(self.splits.values())).info.frequency

    def pages(self, split: str, hidden: bool = False) -> Iterator[Page]:
        """The split's pictures in order, one at a time. `hidden`: hidden parts are held."""
        data = self.splits[split]
        for i, name in enumerate(self.names[split]):
            s = data.truth(i)
            if (split, name) not in self.held:
                if s.amodal is not None and s.masks is not None and not hidden:
                    self.lose(HIDDEN, int((s.amodal & ~s.masks).any((1, 2)).sum()))
                self.lose(POINTS, len(s.labels) if s.keypoints is not None and self.points is None else 0)
                self._lose_maps(origin(data, i)[0], s)
            self.held[split, name] = len(s.labels)
            yield Page(name, self.numbers[split][i], s.size, s.boxes, s.labels, s.crowd, s.area,
                       _segments(data, i, s.masks, len(s.labels)), None if self.points is None else s.keypoints,
                       s.visible, (s.extra["absent"], s.extra["partial"]) if "absent" in s.extra else None,
                       _objects(data, i), _turn(data, i, s.size))

    def _lose_maps(self, data: Dataset, s: Sample) -> None:
        """Count what the maps of a picture say besides its objects. data: what it is read from."""
        info = data.info
        if s.segments is not None and info.panoptic is not None:
            self.lose(STUFF, sum(not info.panoptic.things[c] for c in s.segments.tolist()))
        elif s.semantic is not None and info.semantic is not None and isinstance(data, Records) and data.layers:
            there = (info.semantic.names[c] for c in np.unique(s.semantic).tolist() if c != IGNORE)
            self.lose(MAPS, int(any(n not in info.classes.names and n.strip("_") != "background" for n in there)))

    @property
    def parents(self) -> int:
        """How many classes say what they are a kind of."""
        return sum(map(bool, self.classes.parent))

    @property
    def difficult(self) -> bool:
        """Whether what counts as crowd are single objects that are difficult."""
        return all(d.info.difficult for d in self.splits.values())

    def lose(self, what: str, number: int = 1) -> None:
        """Count what cannot be held."""
        if number:
            self.lost[what] = self.lost.get(what, 0) + number

    def losses(self) -> list[str]:
        """What was lost, a line each."""
        return [what.format(n=f"{n:,}") for what, n in self.lost.items()]


def _numbered(data: Dataset, i: int) -> tuple[int, bool]:
    """(number of a picture, whether it is the source's own)."""
    return (int(data.table.ids[i]), data.numbered) if isinstance(data, Records) else (i, False)


def _objects(data: Dataset, i: int) -> Sequence[int]:
    """The source's own numbers of the objects of a picture; () where it has none."""
    data, i = origin(data, i)
    if not isinstance(data, Records) or not data.numbered or data.layers is not None:
        return ()
    own: list[int] = data.table.record[data.rows(i)].tolist()
    return own


def _turn(data: Dataset, i: int, size: tuple[int, int]) -> int:
    data, i = origin(data, i)
    try:
        head = header(data.path(i)) if isinstance(data, Records) else None
    except DataError:
        return 1  # it is copied as it is, and told where it is read
    return head.orientation if head is not None and size == (head.height, head.width) != head.size else 1


def _segments(data: Dataset, i: int, masks: np.ndarray | None, count: int) -> Sequence[Any]:
    """Outlines as the source has them; of objects that live in maps, run lengths of their pixels."""
    data, i = origin(data, i)
    if isinstance(data, Records) and data.layers is None:
        return [None] * count if data.table.segments is None else data.table.segments[data.rows(i)]
    if masks is None:
        return [None] * count
    return [rle.encode(m) for m in masks]


def other_area(page: Page, k: int, outline: Any) -> int:
    """1 where an object's area, in pixels, is not that of what is written of it: of an outline, or its box where that
    is None; a pixel or a hundredth is rounding."""
    x1, y1, x2, y2 = page.boxes[k]
    taken = float((x2 - x1) * (y2 - y1)) if outline is None else rle.area(outline, *page.size)
    return int(abs(float(page.area[k]) - taken) > max(1.0, 0.01 * taken))


def shares(page: Page) -> int:
    """Of how many objects it is said how much can be seen."""
    return 0 if page.visible is None else int(np.isfinite(page.visible).sum())


def plain(value: float) -> float | int:
    """A number as it is written: whole ones without a point, others to six places."""
    rounded = round(float(value), 6)
    return int(rounded) if rounded == int(rounded) else rounded


__all__ = ["AREAS", "HIDDEN", "PARENTS", "SEARCHED", "SEEN", "UNREAD", "Book", "Page", "other_area", "plain", "shares"]
