"""COCO-A: annotations/regions_SPLIT.json and SPLIT/ pictures: regions from front to back, each whole, what is seen of
it and what is hidden, and which of two that overlap is in front. Every region has its class as its name; read again
there are things and stuff alone."""
from __future__ import annotations

from pathlib import Path

from ..readers.amodal import coco_a
from ..readers.documents import write_json
from .coco import picture
from .pages import AREAS, PARENTS, SEEN, Book, other_area, shares

NEEDS = "amodal"
POINTS = "{n} objects have points, which are left out: COCO-A has none"
CROWDS = "{n} crowds are written as regions: COCO-A has no crowds"
CLASSES = "{n} classes are written as names of regions: read again, there are things and stuff alone"
ORDER = ("{n} pictures do not say which object is in front: the masks order two where both could be, and the rest of "
         "the order means nothing")


def write(place: Path, book: Book) -> None:
    """Write a file of annotations for each split."""
    (place / "annotations").mkdir(parents=True, exist_ok=True)
    book.lose(CLASSES, len(set(book.classes.names) - {"thing", "stuff"}))
    book.lose(PARENTS, book.parents)
    for split, data in book.splits.items():
        book.lose(ORDER, sum("depth" not in data.truth(i).extra for i in range(len(data))))
        for page in book.pages(split, hidden=True):
            book.lose(POINTS, 0 if page.keypoints is None else len(page.labels))
            book.lose(CROWDS, int(page.crowd.sum()))
            book.lose(SEEN, shares(page))
            book.lose(AREAS, sum(other_area(page, k, segment) for k, segment in enumerate(page.segments)))
        write_json(place / "annotations" / f"regions_{split}.json", coco_a(data, names=book.names[split]))


__all__ = ["CLASSES", "CROWDS", "NEEDS", "ORDER", "POINTS", "picture", "write"]
