"""CrowdHuman: annotation_SPLIT.odgt, a JSON object a line: `ID`, the picture's name without .jpg, and `gtboxes`, each
with a `tag` and boxes x, y, w, h of the full body (fbox), what is seen of it (vbox) and the head (hbox).

What is tagged otherwise than "person" (a crowd, a reflection) or whose `extra` (`head_attr` for heads) says ignore is a
place in which nothing counts. A person whose vbox or hbox is all zeros has none.
Format: https://www.crowdhuman.org/download.html
"""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.core.values import flag

from ..files import read_bytes, text_of
from ..records import OUT, Draft, Fault
from . import pages
from .pages import Page, Shape, Source

FORMAT = "crowdhuman"
FOLDERS = ("annotations", "labels")
BOXES = {"full": ("fbox", "extra"), "visible": ("vbox", "extra"), "head": ("hbox", "head_attr")}


def _drawn(box: Any) -> bool:
    """Whether a box is there, and not a blank: CrowdHuman writes zeros for heads that are not seen."""
    return isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box) and min(box[2:]) > 0


def _fits(path: Path) -> bool:
    return path.suffix.lower() == ".odgt"


def looks_like(path: Path) -> bool:
    """Whether a file is, or a folder holds, an .odgt."""
    return _fits(path) if path.is_file() else pages.any_fits(path, _fits, ".odgt", FOLDERS)


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its .odgt."""
    return pages.file_splits(where, _fits, ".odgt", "CrowdHuman", labels, FOLDERS)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, people: str = "full", follow_links: bool = False,
) -> Draft:
    """A draft of one split; `people`: which boxes, full, visible or head. Raises DataError where nothing can be
    used."""
    pages.check_boxes(where, people, BOXES)
    faults: list[Fault] = []
    found: list[Page] = []
    none: list[int] = []
    for path in source.files:
        for number, line in enumerate(text_of(read_bytes(path), path).splitlines(), 1):
            if line.strip() and (page := _page(path, number, line, people, faults, none)) is not None:
                found.append(page)
    aside = sum(s.crowd for p in found for s in p.shapes)
    notes = [f"{aside} of the boxes are to be ignored: they are crowds"] if aside else []
    notes += [f"{len(none)} people whose '{BOXES[people][0]}' is all zeros have none, and are left out"] if none else []
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=("person",)
                          if names is None else None, word="box", faults=faults, notes=notes,
                          follow_links=follow_links)


def _page(path: Path, number: int, line: str, which: str, faults: list[Fault], none: list[int]) -> Page | None:
    """The picture of a line; `none` gains the lines of people who have no box of the kind."""
    record = f"line {number}"
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as e:
        faults.append(Fault(str(path), record, "", f"is no JSON ({str(e)[:80]})", OUT, True, "broken annotation"))
        return None
    if not isinstance(said, dict) or not isinstance(said.get("ID"), str) or not isinstance(said.get("gtboxes"), list):
        faults.append(Fault(str(path), record, "ID", "is no object with a text 'ID' and a list 'gtboxes'", OUT, True,
                            "broken annotation"))
        return None
    page = Page(f"{said['ID']}.jpg", (0, 0), path)
    key, about = BOXES[which]
    for k, b in enumerate(said["gtboxes"]):
        shape = Shape("person", record=k)
        try:
            shape.crowd = _aside(b, about)
        except ValueError:
            shape.why = f"box {k} has no text 'tag', or '{about}' says neither yes nor no of 'ignore'"
            page.shapes.append(shape)
            continue
        shape.unread = [pages.OTHER[k] for k in BOXES if k != which and _drawn(b.get(BOXES[k][0]))]
        box = b.get(key)
        if isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box):
            x, y, w, h = (float(v) for v in box)
            shape.box = (x, y, x + w, y + h)
            seen = b.get("vbox") if which == "full" else None
            if isinstance(seen, list) and len(seen) == 4 and all(isinstance(v, int | float) for v in seen):
                shape.visible = pages.seen_share(shape.box, (0.0, 0.0, float(seen[2]), float(seen[3])))
            if min(w, h) <= 0 and shape.crowd:
                continue  # a place without area, in which nothing could count anyway
            if which != "full" and not any(box):
                none.append(number)
                continue
        elif shape.crowd and box is None:
            continue
        else:
            shape.why = f"box {k} has no '{key}' of four numbers"
        page.shapes.append(shape)
    return page


def _aside(b: Any, about: str) -> bool:
    """Whether what is found in a box neither gains nor costs. Raises ValueError where it does not say."""
    tag = b.get("tag") if isinstance(b, dict) else None
    if not isinstance(tag, str):
        raise ValueError("no tag")
    if tag.lower() != "person":
        return True
    more = b.get(about) or {}
    if not isinstance(more, dict):
        raise ValueError(f"no {about}")
    return flag(more.get("ignore"))


__all__ = ["FORMAT", "looks_like", "read", "splits"]
