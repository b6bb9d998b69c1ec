"""CVAT for images 1.1: annotations.xml with boxes (also turned ones), polygons, ellipses, masks, skeletons and points.

A turned box or ellipse is read as the polygon that it covers. A skeleton is an object whose box its labelled points
span, `outside` ones are not labelled and `occluded` ones hidden; its sub-labels name the keypoints, its drawing the
lines. Points in a row are an object of as many keypoints; a point alone is a keypoint of the box or outline with its
group_id. Lines, and points that belong to none, have no extent: they take their picture out. The attribute `is_crowd`
marks a crowd. Tags speak of the whole picture and are passed over. Coordinates count from 0, edges continuous. Runs of
a mask go row by row within its rectangle, background first (the format's documentation, "CVAT for images 1.1").
"""
from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import DataError
from stemma.core.values import flag, told

from ..files import read_bytes, split_name
from ..images import MAX_PIXELS
from ..records import Draft, Fault, joined
from . import pages, rle
from .pages import Page, Shape, Source
from .points import points_named
from .voc import parse

FORMAT = "cvat"
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


def looks_like(path: Path) -> bool:
    """Whether an XML file or a folder holds CVAT's annotations of images."""
    return pages.any_fits(path, _fits, ".xml") if path.is_dir() else _fits(path)


def _fits(path: Path) -> bool:
    head = pages.head(path).replace(b"\0", b"")
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
    if root.find("track") is not None:
        raise DataError(str(path), "holds tracks, as CVAT for video does, whose frames are no files",
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
    listed: list[str] = []
    tags = 0
    declared: list[str] = []
    lines: list[tuple[int, int]] = []
    for path in source.files:
        root = _root(path)
        listed += [e.findtext("name") or "" for e in root.iterfind("meta//labels/label") if not e.findtext("parent")]
        _declared(root, declared, lines)
        for image in root.iter("image"):
            subset = image.get("subset") or ""
            if source.split and (split_name(subset) or subset) != source.split:
                continue
            page = Page(image.get("name") or "", (_whole(image, "height"), _whole(image, "width")), path)
            tags += _fill(page, image)
            found.append(page)
    if tags:
        notes.append(f"{tags} tags speak of whole pictures and are not read")
    used = pages.classes_of(found)
    bare = sum(bool(s.points) and s.record in p.spanned for p in found for s in p.shapes)
    if bare:
        notes.append(f"{bare} objects are skeletons or points alone: their boxes are what their labelled points span")
    order = list(dict.fromkeys(n.strip() for n in listed if n.strip()))
    if used <= set(order):
        notes += joined(listed, order)
    else:
        order = []
    every = cache(lambda: _every(where, labels))
    points = points_named(declared, lines) if declared and any(s.points for p in found for s in p.shapes) else None
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=order,
                          every=lambda: pages.written_of(every()), every_point=lambda: pages.points_of(every()),
                          word="shape", faults=faults, notes=notes, points=points, follow_links=follow_links)


def _every(where: Path, labels: str | Path | None) -> list[Page]:
    """The pages of all splits, without names."""
    out: list[Page] = []
    for path in dict.fromkeys(f for source in splits(where, labels).values() for f in source.files):
        for image in _root(path).iter("image"):
            out.append(Page("", (_whole(image, "height"), _whole(image, "width")), path))
            _fill(out[-1], image)
    return out


def _fill(page: Page, image: ET.Element) -> int:
    """Put an image's shapes into its page; how many tags it has."""
    tags = 0
    spots: list[pages.Spot] = []
    objects: dict[Any, list[Shape]] = {}
    for k, e in enumerate(image):
        if e.tag == "tag":
            tags += 1
            continue
        group = e.get("group_id")
        group = None if group in (None, "", "0") else group
        xy = _points(e) if e.tag == "points" else []
        if e.tag == "points" and len(xy) <= 2:
            x, y = xy if len(xy) == 2 else (math.nan, math.nan)
            spots.append(pages.Spot((e.get("label") or "").strip(), x, y, group, _seen(e), k))
            continue
        shape = _shape(e, k, page.size)
        if shape.points and shape.box is None:
            pages.around(shape)
            page.spanned.add(k)
        page.shapes.append(shape)
        if group is not None:
            objects.setdefault(group, []).append(shape)
    pages.grouped(page, spots, objects)
    return tags


def _seen(e: ET.Element) -> int:
    return 1 if e.get("occluded") == "1" else 2


def _declared(root: ET.Element, names: list[str], lines: list[tuple[int, int]]) -> None:
    """Add the keypoints that the skeletons' labels name, and the lines of their drawings."""
    for label in root.iterfind("meta//labels/label"):
        if label.findtext("parent") and (name := (label.findtext("name") or "").strip()) and name not in names:
            names.append(name)
    for label in root.iterfind("meta//labels/label"):
        drawing = label.findtext("svg") or ""
        nodes = {a["data-node-id"]: a.get("data-label-name", "") for t in re.findall(r"<circle\b[^>]*", drawing)
                 if "data-node-id" in (a := dict(_ATTRIBUTE.findall(t)))}
        for t in re.findall(r"<line\b[^>]*", drawing):
            a = dict(_ATTRIBUTE.findall(t))
            ends = [nodes.get(a.get(f"data-node-{k}", ""), "") for k in ("from", "to")]
            if all(n in names for n in ends):
                lines.append((names.index(ends[0]), names.index(ends[1])))


def _whole(e: ET.Element, key: str) -> int:
    value = _float(e, key, 0.0)
    return int(value) if math.isfinite(value) else 0


def _float(e: ET.Element, key: str, default: float = math.nan) -> float:
    try:
        return float(e.get(key, default))
    except ValueError:
        return math.nan


def _shape(e: ET.Element, k: int, size: tuple[int, int]) -> Shape:
    out = Shape(e.get("label") or "", record=k)
    said = {a.get("name"): a.text for a in e.iterfind("attribute") if a.text not in (None, "false")}
    try:
        out.crowd = flag(said.pop("is_crowd", None))  # as CVAT's own export to COCO takes it
    except ValueError as error:
        out.why = f"is_crowd {error}"
    out.unread = told(said) + [
        "the mark 'occluded'"] * (e.get("occluded") == "1" and e.tag != "skeleton")
    about = _float(e, "rotation", 0.0)
    if e.tag == "box":
        x1, y1, x2, y2 = (_float(e, c) for c in ("xtl", "ytl", "xbr", "ybr"))
        if about and all(math.isfinite(v) for v in (x1, y1, x2, y2, about)):
            out.rings = [rle.turned(x1, y1, x2 - x1, y2 - y1, about, ((x1 + x2) / 2, (y1 + y2) / 2))]
        else:
            out.box = x1, y1, x2, y2
    elif e.tag == "polygon":
        out.rings = [_points(e)]
    elif e.tag == "ellipse":
        cx, cy, rx, ry = (_float(e, c) for c in ("cx", "cy", "rx", "ry"))
        out.rings = [pages.ellipse(cx, cy, rx, ry, about)]
    elif e.tag == "mask":
        _mask(out, e, size)
    elif e.tag == "points":
        xy = _points(e)
        out.points = {f"point_{i}": (xy[2 * i], xy[2 * i + 1], _seen(e)) for i in range(len(xy) // 2)}
    elif e.tag == "skeleton":
        for p in e.iterfind("points"):
            at, name = _points(p), (p.get("label") or "").strip()
            if p.get("outside") == "1":
                continue
            if len(at) != 2 or not name or name in out.points or not all(map(math.isfinite, at)):
                out.why = f"the skeleton's point {name[:60]!r} is no place of its own"
            out.points[name] = (*at, _seen(p)) if len(at) == 2 else (0.0, 0.0, 0)  # type: ignore[assignment]
        out.why = out.why or ("" if out.points else "the skeleton has no labelled point")
    else:
        out.why = {"polyline": "a line has no extent", "cuboid": "a cuboid is not read"}.get(
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
