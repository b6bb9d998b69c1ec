"""VGG Image Annotator: a project, its annotations as JSON, or as CSV; rectangles, polygons,
circles and ellipses (VIA 1, 2).

The class is the region attribute that is called label, class, name, type or category, or the only one there is; without
any, all regions are of the class "object". Points and lines have no extent: they take their picture out.
"""
from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError
from stemma.core.values import told

from ..files import read_bytes, table_of, text_of
from ..records import Draft, Fault
from . import pages
from .documents import load_json, real
from .pages import Page, Shape, Source

FORMAT = "via"
_CLASS = ("label", "class", "name", "type", "category", "class_name", "object")


def looks_like(path: Path) -> bool:
    """Whether a JSON or CSV file, or a folder, holds VIA's annotations."""
    if path.is_dir():
        return any(pages.any_fits(path, _fits, ending) for ending in (".json", ".csv"))
    return _fits(path)


def _fits(path: Path) -> bool:
    head = pages.head(path)
    if path.suffix.lower() == ".csv":
        return b"region_shape_attributes" in head
    return b'"_via_img_metadata"' in head or b'"regions"' in head and b'"filename"' in head


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files, by the folders that they lie in or their names."""
    try:
        return pages.file_splits(where, _fits, ".json", "VIA", labels)
    except DataError:
        return pages.file_splits(where, _fits, ".csv", "VIA", labels)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    notes: list[str] = []
    files = [f for s in splits(where, labels).values() for f in s.files]
    every = {f: list(_regions(f, faults if f in source.files else [])) for f in dict.fromkeys([*source.files, *files])}
    key = _attribute(a for rows in every.values() for _, _, a in rows)  # one rule for all splits
    if key is None:
        notes.append("no region has an attribute that could be its class; all are called 'object'")
    found: list[Page] = []
    for path in source.files:
        of: dict[str, Page] = {}
        for name, shape, attributes in every[path]:
            page = of.setdefault(name, Page(name, (0, 0), path))
            if shape is not None and "why" in shape:
                page.why = shape["why"]
            elif shape is not None:
                page.shapes.append(_shape(shape, _name(attributes, key), len(page.shapes)))
                page.shapes[-1].unread = told(attributes, (key,))
        found += of.values()
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, word="region", faults=faults,
                          every=lambda: {n for rows in every.values() for _, s, a in rows
                                         if s and (n := _name(a, key)).strip()}, notes=notes, follow_links=follow_links)


Region = tuple[str, dict[str, Any] | None, dict[str, Any]]


def _regions(path: Path, faults: list[Fault]) -> Iterable[Region]:
    """(picture, shape, attributes) of every region; a picture without any gives (picture, None, {})."""
    if path.suffix.lower() == ".csv":
        rows_of = table_of(text_of(read_bytes(path), path), path)
        for k, cells in enumerate(rows_of[1:], 2):
            row = dict(zip(rows_of[0], cells))
            name = (row.get("filename") or row.get("#filename") or "").strip()
            try:
                shape, attributes = (json.loads(row.get(c) or "{}") for c in ("region_shape_attributes",
                                                                            "region_attributes"))
                assert isinstance(shape, dict) and isinstance(attributes, dict) and name
            except (ValueError, AssertionError, RecursionError):
                faults.append(Fault(str(path), f"line {k}", "", "is no region of a picture",
                                    "correct it, or remove it", False, "broken record"))
                continue
            yield name, shape or None, attributes
        return
    doc, _ = load_json(path)
    rows = doc.get("_via_img_metadata", doc) if isinstance(doc, dict) else None
    if not isinstance(rows, dict):
        raise DataError(str(path), "is no VIA project and no annotations of one", "check which file this is")
    for key, entry in rows.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("filename"), str):
            if not key.startswith("_via"):
                faults.append(Fault(str(path), f"picture {key[:80]}", "filename", "names no picture", "it is left out",
                                    True, "broken record"))
            continue
        regions = entry.get("regions")
        if not isinstance(regions, (dict, list)):
            yield entry["filename"], {"why": "the picture has no list 'regions'"}, {}
            continue
        listed = list(regions.values()) if isinstance(regions, dict) else regions
        if not listed:
            yield entry["filename"], None, {}
        for r in listed:
            shape = r.get("shape_attributes") if isinstance(r, dict) else None
            attributes = r.get("region_attributes") if isinstance(r, dict) else None
            yield (entry["filename"], shape if isinstance(shape, dict) and shape else {"name": "nothing"},
                   attributes if isinstance(attributes, dict) else {})


def _attribute(found: Iterable[dict[str, Any]]) -> str | None:
    """The attribute that is the class. Raises DataError where several could be."""
    keys = list(dict.fromkeys(k for a in found for k in a))
    named = [k for w in _CLASS for k in keys if k.strip().lower() == w]
    if named or len(keys) <= 1:
        return next(iter(named or keys), None)
    raise DataError("VIA", f"has the region attributes {', '.join(keys[:6])}, and none is called label or class",
                    "rename the one that is the class to label")


def _name(attributes: dict[str, Any], key: str | None) -> str:
    if key is None:
        return "object"
    value = attributes.get(key)
    if isinstance(value, dict):  # a checkbox: the one that is set
        on = [str(k) for k, v in value.items() if v]
        return on[0] if len(on) == 1 else ""
    return str(value) if isinstance(value, (str, int, float)) else ""


def _shape(s: dict[str, Any], name: str, k: int) -> Shape:
    out, kind = Shape(name, record=k), s.get("name")
    if kind == "rect":
        x, y, w, h = (real(s.get(c)) for c in ("x", "y", "width", "height"))
        out.box = x, y, x + w, y + h
    elif kind == "circle":
        out.rings = [pages.ellipse(real(s.get("cx")), real(s.get("cy")), real(s.get("r")), real(s.get("r")))]
    elif kind == "ellipse":
        cx, cy, rx, ry = (real(s.get(c)) for c in ("cx", "cy", "rx", "ry"))
        out.rings = [pages.ellipse(cx, cy, rx, ry, math.degrees(real(s.get("theta", 0.0))))]
    elif kind == "polygon":
        xs, ys = s.get("all_points_x"), s.get("all_points_y")
        if isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys):
            out.rings = [[real(v) for xy in zip(xs, ys) for v in xy]]
    else:
        out.why = f"a region of the shape {str(kind)[:20]!r} has no extent"
    return out


__all__ = ["FORMAT", "looks_like", "read", "splits"]
