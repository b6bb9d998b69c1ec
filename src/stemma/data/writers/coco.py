"""COCO: annotations/instances_SPLIT.json (person_keypoints_SPLIT.json where objects have points) and SPLIT/ pictures.
Holds boxes, polygons, run lengths, crowds, areas, points and how much of an object can be seen; ids are the source's
own where it has any, else no two are equal, in all splits."""
from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ..readers import rle
from .pages import Book, Page, plain

DIFFICULT = "{n} difficult objects are written as crowds"


def picture(split: str, name: str) -> str:
    """Where a picture of a split goes."""
    return f"{split}/{name}"


def write(place: Path, book: Book) -> None:
    """Write a file of annotations for each split."""
    (place / "annotations").mkdir(parents=True, exist_ok=True)
    kind = "instances" if book.points is None else "person_keypoints"
    ids = book.classes.ids if min(book.classes.ids, default=0) > 0 else range(1, len(book.classes) + 1)
    of = list(ids)
    categories: list[dict[str, Any]] = [{"id": i, "name": n, "supercategory": p or n}
                                        for i, n, p in zip(of, book.classes.names, book.classes.parent)]
    if book.points is not None:
        lines = [[a + 1, b + 1] for a, b in book.points.lines]
        categories = [c | {"keypoints": list(book.points.names), "skeleton": lines} for c in categories]
    if book.frequency:
        categories = [c | {"frequency": f} for c, f in zip(categories, book.frequency)]
    next_one = count(book.next_number)
    for split in book.splits:
        mine: set[int] = set()
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for page in book.pages(split):
            h, w = page.size
            book.lose(DIFFICULT, int(page.crowd.sum()) if book.difficult else 0)
            images.append({"id": page.id, "file_name": page.name, "height": h, "width": w})
            if page.searched is not None:
                images[-1] |= {k: [of[c] for c in v] for k, v in zip(
                    ("neg_category_ids", "not_exhaustive_category_ids"), page.searched)}
            for k in range(len(page.labels)):
                own = page.numbers[k] if page.numbers else 0  # 0 is taken for nothing by COCO's own evaluation
                number = own if own > 0 and own not in mine else next(next_one)
                mine.add(number)
                objects.append(_object(page, k, of, number, book.masks))
        doc = {"images": images, "annotations": objects, "categories": categories}
        (place / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(doc), encoding="utf-8")


def _object(page: Page, k: int, ids: list[int], number: int, masks: bool) -> dict[str, Any]:
    """`masks`: others have one, so that the box of an object without is its mask, as in training."""
    x1, y1, x2, y2 = (float(v) for v in page.boxes[k])
    out: dict[str, Any] = {
        "id": number, "image_id": page.id, "category_id": ids[int(page.labels[k])],
        "bbox": [plain(v) for v in (x1, y1, x2 - x1, y2 - y1)], "area": plain(page.area[k]),
        "iscrowd": int(page.crowd[k]),
    }
    segment = page.segments[k]
    if segment is None and masks:
        segment = rle.encode(rle.decode_all([None], page.boxes[k : k + 1], *page.size)[0])
    if isinstance(segment, list):
        out["segmentation"] = [[plain(v) for v in ring] for ring in segment]
    elif segment is not None:
        counts = segment["counts"]
        out["segmentation"] = ({"size": list(page.size), "counts": [int(v) for v in counts]}
                               if isinstance(counts, (list, np.ndarray)) else rle.jsonable(segment))
    if page.visible is not None and np.isfinite(page.visible[k]):
        out["vis_ratio"] = plain(page.visible[k])
    if page.keypoints is not None:
        points = page.keypoints[k]
        out["keypoints"] = [plain(v) for v in points.reshape(-1)]
        out["num_keypoints"] = int((points[:, 2] > 0).sum())
    return out
