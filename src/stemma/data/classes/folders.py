"""Which folders hold pictures by class, told by names alone: no picture is opened.

SPLIT/CLASS/PICTURE, CLASS/PICTURE, or train.txt, val.txt, test.txt of "path class" a line. `data.labelled` reads them.
"""
from __future__ import annotations

import posixpath
import re
from collections import Counter
from pathlib import Path

from ...core.samples import DataError
from ..files import SPLITS, lines_of, split_name
from ..images import ROOMS, SUFFIXES, child, listing, shown, walk

_ROOMS = ROOMS | {"img_dir", "ann_dir", "leftimg8bit", "imgsfine", "gtfine", "gtcoarse"}  # names of no class
_NUMBERED = re.compile(r"(image|label|calib|velodyne)_\d+", re.I)  # KITTI's cameras and their labels


def counts(where: Path) -> dict[str, dict[str, int]]:
    """split -> class -> pictures, folders without one included; "all" where it is not divided. Empty where the folder
    is laid out otherwise."""
    if not where.is_dir():
        return {}
    if lists := lists_at(where):
        return _listed(where, lists)
    parts = {s: name for s in SPLITS if (name := folder_of(where, s))} or {"all": ""}
    found = {s: _in(where / name) for s, name in parts.items()}
    filled = {c for of in found.values() for c, n in of.items() if n}
    return found if len(filled) > 1 and all(found.values()) else {}


def folder_of(where: Path, split: str) -> str:
    """What the folder of a split is called; "" where there is none, the whole is meant, or a folder of that name is a
    class (a train beside bus and car): it holds pictures and no folders, as others beside it do that no split is called
    after."""
    name = child(where, *SPLITS.get(split, ()))
    return "" if name and _is_class(where, name) else name


def _is_class(where: Path, name: str) -> bool:
    others = [n for n in shown(where) if not split_name(n) and n.lower() not in _ROOMS]
    holds_pictures_alone = lambda n: not shown(where / n) and bool(listing(where / n))
    return bool(others) and holds_pictures_alone(name) and any(map(holds_pictures_alone, others))


def lists_at(where: Path) -> dict[str, Path]:
    """split -> its list of pictures, where a folder is divided by lists."""
    return {s: file for s, ways in SPLITS.items() for w in reversed(ways) if (file := where / f"{w}.txt").is_file()}


def row_of(line: str, where: Path) -> tuple[str, str]:
    """(picture, class) of a line of a list: "path class", or a path whose folder is its class; "" for what is not
    said."""
    name, _, label = line.rpartition(" ") if not (where / line).is_file() else (line, "", "")
    return name, label or Path(name).parent.name


def repeated(where: Path) -> list[tuple[str, str, str, str]]:
    """(list, line, picture, where it was named before) of each line that names a picture which a line before it names,
    in its own split or in another."""
    first: dict[str, str] = {}
    found = []
    for file in lists_at(where).values():
        for number, line in enumerate(lines_of(file), 1):
            if not line:
                continue
            name = posixpath.normpath(row_of(line, where)[0])
            if name in first:
                found.append((str(file), f"line {number}", name, first[name]))
            first.setdefault(name, f"{file.name}, line {number}")
    return found


def _in(folder: Path) -> dict[str, int]:
    """class -> pictures of one folder of class folders; empty where pictures lie beside them, where a folder has the
    name of one of pictures or labels, and where all have the names of splits (train2017, val2017), or lie in such
    folders further down (leftImg8bit/train/aachen, MOT17-02/img1)."""
    below = shown(folder)
    if (any(n.lower() in _ROOMS or _NUMBERED.fullmatch(n) for n in below) or all(split_name(n) for n in below)):
        return {}
    files = walk(folder)
    if any("/" not in f for f in files):
        return {}
    of = Counter(f.rpartition("/")[0] for f in files)
    if of and all(any(split_name(n) or n.lower().rstrip("0123456789") in _ROOMS for n in c.split("/")[1:]) for c in of):
        return {}
    empty = [n for n in below if not any(c == n or c.startswith(f"{n}/") for c in of)]
    return {c: of.get(c, 0) for c in sorted([*of, *empty])}


def _listed(where: Path, lists: dict[str, Path]) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for split, file in lists.items():
        of: Counter[str] = Counter()
        try:
            lines = [line for line in lines_of(file) if line]
        except DataError:
            return {}
        for line in lines:
            name, label = row_of(line, where)
            if not name or not label or Path(name).suffix.lower() not in SUFFIXES:
                return {}
            of[label] += 1
        out[split] = dict(sorted(of.items()))
    return out if len({c for of in out.values() for c in of}) > 1 else {}


def error(where: Path) -> DataError | None:
    """What is said where boxes are wanted; None for other folders."""
    found = counts(where)
    if not found:
        return None
    total: Counter[str] = Counter()
    for of in found.values():
        total.update(of)
    named = ", ".join(f"{c} {n}" for c, n in total.most_common(4)) + (
        f" and {len(total) - 4} more" if len(total) > 4 else "")
    said = f"holds pictures in folders by class ({named}): labels of whole pictures, and no boxes"
    return DataError(str(where), said, f"`stemma doctor {where}` counts them and says which command takes them; beside "
                     f"pictures with boxes write BOXES+labels:{where}")


__all__ = ["counts", "error", "folder_of", "lists_at", "row_of"]
