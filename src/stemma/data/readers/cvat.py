"""CVAT for images 1.1: annotations.xml with boxes (also turned ones), polygons, ellipses and masks.

A turned box or ellipse is read as the polygon that it covers. Lines and points have no extent: they take their picture
out. Tags speak of the whole picture and are passed over. Coordinates count from 0, edges continuous. Runs of a mask go
row by row within its rectangle, background first (the format's documentation, "CVAT for images 1.1").
"""
from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import DataError

from ..files import read_bytes
from ..images import MAX_PIXELS
from ..records import Draft, Fault
from . import pages
from .coco import split_name
from .pages import Page, Shape, Source
from .voc import parse

FORMAT = "cvat"


def looks_like(path: Path) -> bool:
    """Whether an XML file or a folder holds CVAT's annotations of images."""
    return pages.any_fits(path, _fits, ".xml") if path.is_dir() else _fits(path)


def _fits(path: Path) -> bool:
    try:
        with open(path, "rb") as f:
            head = f.read(1 << 16).replace(b"\0", b"")
    except OSError:
        return False
    return b"<annotations" in head and (b"<version>1.1" in head or b"<meta" in head or b"<image " in head)


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files; the images of one file may name their subsets themselves."""
    found = pages.file_splits(where, _fits, ".xml", "CVAT", labels)
    if set(found) != {"all"}:
        return found
    files = found["all"].files
    subsets = {i.get("subset") or "" for f in files for i in _root(f).iter("image")}
    named = {split_name(s) or s for s in subsets if s and s.lower() != "default"}
    return {s: Source(files, s) for s in sorted(named)} if named else found


def _root(path: Path) -> ET.Element:
    root = parse(read_bytes(path), path)
    if root.tag != "annotations":
        raise DataError(str(path), f"is <{root.tag[:40]}>, not CVAT's <annotations>", "check which file this is")
    if root.find("track") is not None and root.find("image") is None:
        raise DataError(str(path), "is CVAT for video, whose frames are no files",
                        "export the task as CVAT for images 1.1")
    return root


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    notes: list[str] = []
    found: list[Page] = []
    order: list[str] = []
    tags = 0
    for path in source.files:
        root = _root(path)
        listed = [(e.findtext("name") or "").strip() for e in root.iterfind("meta//labels/label")
                  if not e.findtext("parent")]
        order += [n for n in listed if n and n not in order]
        for image in root.iter("image"):
            subset = image.get("subset") or ""
            if source.split and (split_name(subset) or subset) != source.split:
                continue
            page = Page(image.get("name") or "", (_whole(image, "height"), _whole(image, "width")), path)
            for k, e in enumerate(image):
                if e.tag == "tag":
                    tags += 1
                else:
                    page.shapes.append(_shape(e, k, page.size))
            found.append(page)
    if tags:
        notes.append(f"{tags} tags speak of whole pictures and are not read")
    used = {s.name for p in found for s in p.shapes if s.name}
    order = order if used <= set(order) else []
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=order,
                          every=lambda: _every(where, labels), word="shape", faults=faults, notes=notes,
                          follow_links=follow_links)


def _every(where: Path, labels: str | Path | None) -> set[str]:
    out: set[str] = set()
    for source in splits(where, labels).values():
        for path in source.files:
            out |= {e.get("label") or "" for i in _root(path).iter("image") for e in i if e.tag != "tag"} - {""}
    return out


def _whole(e: ET.Element, key: str) -> int:
    value = _float(e, key, 0.0)
    return int(value) if math.isfinite(value) else 0


def _float(e: ET.Element, key: str, default: float = math.nan) -> float:
    try:
        return float(e.get(key, default))
    except ValueError:
        return math.nan


def _shape(e: ET.Element, k: int, size: tuple[int, int]) -> Shape:
    out = Shape((e.get("label") or "").strip(), record=k)
    about = _float(e, "rotation", 0.0)
    if e.tag == "box":
        x1, y1, x2, y2 = (_float(e, c) for c in ("xtl", "ytl", "xbr", "ybr"))
        if about and all(math.isfinite(v) for v in (x1, y1, x2, y2, about)):
            out.rings = [pages.turned(x1, y1, x2 - x1, y2 - y1, about, ((x1 + x2) / 2, (y1 + y2) / 2))]
        else:
            out.box = x1, y1, x2, y2
    elif e.tag == "polygon":
        out.rings = [_points(e)]
    elif e.tag == "ellipse":
        cx, cy, rx, ry = (_float(e, c) for c in ("cx", "cy", "rx", "ry"))
        out.rings = [pages.ellipse(cx, cy, rx, ry, about)]
    elif e.tag == "mask":
        _mask(out, e, size)
    else:
        out.why = {"polyline": "a line has no extent", "points": "points have no extent",
                   "cuboid": "a cuboid is not read", "skeleton": "a skeleton is not read"}.get(
                       e.tag, f"the shape <{e.tag[:40]}> is not read")
    return out


def _points(e: ET.Element) -> list[float]:
    try:
        return [float(v) for pair in (e.get("points") or "").split(";") for v in pair.split(",")]
    except ValueError:
        return []


def _mask(out: Shape, e: ET.Element, size: tuple[int, int]) -> None:
    left, top, width, height = (_whole(e, c) for c in ("left", "top", "width", "height"))
    try:
        runs = [int(v) for v in (e.get("rle") or "").split(",")]
    except ValueError:
        runs = []
    # no more than the picture holds: a file may say anything
    if (not runs or min(runs) < 0 or width < 1 or height < 1 or sum(runs) != width * height
        or sum(runs) > min(size[0] * size[1], MAX_PIXELS)):
        out.why = f"has runs of {sum(runs):,} pixels for a mask of {width} x {height}"
        return
    on = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    try:
        out.mask = pages.filled(on.reshape(height, width), left, top, size)
    except ValueError as error:
        out.why = str(error)


__all__ = ["FORMAT", "looks_like", "read", "splits"]
