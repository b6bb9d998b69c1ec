"""Datumaro's own JSON: annotations/SPLIT.json beside images/SPLIT/. `categories.label` names the classes, an item is a
picture, its annotations are boxes (left, top, width, height; CVAT's attribute `rotation` turns them), ellipses (two
corners of their rectangle), rotated_bbox (centre, width, height and degrees), polygons, masks by run lengths, points
and skeletons, whose elements are points of labels of their own. Annotations of one group and class are parts of
one object: their outlines are put together, a box beside them is theirs, and so are points, which `categories.points`
names and joins; points without a group are an object that they span. A group of several boxes is a group of objects."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import DataError
from stemma.core.values import flag, ident, told

from ..records import Draft, Fault
from . import pages, rle
from .documents import load_json, real, side
from .documents import whole as whole_number
from .pages import Page, Shape, Source
from .points import points_named

FORMAT = "datumaro"
_OBJECTS = ("bbox", "polygon", "mask", "points", "ellipse", "rotated_bbox", "skeleton")
_ABOUT = ("label", "caption")  # of the whole picture, and of no object in it


def looks_like(path: Path) -> bool:
    """Whether a JSON file or a folder holds Datumaro's annotations."""
    return pages.any_fits(path, _fits, ".json") if path.is_dir() else path.suffix.lower() == ".json" and _fits(path)


def _fits(path: Path) -> bool:
    head = pages.head(path)
    return b'"categories"' in head and b'"label"' in head and b'"labels"' in head and (
        b'"items"' in head or b'"dm_format_version"' in head)  # a long list of classes stands before the items


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its file, by its name ("default" is undivided data)."""
    return pages.file_splits(where, _fits, ".json", "Datumaro", labels)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    passed: dict[str, int] = {}
    found: list[Page] = []
    order: list[str] = []
    declared: list[str] = []
    lines: list[tuple[int, int]] = []
    for path in source.files:
        doc, _ = load_json(path)
        own = _classes(doc, path)
        named = _named(doc, own, declared, lines)
        rows = doc.get("items")
        order += [n for n in own if n not in order and n not in _elements(rows, own)]
        if not isinstance(rows, list):
            raise DataError(str(path), "has no list of items", "check which file this is", field="items")
        found += [p for k, row in enumerate(rows) if (p := _page(row, k, own, path, faults, passed, named)) is not None]
    notes = [f"{n} annotations of the kind {k} are no objects and are passed over" for k, n in passed.items()]
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=order,
                          word="annotation", faults=faults, notes=notes, follow_links=follow_links,
                          points=points_named(declared, lines) if declared and any(
                              s.points for p in found for s in p.shapes) else None)


def _named(doc: Any, classes: list[str], names: list[str], lines: list[tuple[int, int]]) -> dict[str, list[str]]:
    """class -> the names of its keypoints; those, and the lines between them, are added to the lists."""
    part = doc["categories"].get("points")
    rows = part.get("items") if isinstance(part, dict) else None
    out: dict[str, list[str]] = {}
    for row in rows if isinstance(rows, list) else ():
        label = ident(row.get("label_id")) if isinstance(row, dict) else None
        own = row.get("labels") if isinstance(row, dict) else None
        if not isinstance(label, int) or not 0 <= label < len(classes) or not isinstance(own, list) or not all(
                isinstance(n, str) for n in own):
            continue
        out[classes[label]] = own
        names += [n for n in own if n not in names]
        for pair in row.get("joints") or () if isinstance(row.get("joints"), list) else ():
            at = [ident(v) for v in pair] if isinstance(pair, list) and len(pair) == 2 else []
            if len(at) == 2 and all(isinstance(v, int) and 1 <= v <= len(own) for v in at):
                lines.append(tuple(names.index(own[v - 1]) for v in at))  # type: ignore[arg-type, operator]
    return out


def _elements(rows: Any, classes: list[str]) -> set[str]:
    """The names of classes that are points of skeletons alone, and no objects."""
    parts, others = set[str](), set[str]()
    for row in rows if isinstance(rows, list) else ():
        own = row.get("annotations") if isinstance(row, dict) else None
        for a in own if isinstance(own, list) else ():
            if not isinstance(a, dict):
                continue
            others.add(_label(a, classes))
            inner = a.get("elements")
            parts |= {_label(e, classes) for e in (inner if isinstance(inner, list) else ()) if isinstance(e, dict)}
    return parts - others


def _label(a: dict[str, Any], classes: list[str]) -> str:
    """The class of an annotation; "" where it has none that is known."""
    label = ident(a.get("label_id", -1))
    return classes[label] if isinstance(label, int) and 0 <= label < len(classes) else ""


def _classes(doc: Any, path: Path) -> list[str]:
    """Class names in their order. Raises DataError."""
    part = doc.get("categories") if isinstance(doc, dict) else None
    label = part.get("label") if isinstance(part, dict) else None
    rows = label.get("labels") if isinstance(label, dict) else None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and isinstance(r.get("name"), str) for r in rows):
        raise DataError(str(path), "has no categories.label.labels with names", "check which file this is",
                        field="categories")
    return [r["name"] for r in rows]


def _page(row: Any, number: int, classes: list[str], path: Path, faults: list[Fault],
          passed: dict[str, int], named: dict[str, list[str]]) -> Page | None:
    image = row.get("image") if isinstance(row, dict) else None
    name = image.get("path") if isinstance(image, dict) else None
    name = name or (row.get("id") if isinstance(row, dict) else None)
    if not isinstance(name, str) or not name:
        faults.append(Fault(str(path), f"item {number}", "id", "names no picture", "it is left out", True,
                            "broken record"))
        return None
    size = image.get("size") if isinstance(image, dict) else None
    h, w = map(side, size) if isinstance(size, list) and len(size) == 2 else (0, 0)
    page = Page(name, (h, w), path)
    groups: dict[tuple[int | str, str], list[Shape]] = {}
    rows = row.get("annotations")
    if not isinstance(rows, list):
        page.why = "has no list of annotations"
    for k, a in enumerate(rows if isinstance(rows, list) else ()):
        kind = a.get("type") if isinstance(a, dict) else None
        if kind in _ABOUT:
            passed[kind] = passed.get(kind, 0) + 1
            continue
        if kind not in _OBJECTS:
            page.shapes.append(Shape("object", record=k, why=f"an annotation of the type {str(kind)[:40]!r} is not "
                                     "read as an object"))
            continue
        shape = _shape(a, kind, classes, k, named)
        page.shapes.append(shape)
        if group := ident(a.get("group", 0)):
            groups.setdefault((group, shape.name), []).append(shape)
    for (group, _), parts in groups.items():
        boxed = [s for s in parts if s.box is not None]
        for part in parts[1:] if len(boxed) < 2 else ():
            _join(parts[0], part)
            page.shapes.remove(part)
        for part in parts if 1 < len(boxed) < len(parts) else ():
            part.why = part.why or f"its group {group!r} holds {len(boxed)} boxes and an outline of one of them"
    for shape in page.shapes:
        if shape.points and shape.box is None and not shape.rings and shape.mask is None:
            pages.around(shape)
    return page


def _shape(a: dict[str, Any], kind: str, classes: list[str], number: int, named: dict[str, list[str]]) -> Shape:
    shape = Shape(_label(a, classes), record=number)
    if not shape.name:
        shape.why = f"label_id {str(a.get('label_id'))[:20]} is none of the {len(classes)} classes"
        return shape
    more = a.get("attributes")
    shape.unread = told(more, ("is_crowd", "rotation"))
    about = real(more.get("rotation", 0)) if isinstance(more, dict) else 0.0
    try:
        shape.crowd = isinstance(more, dict) and flag(more.get("is_crowd"))
    except ValueError as e:
        shape.why = f"is_crowd {e}"
    if kind == "mask":
        code = a.get("rle")
        sized = isinstance(code, dict) and isinstance(code.get("size"), list)
        if isinstance(code, dict) and sized and isinstance(code.get("counts"), (str, list)):
            shape.mask = {"size": code["size"], "counts": code["counts"]}
        else:
            shape.why = "its mask has no run lengths"
        return shape
    if kind == "skeleton":
        _skeleton(shape, a.get("elements"), classes)
        return shape
    values = a.get("bbox" if kind == "bbox" else "points", a.get(kind))
    flat = [real(v) for v in values] if isinstance(values, list) else []
    if kind == "polygon":
        shape.rings = [flat]
    elif kind == "points":
        seen = a.get("visibility")
        marks = [whole_number(v, 0) for v in seen] if isinstance(seen, list) else [2] * (len(flat) // 2)
        own = named.get(shape.name) or [f"point_{i}" for i in range(len(flat) // 2)]
        if len(flat) != 2 * len(own) or len(marks) != len(own) or not np.isfinite(flat).all():
            shape.why = (f"has {len(flat)} numbers of points and {len(marks)} of visibility, where {len(own)} points "
                         "are due")
        else:
            shape.points = {n: (flat[2 * i], flat[2 * i + 1], marks[i]) for i, n in enumerate(own)
                            if marks[i] in (1, 2)}
    elif len(flat) == 4 and kind == "ellipse":
        x1, y1, x2, y2 = flat
        shape.rings = [pages.ellipse((x1 + x2) / 2, (y1 + y2) / 2, abs(x2 - x1) / 2, abs(y2 - y1) / 2, about or 0.0)]
    elif len(flat) == 5 and kind == "rotated_bbox":
        cx, cy, w, h, degrees = flat
        shape.rings = [rle.turned(cx - w / 2, cy - h / 2, w, h, degrees, (cx, cy))]
    elif len(flat) == 4 and kind == "bbox":
        x, y, w, h = flat
        if about:
            shape.rings = [rle.turned(x, y, w, h, about, (x + w / 2, y + h / 2))]
        else:
            shape.box = x, y, x + w, y + h
    else:
        shape.why = f"its box is not made of {'five' if kind == 'rotated_bbox' else 'four'} numbers"
    return shape


def _skeleton(shape: Shape, elements: Any, classes: list[str]) -> None:
    """The points of a skeleton, by the names of their labels."""
    for e in elements if isinstance(elements, list) else ():
        at, seen = (e.get(k) if isinstance(e, dict) else None for k in ("points", "visibility"))
        name = _label(e, classes) if isinstance(e, dict) else ""
        mark = whole_number(seen[0], -1) if isinstance(seen, list) and len(seen) == 1 else 2 if seen is None else -1
        flat = [real(v) for v in at] if isinstance(at, list) else []
        if not name or name in shape.points or len(flat) != 2 or not np.isfinite(flat).all() or mark not in (0, 1, 2):
            shape.why = shape.why or f"its point {name[:60]!r} is no place of its own"
        elif mark:
            shape.points[name] = flat[0], flat[1], mark
    shape.why = shape.why or ("" if shape.points else "its skeleton has no labelled point")


def _join(whole: Shape, part: Shape) -> None:
    """Put a part of a group to its object."""
    whole.why = whole.why or part.why
    whole.crowd = whole.crowd or part.crowd
    whole.box = part.box if whole.box is None else whole.box
    whole.points |= part.points
    if part.mask is not None and whole.mask is not None:
        try:
            masks = [rle.decode(m, *m["size"]) for m in (whole.mask, part.mask)]
            whole.mask = rle.encode(np.logical_or(*masks))
        except (ValueError, OverflowError, TypeError) as e:
            whole.why = f"its masks cannot be put together ({str(e)[:80]})"
    else:
        whole.mask = whole.mask or part.mask
    whole.rings += part.rings


__all__ = ["FORMAT", "looks_like", "read", "splits"]
