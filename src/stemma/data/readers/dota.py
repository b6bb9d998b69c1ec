"""DOTA: a text file beside each picture, in labelTxt/, annfiles/ or labels/; a line an object: x1 y1 x2 y2 x3 y3 x4 y4
in pixels, its class, and whether it is difficult (captain-whu.github.io/DOTA, "Annotation Format"). Lines as
"imagesource:" and "gsd:" may stand before. The four corners are read as an outline; what is difficult is a crowd, as
VOC's is."""
from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError

from ..files import lines_of
from ..images import shown
from ..records import OUT, Draft, Fault
from . import pages
from .pages import Page, Shape, Source

FORMAT = "dota"
_ROOMS = ("labelTxt", "labelTxt-v1.0", "labelTxt-v1.5", "labelTxt-v2.0", "annfiles", "labels", "annotations", "label")
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.I)
_ABOUT = ("imagesource:", "gsd:", "acquisition dates:")


def looks_like(path: Path) -> bool:
    """Whether a folder holds DOTA's lines."""
    return path.is_dir() and pages.any_fits(path, _fits, ".txt", _rooms(path))


def _rooms(where: Path) -> tuple[str, ...]:
    """Folders of labels: those that are called so, in any version."""
    return (*_ROOMS, *(n for n in shown(where) if n.lower().startswith("labeltxt")))


def _fits(path: Path) -> bool:
    lines = pages.head(path).decode("utf-8", "replace").lstrip("\ufeff").splitlines()[:4]
    return any(_row(line) is not None for line in lines)


def _row(line: str) -> tuple[list[float], str, str] | None:
    """(corners, class, difficult) of a line; None where it is none: with commas it is ICDAR's."""
    words = line.split()
    if len(words) < 9:
        return None
    try:
        corners = [float(w) for w in words[:8]]
    except ValueError:
        return None
    marked = len(words) > 9 and words[-1] in ("0", "1", "2")
    name = words[8:-1] if marked else words[8:]
    if all(_NUMBER.fullmatch(w) for w in name) or not all(map(math.isfinite, corners)):
        return None  # nine numbers and more are something else, as an outline of YOLO
    return corners, " ".join(name), words[-1] if marked else "0"


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files, by the folders that they lie in."""
    return pages.file_splits(where, pages.beside_such(_fits, ".txt"), ".txt", "DOTA", labels, _rooms(where))


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    found = [p for path in source.files if (p := _page(path, faults)) is not None]
    notes = ["an object is the outline of its four corners, and its box the upright one around them"]
    found_in = lambda: (p for o in splits(where, labels).values() for f in o.files if f not in source.files
                        if (p := _page(f, [])) is not None)
    draft = pages.draft_of(where, source, found, FORMAT, split, images=images, names=names,
                           every=lambda: pages.classes_of(found_in()), word="line", faults=faults, notes=notes,
                           follow_links=follow_links)
    draft.crowds, draft.unmark = "difficult", "write 0 behind its class"
    return draft


def _page(path: Path, faults: list[Fault]) -> Page | None:
    try:
        lines = lines_of(path)
    except DataError as e:
        faults.append(Fault.of(e, "broken annotation", OUT))
        return None
    page = Page(path.stem, (0, 0), path)
    for k, line in enumerate(lines, 1):
        if not line or line.lower().startswith(_ABOUT):
            continue
        row = _row(line)
        page.shapes.append(Shape("", record=k, why=f"{line[:60]!r} is not eight numbers, a class and 0 or 1")
                           if row is None else Shape(row[1], rings=[row[0]], crowd=row[2] != "0", record=k))
    return page


__all__ = ["FORMAT", "looks_like", "read", "splits"]
