"""What every writer is given: a split as a list of pages, each a picture's name and its truth."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stemma.core.samples import Classes, DataError, Dataset, Points

from ..images import header
from ..mix import origin
from ..readers import rle
from ..records import Records

SEARCHED = ("{n} pictures say which classes they were searched for, and that is left out: what is not marked will "
            "count as absent")
POINTS = "{n} objects' points are left out: the sets that are joined have not all the same points"
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
    searched: tuple[np.ndarray, np.ndarray] | None = None  # labels that are absent, and partial, of federated data
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
        used: set[int] = set()  # numbers of pictures: two of sets that are joined may have one
        for i, name in enumerate(self.names[split]):
            s = data.truth(i)
            if s.amodal is not None and s.masks is not None and not hidden and (split, name) not in self.held:
                self.lose(HIDDEN, int((s.amodal & ~s.masks).any((1, 2)).sum()))
            if s.keypoints is not None and self.points is None and (split, name) not in self.held:
                self.lose(POINTS, len(s.labels))
            number = s.id
            while number in used:
                number += len(data)
            used.add(number)
            self.held[split, name] = len(s.labels)
            yield Page(name, number, s.size, s.boxes, s.labels, s.crowd, s.area,
                       _segments(data, i, s.masks, len(s.labels)), None if self.points is None else s.keypoints,
                       (s.extra["absent"], s.extra["partial"]) if "absent" in s.extra else None, _turn(data, i, s.size))

    def lose(self, what: str, number: int = 1) -> None:
        """Count what cannot be held."""
        if number:
            self.lost[what] = self.lost.get(what, 0) + number

    def losses(self) -> list[str]:
        """What was lost, a line each."""
        return [what.format(n=f"{n:,}") for what, n in self.lost.items()]


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


def plain(value: float) -> float | int:
    """A number as it is written: whole ones without a point, others to six places."""
    rounded = round(float(value), 6)
    return int(rounded) if rounded == int(rounded) else rounded


__all__ = ["HIDDEN", "SEARCHED", "Book", "Page", "plain"]
