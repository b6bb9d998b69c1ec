"""COCO JSON: polygons, both kinds of run lengths, crowds, keypoints, arbitrary category ids;
reading, and writing truth and results.

Format: https://cocodataset.org/#format-data. Boxes are (x, y, width, height) from 0, edges continuous. A box that CVAT
has turned is written as if it were not, beside `attributes.rotation`: it is read as the outline of the turned one.
Labels follow ascending category id. `vis_ratio`, as CityPersons has it in COCO's format, is the share of a box that can
be seen.
"""
from __future__ import annotations

import filecmp
import json
import math
import mmap
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from stemma.core import outputs
from stemma.core.samples import Classes, DataError, Dataset, Points
from stemma.core.values import flag, ident

from ..files import SPLIT_WORD, given_folder, remembered, split_name
from ..finding import Pictures, below_common, foreign, plain_name, same_letters
from ..images import check_name, is_plain, listing, shown
from ..options import spelled
from ..records import ONE_OUT, Draft, Fault, table
from . import amodal, columns, rle
from .documents import load_json, numbers, real, whole, write_json
from .points import OTHER_SIGMA, points_of
from .segments import Segments
from .sound import sound

FORMAT = "coco"
# groups that are not meant when `instances` lies beside them
_MINOR = ("captions", "image_info", "panoptic", "stuff", "person_keypoints")


# ---------------------------------------------------------------- which files


def looks_like(path: Path) -> str:
    """ "coco", "panoptic" or "" for a JSON file, by the keys that stand in it; nothing is parsed."""
    try:
        known = columns.stamp(path)
        return known and columns.kind(path, known) or str(remembered(_kind, path))
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=256)
def _kind(path: str, changed: int, size: int) -> str:
    """`looks_like`, remembered while the file is the same: a search through COCO's half gigabyte takes a while."""
    try:
        with open(path, "rb") as f:
            if f.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
                return ""
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
                if m.find(b'"annotations"') < 0 or m.find(b'"images"') < 0:
                    return ""
                return "panoptic" if m.find(b'"segments_info"') >= 0 else "coco"
    except (OSError, ValueError):
        return ""


def declared_classes(path: Path) -> tuple[str, ...]:
    """The category names of a JSON in ascending id, read from the place where they stand; () where that fails. Nothing
    else is parsed."""
    try:
        return tuple(remembered(_declared, path))
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=256)
def _declared(path: str, changed: int, size: int) -> tuple[str, ...]:
    try:
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
            at = m.find(b'"categories"')
            text = m[at + 12 : at + 12 + (1 << 20)].decode("utf-8", "ignore").lstrip() if at >= 0 else ""
        rows, _ = json.JSONDecoder().raw_decode(text[1:].lstrip() if text.startswith(":") else "")
        return tuple(str(c["name"]) for c in sorted(rows, key=lambda c: c["id"]))
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return ()  # whatever is wrong is said where the file itself is opened


def same_categories(files: Mapping[str, Path], split: str) -> None:
    """Raises DataError where another split's file declares other classes than that of `split`: their labels would mean
    different things."""
    mine = declared_classes(files[split])
    for other, path in files.items():
        theirs = declared_classes(path)
        if mine and theirs and mine != theirs:
            only = [f"only {s} has {', '.join(map(repr, more[:5]))}" for s, more in (
                (split, [n for n in mine if n not in theirs]), (other, [n for n in theirs if n not in mine])) if more]
            raise DataError(str(files[split]), f"the class list disagrees with that of {path.name} "
                            f"({'; '.join(only) or 'another order of ids'})",
                            "give both files the same categories", field="categories")


def group_name(stem: str) -> str:
    """A file name without its split and year: `instances_train2017` and `instances_val2017` are one group,
    "instances"."""
    return re.sub(r"[\W_]*(\d{4})?$", "", SPLIT_WORD.sub("", stem)).strip("_-. ") or "annotations"


def json_groups(where: Path, kind: str) -> dict[str, dict[str, Path]]:
    """group -> split -> file, for the JSON files of one `kind` at `where` (a file: its own group alone). A file of
    no split is "all"."""
    if where.is_file():
        group = group_name(where.stem)
        if not split_name(where.stem):
            return {group: {"all": where}}
        beside = [p for p in sorted(where.parent.glob("*.json")) if group_name(p.stem) == group and split_name(p.stem)]
        beside.sort(key=lambda p: _year(p.stem) == _year(where.stem))  # of two of one split, that of the same year
        found = {split_name(p.stem): p for p in beside if p == where or _is(p, kind)}
        return {group: {**found, split_name(where.stem): where}}
    out: dict[str, dict[str, Path]] = {}
    for group, split, path in _json_files(where, kind):
        out.setdefault(group, {})[split] = path
    return out


def _json_files(where: Path, kind: str) -> list[tuple[str, str, Path]]:
    """(group, split, file) of the JSON files of one kind in a folder."""
    def inside(folder: Path) -> list[Path]:
        rooms = [folder, *(folder / n for n in shown(folder) if n in ("annotations", "Annotations", "labels"))]
        return sorted(room / n for room in rooms for n in listing(room, {".json"}))

    found = [(group_name(p.stem), split_name(p.stem) or "all", p) for p in inside(where) if _is(p, kind)]
    return found or [(group_name(p.stem), split, p)  # one folder a split, each with its own file
                     for folder in shown(where) if (split := split_name(folder))
                     for p in inside(where / folder) if _is(p, kind)]


def _year(stem: str) -> str:
    """The digits at the end of a file's name."""
    return stem[len(stem.rstrip("0123456789")) :]


def _is(path: Path, kind: str) -> bool:
    """Whether a JSON holds annotations of a kind, and not what Stemma predicted."""
    return looks_like(path) == kind and not outputs.predicted(path)


def choose_group(where: Path, kind: str, which: str | None) -> dict[str, Path]:
    """split -> file of the group asked for, or of the only one that can be meant. Raises DataError."""
    groups = json_groups(where, kind)
    if not groups:
        raise DataError(str(where), f"holds no {kind} JSON",
                        f"looked for *.json, annotations/*.json and SPLIT/*.json with the keys of {kind} annotations")
    if which is not None and which not in groups:
        raise DataError(str(where), f"has no annotations called '{which}'", f"it has {', '.join(groups)}")
    main = [which] if which is not None else [g for g in groups if g not in _MINOR or len(groups) == 1]
    main = ["instances"] if "instances" in main else main
    if len(main) == 1:
        if where.is_dir():
            _one_of_each_split(where, kind, main[0])
        return groups[main[0]] | _own_splits(groups, main[0])
    names = list(groups)
    raise DataError(str(where), f"has several annotation files ({', '.join(names[:6])}"
                    + (f" and {len(names) - 6} more" if len(names) > 6 else "") + ")",
                    f"say {spelled('labels', names[0])}, name the file itself, or put them into one: the lists "
                    "'images' and 'annotations' one behind the other, each id once")


def _own_splits(groups: Mapping[str, Mapping[str, Path]], main: str) -> dict[str, Path]:
    """split -> file of those beside a divided group that are called by its name and one of their own, as
    instances_minival.json."""
    return {g[len(main) + 1 :]: of["all"] for g, of in groups.items()
            if g.startswith(f"{main}_") and set(of) == {"all"} and "all" not in groups[main]}


def _one_of_each_split(where: Path, kind: str, group: str) -> None:
    """Raises DataError where two files of a group are of one split: one of them would be passed over."""
    of: dict[str, Path] = {}
    for _, split, path in (f for f in _json_files(where, kind) if f[0] == group):
        if split in of:
            both = " and ".join(p.relative_to(where).as_posix() for p in (of[split], path))
            raise DataError(str(where), f"has two annotation files of the split '{split}', {both}",
                            f"name the one that is meant with {spelled('labels', path.relative_to(where).as_posix())}, "
                            "or put both into one", field="labels")
        of[split] = path


def data_root(file: Path) -> Path:
    """The folder that file names in `file` may not leave."""
    return file.parent.parent if file.parent.name.lower() in ("annotations", "labels") else file.parent


def find_images(root: Path, files: Sequence[str], split: str, source: Path,
                images: str | Path | None = None, but: str | None = None) -> tuple[Path, str]:
    """(root, folder inside it) under which the names in `files` lie. `images` names the folder; else it is found by
    looking for the files. but: a folder that holds other files of these names, and is none.

    Every folder at most two levels below the root is tried with up to 32 of the names; most hits win, then the split's
    name or the folder of `source`, then "images", then the nearest. Raises DataError where two folders fit alike and
    hold other pictures.
    """
    if images is not None:
        return given_folder(root, images, "images"), ""
    sample = [n for n in (files[k] for k in _sample(len(files))) if not foreign(n)]
    folders = [""]
    for depth in (1, 2):
        level = [f for f in folders if f.count("/") == depth - 2] if depth == 2 else [""]
        for parent in level:
            folders += [f"{parent}/{s}" if parent else s for s in shown(root / parent)[:200]]
    own = source.parent.relative_to(root).as_posix() if source.parent.is_relative_to(root) else "."
    folders += [own] if own not in (".", *folders) else []
    if but and but in folders:
        folders.remove(but)
    year, own_root = source.stem[-4:], data_root(source)

    def rank(folder: str) -> tuple[int, int, bool, bool, int]:
        hits = sum((root / folder / name).is_file() for name in sample)
        tail, said, at = folder.rsplit("/", 1)[-1].lower(), split_within(folder), root / folder
        near = at == source.parent or own_root not in (root, root.parent) and at.is_relative_to(own_root)
        mine = 1 if said == split or near else -(said != "" and split in ("train", "val", "test"))
        return (hits, mine, tail.endswith(year), "images" in tail, -len(Path(folder).parts))

    ranks = {folder: rank(folder) for folder in folders}
    if any(hits and mine > 0 for hits, mine, *_ in ranks.values()):  # of which some pictures may be lost
        folders = [f for f in folders if ranks[f][1] >= 0]
    best = max(folders, key=lambda f: (ranks[f], -len(f)))
    if not ranks[best][0]:
        return root, ""
    for other in (f for f in folders if f != best and ranks[f] == ranks[best]):
        for name in sample:
            one, two = root / best / name, root / other / name
            if one.is_file() and two.is_file() and not filecmp.cmp(one, two, shallow=False):
                raise DataError(str(source), f"{name!r} is a picture in {best} and another one in {other}",
                                f"say {spelled('images', best)}, or write the folder into the file names",
                                field="file_name")
    return root, best


def split_within(folder: str) -> str:
    """The split that the last part of a path speaks of which speaks of any, or ""."""
    return next((s for part in reversed(folder.split("/")) if (s := split_name(part))), "")


def located(
    root: Path, inside: str, files: Sequence[str], ids: np.ndarray, split: str, source: Path, faults: list[Fault],
    notes: list[str], follow_links: bool = False, plain: bool = False,
) -> tuple[list[str], np.ndarray]:
    """(paths of the pictures below the root, bool (I,) of the records that keep one).

    Names that are paths of another machine, and names of which not one leads anywhere, are looked for by their last
    parts among the pictures that are there; nothing outside is opened. plain: nothing can be wrong with any name.
    """
    folder = split_within(inside)
    if folder and split in ("train", "val", "test") and folder != split:
        notes.append(f"the pictures of split '{split}' are taken from {inside}, where its file names are found")
    paths = [f"{inside}/{f}" if inside else f for f in files]
    keep = np.ones(len(files), dtype=bool)
    astray, there = _astray(root, files, paths, plain)
    if not astray:
        return paths, keep
    pictures, found = Pictures(root, follow_links=follow_links), 0
    for k, why in sorted(astray.items()):
        elsewhere = why == "foreign" or not there  # else the others lie where they are looked for: so would this one
        try:
            hit = pictures.find(files[k], near=split)
            wrong = _no_path(files[k], source, ids[k]) if hit is None and why == "foreign" else None
        except LookupError as e:
            hit, wrong = None, Fault(str(source), f"image {ids[k]}", "file_name", f"{files[k][:200]!r} could mean {e}",
                                     "write the path below the data folder", False, "picture not told apart")
            wrong = wrong if elsewhere else None  # it is named as missing
        if wrong is not None:
            faults.append(wrong)
            keep[k] = False
        elif hit is not None and not elsewhere and why == "spelt" and _same(hit, paths[k]):
            paths[k] = hit
        elif hit is not None and (elsewhere or {split_name(p) for p in hit.split("/")} <= {"", split}):
            paths[k], found = hit, found + 1  # and no picture of another split that is called so, too
    if found:
        first = files[min(astray, key=lambda k: (astray[k] != "foreign", k))]
        notes.append(f"{found} file names, as {first[:120]!r}, lead nowhere below {root}; the pictures were found by "
                     "the last parts of them")
    return paths, keep


def _astray(root: Path, files: Sequence[str], paths: Sequence[str], plain: bool) -> tuple[dict[int, str], bool]:
    """(place in the list -> why, of the names that have to be looked for; whether some of the pictures are where they
    are said to be). "foreign": a path of another machine. "spelt": no file, and perhaps for its letters' sake.
    "missing": no file; looked for where no name is foreign. Nothing where every name of a sample leads to a file."""
    known = [(root / paths[k]).is_file() for k in _sample(len(files))]
    out = {}
    for k, name in enumerate(() if plain else files):
        if foreign(name):
            out[k] = "foreign"
        elif (not name.isascii() or "%" in name) and not (root / paths[k]).is_file():
            out[k] = "spelt"
    there = any(known)
    if "foreign" not in out.values() and (out or not there or not all(known)):
        out = {k: "missing" for k, path in enumerate(paths) if not there or not (root / path).is_file()} | out
    return out, there


def _sample(n: int) -> list[int]:
    """At most 32 places of a list of n, evenly."""
    return sorted(set(np.linspace(0, n - 1, min(n, 32)).astype(int).tolist()))


def _no_path(name: str, source: Path, number: Any) -> Fault:
    """The fault of a name that leads out of the data folder."""
    try:
        check_name(name, str(source), f"image {number}")
    except DataError as e:
        return Fault.of(e, "path")
    raise AssertionError(name)


def _same(one: str, other: str) -> bool:
    """Whether two paths are one but for how their letters are written."""
    return same_letters(unquote(one)) == same_letters(unquote(other))


# ---------------------------------------------------------------- columns


def lookup(index: Mapping[Any, int], key: Any) -> int:
    """The position of an id, written as a number or as text; -1 where it is unknown or no id at all."""
    return index.get(ident(key), -1)


def crowds(rows: Sequence[Mapping[str, Any]], record: Sequence[int], said: str, faults: list[Fault],
           key: str = "iscrowd") -> list[bool]:
    """`iscrowd`, or another field that is yes or no, of every annotation: 0 or 1, as a number, a truth value or
    text."""
    out: list[bool] = []
    for a, number in zip(rows, record, strict=True):
        value = a.get(key)
        try:
            out.append(bool(value) if value in (0, 1, None) else flag(value))
        except (ValueError, TypeError) as e:
            faults.append(Fault(said, f"annotation {number}", key, str(e), "it counts as 0", True,
                                "broken record"))
            out.append(False)
    return out


def part_of(doc: Any, key: str, path: Path) -> list[Any]:
    """A list of the document. Raises DataError where it is missing or no list."""
    if not isinstance(doc, dict):
        raise DataError(str(path), f"holds a {type(doc).__name__}, not an object with 'images', 'annotations' and "
                        "'categories'", "check which file this is")
    if not isinstance(doc.get(key), list):
        raise DataError(str(path), f"has no list '{key}'",
                        "write COCO annotations with 'images', 'annotations' and 'categories'", field=key)
    found: list[Any] = doc[key]
    return found


def read_categories(rows: Sequence[Any], path: Path,
                    stuff: bool = False) -> tuple[Classes, dict[Any, int], list[dict[str, Any]]]:
    """Classes in ascending id, id -> label, and the category records in that order. Raises DataError."""
    records = []
    for k, c in enumerate(rows):
        number = ident(c.get("id")) if isinstance(c, dict) else None
        if (not isinstance(c.get("name") if isinstance(c, dict) else None, str) or not isinstance(number, int)
            or not -(2**63) <= number < 2**63):
            raise DataError(str(path), "is no category with a whole number 'id' and a text 'name'", "correct it",
                            f"category {k}", "categories")
        records.append({**c, "id": number})
    if not records:
        raise DataError(str(path), "has no categories", "list the classes under 'categories'", field="categories")
    records.sort(key=lambda c: c["id"])
    ids = [c["id"] for c in records]
    for what, seen in (("id", ids), ("name", [c["name"] for c in records])):
        twice = [x for x in seen if seen.count(x) > 1] if len(set(seen)) < len(seen) else []
        if twice:
            raise DataError(str(path), f"two categories have the {what} {str(twice[0])[:80]!r}",
                            f"give each its own {what}", field="categories")
    parent = tuple(str(c.get("supercategory") or "") if c.get("supercategory") != c["name"] else "" for c in records)
    things = tuple(_isthing(c, path) for c in records) if stuff else ()
    classes = Classes(tuple(c["name"] for c in records), tuple(ids), things, parent)
    return classes, {i: k for k, i in enumerate(ids)}, records


def _isthing(c: Mapping[str, Any], path: Path) -> bool:
    try:
        return flag(c.get("isthing", 1))
    except ValueError as e:
        raise DataError(str(path), str(e), "write 0 or 1", f"category {c['id']}", "isthing") from None


def read_images(rows: Iterable[Any], path: Path,
                faults: list[Fault]) -> tuple[list[str], np.ndarray, np.ndarray, dict[Any, int]]:
    """File names as they are spelled here (`plain_name`), sizes (I, 2), ids (I,), and id -> position of the image
    records that can be used. Where names lead is for `located` to see."""
    files: list[str] = []
    sizes: list[tuple[int, int]] = []
    index: dict[Any, int] = {}
    for k, im in enumerate(rows):
        record = f"image {str(im.get('id', k))[:40] if isinstance(im, dict) else k}"
        number = ident(im.get("id")) if isinstance(im, dict) else None
        if number is None:
            faults.append(Fault(str(path), f"image {k}", "id", "is no image record with an 'id'", "it is left out",
                                True, "broken record"))
            continue
        name = im.get("file_name")
        if not isinstance(name, str) and isinstance(im.get("coco_url"), str):  # LVIS gives the address alone
            name = "/".join(im["coco_url"].split("?")[0].split("/")[-2:])
        if not isinstance(name, str):
            faults.append(Fault(str(path), record, "file_name", "the image has no file name", "it is left out", True,
                                "broken record"))
            continue
        name = plain_name(name)
        if number in index:
            same = files[index[number]] == name
            faults.append(Fault(str(path), record, "id", "two images have this id", "the second record is left out"
                                if same else "give each its own id", same, "duplicate id"))
            continue
        h, w = whole(im.get("height"), 0), whole(im.get("width"), 0)
        if not (0 < h < 1 << 20 and 0 < w < 1 << 20):
            faults.append(Fault(str(path), record, "width" if 0 < h < 1 << 20 else "height",
                                "the image's size is missing or absurd", "it is read from the file", True, "no size"))
            h = w = 0
        index[number] = len(files)
        files.append(name)
        sizes.append((h, w))
    ids = [i if isinstance(i, int) and -(2**63) <= i < 2**63 else None for i in index]
    free = max((i for i in ids if i is not None), default=-1)
    numbers_of = [i if i is not None else (free := free + 1) for i in ids]  # words get numbers that no other image has
    return files, np.array(sizes, dtype=np.int64).reshape(-1, 2), np.array(numbers_of, dtype=np.int64), index


def _by_id(
    files: list[str], sizes: np.ndarray, ids: np.ndarray, index: dict[Any, int]
) -> tuple[list[str], np.ndarray, np.ndarray, dict[Any, int]]:
    """What `read_images` gives in ascending id, words after numbers: COCO's evaluation settles ties between scores of
    two images by it."""
    order = sorted(index, key=lambda i: (isinstance(i, str), i))
    at = [index[i] for i in order]
    return [files[k] for k in at], sizes[at], ids[at], {i: k for k, i in enumerate(order)}


# ---------------------------------------------------------------- the reader


def splits(where: Path, which: str | None = None, labels: str | Path | None = None, **_: Any) -> dict[str, Path]:
    """split -> JSON file. `labels`: a JSON, or the name of one of several groups, as `which`."""
    return choose_labels(where, FORMAT, which, labels)


def choose_labels(where: Path, kind: str, which: str | None, labels: str | Path | None) -> dict[str, Path]:
    """`choose_group`, or the group of the file that `labels` names. Raises DataError."""
    if labels is None:
        return choose_group(where, kind, which)
    for path in (where / labels, Path(labels).expanduser()):
        if path.is_file():
            return choose_group(path, kind, None)
    return choose_group(where, kind, str(labels))


def read(where: Path, source: Path, *, split: str = "", images: str | Path | None = None, which: str | None = None,
         labels: str | Path | None = None, follow_links: bool = False) -> Draft:
    """A draft of one JSON file. Raises DataError where the document cannot be used at all;
    faults of single records are collected."""
    faults: list[Fault] = []
    notes: list[str] = []
    said = str(source)
    pairs: dict[Any, amodal.Pairs] = {}
    plain, doc, raw = _plain(source), None, []
    if plain is None:  # parsed as a whole
        doc, digest = load_json(source)
        if isinstance(doc, dict):
            doc, pairs = amodal.flat(doc, said, faults, notes)
        listed, raw = part_of(doc, "categories", source), part_of(doc, "annotations", source)
        rows = None
    else:
        digest, listed, rows = plain.digest, plain.categories, plain.rows
    root_row = _root_row(listed, lambda number: _named(raw if rows is None else rows, number), source,
                         choose_labels(where, FORMAT, which, labels).values())
    classes, label_of, categories = read_categories([c for c in listed if c is not root_row], source, bool(pairs))
    pictures = plain.images if plain is not None else _listed(part_of(doc, "images", source), source)
    files, sizes, ids, index = pictures.files, pictures.sizes, pictures.ids, dict(zip(pictures.keys, count()))
    faults += [Fault(said, *f) for f in pictures.faults]
    root, inside = (find_images(where if where.is_dir() else data_root(where), files, split, source, images) if files
                    else (data_root(source), ""))
    if root_row is not None:
        notes.append(f"the category {root_row['name']!r} has no annotation and is the supercategory of all others: it "
                     "is left out of the classes")
    files, there = located(root, inside, files, ids, split, source, faults, notes, follow_links,
                           pictures.plain)

    searched, frequency = _searched(pictures.federated, index, label_of, categories)
    if searched is not None:
        notes.append("as in LVIS a picture was searched for some classes alone. It is measured by LVIS's rules; "
                     "training takes what is not marked for background")
    if rows is None:
        of = {ident(k): (int(h), int(w)) for k, (h, w) in zip(index, sizes, strict=True)}
        rows = columns.gathered(amodal.modal(raw, of, said, faults, notes))
    keep, at, kind, number, out = _belonging(rows, files, there, index, label_of, said, faults)
    if searched is not None:
        nowhere = [frozenset(x.tolist()) for x, _ in searched]
        faults += [Fault(said, f"annotation {number[n]} of {files[i]}", "category_id", "is of the class "
                         f"{classes.names[c]!r}, and neg_category_ids of its picture says that there is none",
                         "it counts as there", True, "absent class", files[i])
                   for n, (i, c) in enumerate(zip(at.tolist(), kind.tolist())) if c in nowhere[i]]
    odd = [(int(n), rows.odd[int(k)]) for n, k in enumerate(keep) if int(k) in rows.odd] if rows.odd else []
    def kept(column: np.ndarray) -> np.ndarray:
        return column[keep] if len(keep) < len(column) else column  # of all of them without a copy

    boxes = kept(rows.boxes)
    if odd:
        boxes[[n for n, _ in odd]] = numbers([a.get("bbox") for _, a in odd], 4)
        if other := [n for n, a in odd if isinstance(a.get("bbox"), list) and len(a["bbox"]) not in (0, 4)]:
            notes.append(f"{len(other)} annotations have a 'bbox' that is not four numbers, the first annotation "
                         f"{number[other[0]]}; x, y, width and height are read, and no box that is turned")
    boxes[:, 2:] += boxes[:, :2]
    segments: Segments | None = rows.segments.take(keep)
    assert segments is not None
    for n, a in odd:
        if not isinstance(a.get("bbox"), list) and segments[n] is not None:
            i = int(at[n])
            around, wrong = rle.around(segments[n], *sizes[i].tolist())
            if around is not None:
                boxes[n] = around
            faults.append(Fault(said, f"annotation {number[n]} of {files[i]}", "bbox",
                                "the box is missing" + (f" and the mask {wrong}" if wrong else ""),
                                ONE_OUT if wrong else "it is taken from the mask", True, "no box", files[i]))
            if wrong:
                out.add(i)
    if turned := _turned(odd, boxes, segments):
        segments = segments.mended({n: [ring] for n, ring in turned.items()})
        for n, ring in turned.items():
            boxes[n] = rle.bounds([ring], 0, 0)
        notes.append(f"{len(turned)} annotations have the attribute 'rotation' and the box before it is turned: they "
                     "are read as outlines of the turned box, and a box is the upright one around it")
    bare = np.flatnonzero(segments.absent()).tolist()
    if len(bare) == len(segments):
        segments = None
    else:
        faults += [Fault(said, f"annotation {number[k]}", "segmentation", "has no mask, where others have one",
                         "its box is taken as the mask", True, "no mask")
                   for k in bare]
    area, visible, crowd, ignore = map(kept, (rows.area, rows.visible, rows.crowd, rows.ignore))
    flat = _Flat(rows, keep, odd)
    named = points_of(categories)
    points, places = named if named is not None else (flat.unnamed(notes), None)
    keypoints = (flat.shaped(number, points, kind, classes.names, places, said, faults)
                 if points is not None and flat.there else None)
    for n, a in odd:
        area[n], visible[n] = real(a.get("area")), real(a.get("vis_ratio"))
    for key, column in (("iscrowd", crowd), ("ignore", ignore)) if odd else ():
        column[[n for n, _ in odd]] = crowds([a for _, a in odd], [number[n] for n, _ in odd], said, faults, key)
    if aside := int((ignore & ~crowd).sum()):
        notes.append(f"{aside} annotations have 'ignore' 1, as COCO's older files mark what neither gains nor costs: "
                     "they are crowds")
        crowd |= ignore
    shares = {n: a.get("vis_ratio") for n, a in odd if a.get("vis_ratio") is not None and np.isnan(visible[n])}
    for n, share in (shares | {n: visible[n] for n in np.flatnonzero((visible < 0) | (visible > 1)).tolist()}).items():
        faults.append(Fault(said, f"annotation {number[n]} of {files[int(at[n])]}", "vis_ratio",
                            f"is {str(share)[:40]}, no share from 0 to 1", "how much can be seen counts as unknown",
                            True, "no share"))
        visible[n] = math.nan
    wholes = dict((n, a["amodal"]) for n, a in odd if a.get("amodal") is not None)
    ordered = {ident(k): v for k, v in pairs.items()}
    hidden = segments is not None and bool(wholes)
    kinds = ("boxes", *(("masks",) if segments is not None else ()), *(("amodal",) if hidden else ()),
             *(("keypoints",) if keypoints is not None else ()))
    t = table(
        files, sizes, ids, at, boxes, kind, said, crowd=crowd, area=area, record=number, word="annotation",
        segments=segments, keypoints=keypoints, amodal=[wholes.get(n) for n in range(len(at))] if hidden else None,
        depth=[ordered.get(k, ()) for k in index] if ordered else None, sound=kept(rows.sound),
        visible=None if np.isnan(visible).all() else visible,
    )
    t.searched = searched
    return Draft(root, FORMAT, t if there.all() else t.images(np.flatnonzero(there)), classes, kinds, digest, said,
                 faults, points=points if keypoints is not None else None, follow_links=follow_links, notes=notes,
                 out=out, used={said}, frequency=frequency, spelt="size", numbered=True, unread=rows.unread)


def _plain(source: Path) -> columns.Plain | None:
    """The columns of a plain document, from the disk where they are kept; None for another."""
    known = columns.stamp(source)
    found = columns.kept(source, known) if known is not None else None
    if found is not None:
        return found
    try:
        doc = columns.Document(source)
        if not isinstance(doc.categories, list):
            return None
        found = columns.Plain(doc.digest, doc.categories, _listed(doc.images(), source), doc.annotations())
        found.rows.sound = _sound(found)
    except (columns.NotPlain, OSError):
        return None
    if known is not None and columns.stamp(source) == known:
        columns.keep(source, known, looks_like(source), found)
    return found


def _sound(doc: columns.Plain) -> np.ndarray:
    """bool (n,): the annotations of which a vetting would say nothing, whatever pictures are there."""
    rows, boxes = doc.rows, doc.rows.boxes.copy()
    boxes[:, 2:] += boxes[:, :2]
    sizes = np.concatenate([doc.images.sizes, np.zeros((1, 2), dtype=np.int64)])  # the last of those of no picture
    found = sound(boxes, rows.area, rows.segments, sizes[_places(rows.image, dict(zip(doc.images.keys, count())))])
    found[list(rows.odd)] = False
    return found


def _turned(odd: Iterable[tuple[int, Any]], boxes: np.ndarray, segments: Segments) -> dict[int, list[float]]:
    """Annotation -> corners of its box (x1, y1, x2, y2), turned clockwise about its centre by `attributes.rotation` in
    degrees, as CVAT writes it; of those that have no outline but the box itself."""
    out = {}
    for n, a in odd:
        more = a.get("attributes")
        degrees = numbers([[more.get("rotation")]], 1)[0, 0] if isinstance(more, dict) else math.nan
        x1, y1, x2, y2 = boxes[n].tolist()
        box, own = [x1, y1, x2, y1, x2, y2, x1, y2], segments[n]
        drawn = isinstance(own, list) and len(own) == 1 and bool(
            np.abs(numbers(own, 8)[0] - box).max() < 0.5)
        if math.isfinite(degrees) and degrees % 360 and np.isfinite(boxes[n]).all() and (own is None or drawn):
            out[n] = rle.turned(x1, y1, x2 - x1, y2 - y1, float(degrees), ((x1 + x2) / 2, (y1 + y2) / 2))
    return out


_SEARCHED = ("neg_category_ids", "not_exhaustive_category_ids")


def _listed(rows: Iterable[Any], source: Path) -> columns.Listed:
    """What image records say, in ascending id."""
    faults: list[Fault] = []
    federated: list[dict[str, Any]] = []

    def seen() -> Iterator[Any]:
        for im in rows:
            if isinstance(im, dict) and (federated or not im.keys().isdisjoint(_SEARCHED)):
                federated.append({k: im[k] for k in ("id", *_SEARCHED) if k in im})
            yield im

    files, sizes, ids, index = _by_id(*read_images(seen(), source, faults))
    said = [[f.record, f.field, f.problem, f.mend, f.safe, f.kind] for f in faults]
    return columns.Listed(files, sizes, ids, list(index), said, federated, all(map(is_plain, files)))


def _places(ids: np.ndarray, index: Mapping[Any, int]) -> np.ndarray:
    """`lookup` of many whole numbers."""
    known = np.array([k for k in index if isinstance(k, int) and -(2**63) <= k < 2**63], dtype=np.int64)
    if not len(known):
        return np.full(len(ids), -1, dtype=np.int64)
    of = np.array([index[k] for k in known.tolist()], dtype=np.int64)
    low, high = int(known.min()), int(known.max())
    if high - low < 64 * len(known) + 1000:
        every = np.full(high - low + 2, -1, dtype=np.int64)  # the last for what lies outside
        every[known - low] = of
        found: np.ndarray = every[np.where((ids < low) | (ids > high), high + 1, ids) - low]
        return found
    order = np.argsort(known)
    at = order[np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)]
    found = np.where(known[at] == ids, of[at], -1)
    return found


def _belonging(
    rows: columns.Annotations, files: Sequence[str], there: np.ndarray, index: Mapping[Any, int],
    label_of: Mapping[Any, int], said: str, faults: list[Fault],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, set[int]]:
    """The annotations that are an object of a picture that is `there` (bool, I), ascending, and of each the picture,
    the label and the number; and the pictures that are left out, for one of theirs says nothing."""
    n = len(rows)
    image, label, number = _places(rows.image, index), _places(rows.category, label_of), rows.number.copy()
    told, outlined, whole_record = np.ones(n, dtype=bool), ~rows.segments.absent(), np.ones(n, dtype=bool)
    boxed = np.ones(n, dtype=bool)
    for k, a in rows.odd.items():
        number[k] = k
        if not isinstance(a, dict):
            whole_record[k] = False
            continue
        number[k], told[k] = whole(a.get("id"), k), "id" in a
        image[k], label[k] = lookup(index, a.get("image_id")), lookup(label_of, a.get("category_id"))
        boxed[k] = isinstance(a.get("bbox"), list)
    some = np.flatnonzero(whole_record)
    again = np.zeros(n, dtype=bool)
    if (np.diff(np.sort(number[some])) == 0).any():
        again[np.delete(some, np.unique(number[some], return_index=True)[1])] = True
    unknown, lost = whole_record & (label < 0), whole_record & (label >= 0) & (image < 0)
    keep = whole_record & (label >= 0) & (image >= 0)
    keep[keep] = there[image[keep]]  # the others are named with their pictures
    nothing = keep & ~boxed & ~outlined
    out: set[int] = set()

    def said_of(k: int, column: np.ndarray, name: str) -> str:
        return str(rows.odd[k].get(name) if k in rows.odd else int(column[k]))[:40]

    for k in np.flatnonzero(~whole_record | again & told | unknown | lost | nothing).tolist():
        name = f"annotation {number[k]}"
        if not whole_record[k]:
            faults.append(Fault(said, f"annotation {k}", "", "is no object, so its image is not known",
                                "remove it, or write it again", False, "broken record"))
            continue
        if again[k] and told[k]:
            faults.append(Fault(said, name, "id", "two annotations have this id", "both are kept", True,
                                "duplicate id"))
        if unknown[k]:
            faults.append(Fault(said, name, "category_id", f"the category {said_of(k, rows.category, 'category_id')} "
                                "is not in 'categories'", "add the category or remove the annotation", False,
                                "unknown class"))
        elif lost[k]:
            faults.append(Fault(said, name, "image_id", f"there is no image {said_of(k, rows.image, 'image_id')}",
                                "it is left out", True, "unknown image"))
        elif nothing[k]:
            i = int(image[k])
            faults.append(Fault(said, f"{name} of {files[i]}", "bbox", "the annotation has no box and no mask",
                                ONE_OUT, True, "broken record", files[i]))
            out.add(i)
    at = np.flatnonzero(keep & ~nothing)
    return at, image[at], label[at], number[at], out


def _searched(
    images: Sequence[Any], index: Mapping[Any, int], label_of: Mapping[Any, int],
    categories: Sequence[Mapping[str, Any]],
) -> tuple[list[tuple[np.ndarray, np.ndarray]] | None, tuple[str, ...]]:
    """(labels that are nowhere in each picture, and those of which not every object is marked; how frequent each class
    is) of LVIS's data; (None, ()) of others. Gupta et al. 2019, 3.1: rare are classes of 1 to 10 pictures of training,
    common ones of up to 100."""
    if not any(isinstance(im, dict) and isinstance(im.get("neg_category_ids"), list) for im in images):
        return None, ()
    none = np.zeros(0, np.int64)
    out = [(none, none)] * len(index)
    for im in images:
        i = lookup(index, im.get("id")) if isinstance(im, dict) else -1
        if i >= 0:
            lists = (im.get(k) for k in ("neg_category_ids", "not_exhaustive_category_ids"))
            labels = [[c for v in (x if isinstance(x, list) else ()) if (c := lookup(label_of, v)) >= 0] for x in lists]
            out[i] = np.array(labels[0], np.int64), np.array(labels[1], np.int64)
    said = [str(c.get("frequency") or "") for c in categories]
    counts = [whole(c.get("image_count"), 0) for c in categories]
    return out, tuple(f if f in ("r", "c", "f") else "r" if n <= 10 else "c" if n <= 100 else "f"
                      for f, n in zip(said, counts))


def _root_row(rows: Sequence[Any], used: Callable[[Any], bool], source: Path, files: Iterable[Path]) -> Any:
    """The category that stands for the data set itself: the others name it as their supercategory, it names none, and
    no annotation of any split's file uses it (`used`: of this one's). None where there is none. Roboflow writes such a
    row."""
    named = Counter(c.get("supercategory") for c in rows
                    if isinstance(c, dict) and c.get("supercategory") != c.get("name")
                    and isinstance(c.get("supercategory"), str))
    for c in rows:
        if (not isinstance(c, dict) or c.get("supercategory") not in (None, "", "none", c.get("name"))
            or not isinstance(c.get("name"), str) or named[c["name"]] != len(rows) - 1 or len(rows) < 2):
            continue
        number = ident(c.get("id"))
        if used(number):
            return None
        others = (p for p in files if p != source)
        return None if any(_uses(p, str(number)) for p in others) else c
    return None


def _uses(path: Path, number: str) -> bool:
    """Whether an annotation of a JSON has a category; searched, not parsed."""
    try:
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
            wanted = rb'"category_id"\s*:\s*"?' + re.escape(number).encode() + rb'(?![0-9.])'
            return re.search(wanted, m) is not None
    except (OSError, ValueError):
        return False  # what is wrong is said where the file itself is opened


def _named(rows: Sequence[Any] | columns.Annotations, number: Any) -> bool:
    """Whether an annotation has this category."""
    if isinstance(rows, columns.Annotations):
        plain = np.ones(len(rows), dtype=bool)
        plain[list(rows.odd)] = False
        return bool((rows.category[plain] == number).any()) or _named(list(rows.odd.values()), number)
    return any(isinstance(a, dict) and ident(a.get("category_id")) == number for a in rows)


class _Flat:
    """The keypoints of the annotations that are kept, as flat lists of the file."""

    def __init__(self, rows: columns.Annotations, keep: np.ndarray, odd: Sequence[tuple[int, Any]]):
        self.values, self.lengths, self.every, self.keep = rows.points, rows.lengths[keep], rows.lengths, keep
        self.odd = {n: a["keypoints"] for n, a in odd if "keypoints" in a}
        self.there = bool(self.odd) or bool((self.lengths >= 0).any())

    def unnamed(self, notes: list[str]) -> Points | None:
        """Points of annotations whose categories name none: as many as most of them have, called by their numbers."""
        lengths = self.lengths.copy()
        for n, flat in self.odd.items():
            lengths[n] = len(flat) if isinstance(flat, list) else 0
        counts = Counter((lengths[(lengths > 0) & (lengths % 3 == 0)] // 3).tolist())
        if not counts:
            return None
        k = counts.most_common(1)[0][0]
        notes.append(f"{counts[k]} annotations have {k} keypoints that no category names; they are called point_0 to "
                     f"point_{k - 1}. Write 'keypoints' (names) and 'skeleton' into the category")
        return Points(tuple(f"point_{i}" for i in range(k)), tuple(range(k)), (), (OTHER_SIGMA,) * k)

    def shaped(self, record: np.ndarray, points: Points, labels: np.ndarray, names: Sequence[str],
               places: Sequence[Sequence[int]] | None, said: str, faults: list[Fault]) -> np.ndarray:
        """float64 (n, K, 3); what are not the points of its category counts as unlabelled, and is named. `places`: of
        each label where its own points stand among the K; None where no category names any."""
        every = len(points.names)
        out = np.zeros((len(self.lengths), every, 3))
        starts = (np.cumsum(np.maximum(self.every, 0)) - np.maximum(self.every, 0))[self.keep]
        lengths = self.lengths.copy()
        for n, flat in self.odd.items():
            lengths[n] = len(flat) if isinstance(flat, list) else -2 if flat else 0
        due = np.array([len(p) for p in places] if places is not None else [every] * len(names))[labels]
        for c in np.unique(labels).tolist():
            of = np.flatnonzero((labels == c) & (lengths == 3 * due))
            own = np.arange(every) if places is None else np.array(places[c])
            plain = np.array([n for n in of.tolist() if n not in self.odd], dtype=np.int64)
            for n in of.tolist() if self.odd else ():
                if n in self.odd:
                    out[n, own] = numbers([self.odd[n]], 3 * len(own))[0].reshape(-1, 3)
            out[plain[:, None], own] = self.values[starts[plain, None] + np.arange(3 * len(own))].reshape(
                len(plain), len(own), 3)
        other = (lengths > 0) & (lengths != 3 * due) | (lengths == -2)
        wrong = other | ~(np.isfinite(out).all((1, 2)) & np.isin(out[:, :, 2], (0, 1, 2)).all(1))
        for n in np.flatnonzero(wrong).tolist():
            k, have = int(due[n]), int(lengths[n])
            why = f"are not {k} times x, y and a visibility of 0, 1 or 2"
            if other[n] and have > 0:
                why += f", but {have} numbers: " + (
                    f"the category {names[labels[n]]!r} has {k} points" if places is not None else
                    f"no category names its points, and most annotations have {k}")
            faults.append(Fault(said, f"annotation {record[n]}", "keypoints", why, "they count as unlabelled", True,
                                "broken keypoints"))
        out[wrong] = 0
        return out


# ---------------------------------------------------------------- writing


def write_coco(dataset: Dataset, path: str | Path, images: str | Path | None = None) -> Path:
    """The truth of any data set as COCO JSON; masks as compressed run lengths. File names are relative to `images`
    where they lie under it, else to the deepest folder that holds all pictures: two of one base name stay two."""
    info = dataset.info
    doc: dict[str, Any] = {"info": {"description": info.name}, "images": [], "annotations": [],
                           "categories": _categories(info.classes, info.points)}
    narrow = getattr(dataset, "narrow", None)
    view = narrow({"boxes", "masks", "amodal", "keypoints"}) if narrow is not None else dataset
    used: set[int] = set()
    files: list[str] = []
    for i in range(len(view)):
        s = view.truth(i)
        number = int(s.id)
        while number in used:
            number += len(view)
        used.add(number)
        files.append(s.file or f"{i:06d}.png")
        doc["images"].append({"id": number, "height": s.size[0], "width": s.size[1]})
        for k in range(len(s.labels)):
            x1, y1, x2, y2 = (float(v) for v in s.boxes[k])
            a: dict[str, Any] = {
                "id": len(doc["annotations"]) + 1, "image_id": number, "category_id":
                int(info.classes.ids[s.labels[k]]), "bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(s.area[k]),
                "iscrowd": int(s.crowd[k]), "segmentation": rle.encode(s.masks[k]) if s.masks is not None else [],
            }
            if s.amodal is not None and s.masks is not None:
                whole = s.amodal[k] | s.masks[k]
                a |= {"segmentation": rle.encode(whole), "visible_mask": rle.encode(s.masks[k]),
                      "occlude_rate": 1 - float(s.masks[k].sum()) / max(float(whole.sum()), 1.0)}
            if s.visible is not None and np.isfinite(s.visible[k]):
                a["vis_ratio"] = float(s.visible[k])
            if s.keypoints is not None:
                a["keypoints"] = [float(v) for v in s.keypoints[k].reshape(-1)]
                a["num_keypoints"] = int((s.keypoints[k, :, 2] > 0).sum())
            doc["annotations"].append(a)
    base = None if images is None else Path(images)
    for im, file, name in zip(doc["images"], files, below_common(files), strict=True):
        inside = base is not None and Path(file).is_relative_to(base)
        im["file_name"] = Path(file).relative_to(base).as_posix() if inside else name  # type: ignore[arg-type]
    return write_json(path, doc)


def write_coco_a(dataset: Dataset, path: str | Path) -> Path:
    """The truth of a data set with visible and amodal masks as COCO-A's JSON: ordered regions and their depth
    pairs."""
    return write_json(path, amodal.coco_a(dataset))


def _categories(classes: Classes, points: Points | None) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for name, number, parent in zip(classes.names, classes.ids, classes.parent):
        c: dict[str, Any] = {"id": int(number), "name": name, "supercategory": parent or name}
        if points is not None:
            c |= {"keypoints": list(points.names), "skeleton": [[a + 1, b + 1] for a, b in points.lines]}
        out.append(c)
    return out


def results(predictions: Sequence[Mapping[str, Any]], ids: Sequence[int], classes: Classes) -> list[dict[str, Any]]:
    """Detections in file pixels as COCO results: image_id, category_id, bbox xywh, score, and segmentation (run
    lengths) and keypoints where there are any.

    A prediction holds boxes (n, 4), scores (n,), labels (n,), and perhaps masks (n, H, W) bool or a list of run
    lengths, keypoints (n, K, 3).
    """
    out: list[dict[str, Any]] = []
    for p, number in zip(predictions, ids, strict=True):
        boxes, scores, labels = (np.asarray(p[k], dtype=np.float64) for k in ("boxes", "scores", "labels"))
        masks, keypoints = p.get("masks"), p.get("keypoints")
        for k in range(len(labels)):
            x1, y1, x2, y2 = boxes[k].tolist()
            r: dict[str, Any] = {
                "image_id": int(number), "category_id": int(classes.ids[int(labels[k])]),
                "bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(scores[k]),
            }
            if masks is not None:
                r["segmentation"] = (rle.jsonable(masks[k]) if isinstance(masks[k], Mapping)
                                     else rle.encode(np.asarray(masks[k], dtype=bool)))
            if keypoints is not None:
                r["keypoints"] = [float(v) for v in np.asarray(keypoints[k]).reshape(-1)]
            out.append(r)
    return out


def write_results(path: str | Path, predictions: Sequence[Mapping[str, Any]], ids: Sequence[int],
                  classes: Classes) -> Path:
    """`results` as a file that COCO's and our evaluators read."""
    return write_json(path, results(predictions, ids, classes))
