"""VisDrone's pictures: annotations/NAME.txt beside images/NAME.jpg, a line an object: left, top, width, height, score,
category, truncation, occlusion (aiskyeye.com, "Results format"). A score of 0 marks what is not measured. That is a
crowd of its class; of the categories 0, ignored regions, and 11, others, a crowd of every class."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError

from ..files import read_bytes, text_of
from ..records import OUT, Draft, Fault
from . import pages
from .pages import Page, Shape, Source

FORMAT = "visdrone"
NAMES = ("pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motor")
_IGNORED, _OTHERS = 0, len(NAMES) + 1


def looks_like(path: Path) -> bool:
    """Whether a folder holds VisDrone's annotations."""
    return path.is_dir() and pages.any_fits(path, _fits, ".txt")


def _fits(path: Path) -> bool:
    try:
        with open(path, "rb") as f:
            words = _words(f.read(300).split(b"\n")[0].decode("ascii", "replace"))
        return len(words) == 8 and words[4] in ("0", "1") and 0 <= int(words[5]) <= _OTHERS and all(
            w.lstrip("-").isdecimal() for w in words)
    except (OSError, ValueError):
        return False


def _words(line: str) -> list[str]:
    """The fields of a line; some files end theirs with a comma."""
    words = [w.strip() for w in line.strip().split(",")]
    return words[:-1] if words and not words[-1] else words


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files, by the folders that they lie in (VisDrone2019-DET-train)."""
    return pages.file_splits(where, pages.beside_such(_fits, ".txt"), ".txt", "VisDrone", labels)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    found = [p for path in source.files if (p := _page(path, where, faults)) is not None]
    free = sum(s.crowd for p in found for s in p.shapes)
    notes = [f"{free} places or objects are marked as not measured: they are crowds"] if free else []
    for page in found:
        page.shapes = [t for s in page.shapes for t in (pages.everywhere(s, NAMES) if not s.name else [s])]
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=NAMES, word="line",
                          faults=faults, notes=notes, follow_links=follow_links, spelt="size")


def _page(path: Path, where: Path, faults: list[Fault]) -> Page | None:
    try:
        lines = text_of(read_bytes(path), path).splitlines()
    except DataError as e:
        faults.append(Fault.of(e, "broken annotation", OUT))
        return None
    beside = path.parent.parent / "images"  # of its own split: names are told apart by their folders alone
    stem = os.path.splitext(path.name)[0]
    near = beside.is_dir() and beside.is_relative_to(where)
    page = Page((beside.relative_to(where) / stem).as_posix() if near else stem, (0, 0), path)
    for k, line in enumerate(lines, 1):
        if words := _words(line):
            page.shapes.append(_shape(words, line, k))
    return page


def _shape(words: list[str], line: str, number: int) -> Shape:
    """A line as an object; one without a name counts for every class."""
    shape = Shape("object", record=number)
    try:
        x, y, w, h, score, kind, _, _ = (float(v) for v in words)
    except ValueError:
        shape.why = f"{line[:60]!r} is not made of eight numbers"
        return shape
    if kind not in range(_IGNORED, _OTHERS + 1):
        shape.why = f"the category {words[5][:20]} is none of 0 to {_OTHERS}"
        return shape
    shape.box = x, y, x + w, y + h
    shape.name = NAMES[int(kind) - 1] if _IGNORED < kind < _OTHERS else ""
    shape.crowd = score == 0 or not shape.name
    return shape


__all__ = ["FORMAT", "looks_like", "read", "splits"]
