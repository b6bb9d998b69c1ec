"""Supervisely: meta.json of a project, and DATASET/ann/PICTURE.json beside DATASET/img/PICTURE, an object a figure:
rectangles, polygons with holes, and bitmaps, which are PNGs, most of them compressed, at their upper left point.

The corners of a rectangle are pixels, both of them inside it: it is `right - left + 1` pixels wide (supervisely's
geometry, `Rectangle.width`). A graph is an object of keypoints, which the class's template in meta.json names and joins
(`geometry_config`); its box is the rectangle of its points (`GraphNodes.to_bbox`), or the one other figure of its
`instance`. A disabled point counts as hidden. Figures without an extent (points, lines) are no objects of a detector
and take their picture out.
"""
from __future__ import annotations

import base64
import binascii
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stemma.core.samples import DataError
from stemma.core.values import flag

from ..files import SPLITS, split_name
from ..images import MAX_PIXELS, subfolders
from ..records import OUT, Draft, Fault, joined
from . import pages, rle
from .documents import load_json, real, side
from .pages import Page, Shape, Source
from .points import points_named

FORMAT = "supervisely"
_BROKEN = (ValueError, TypeError, KeyError, OverflowError, OSError, SyntaxError, zlib.error, binascii.Error,
           Image.DecompressionBombError)
_MOST = 1 << 28  # bytes of a bitmap when it is unpacked


def looks_like(path: Path) -> bool:
    """Whether a folder is a project, or one of its data sets."""
    return path.is_dir() and any(_fits(p) for f in _folders(path) for p in [*f.rglob("*.json")][:8])


def _fits(path: Path) -> bool:
    head = pages.head(path, 1 << 14)
    return b'"objects"' in head and b'"size"' in head


def _folders(where: Path) -> list[Path]:
    """Folders of annotations: PROJECT/DATASET/ann, or DATASET/ann where a data set is named."""
    found = [where / "ann", *(where / n / "ann" for n in subfolders(where))]
    return [f for f in found if f.is_dir()]


def _files(where: Path) -> list[Path]:
    """Every JSON below a folder `ann`; a broken one is told."""
    return [p for f in _folders(where) for p in sorted(f.rglob("*.json"))]


def _home(path: Path) -> Path:
    """The folder `ann` that an annotation lies in."""
    return next(p for p in path.parents if p.name == "ann")


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files: those of data sets that are called like one, and beside these each other by its own name;
    else all. Raises DataError where there are none."""
    if where.is_file():
        raise DataError(str(where), "is a file, and a project is a folder", "name the folder that holds meta.json")
    found = _files(where)
    if not found:
        raise DataError(str(where), "holds no annotations of Supervisely", "looked for DATASET/ann/PICTURE.json")
    parts: dict[str, list[Path]] = {}
    for path in found:
        name = _home(path).parent.name
        parts.setdefault(split_name(name) or name, []).append(path)
    if not SPLITS.keys() & parts:
        return {"all": Source(tuple(found))}
    return {s: Source(tuple(p)) for s, p in parts.items()}


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    meta = next((f for f in (where / "meta.json", where.parent / "meta.json") if f.is_file()), None)
    order, templates, notes = _classes(meta)

    @cache
    def every() -> list[Page]:
        return [p for f in _files(where) if (p := _page(f, where, [], templates)) is not None]

    tags: Counter[str] = Counter()
    found = [p for path in source.files if (p := _page(path, where, faults, templates, tags)) is not None]
    notes += [f"{n} pictures have the tag {name!r}, which is not read: splits are data sets that are called so"
              for name, n in tags.items()]
    if split in SPLITS and (others := [s for s in splits(where) if s not in SPLITS]):
        notes.append("data sets that are called like no split are splits of their own, which are opened by their names "
                     f"alone: {', '.join(others[:6])}")
    declared = list(dict.fromkeys(n for t in templates.values() for n in t.names.values()))
    lines = [(declared.index(a), declared.index(b)) for t in templates.values() for a, b in t.lines]
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=order,
                          every=lambda: pages.written_of(every()), every_point=lambda: pages.points_of(every()),
                          word="figure", faults=faults, notes=notes, follow_links=follow_links,
                          used=[meta] if meta is not None else [],
                          points=points_named(declared, lines) if declared else None)


@dataclass(frozen=True)
class Template:
    """The keypoints of a class: key of a node -> its name, and the names that lines join."""

    names: dict[str, str]
    lines: tuple[tuple[str, str], ...]


def _classes(meta: Path | None) -> tuple[list[str], dict[str, Template], list[str]]:
    """The project's own list of classes, the template of those that are graphs, and notes; empty where it has none."""
    if meta is None:
        return [], {}, []
    doc, _ = load_json(meta)
    rows = doc.get("classes") if isinstance(doc, dict) else None
    titled = {r["title"]: r for r in (rows if isinstance(rows, list) else ())
              if isinstance(r, dict) and isinstance(r.get("title"), str)}
    known = {title.strip(): r for title, r in titled.items()}
    drawn = {n: t for n, r in known.items() if (t := _template(r.get("geometry_config"))) is not None}
    return [n for n in known if n], drawn, joined(titled, known)


def _template(config: Any) -> Template | None:
    nodes = config.get("nodes") if isinstance(config, dict) else None
    if not isinstance(nodes, dict) or not nodes:
        return None
    names = {k: n["label"].strip() if isinstance(n, dict) and isinstance(n.get("label"), str) else "" for k, n in
             nodes.items()}
    told = list(names.values())
    names = {k: n if n and told.count(n) == 1 else k for k, n in names.items()}
    edges = config.get("edges")
    ends = [(e.get("src"), e.get("dst")) for e in edges if isinstance(e, dict)] if isinstance(edges, list) else []
    return Template(names, tuple((names[a], names[b]) for a, b in ends if a in names and b in names))


def _page(path: Path, where: Path, faults: list[Fault], templates: dict[str, Template],
          tags: Counter[str] | None = None) -> Page | None:
    try:
        doc, _ = load_json(path)
    except DataError as e:
        faults.append(Fault.of(e, "broken annotation", OUT))
        return None
    size = doc.get("size") if isinstance(doc, dict) else None
    rows = doc.get("objects") if isinstance(doc, dict) else None
    if not isinstance(size, dict) or not isinstance(rows, list):
        faults.append(Fault(str(path), "", "objects", "has no size or no list of objects", OUT, True,
                            "broken annotation"))
        return None
    marks = doc.get("tags")
    if tags is not None and isinstance(marks, list):
        tags.update({str(t.get("name"))[:60] for t in marks if isinstance(t, dict)})
    h, w = (side(size.get(k)) for k in ("height", "width"))
    picture = _home(path).parent / "img" / path.relative_to(_home(path)).with_suffix("")
    page = Page(picture.relative_to(where).as_posix(), (h, w), path)
    bound: dict[str, list[Shape]] = {}
    for k, row in enumerate(rows):
        if not isinstance(row, dict):
            page.shapes.append(Shape("", record=k, why="is no figure"))
            continue
        shape = _shape(row, (h, w), k, templates)
        page.shapes.append(shape)
        if isinstance(row.get("instance"), str) and row["instance"]:
            bound.setdefault(row["instance"], []).append(shape)
    for parts in bound.values():
        whole = next((s for s in parts if not s.points), None)
        if len(parts) == 2 and whole is not None and any(s.points for s in parts) and not any(s.why for s in parts):
            (graph,) = (s for s in parts if s is not whole)
            whole.points = graph.points
            page.shapes.remove(graph)
    return page


def _shape(row: dict[str, Any], size: tuple[int, int], number: int, templates: dict[str, Template]) -> Shape:
    title, kind = row.get("classTitle"), row.get("geometryType")
    shape = Shape(title if isinstance(title, str) else "", record=number)
    tags = row.get("tags")
    shape.unread = [f"the tag {str(t.get('name'))[:60]!r}" for t in tags if isinstance(t, dict)] if isinstance(
        tags, list) else []
    given = row.get("points")
    points: dict[str, Any] = given if isinstance(given, dict) else {}
    try:
        outer = _ring(points.get("exterior")) if kind in ("rectangle", "polygon") else []
        if kind == "rectangle" and len(outer) == 4:
            x, y = sorted(outer[0::2]), sorted(outer[1::2])
            shape.box = x[0], y[0], x[1] + 1, y[1] + 1
        elif kind == "polygon" and len(outer) >= 6:
            holes = [_ring(r) for r in points.get("interior") or ()]
            if holes:
                inside = np.any([rle.decode([r], *size) for r in holes], axis=0)
                shape.mask = rle.encode(rle.decode([outer], *size) & ~inside)
            else:
                shape.rings = [outer]
        elif kind == "graph":
            _graph(shape, row.get("nodes"), templates.get(shape.name))
        elif kind == "bitmap" and isinstance(row.get("bitmap"), dict):
            left, top = (int(v) for v in row["bitmap"]["origin"])
            shape.mask = pages.filled(_bitmap(row["bitmap"]["data"]), left, top, size)
        else:
            shape.why = f"a figure of the kind {str(kind)[:40]!r} is no object with an extent"
    except _BROKEN as e:
        shape.why = f"its figure cannot be read ({str(e)[:80]})"
    return shape


def _graph(shape: Shape, nodes: Any, template: Template | None) -> None:
    """Give a shape the points of a graph and the rectangle of them. Raises ValueError."""
    if not isinstance(nodes, dict) or not nodes:
        raise ValueError("is a graph without nodes")
    for key, node in nodes.items():
        if template is not None and key not in template.names:
            raise ValueError(f"has the node {key[:40]!r}, which the template of its class in meta.json has not")
        node = node if isinstance(node, dict) else {}
        x, y = _ring([node.get("loc")])
        shape.points[template.names[key] if template is not None else key] = x, y, 2 - flag(node.get("disabled"))
    x1, y1 = (min(p[k] for p in shape.points.values()) for k in (0, 1))
    x2, y2 = (max(p[k] for p in shape.points.values()) for k in (0, 1))
    shape.box = x1, y1, x2 + 1, y2 + 1


def _ring(points: Any) -> list[float]:
    """Points [[x, y], ...] as a flat list. Raises ValueError."""
    if not isinstance(points, list):
        raise ValueError("has no points")
    flat = [real(v) for p in points for v in (p if isinstance(p, list) and len(p) == 2 else (None,))]
    if not all(np.isfinite(flat)):
        raise ValueError("has points that are not two finite numbers")
    return flat


def _bitmap(text: str) -> np.ndarray:
    """The mask of a bitmap: a PNG in base64, compressed once more or not; where it is transparent it is not."""
    raw = base64.b64decode(text, validate=True)
    if not raw.startswith(b"\x89PNG"):
        opened = zlib.decompressobj()
        raw = opened.decompress(raw, _MOST)
        if opened.unconsumed_tail:
            raise ValueError("is too large when it is unpacked")
    with Image.open(io.BytesIO(raw), formats=("PNG",)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"is a bitmap of {image.width} x {image.height}")
        pixels = np.asarray(image.convert("RGBA") if "A" in image.getbands() or "transparency" in image.info
                            else image.convert("L"))
    return np.asarray((pixels[..., 3] if pixels.ndim == 3 else pixels) > 0)


__all__ = ["FORMAT", "looks_like", "read", "splits"]
