"""Label Studio: the export JSON and JSON_MIN; rectangles (also turned), polygons, ellipses and brushes, in percent of
the picture.

Of a task that several people labelled, the annotation marked as ground truth is read, else the first that was not
cancelled, and it is said. A turned rectangle is read as the polygon that it covers. A keypoint belongs to the region
that its parentID or a relation names, and is called by its label; without one it has no extent and takes its picture
out. Labels of whole pictures (choices, ratings, texts) are passed over. Of a task with several pictures the regions say
by to_name, and in a list of pictures by item_index, which is theirs; where they do not, the task is left out.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from stemma.core.samples import DataError

from ..images import MAX_PIXELS, SUFFIXES
from ..records import Draft, Fault
from . import pages, rle
from .documents import load_json, real, whole
from .pages import Page, Shape, Source

FORMAT = "label-studio"
_KINDS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels", "labels")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what the tool puts before the name of a picture that is uploaded
_EXTENT = ("x", "width", "points", "radiusX", "rle")  # what alone a region of the picture has


def looks_like(path: Path) -> bool:
    """Whether a JSON file or a folder holds Label Studio's export."""
    return pages.any_fits(path, _fits, ".json") if path.is_dir() else _fits(path)


def _fits(path: Path) -> bool:
    head = pages.head(path, 1 << 18)
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[" and (
        b'"original_width"' in head or b'"result"' in head and (b'"annotations"' in head or b'"completions"' in head))


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files, by the folders that they lie in or their names."""
    return pages.file_splits(where, _fits, ".json", "Label Studio", labels)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    notes: list[str] = []
    found = [p for path in source.files for p in _pages(path, faults, notes)]

    @cache
    def every() -> list[Page]:
        return [p for o in splits(where, labels).values() for f in o.files for p in _pages(f, [], [])]

    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names,
                          every=lambda: pages.written_of(every()), every_point=lambda: pages.points_of(every()),
                          word="region", faults=faults, notes=notes, follow_links=follow_links)


def _pages(path: Path, faults: list[Fault], notes: list[str]) -> list[Page]:
    doc, _ = load_json(path)
    if not isinstance(doc, list):
        raise DataError(str(path), "is no list of tasks", "check which file this is")
    out, several, bare, passed = [], 0, 0, list[str]()
    for k, task in enumerate(doc):
        rows, many = _result(task) if isinstance(task, dict) else (None, False)
        shown = _pictures(task, rows if isinstance(rows, list) else ()) if isinstance(task, dict) else {}
        if not shown:
            faults.append(Fault(str(path), f"task {k}", "data", "names no picture", "it is left out", True,
                                "broken record"))
            continue
        several += many
        if rows is None:
            bare += 1
            continue
        if isinstance(rows, str):
            out += [replace(_page(name, path, [], passed), why=rows) for name in shown.values()]
            continue
        of = _by_picture(shown, list(enumerate(rows)))
        if of is None:
            out += [replace(_page(name, path, [], passed), why=f"its task has {len(shown)} pictures, and which of them "
                            "a region is drawn on is not said by its to_name") for name in shown.values()]
            continue
        out += [_page(name, path, own, passed) for name, own in of.items()]
    if several:
        notes.append(f"{several} tasks were labelled more than once; the ground truth is read, else the first")
    notes += [f"{n} answers of the kind '{k}' are no objects and are not read" for k, n in Counter(passed).items()]
    if bare:
        notes.append(f"{bare} tasks have no annotation and are not read")
    return out


def _by_picture(shown: Mapping[tuple[str, int | None], str],
                rows: Sequence[tuple[int, Any]]) -> dict[str, list[tuple[int, Any]]] | None:
    """Name of a picture -> the numbered answers about it; of several pictures those that have a region. None where
    nobody knows which is whose."""
    if len(shown) == 1:
        return {next(iter(shown.values())): list(rows)}
    out: dict[str, list[tuple[int, Any]]] = {}
    for k, row in (r for r in rows if _drawn(r[1])):
        at = row.get("item_index")
        key = (_LIST, at) if isinstance(at, int) else (str(row.get("to_name")), None)
        if key not in shown:
            return None
        out.setdefault(shown[key], []).append((k, row))
    others = [r for r in rows if not _drawn(r[1])]  # relations, and what is said of the whole
    return {name: own + others for name, own in out.items()}


def _page(name: str, path: Path, rows: Sequence[tuple[int, Any]], passed: list[str]) -> Page:
    """The page of one picture from its numbered rows; `passed` grows by the kinds of answers that are no objects."""
    last = name.rpartition("/")[2]
    page = Page(name, (0, 0), path, other=_UPLOADED.sub("", last) if _UPLOADED.match(last) else "")
    spots: list[pages.Spot] = []
    regions: dict[Any, list[Shape]] = {}
    parents = _related([row for _, row in rows])
    for j, row in rows:
        found = _shape(row, j) if isinstance(row, Mapping) else (Shape("", record=j, why="is no region"), (0, 0))
        if found is None:
            passed += [k for k in _BESIDE if k in str(row.get("type") or "").lower()]
            continue
        shape, size = found
        page.size = page.size if any(page.size) else size
        key = row.get("id") if isinstance(row, Mapping) else None
        key = key if isinstance(key, (str, int)) else None
        if shape.points:
            (xyv,) = shape.points.values()
            spots.append(pages.Spot(shape.name, *xyv[:2], [*parents.get(key, []), None], record=j))
            continue
        if key is not None:
            regions.setdefault(key, []).append(shape)
        page.shapes.append(shape)
    for k, spot in enumerate(spots):  # the one of its relations that is an object
        spots[k] = replace(spot, group=next((g for g in spot.group if g in regions), spot.group[0]))
    pages.grouped(page, spots, regions)
    return page


_LIST = ""  # in the place of a field: its one list of pictures
_BESIDE = ("choices", "textarea", "number", "rating", "taxonomy", "datetime", "pairwise")


def _related(rows: Sequence[Any]) -> dict[Any, list[Any]]:
    """A region's id -> the ids of those that it belongs to, by its parentID and by relations, in either direction."""
    out: dict[Any, list[Any]] = {}

    def relate(one: Any, other: Any) -> None:
        if isinstance(one, (str, int)) and isinstance(other, (str, int)):
            out.setdefault(one, []).append(other)

    for row in rows:
        if isinstance(row, Mapping):
            relate(row.get("id"), row.get("parentID", row.get("parent_id")))
            if row.get("type") == "relation":
                relate(row.get("from_id"), row.get("to_id"))
                relate(row.get("to_id"), row.get("from_id"))
    return out


def _pictures(task: Mapping[str, Any], rows: Sequence[Any]) -> dict[tuple[str, int | None], str]:
    """(the field of a task's data, the place in its list or None) -> the name of the picture, without an address and
    what the tool put before it: those that its regions name by to_name, the usual field where they name none, and
    every picture where nobody knows which is meant."""
    data = task.get("data") if isinstance(task.get("data"), Mapping) else task
    assert isinstance(data, Mapping)
    usual = [c for c in ("image", "img", "image_url", "url") if isinstance(data.get(c), str)]
    texts = {c: data[c] for c in usual} | {c: v for c, v in data.items() if isinstance(c, str) and isinstance(v, str)
                                           and "/" in v and "." in v.rsplit("/", 1)[-1]}
    listed = [(c, v) for c, v in data.items() if isinstance(v, list) and v and all(map(_shows, v))]
    if not texts and len(listed) == 1:
        return {(_LIST, k): _named(v) for k, v in enumerate(listed[0][1])}
    pictures = [c for c, v in texts.items() if _shows(v)]
    drawn = {r["to_name"] for r in rows if isinstance(r, Mapping) and isinstance(r.get("to_name"), str) and _drawn(r)}
    if drawn and drawn <= set(pictures):
        meant = [c for c in pictures if c in drawn]
    elif len(pictures) > 1 and (len(drawn) > 1 or not usual):
        meant = pictures
    else:
        meant = list(texts)[:1]
    return {(c, None): _named(texts[c]) for c in meant}


def _drawn(row: Any) -> bool:
    """Whether an answer is a region of a picture."""
    return isinstance(row, Mapping) and "original_width" in row


def _shows(text: Any) -> bool:
    """Whether a text leads to a picture."""
    return isinstance(text, str) and Path(_named(text)).suffix.lower() in SUFFIXES


def _named(text: str) -> str:
    at = urlsplit(text)
    local = parse_qs(at.query).get("d", [""])[0]
    return unquote(local or at.path or text).lstrip("/")


def _result(task: Mapping[str, Any]) -> tuple[list[Any] | str | None, bool]:
    """(the regions of a task, whether there was a choice); None where nobody labelled it, and a text that says why they
    cannot be read where somebody did."""
    listed = next((task[c] for c in ("annotations", "completions") if isinstance(task.get(c), list)), None)
    if listed is None and isinstance(task.get("data"), Mapping):
        return "the task has no list 'annotations'", False
    if listed is None:  # JSON_MIN: the regions stand in the task itself
        own = [v for v in task.values() if isinstance(v, list)
               and any(isinstance(x, Mapping) and "original_width" in x for x in v)]
        return [x for v in own for x in v], False  # it exports labelled tasks alone
    done = [a for a in listed if isinstance(a, Mapping) and not a.get("was_cancelled")
            and isinstance(a.get("result"), list)]
    if not done:
        broken = [a for a in listed if not isinstance(a, Mapping) or not a.get("was_cancelled")]
        return "its annotation has no list 'result'" if broken else None, False
    best = next((a for a in done if a.get("ground_truth")), done[0])
    return list(best["result"]), len(done) > 1


def _shape(row: Mapping[str, Any], k: int) -> tuple[Shape, tuple[int, int]] | None:
    """A region and the size of its picture; None for what speaks of the whole picture."""
    value = row.get("value") if isinstance(row.get("value"), Mapping) else row
    assert isinstance(value, Mapping)
    named = next((value[c] for c in _KINDS if isinstance(value.get(c), list)), None)
    size = whole(row.get("original_height"), 0), whole(row.get("original_width"), 0)
    kind = str(row.get("type") or next((c for c in _KINDS if c in value), "")).lower()
    known = any(w in kind for w in ("rectangle", "polygon", "ellipse", "brush", "keypoint", "labels"))
    if not known and not any(c in value for c in _EXTENT):
        return None if isinstance(row.get("type"), str) else (Shape("", record=k, why="is no region"), (0, 0))
    if named is None and kind in ("rectangle", "polygon", "ellipse", "brush", "keypoint"):
        return None  # the bare shape beside the labelled one of the same id
    out = Shape(str(named[0]) if named else "", record=k)
    h, w = size
    x, y, dx, dy = (real(value.get(c)) / 100 for c in ("x", "y", "width", "height"))
    about = real(value.get("rotation", 0))
    if real(on := row.get("image_rotation") or 0) % 360:
        out.why = f"was drawn on a picture turned by {str(on)[:20]} degrees: turn it back before the export"
    elif not all(size):
        out.why = "says no original_width and original_height"
    elif named is not None and len(named) > 1:
        out.why = f"has {len(named)} labels, and an object has one class"
    elif isinstance(value.get("points"), list):
        points = [[real(v) for v in p] for p in value["points"] if isinstance(p, list) and len(p) == 2]
        out.rings = [[v for p in points for v in (p[0] / 100 * w, p[1] / 100 * h)]]
    elif "radiusX" in value:
        out.rings = [pages.ellipse(x * w, y * h, real(value["radiusX"]) / 100 * w, real(value.get("radiusY")) / 100 * h,
                                   about)]
    elif isinstance(value.get("rle"), list):
        try:
            out.mask = rle.encode(brush(value["rle"], h, w))
        except (ValueError, IndexError, TypeError, OverflowError):
            out.why = "has a brush that cannot be decoded"
    elif "keypoint" in kind or "width" not in value:
        out.points = {out.name: (x * w, y * h, 2)}
    elif about:
        out.rings = [rle.turned(x * w, y * h, dx * w, dy * h, about, (x * w, y * h))]
    else:
        out.box = x * w, y * h, (x + dx) * w, (y + dy) * h
    return out, size


def brush(data: Sequence[int], h: int, w: int) -> np.ndarray:
    """bool (h, w) from Label Studio's run lengths of RGBA pixels: a bit stream of 32 bits of length, 5 of the word's
    size, four sizes of runs of 4 bits each, then runs and single words.
    Raises ValueError, IndexError for what is none."""
    bits = np.unpackbits(np.array(data, dtype=np.uint8))
    at = 0

    def take(n: int) -> int:
        nonlocal at
        if at + n > len(bits):
            raise IndexError("the stream ends too early")
        value = 0
        for b in bits[at : at + n].tolist():
            value = value << 1 | b
        at += n
        return value

    count = take(32)
    if count != 4 * h * w or h * w > MAX_PIXELS:
        raise ValueError(f"{count} values for {h} x {w} pixels")
    word, sizes = take(5) + 1, [take(4) + 1 for _ in range(4)]
    out = np.zeros(count, dtype=np.uint8)
    k = 0
    while k < count:
        run = take(1)
        end = k + 1 + take(sizes[take(2)])
        if run:
            out[k:end] = take(word) & 255
        else:
            for j in range(k, min(end, count)):
                out[j] = take(word) & 255
        k = end
    found: np.ndarray = out.reshape(h, w, 4)[..., 3] > 0
    return found


__all__ = ["FORMAT", "brush", "looks_like", "read", "splits"]
