"""labelme: one JSON a picture with `shapes`: polygons, rectangles, circles and masks (wkentaro/labelme 5).

Shapes of one label and one group_id are parts of one object. A point is a keypoint of the object with its group_id,
called by its label; one without such an object, and a line, have no extent and take their picture out. What is called
__ignore__ is a place in which nothing counts, as in the tool's own converters: a crowd of every class.
Coordinates count from 0, edges continuous. imageData is not read: pictures are files.
"""
from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stemma.core.samples import DataError
from stemma.core.sentence import many
from stemma.core.values import told

from ..records import OUT, Draft, Fault
from . import pages
from .documents import load_json, real, whole
from .pages import Page, Shape, Source

FORMAT = "labelme"
_IGNORED = "__ignore__"


def looks_like(path: Path) -> bool:
    """Whether a JSON file or a folder holds labelme's annotations."""
    return pages.any_fits(path, _fits, ".json", beside=True) if path.is_dir() else _fits(path)


def _fits(path: Path) -> bool:
    try:
        with open(path, "rb") as f:
            head = f.read(4096)
            f.seek(max(0, path.stat().st_size - 4096))
            text = head + f.read()
    except OSError:
        return False
    return b'"shapes"' in text and (b'"imagePath"' in text or b'"imageData"' in text)


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its JSON files, by the folders that they lie in; those of no bytes among others too, for which a picture
    is left out."""
    among = pages.beside_such(_fits, ".json")
    fits = lambda path: _fits(path) if path.stat().st_size else among(path)
    return pages.file_splits(where, fits, ".json", FORMAT, labels, beside=True)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    found = []
    for path in source.files:
        try:
            found.append(_page(path))
        except DataError as e:
            faults.append(Fault.of(e, "broken annotation", OUT))

    others: list[Page] = []
    for path in {f for other in splits(where, labels).values() for f in other.files} - set(source.files):
        try:
            others.append(_page(path))
        except DataError:
            continue  # named where its own split is opened
    ignored = sum(s.name == _IGNORED for p in found for s in p.shapes)
    notes = [f"{ignored} shapes are called {_IGNORED}: they are crowds of every class"] if ignored else []
    every = pages.classes_of([*found, *others])
    kinds = sorted(every - {_IGNORED}) or sorted(every)
    for page in found if _IGNORED not in kinds else ():
        page.shapes = [s for s in page.shapes if s.name != _IGNORED] + [
            x for s in page.shapes if s.name == _IGNORED for x in pages.everywhere(s, kinds)]
    draft = pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, word="shape", faults=faults,
                           every=lambda: (n for n in pages.written_of(others) if n.strip() in kinds),
                           every_point=lambda: pages.points_of(others), notes=notes, follow_links=follow_links)
    held = {str(p.origin) for p in found if p.held}
    lost = sum(draft.table.origin(i) in held and not (draft.root / f).is_file()
               for i, f in enumerate(draft.table.files))
    if lost:
        draft.notes.append(f"{many(lost, 'picture')} of split '{split}' that no file holds stand in the JSON itself "
                           "(imageData), which is not read: labelme's command labelme_export_json writes them as files")
    return draft


def _page(path: Path) -> Page:
    doc, _ = load_json(path)
    rows = doc.get("shapes") if isinstance(doc, dict) else None
    if not isinstance(rows, list):
        raise DataError(str(path), "has no list 'shapes'", "check which file this is", field="shapes")
    size = whole(doc.get("imageHeight"), 0), whole(doc.get("imageWidth"), 0)
    name = doc.get("imagePath")
    page = Page(name if isinstance(name, str) and name.strip() else path.stem, size, path, other=path.stem,
                held=isinstance(doc.get("imageData"), str))
    parts: dict[tuple[str, Any], Shape] = {}
    spots: list[pages.Spot] = []
    objects: dict[Any, list[Shape]] = {}
    for k, row in enumerate(rows):
        shape = _shape(row, k, size) if isinstance(row, dict) else Shape("", record=k, why="is no shape")
        group = row.get("group_id") if isinstance(row, dict) else None
        group = group if isinstance(group, (int, float, str)) else None
        if isinstance(row, dict) and row.get("shape_type") == "point":
            xy = row.get("points")
            at = xy[0] if isinstance(xy, list) and len(xy) == 1 and isinstance(xy[0], list) else []
            x, y = (real(v) for v in at) if len(at) == 2 else (math.nan, math.nan)
            spots.append(pages.Spot(shape.name, x, y, group, record=k))
            continue
        key = (shape.name, group)
        if group is not None and key in parts and parts[key].rings and shape.rings and not shape.why:
            parts[key].rings += shape.rings  # another part of the same object
            continue
        if group is not None:
            parts.setdefault(key, shape)
        if group is not None:
            objects.setdefault(group, []).append(shape)
        page.shapes.append(shape)
    pages.grouped(page, spots, objects)
    return page


def _shape(row: dict[str, Any], k: int, size: tuple[int, int]) -> Shape:
    label, kind, points = row.get("label"), row.get("shape_type") or "polygon", row.get("points")
    out = Shape(label if isinstance(label, str) else "", record=k)
    out.unread = told(row.get("flags")) + told({"description": row.get("description")})
    xy = [(real(p[0]), real(p[1])) for p in points if isinstance(p, list) and len(p) == 2] if isinstance(
        points, list) else []
    if not xy or len(xy) != len(points or ()) or not all(math.isfinite(v) for p in xy for v in p):
        out.why = "has points that are no pairs of numbers"
    elif kind == "rectangle" and len(xy) >= 2:
        xs, ys = [x for x, _ in xy], [y for _, y in xy]
        out.box = min(xs), min(ys), max(xs), max(ys)
    elif kind == "circle" and len(xy) == 2:
        radius = math.dist(*xy)
        out.rings = [pages.ellipse(*xy[0], radius, radius)]
    elif kind == "mask" and len(xy) == 2 and isinstance(row.get("mask"), str):
        _mask(out, row["mask"], xy, size)
    elif kind in ("polygon", "linestrip", "oriented_rectangle", "rotation") and len(xy) >= 3:
        out.rings = [[v for p in xy for v in p]]
        if kind == "linestrip" and xy[0] != xy[-1]:
            out.rings, out.why = [], "a line has no extent"
    else:
        out.why = f"a {str(kind)[:20]} of {len(xy)} points has no extent"
    return out


def _mask(out: Shape, text: str, xy: Sequence[tuple[float, float]], size: tuple[int, int]) -> None:
    """The mask of a shape: a PNG in base64 at its upper left point."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text))) as im:
            if im.width * im.height > 1 << 28:
                raise ValueError("too large")
            mask = np.asarray(im.convert("L")) > 0
        out.mask = pages.filled(mask, round(xy[0][0]), round(xy[0][1]), size)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        out.why = "has a mask that cannot be decoded"


__all__ = ["FORMAT", "looks_like", "read", "splits"]
