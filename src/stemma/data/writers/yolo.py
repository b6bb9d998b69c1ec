"""YOLO: data.yaml, images/SPLIT/, labels/SPLIT/*.txt. A line is a box, a polygon where objects have outlines of one
piece, or a pose where they have points. It has no crowds: their pictures are left out, since a crowd written as an
object would be one, and one left away would be background."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..readers import rle
from .pages import AREAS, PARENTS, SEARCHED, SEEN, Book, Page, other_area, shares

CROWDS = "{n} pictures with crowds are left out: YOLO has no crowds"
PIECES = "{n} masks in several pieces, or of run lengths, are written as their boxes: a line holds one outline"
BESIDE = "{n} boxes follow from their outlines and lie up to some pixels beside those of the source"
MASKS = "{n} masks are left out: a line holds an outline or a pose"
SKELETON = "{n} lines between points are left out"


def picture(split: str, name: str) -> str:
    """Where a picture of a split goes."""
    return f"images/{split}/{name}"


def holds(name: str) -> bool:
    """Whether a class may be called so: data.yaml is UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def write(place: Path, book: Book) -> None:
    """Write data.yaml and a file of lines for each picture; takes the pictures that cannot be held away."""
    doc: dict[str, Any] = {split: f"images/{split}" for split in book.splits}
    doc["names"] = dict(enumerate(book.classes.names))
    if book.points is not None:
        doc["kpt_shape"] = [len(book.points.names), 3]
        doc["flip_idx"] = list(book.points.flip)
        doc["kpt_names"] = {k: list(book.points.names) for k in doc["names"]}
        book.lose(SKELETON, len(book.points.lines))
    book.lose(PARENTS, book.parents)
    (place / "data.yaml").write_text(yaml.safe_dump(doc, sort_keys=False, allow_unicode=True), encoding="utf-8")
    for split in book.splits:
        for page in book.pages(split):
            if page.crowd.any():
                book.lose(CROWDS)
                (place / picture(split, page.name)).unlink()
                continue
            book.lose(SEARCHED, int(page.searched is not None))
            book.lose(SEEN, shares(page))
            file = (place / "labels" / split / page.name).with_suffix(".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [_line(page, k, book) for k in range(len(page.labels))]
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _upright(page: Page, xy: np.ndarray) -> np.ndarray:
    """Points (N, 2) on a picture as it is looked at: its lines say no size that could tell that they were drawn on the
    raster as it is stored, which EXIF turns (`images.header`)."""
    h, w = page.size
    x, y = xy.T.astype(np.float64)
    turned = {5: (y, x), 6: (h - y, x), 7: (h - y, w - x), 8: (y, w - x)}.get(page.turn, (x, y))
    return np.stack(turned, 1)


def _line(page: Page, k: int, book: Book) -> str:
    h, w = page.size if page.turn < 5 else page.size[::-1]
    size = np.array([w, h], dtype=np.float64)
    ends = _upright(page, page.boxes[k].reshape(2, 2))
    low, high = ends.min(0), ends.max(0)
    segment = page.segments[k]
    outline = None
    values = np.concatenate([(low + high) / 2 / size, (high - low) / size])
    if page.keypoints is not None:
        points = page.keypoints[k].astype(np.float64)
        points[:, :2] = _upright(page, points[:, :2]) * (points[:, 2:] > 0) / size
        values = np.concatenate([values, points.reshape(-1)])
        book.lose(MASKS, int(segment is not None))
    elif isinstance(segment, list) and len(segment) == 1:
        outline = segment
        values = (_upright(page, np.asarray(segment[0], dtype=np.float64).reshape(-1, 2)) / size).reshape(-1)
        around = np.array(rle.bounds([list(map(float, segment[0]))], *page.size))
        book.lose(BESIDE, int(np.abs(around - page.boxes[k]).max() > 0.01))
    elif segment is not None:
        book.lose(PIECES)
    book.lose(AREAS, other_area(page, k, outline))
    return " ".join([str(int(page.labels[k])), *(f"{v:.10g}" for v in values)])
