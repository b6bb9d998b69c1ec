"""BDD100K's and Scalabel's JSON: a list of frames, {"frames": [...]}, or a file a picture; a frame has a name, and in
`labels` (`objects` in the files of one picture) a category and a box2d, a poly2d or run lengths each.

Corners of a box2d are pixels that belong to it, as scalabel's own conversion to COCO takes them: the far edge lies one
further on. A poly2d is an outline where it is closed, or of an area; three vertices of the type C are the two controls
and the end of a Bezier curve. Open lines, as of lanes, have no extent and are passed over, counted. The attributes
crowd and ignored mark a crowd (both are iscrowd there). A frame without labels is a picture without objects."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError
from stemma.core.values import flag, told

from ..records import OUT, Draft, Fault
from . import pages
from .documents import load_json, real, side
from .pages import Page, Shape, Source

FORMAT = "bdd100k"
_CROWDS = ("crowd", "ignored")
_ROUND = 8  # points of a curve


def looks_like(path: Path) -> bool:
    """Whether a JSON file or a folder holds frames of Scalabel."""
    return pages.any_fits(path, _fits, ".json") if path.is_dir() else path.suffix.lower() == ".json" and _fits(path)


def _fits(path: Path) -> bool:
    head = pages.head(path)
    labelled = b'"labels"' in head or b'"objects"' in head
    return b'"name"' in head and labelled and (b'"box2d"' in head or b'"poly2d"' in head) or (
        b'"frames"' in head and b'"name"' in head and (b'"groups"' in head or labelled) and b'"images"' not in head)


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files, by their folders or names."""
    return pages.file_splits(where, _fits, ".json", "BDD100K", labels)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    lines: Counter[str] = Counter()
    found = [p for path in source.files for p in _pages(path, faults, lines, len(source.files) > 1)]
    notes = [f"{sum(lines.values())} open lines have no extent and are not read ("
             + ", ".join(f"{c}: {n}" for c, n in lines.most_common(4)) + ")"] if lines else []
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names,
                          every=lambda: pages.written_of(p for o in splits(where, labels).values() for f in o.files
                                                         if f not in source.files for p in _pages(f, [], Counter())),
                          word="label", faults=faults, notes=notes, follow_links=follow_links, spelt="corners")


def _pages(path: Path, faults: list[Fault], lines: Counter[str], several: bool = True) -> list[Page]:
    """The frames of a file. Raises DataError where it is broken, and not one of several."""
    try:
        doc, _ = load_json(path)
    except DataError as e:
        if not several:
            raise
        faults.append(Fault.of(e, "broken annotation", OUT))
        return []
    whole = isinstance(doc, dict) and not isinstance(doc.get("name"), str)
    frames = doc if isinstance(doc, list) else doc.get("frames") if whole else [doc]
    if not isinstance(frames, list):
        raise DataError(str(path), "has no list of frames", "check which file this is", field="frames")
    out = []
    for k, frame in enumerate(frames):
        name = frame.get("name") if isinstance(frame, dict) else None
        if not isinstance(name, str) or not name:
            faults.append(Fault(str(path), f"frame {k}", "name", "names no picture", "it is left out", True,
                                "broken record"))
            continue
        size = frame.get("size")
        h, w = (side(size.get(c)) if isinstance(size, dict) else 0 for c in ("height", "width"))
        page = Page(name, (h, w), path)
        inner = frame.get("frames")  # of a file of one picture
        rows: list[Any] = []
        for part in inner if isinstance(inner, list) else [frame]:
            own = part.get("labels", part.get("objects")) if isinstance(part, dict) else None
            if isinstance(own, list):
                rows += own
            elif own is not None:
                page.why = "has labels that are no list"
        for j, row in enumerate(rows):
            shape = _shape(row, j, lines) if isinstance(row, dict) else Shape("", record=j, why="is no label")
            if shape is not None:
                page.shapes.append(shape)
        out.append(page)
    return out


def _shape(row: Mapping[str, Any], number: int, lines: Counter[str]) -> Shape | None:
    """A label as an object; None for an open line."""
    label = row.get("category")
    shape = Shape(label if isinstance(label, str) else "", record=number)
    more = row.get("attributes")
    shape.unread = told({k: v for k, v in more.items() if v not in ("none", "NA")} if isinstance(more, dict) else None,
                        _CROWDS)
    try:
        shape.crowd = isinstance(more, dict) and any(flag(more.get(k)) for k in _CROWDS)
    except ValueError as e:
        shape.why = f"crowd {e}"
    box, poly, runs = row.get("box2d"), row.get("poly2d"), row.get("rle")
    if isinstance(box, dict):
        x1, y1, x2, y2 = (real(box.get(c)) for c in ("x1", "y1", "x2", "y2"))
        shape.box = x1, y1, x2 + 1, y2 + 1
    if isinstance(runs, dict):
        shape.mask = {"size": runs.get("size"), "counts": runs.get("counts")}
    elif isinstance(poly, list) and poly:
        parts = poly if all(isinstance(p, dict) for p in poly) else [{"vertices": poly}]
        closed = [p for p in parts if p.get("closed", "lane" not in shape.name.split("/")[0])]
        shape.rings = [_ring(p) for p in closed]
        if not closed and shape.box is None:
            lines[shape.name] += 1
            return None
    if shape.box is None and not shape.rings and shape.mask is None:
        kinds = [k for k in ("box3d", "graph") if row.get(k)]
        shape.why = shape.why or (f"a {kinds[0]} is not read" if kinds else "")
    return shape


def _ring(poly: Mapping[str, Any]) -> list[float]:
    """The outline, curves as points: x, y, x, y, ...; NaN where it cannot be read."""
    rows = poly.get("vertices")
    said = poly.get("types")
    points, kinds = [], []
    for k, row in enumerate(rows if isinstance(rows, list) else ()):
        pair = row if isinstance(row, list) and len(row) in (2, 3) else [None, None]
        points.append((real(pair[0]), real(pair[1])))
        kinds.append(pair[2] if len(pair) == 3 else said[k] if isinstance(said, str) and k < len(said) else "L")
    out: list[float] = []
    k = 0
    while k < len(points):
        if kinds[k : k + 3] == ["C"] * 3 and k and k + 2 < len(points):
            p = (points[k - 1], *points[k : k + 3])
            for t in (i / _ROUND for i in range(1, _ROUND + 1)):
                weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                out += [sum(w * q[c] for w, q in zip(weights, p)) for c in (0, 1)]
            k += 3
        else:
            out += points[k]
            k += 1
    return out


__all__ = ["FORMAT", "looks_like", "read", "splits"]
