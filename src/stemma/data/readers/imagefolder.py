"""Hugging Face's imagefolder: pictures beside metadata.jsonl or metadata.csv, a list a split or one of all. A row names
its picture in `file_name` (or `image_file_name`), below the folder of the list; `objects` (or the row itself) holds the
lists `bbox` (x, y, width, height in pixels, as the library's pages on object detection have it) and `category` or
`categories`, or is a list of objects with both; `segmentation` and `iscrowd` are read as COCO's.

Categories that are numbers are called as the card says: the class_label of README.md's dataset_info, or the ClassLabel
of dataset_infos.json; without a card by their numbers, which is said. What else a row says, a caption or a class of the
whole picture, is not read, and counted. Lists that name a map of each picture (`mask_file_name`) are read by `maps`.
"""
from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stemma.core.samples import DataError
from stemma.core.values import flag, ident

from ..files import read_bytes, split_name, table_of, text_of
from ..finding import split_of
from ..images import walk
from ..records import Draft, Fault
from . import pages
from .documents import real, side
from .pages import Page, Shape, Source

FORMAT = "imagefolder"
_LISTS = ("metadata.jsonl", "metadata.csv")
_FILE = ("file_name", "image_file_name", "img_file_name", "file_names")
_MAP = re.compile(r"\w*(mask|label|seg|annotation)\w*_file_name", re.I)
_BOX, _CLASS = ("bbox", "bboxes", "boxes", "box"), ("category", "categories", "label", "labels", "category_id", "class",
                                                    "classes", "name", "names")
_CROWD, _OUTLINE = ("iscrowd", "is_crowd"), ("segmentation", "polygons")
_ABOUT = frozenset({"id", "area", "bbox_id", "width", "height", "image_id", *_FILE, *_BOX, *_CLASS, *_CROWD, *_OUTLINE})


def looks_like(path: Path) -> bool:
    """Whether a folder, or a metadata list itself, holds objects."""
    return bool(_lists(path)) if path.is_dir() else path.name.lower() in _LISTS and _fits(path)


def _fits(path: Path) -> bool:
    """Whether a list names boxes of pictures."""
    head = pages.head(path)
    column = path.suffix.lower() == ".csv" and re.search(rb"\b(bbox|bboxes|boxes)\b", head.split(b"\n")[0])
    return b"file_name" in head and bool(column or re.search(rb"[\"'](bbox|bboxes|boxes)[\"']+\s*:", head))


def _lists(where: Path) -> list[Path]:
    """The lists here and below, but for those of pictures without boxes."""
    return [where / n for n in walk(where, {".jsonl", ".csv"}, follow_links=True)
            if n.rpartition("/")[2].lower() in _LISTS and _fits(where / n)]


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its lists, by the folders that they lie in. Raises DataError where there is none."""
    if where.is_file():
        return {"all": Source((where,))}
    if labels is not None:
        return pages.file_splits(where, _fits, Path(labels).suffix or ".jsonl", "Hugging Face's imagefolder", labels)
    out: dict[str, list[Path]] = {}
    for path in _lists(where):
        said = next((s for p in reversed(path.relative_to(where).parts[:-1]) if (s := split_name(p))), "all")
        out.setdefault(said, []).append(path)
    if not out:
        raise DataError(str(where), "holds no metadata.jsonl or metadata.csv of objects", "look at the columns "
                        "file_name and objects")
    if set(out) == {"all"}:  # one list may name pictures in folders of splits
        parts = {_part(p.name) for f in out["all"] for p in _pages(f, (), [], Counter())}
        if parts and "" not in parts:
            return {s: Source(tuple(out["all"]), s) for s in sorted(parts)}
    return {s: Source(tuple(p)) for s, p in out.items()}


def _part(name: str) -> str:
    """The split that the folder of a picture is called after, or ""."""
    return split_of(name.split("/")[0]) if "/" in name else ""


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    notes: list[str] = []
    passed: Counter[str] = Counter()
    card, named = _card(where if where.is_dir() else where.parent)
    found = [p for path in source.files for p in _pages(path, named, faults, passed)
             if source.split in ("", _part(p.name))]

    def every() -> list[Page]:
        files = dict.fromkeys(f for s in splits(where, labels).values() for f in s.files)
        return [p for f in files if source.split or f not in source.files for p in _pages(f, named, [], Counter())]

    classes = pages.classes_of(found) | pages.classes_of(every())
    order = named if classes <= set(named) else sorted(classes, key=_by_number)
    if named and order is named:
        notes.append(f"categories that are numbers are called as {card.name} says: {', '.join(named[:6])}"
                     + (", ..." if len(named) > 6 else ""))
    elif numbers := [c for c in classes if c.isdecimal()]:
        notes.append(f"{len(numbers)} categories are numbers, and no README.md or dataset_infos.json names them: they "
                     "are called by their numbers. Say names in the card, as class_label")
    notes += [f"{n} pictures have {what!r}, which is not read" for what, n in passed.items()]
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=order, word="object",
                          faults=faults, notes=notes, follow_links=follow_links, used=[card] if named else (),
                          spelt="size")


def _by_number(name: str) -> tuple[bool, int, str]:
    number = name.isdecimal() and name.isascii()
    return not number, int(name) if number else 0, name


# ---------------------------------------------------------------- the card


def _card(where: Path) -> tuple[Path, list[str]]:
    """(card, the class names that it says for objects); none where it says none. It lies beside the lists, or above
    their folder."""
    for folder in (where, where.parent):
        for name, says in (("README.md", _front), ("dataset_infos.json", _json), ("dataset_info.json", _json)):
            path = folder / name
            if path.is_file() and (found := _class_label(says(path))):
                return path, found
    return where / "README.md", []


def _front(path: Path) -> Any:
    """The YAML that stands before a page, between lines of three hyphens."""
    try:
        text = text_of(read_bytes(path), path).replace("\r\n", "\n")
        found = re.match(r"---\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
        # scalars as they are written: off and 01 are names
        return yaml.load(found[1], Loader=yaml.BaseLoader) if found and "&" not in found[1] else None
    except (DataError, yaml.YAMLError, RecursionError, ValueError):
        return None


def _json(path: Path) -> Any:
    try:
        return json.loads(text_of(read_bytes(path), path))
    except (DataError, ValueError, RecursionError):
        return None


def _class_label(doc: Any) -> list[str]:
    """The names of the class labels within: of objects where some stand there, else the only ones there are."""
    found = list(_labels(doc, ()))
    inner = [names for path, names in found if any(p in ("objects", "annotations") for p in path)]
    several = inner or [names for _, names in found]
    return several[0] if several and all(n == several[0] for n in several) else []


def _labels(doc: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """(names of the features above, class names) of each class label in a description of features."""
    if isinstance(doc, list):
        for v in doc:
            yield from _labels(v, path)
    if not isinstance(doc, dict) or len(path) > 40:
        return
    names = doc.get("names") if "ClassLabel" in str(doc.get("_type")) else None
    label = doc.get("class_label")
    names = label.get("names") if isinstance(label, dict) else names
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        at = {str(k): v for k, v in names.items()}
        names = [at[str(k)] for k in range(len(at))]
    if isinstance(names, list) and names and all(isinstance(n, str) for n in names):
        yield path, names
        return
    own = doc.get("name")
    for k, v in doc.items():
        yield from _labels(v, (*path, own if isinstance(own, str) else str(k)))


# ---------------------------------------------------------------- masks


def mapped(where: Path) -> dict[str, str]:
    """split -> its list below a folder, of lists whose rows name a map of each picture; none where a split has two."""
    out: dict[str, str] = {}
    for n in walk(where, {".jsonl", ".csv"}, follow_links=True):
        if n.rpartition("/")[2].lower() in _LISTS and _MAP.search(pages.head(where / n).split(b"\n")[0].decode(
                "utf-8", "replace")):
            said = next((s for p in reversed(n.split("/")[:-1]) if (s := split_name(p))), "all")
            if said in out:
                return {}
            out[said] = n
    return out


def maps_of(path: Path, faults: list[Fault]) -> list[tuple[int, str, str]]:
    """(line, picture, map) of a list's rows, as they are named."""
    out = []
    for line, row, wrong in _rows(path):
        own = row if isinstance(row, dict) else {}
        drawn = next((str(v) for k, v in own.items() if _MAP.fullmatch(str(k)) and isinstance(v, str) and v), "")
        name = next((own[c] for c in _FILE if isinstance(own.get(c), str) and own[c]), "")
        if wrong or not name or not drawn:
            faults.append(Fault(str(path), f"line {line}", "", wrong or "names no picture and its map",
                                "the picture is left out", True, "broken record"))
            continue
        out.append((line, name, drawn))
    return out


# ---------------------------------------------------------------- rows


def _rows(path: Path) -> Iterator[tuple[int, Any, str]]:
    """(line, row, what is wrong with it) of a list. Raises DataError where it is none."""
    text = text_of(read_bytes(path), path)
    if path.suffix.lower() == ".csv":
        table = [r for r in table_of(text, path)]
        head = table[0] if table else []
        for k, cells in enumerate(table[1:], 2):
            if any(cells):
                yield k, {n: _cell(v) for n, v in zip(head, cells)}, "" if len(cells) == len(head) else (
                    f"has {len(cells)} cells for {len(head)} columns")
        return
    for k, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield k, json.loads(line), ""
        except (ValueError, RecursionError):
            yield k, None, "is no JSON"


def _cell(text: str) -> Any:
    """What a cell of a table says: lists and objects in JSON, or as Python prints them."""
    if text[:1] not in "[{" or not text:
        return text
    for reads in (json.loads, ast.literal_eval):
        try:
            return reads(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return text


def _pages(path: Path, named: Sequence[str], faults: list[Fault], passed: Counter[str]) -> list[Page]:
    out: dict[str, Page] = {}
    for line, row, wrong in _rows(path):
        name = next((row[c] for c in _FILE if isinstance(row.get(c), str) and row[c]), "") if isinstance(
            row, dict) else ""
        if wrong or not name:
            faults.append(Fault(str(path), f"line {line}", "" if wrong else "file_name", wrong or "names no picture",
                                "correct it, or remove it", False, "broken record"))
            continue
        page = out.setdefault(name, Page(name, (side(row.get("height")), side(row.get("width"))), path))
        passed.update(str(k)[:60] for k, v in row.items() if k not in _ABOUT and k != "objects" and v not in (
            None, "", [], {}) and not isinstance(v, (int, float)))
        own = row.get("objects", row.get("annotations", row))
        for k, one in enumerate(_objects(own, page)):
            page.shapes.append(_shape(one, named, k))
    return list(out.values())


def _objects(own: Any, page: Page) -> list[dict[str, Any]]:
    """An object's values each, from columns that are lists of one length, or from a list of objects."""
    if own in (None, "", [], {}):
        return []
    if isinstance(own, list) and all(isinstance(x, dict) for x in own):
        return [{k: x.get(key) for k, key in _keys(x).items()} for x in own]
    if not isinstance(own, dict):
        page.why = "has objects that are neither lists of boxes and categories nor a list of objects"
        return []
    keys = _keys(own)
    columns = {k: own[key] for k, key in keys.items() if isinstance(own[key], list)}
    boxes = columns.get("box", columns.get("outline"))
    if boxes is None:
        page.why = "" if keys.get("box") is None or own[keys["box"]] in (None, "") else "has boxes that are no list"
        return []
    if len(boxes) == 4 and not any(isinstance(v, (list, str)) for v in boxes):  # a row a box
        return [{k: own[key] for k, key in keys.items()}]
    if other := next((k for k, v in columns.items() if len(v) != len(boxes)), None):
        page.why = f"has {len(boxes)} boxes and {len(columns[other])} of {keys[other]!r}"
        return []
    return [{k: v[i] for k, v in columns.items()} for i in range(len(boxes))]


def _keys(row: Mapping[str, Any]) -> dict[str, str]:
    """What is read of an object -> what it is called here."""
    of = {"box": _BOX, "class": _CLASS, "crowd": _CROWD, "outline": _OUTLINE}
    return {k: found for k, words in of.items() if (found := next((w for w in words if w in row), "")) in row}


def _shape(one: Mapping[str, Any], named: Sequence[str], number: int) -> Shape:
    label = one.get("class")
    key = ident(label)
    if isinstance(key, int) and not (isinstance(label, str) and label in named):
        shape = Shape(named[key] if 0 <= key < len(named) else str(key), record=number)
        if named and not 0 <= key < len(named):
            shape.why = f"its category is {key}, and the card names {len(named)} (0 to {len(named) - 1})"
    else:
        shape = Shape(label if isinstance(label, str) else "" if "class" in one else "object", record=number)
    box = one.get("box")
    flat = [real(v) for v in box] if isinstance(box, list) else []
    if len(flat) == 4:
        x, y, w, h = flat
        shape.box = x, y, x + w, y + h
    outline = one.get("outline")
    if isinstance(outline, dict):
        shape.mask = outline
    elif isinstance(outline, list) and outline:
        rings = outline if all(isinstance(r, list) for r in outline) else [outline]
        shape.rings = [[real(v) for v in r] for r in rings]
    elif shape.box is None:
        shape.why = shape.why or "its bbox is not made of four numbers"
    try:
        shape.crowd = flag(one.get("crowd"))
    except ValueError as e:
        shape.why = shape.why or f"iscrowd {e}"
    return shape


__all__ = ["FORMAT", "looks_like", "mapped", "maps_of", "read", "splits"]
