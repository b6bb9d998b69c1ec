"""CreateML: a JSON list of pictures with boxes, each by its centre and size in pixels (Apple's object detection format,
its keys `image` and `annotations` or `imagefilename` and `annotation`; also Roboflow's _annotations.createml.json in a
folder a split)."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError

from ..records import Draft, Fault
from . import pages
from .documents import load_json, real
from .pages import Page, Shape, Source

FORMAT = "createml"


def looks_like(path: Path) -> bool:
    """Whether a JSON file or a folder holds CreateML's annotations."""
    return pages.any_fits(path, _fits, ".json") if path.is_dir() else _fits(path)


def _fits(path: Path) -> bool:
    head = pages.head(path)
    return (head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[" and b'"image' in head and b'"annotation' in head
            and (b'"coordinates"' in head or b'"annotations":[]' in head.replace(b" ", b""))
            and b'"result"' not in head)


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files, by the folders that they lie in or their names."""
    return pages.file_splits(where, _fits, ".json", "CreateML", labels)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    found = [p for path in source.files for p in _pages(path, faults)]
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names,
                          every=lambda: pages.written_of(p for o in splits(where, labels).values() for f in o.files
                                                         for p in _pages(f, [])),
                          word="annotation", faults=faults, follow_links=follow_links, spelt="centre")


def _pages(path: Path, faults: list[Fault]) -> list[Page]:
    doc, _ = load_json(path)
    if not isinstance(doc, list):
        raise DataError(str(path), "is no list of pictures", "check which file this is")
    out = []
    for k, row in enumerate(doc):
        name = next((row[c] for c in ("image", "imagefilename") if isinstance(row.get(c), str)), "") if isinstance(
            row, dict) else ""
        rows = row.get("annotations", row.get("annotation")) if isinstance(row, dict) else None
        if not name:
            faults.append(Fault(str(path), f"picture {k}", "image", "names no picture", "it is left out", True,
                                "broken record"))
            continue
        page = Page(name, (0, 0), path)
        if not isinstance(rows, list):
            page.why = "has no list 'annotations'"
        for j, a in enumerate(rows if isinstance(rows, list) else ()):
            c = a.get("coordinates") if isinstance(a, dict) else None
            label = (next((a[x] for x in ("label", "class") if isinstance(a.get(x), str)), "") if isinstance(a, dict)
                     else "")
            shape = Shape(label, record=j)
            if isinstance(c, dict):
                x, y, w, h = (real(c.get(v)) for v in ("x", "y", "width", "height"))
                shape.box = x - w / 2, y - h / 2, x + w / 2, y + h / 2
            page.shapes.append(shape)
        out.append(page)
    return out


__all__ = ["FORMAT", "looks_like", "read", "splits"]
