"""Caltech Pedestrians: annotations/setSS/VVVV.vbb, a MATLAB file a video, or a text file a frame that begins with "%
bbGt version=3", beside pictures called setSS_VVVV_IFFFFF or setSS/VVVV/IFFFFF, frames counted from 0. An object has a
label, the box of its whole extent and, where it is hidden in part, that of what can be seen.

A "person" counts. "people" (a group), "person?", "person-fa" and "ignore" are places in which nothing counts, and so is
what a text file marks to be ignored. Other labels are classes of their own. Nothing is seen of what a text file calls
hidden with a visible part as large as the whole (bbGt.m); of a video's object, all is (the evaluation's own rule).
Formats: vbb.m and bbGt.m of the evaluation code 3.2.1 and of Piotr's Computer Vision Toolbox.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError

from ..files import given_folder, read_bytes, remembered, text_of
from ..images import SUFFIXES, subfolders, walk
from ..options import spelled
from ..records import OUT, Draft, Fault
from . import matlab, pages
from .pages import Page, Shape, Source

FORMAT = "caltech"
FOLDERS = ("annotations", "labels", "annots", "anno")
VERSIONS = (0.06, 1.0, 1.1, 1.2, 1.3, 1.4)  # that vbb.m reads
TEXT = re.compile(rb"% bbGt version=([\d.]+)")
FRAME = re.compile(r"(set\d+)[/_](V\d+)[/_]I?(\d+)\.\w+$")
ASIDE = ("people", "person?", "person-fa", "ignore")
BOXES = ("full", "visible")


def _vbb(path: Path) -> bool:
    return path.suffix.lower() == ".vbb"


def _text(path: Path) -> bool:
    try:
        with open(path, "rb") as f:
            return TEXT.match(f.read(64)) is not None
    except OSError:
        return False


def looks_like(path: Path) -> bool:
    """Whether a file is, or a folder holds, a .vbb or a text file of bbGt."""
    if path.is_file():
        return _vbb(path) or path.suffix.lower() == ".txt" and _text(path)
    return pages.any_fits(path, _vbb, ".vbb", (*FOLDERS, *_sets(path))) or pages.any_fits(path, _text, ".txt", FOLDERS)


def _sets(where: Path) -> list[str]:
    return [n for n in subfolders(where) if re.fullmatch(r"set\d+", n)] if where.is_dir() else []


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files: videos where there are any, else text files. The sets 0 to 5 are for training, 6 to 10 for
    testing, where nothing else divides them."""
    videos = where.is_dir() and (labels is None and pages.any_fits(where, _vbb, ".vbb", (*FOLDERS, *_sets(where)))
                                 or labels is not None and bool(walk(given_folder(where, labels, "labels"), {".vbb"})))
    fits: Callable[[Path], bool] = _vbb if videos or _vbb(where) else _text
    ending = ".vbb" if fits is _vbb else ".txt"
    found = pages.file_splits(where, fits, ending, "Caltech Pedestrians", labels, (*FOLDERS, *_sets(where)))
    if set(found) != {"all"}:
        return found
    parts: dict[str, list[Path]] = {}
    for path in found["all"].files:
        number = re.search(r"set(\d+)", path.as_posix())
        parts.setdefault("" if number is None else "train" if int(number[1]) < 6 else "test", []).append(path)
    return {k: Source(tuple(v)) for k, v in parts.items()} if set(parts) == {"train", "test"} else found


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, people: str = "full", follow_links: bool = False,
) -> Draft:
    """A draft of one split; `people`: which boxes, full or visible. Raises DataError where nothing can be used."""
    pages.check_boxes(where, people, BOXES)
    faults: list[Fault] = []
    base = where if where.is_dir() else where.parent
    root = base if images is None else given_folder(base, images, "images")
    frames: dict[tuple[str, str], dict[int, str]] = {}
    if any(map(_vbb, source.files)):
        for name in walk(root, SUFFIXES, follow_links):
            if hit := FRAME.search(name):
                frames.setdefault((hit[1], hit[2]), {})[int(hit[3])] = name
    found = [p for path in source.files for p in (_video(path, frames, people, faults) if _vbb(path)
                                                  else _frame(path, people, faults))]
    if not found and not any(f.kind == "broken annotation" for f in faults):
        raise DataError(str(where), "has no picture of a frame of these videos",
                        f"write the frames of the .seq files as setSS_VVVV_IFFFFF.jpg, or say {spelled('images')}")
    aside = sum(s.crowd for p in found for s in p.shapes)
    notes = [f"{aside} of the boxes are to be ignored (groups, unclear persons): they are crowds"] if aside else []
    others = {s.name for p in found for s in p.shapes}
    for path in sorted({f for s in splits(where, labels).values() for f in s.files} - set(source.files)):
        others |= remembered(_named, path)  # a class has one number in all splits
    order = None if names is not None else sorted(others) or ["person"]
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=order, word="object",
                          faults=faults, notes=notes, follow_links=follow_links)


def _shape(label: str, number: int, box: Sequence[float], seen: Sequence[float], hidden: bool, which: str,
           ignored: bool = False) -> Shape:
    """An object; one that nothing hides, or of which no visible part is marked, can be seen whole."""
    shape = Shape("person" if label in ASIDE else label, record=number, crowd=label in ASIDE or ignored)
    x, y, w, h = box
    shape.box = (x, y, x + w, y + h)
    part = (seen[0], seen[1], seen[0] + seen[2], seen[1] + seen[3]) if hidden and seen[2] * seen[3] > 0 else shape.box
    shape.visible = pages.seen_share(shape.box, part)
    shape.unread = [pages.OTHER["full" if which == "visible" else "visible"]] if part != shape.box else []
    shape.box = part if which == "visible" else shape.box
    return shape


def _video(path: Path, frames: dict[tuple[str, str], dict[int, str]], which: str,
           faults: list[Fault]) -> Iterator[Page]:
    """The frames of a video that there are pictures of."""
    try:
        lists, labels = _objects(path)
    except DataError as e:
        faults.append(Fault.of(e, "broken annotation", OUT))
        return
    of = re.search(r"(set\d+)[/_](V\d+)", path.with_suffix("").as_posix())
    for frame, name in sorted(frames.get((of[1], of[2]) if of else ("", ""), {}).items()):
        page = Page(name, (0, 0), path)
        for k, o in enumerate(lists[frame] if frame < len(lists) else []):
            o = o if isinstance(o, dict) else {}
            number, box = matlab.numbers(o.get("id"), 1), matlab.numbers(o.get("pos"), 4)
            at = int(number[0]) - 1 if number else -1
            if box is None or not 0 <= at < len(labels):
                page.shapes.append(Shape("person", record=k,
                                         why=f"frame {frame} has an object without a label or a box"))
                continue
            seen = matlab.numbers(o.get("posv", (0, 0, 0, 0)), 4) or [0.0] * 4
            hidden = (matlab.numbers(o.get("occl"), 1) or [0.0])[0] != 0
            page.shapes.append(_shape(labels[at], k, box, seen, hidden, which))
        yield page


@lru_cache(maxsize=1 << 16)
def _named(file: str, changed: int, size: int) -> frozenset[str]:
    """The classes of a file; none where it is broken, which is told where it is read."""
    path = Path(file)
    try:
        said = _objects(path)[1] if _vbb(path) else [
            line.split()[0] for line in text_of(read_bytes(path), path).splitlines()[1:] if len(line.split()) == 12]
    except DataError:
        return frozenset()
    return frozenset("person" if n in ASIDE else n for n in said if n)


def _objects(path: Path) -> tuple[list[list[Any]], list[str]]:
    """(the objects of each frame, the label of each id). Raises DataError."""
    held = matlab.variables(path, "A|vers")
    version = matlab.numbers(held.get("vers"), 1)
    if not isinstance(held.get("A"), dict) or version is None:
        raise DataError(str(path), "holds no struct 'A' with a number 'vers', which a .vbb does", "save it with vbb.m")
    if not any(abs(version[0] - v) < 1e-6 for v in VERSIONS):
        raise DataError(str(path), f"is a .vbb of version {version[0]:g}; {', '.join(map(str, VERSIONS))} are known",
                        "save it with vbb.m of the evaluation code 3.2.1", field="vers")
    lists, labels = held["A"].get("objLists"), held["A"].get("objLbl")
    if lists is None or labels is None:
        raise DataError(str(path), "its struct 'A' has no 'objLists' or no 'objLbl'", "save it with vbb.m", field="A")
    return [matlab.rows(v) for v in matlab.rows(lists)], [v if isinstance(v, str) else "" for v in matlab.rows(labels)]


def _frame(path: Path, which: str, faults: list[Fault]) -> Iterator[Page]:
    """The page of a text file: label, left, top, width, height, hidden, the same four of what is seen, ignored,
    angle."""
    try:
        raw = read_bytes(path)
        lines = text_of(raw, path).splitlines()
    except DataError as e:
        faults.append(Fault.of(e, "broken annotation", OUT))
        return
    found = TEXT.match(raw)
    if found is None or found[1] != b"3":
        said = "does not begin with '% bbGt version=3'" if found is None else (
            f"is of bbGt version {found[1].decode()}; 3 is known")
        faults.append(Fault(str(path), "", "version", said, OUT, True, "broken annotation"))
        return
    page = Page(re.sub(r"\.(jpe?g|png)$", "", path.stem, flags=re.I), (0, 0), path)
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        if not words:
            continue
        values = matlab.numbers(words[1:], 11) if len(words) == 12 else None
        if values is None:
            page.shapes.append(Shape("person", record=number,
                                     why=f"line {number}: {line[:60]!r} is no label and eleven numbers"))
            continue
        hidden = values[4] != 0
        shape = _shape(words[0], number, values[:4], values[5:9], hidden, which, values[9] != 0)
        if hidden and values[5:9] == values[:4]:
            shape.visible, shape.crowd = 0.0, shape.crowd or which == "visible"
        page.shapes.append(shape)
    yield page


__all__ = ["FORMAT", "looks_like", "read", "splits"]
