"""WIDER FACE: wider_face_SPLIT_bbx_gt.txt: for each picture its name, the number of its faces, and a line a face: x, y,
w, h, blur, expression, illumination, invalid, occlusion, pose. A picture without a face has the number 0, and one line
of zeros. An invalid face is a place in which nothing counts. Format: the dataset's readme.txt
(http://shuoyang1213.me/WIDERFACE)."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import read_bytes, text_of
from ..images import SUFFIXES
from ..records import Draft, Fault
from . import pages
from .pages import Page, Shape, Source

FORMAT = "wider"
FOLDERS = ("annotations", "labels", "wider_face_split")
INVALID = 7  # place of the mark in a line


def _fits(path: Path) -> bool:
    if path.name.lower().startswith("wider_face_") and path.name.lower().endswith("_bbx_gt.txt"):
        return True
    try:
        with open(path, encoding="utf-8") as f:
            first, count, row = (f.readline(4096).strip() for _ in range(3))
        return _named(first) and count.isdecimal() and len(row.split()) == 10
    except (OSError, UnicodeDecodeError):
        return False


def _named(line: str) -> bool:
    return Path(line).suffix.lower() in SUFFIXES


def looks_like(path: Path) -> bool:
    """Whether a file is, or a folder holds, WIDER FACE's lists."""
    return _fits(path) if path.is_file() else pages.any_fits(path, _fits, ".txt", FOLDERS)


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its list."""
    return pages.file_splits(where, _fits, ".txt", "WIDER FACE", labels, FOLDERS)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    found = [p for path in source.files for p in _pages(path, faults)]
    aside = sum(s.crowd for p in found for s in p.shapes)
    notes = [f"{aside} faces are marked invalid: they are crowds"] if aside else []
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=("face",)
                          if names is None else None, word="line", faults=faults, notes=notes,
                          follow_links=follow_links, spelt="size")


def _pages(path: Path, faults: list[Fault]) -> list[Page]:
    lines = text_of(read_bytes(path), path).splitlines()
    found: list[Page] = []
    at = 0
    while at < len(lines):
        name = lines[at].strip()
        at += 1
        if not name:
            continue
        if not _named(name):
            faults.append(Fault(str(path), f"line {at}", "", f"{name[:60]!r} is no picture's name, where one is due",
                                "it is left out", True, "broken annotation"))
            continue
        page = Page(name, (0, 0), path)
        found.append(page)
        said = lines[at].strip() if at < len(lines) else ""
        if not said.isdecimal():
            page.why = f"{name[:60]!r} is followed by no number of faces (line {at})"
            continue
        at += 1
        wanted, rows = int(said), 0
        while at < len(lines) and not _named(lines[at]) and lines[at].strip():
            at += 1
            if wanted or set(lines[at - 1].split()) != {"0"}:
                rows += 1
                _face(page, lines[at - 1], at)
        if rows != wanted:
            page.why = f"{name[:60]!r} has the number {wanted} and {rows} lines of faces (line {at})"
    return found


def _face(page: Page, line: str, number: int) -> None:
    words = line.split()
    shape = Shape("face", record=number)
    try:
        values = [int(w) for w in words]
    except ValueError:
        values = []
    if len(values) != 10:
        shape.why = f"{line[:60]!r} is no line of ten whole numbers"
    else:
        x, y, w, h = values[:4]
        shape.crowd = values[INVALID] == 1
        shape.box = (float(x), float(y), float(x + w), float(y + h))
        if shape.crowd and min(w, h) <= 0:
            return  # a place without area, in which nothing could count anyway
    page.shapes.append(shape)


__all__ = ["FORMAT", "looks_like", "read", "splits"]
