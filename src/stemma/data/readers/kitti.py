"""KITTI: label_2/NAME.txt beside image_2/NAME.png, a line an object: type, truncated, occluded, alpha, left, top,
right, bottom, and eight numbers in space that are not read. DontCare is a place in which nothing counts: a crowd of
every class."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError

from ..files import given_folder, read_bytes, split_name, text_of
from ..images import child, subfolders, walk
from ..options import spelled
from ..records import OUT, Draft, Fault
from . import pages
from .pages import Page, Shape, Source

FORMAT = "kitti"
_LABELS = ("label_2", "labels", "label", "annotations")
_CARELESS = "dontcare"


def looks_like(path: Path) -> bool:
    """Whether a folder holds KITTI's labels."""
    return path.is_dir() and any(_fits(path / n) for folder in _folders(path) for n in folder[:8])


def _fits(path: Path) -> bool:
    try:
        with open(path, "rb") as f:
            words = f.read(300).split(b"\n")[0].split()
        return len(words) in (15, 16) and not words[0][:1].isdigit() and all(float(w) > -1e9 for w in words[1:])
    except (OSError, ValueError):
        return False


def _folders(where: Path) -> list[list[str]]:
    """The label files of each folder that may hold KITTI's labels."""
    out = []
    for part in ("", *(n for n in subfolders(where) if split_name(n))):
        labels = child(where / part, *_LABELS)
        if labels:
            inner = f"{part}/{labels}" if part else labels
            out.append([f"{inner}/{n}" for n in walk(where / inner, {".txt"}, follow_links=True)])
    return [files for files in out if files]


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its label files, by the folders that they lie in."""
    if where.is_file():
        raise DataError(str(where), "is a file, and KITTI's data is a folder", "name the folder that holds label_2")
    if labels is not None:
        folder = given_folder(where, labels, "labels")
        return {"all": Source(tuple(folder / n for n in walk(folder, {".txt"}, follow_links=True)))}
    out: dict[str, list[Path]] = {}
    for files in _folders(where):
        for n in files:
            if split_name(n.split("/")[0]) or not out.keys() - {""}:
                out.setdefault(split_name(n.split("/")[0]), []).append(where / n)
    if not out:
        raise DataError(str(where), "holds no labels of KITTI",
                        f"looked for label_2/*.txt; say {spelled('labels', 'FOLDER')}")
    return {s or "all": Source(tuple(f)) for s, f in out.items()}


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    notes: list[str] = []
    found = [p for path in source.files if (p := _page(path, faults)) is not None]
    every = {s.name for o in splits(where, labels).values() for f in o.files if f not in source.files
             if (p := _page(f, [])) is not None for s in p.shapes}
    every |= {s.name for p in found for s in p.shapes}
    kinds = sorted(n for n in every if n.lower() != _CARELESS)
    careless = sum(s.name.lower() == _CARELESS for p in found for s in p.shapes)
    if careless and kinds:
        notes.append(f"{careless} places are marked DontCare: they are crowds of every class")
    for page in found:
        own = [s for s in page.shapes if s.name.lower() != _CARELESS]
        free = [s for s in page.shapes if s.name.lower() == _CARELESS]
        page.shapes = own + [x for s in free for x in pages.everywhere(s, kinds)]
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, every=lambda: kinds,
                          word="line", faults=faults, notes=notes, follow_links=follow_links, spelt="corners")


def _page(path: Path, faults: list[Fault]) -> Page | None:
    try:
        lines = text_of(read_bytes(path), path).splitlines()
    except DataError as e:
        faults.append(Fault.of(e, "broken annotation", OUT))
        return None
    page = Page(os.path.splitext(path.name)[0], (0, 0), path)
    for k, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        shape = Shape(words[0], record=k)
        try:
            shape.box = tuple([float(w) for w in words[1:]][3:7])
        except ValueError:  # such as a class of two words, behind which all columns are one further on
            shape.why = f"{line[:60]!r} is not one word and 14 numbers"
        if len(words) not in (15, 16):
            shape.why = shape.why or f"has {len(words)} words; a line of KITTI has 15, or 16 with a score"
        if shape.name.lower() != _CARELESS:
            shape.unread = ["a place in space, a truncation and an occlusion",
                            *(["a score, as detectors write it"] if len(words) == 16 else [])]
        page.shapes.append(shape)
    return page


__all__ = ["FORMAT", "looks_like", "read", "splits"]
