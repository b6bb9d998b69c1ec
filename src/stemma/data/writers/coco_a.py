"""COCO-A: annotations/regions_SPLIT.json and SPLIT/ pictures: regions from front to back, each whole, what is seen of
it and what is hidden, and which of two that overlap is in front. Every region has its class as its name; read again
there are things and stuff alone."""
from __future__ import annotations

from pathlib import Path

from ..readers.amodal import coco_a
from ..readers.coco import write_json
from .coco import picture
from .pages import Book

NEEDS = "amodal"
POINTS = "{n} objects have points, which are left out: COCO-A has none"
CROWDS = "{n} crowds are written as regions: COCO-A has no crowds"


def write(place: Path, book: Book) -> None:
    """Write a file of annotations for each split."""
    (place / "annotations").mkdir(parents=True, exist_ok=True)
    for split, data in book.splits.items():
        for page in book.pages(split, hidden=True):
            book.lose(POINTS, 0 if page.keypoints is None else len(page.labels))
            book.lose(CROWDS, int(page.crowd.sum()))
        write_json(place / "annotations" / f"regions_{split}.json", coco_a(data, names=book.names[split]))


__all__ = ["CROWDS", "NEEDS", "POINTS", "picture", "write"]
