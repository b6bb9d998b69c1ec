"""Lists that give classes of maps their numbers or colours, as labelling tools write them beside their maps.

labelmap.txt of CVAT and datumaro ("name:r,g,b::"), label_colors.txt ("r g b name"), class_dict.csv (name,r,g,b),
Roboflow's _classes.csv ("Pixel Value, Class"), dataset_meta.json (label_map, segmentation_colors), objectInfo150.txt of
ADEChallengeData2016 (columns Idx and Name by tabs; 0 is what is not labelled there).
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stemma.core.samples import DataError

from ..files import is_remark, lines_of, read_bytes, table_of, text_of

FILES = ("labelmap.txt", "label_map.txt", "label_colors.txt", "class_dict.csv", "_classes.csv", "dataset_meta.json",
         "objectinfo150.txt")
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class LabelMap:
    """The classes of a list in its order, and the number or colour of each."""

    path: Path
    names: tuple[str, ...]
    ids: tuple[int, ...] = ()
    colours: tuple[Colour, ...] = ()


def find(where: Path, *folders: str) -> Path | None:
    """The first such list at `where` or in one of its `folders`, its name in any case."""
    for folder in ("", *folders):
        try:
            there = {n.lower(): n for n in os.listdir(where / folder)}
        except OSError:
            continue
        for name in FILES:
            if name in there:
                return where / folder / there[name]
    return None


def read(path: Path) -> LabelMap:
    """A list of classes with their numbers or colours. Raises DataError."""
    kind = path.suffix.lower()
    rows = list(_json(path) if kind == ".json" else _table(path) if kind == ".csv" else
                _ade(path) if path.name.lower() == FILES[-1] else _text(path))
    if not rows:
        raise DataError(str(path), "names no class with a colour", "write one a line, as name:r,g,b; where maps hold "
                        "numbers, write a classes.txt of the names, from number 0, in its place")
    names = [n for n, _ in rows]
    marks = [m for _, m in rows]
    for what, seen in (("name", names), ("number or colour", marks)):
        twice = next((x for k, x in enumerate(seen) if x in seen[:k]), None)
        if twice is not None:
            raise DataError(str(path), f"two classes have the {what} {twice}", "give each its own")
    if all(isinstance(m, int) for m in marks):
        return LabelMap(path, tuple(names), ids=tuple(m for m in marks if isinstance(m, int)))
    return LabelMap(path, tuple(names), colours=tuple(m for m in marks if not isinstance(m, int)))


def _colour(parts: list[str], path: Path, line: int) -> Colour:
    try:
        r, g, b = (int(p) for p in parts)
    except ValueError:
        raise DataError(str(path), f"{', '.join(parts)[:60]!r} is no colour", "write red, green and blue, 0 to 255",
                        f"line {line}") from None
    if not all(0 <= v <= 255 for v in (r, g, b)):
        raise DataError(str(path), f"({r}, {g}, {b}) is no colour", "use 0 to 255", f"line {line}")
    return r, g, b


def _text(path: Path) -> Iterator[tuple[str, int | Colour]]:
    for k, line in enumerate(lines_of(path), 1):
        if not line or is_remark(line):
            continue
        if ":" in line:
            name, colour = line.split(":")[:2]
            if colour.strip():  # a part or an action has none
                yield name.strip(), _colour(colour.split(","), path, k)
            continue
        words = line.split()
        if len(words) < 4:
            raise DataError(str(path), f"{line[:60]!r} is no class with its colour", "write name:r,g,b or r g b name",
                            f"line {k}")
        yield " ".join(words[3:]), _colour(words[:3], path, k)


def _table(path: Path) -> Iterator[tuple[str, int | Colour]]:
    rows = [r for r in table_of(text_of(read_bytes(path), path), path) if any(r)]
    head = [c.lower() for c in rows[0]] if rows else []
    names = next((k for k, c in enumerate(head) if c in ("class", "name", "class_name", "label")), None)
    number = next((k for k, c in enumerate(head) if c in ("pixel value", "id", "index", "value")), None)
    colour = [head.index(c) for c in ("r", "g", "b") if c in head]
    if names is None or (number is None and len(colour) < 3):
        raise DataError(str(path), f"has the columns {', '.join(head)[:80]}",
                        "write 'Pixel Value, Class' or 'name,r,g,b' in its first line")
    for k, row in enumerate(rows[1:], 2):
        if len(row) < len(head):
            raise DataError(str(path), f"has {len(row)} of {len(head)} columns", "write the row again", f"line {k}")
        if number is None:
            yield row[names], _colour([row[c] for c in colour], path, k)
        elif row[number].isdigit() and len(row[number]) < 6:
            yield row[names], int(row[number])
        else:
            raise DataError(str(path), f"{row[number][:40]!r} is no number of a class",
                            "write a whole number", f"line {k}")


def _ade(path: Path) -> Iterator[tuple[str, int | Colour]]:
    rows = [r for r in table_of(text_of(read_bytes(path), path), path, "\t") if any(r)]
    head = [c.lower() for c in rows[0]] if rows else []
    if "idx" not in head or "name" not in head:
        raise DataError(str(path), f"has the columns {', '.join(head)[:80]}", "take the list of ADEChallengeData2016")
    yield "void", 0
    for k, row in enumerate(rows[1:], 2):
        if len(row) < len(head) or not row[head.index("idx")].isdecimal():
            raise DataError(str(path), "is no number with its name", "take the list of ADEChallengeData2016",
                            f"line {k}")
        yield row[head.index("name")], int(row[head.index("idx")][:9])


def _json(path: Path) -> Iterator[tuple[str, int | Colour]]:
    try:
        doc = json.loads(read_bytes(path))
        names = {int(k): str(v) for k, v in doc["label_map"].items()}
        colours = doc.get("segmentation_colors")
        for k, (number, name) in enumerate(sorted(names.items())):
            yield name, number if colours is None else _colour([str(int(v)) for v in colours[k]], path, k)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise DataError(str(path), "is no description of classes",
                        'write "label_map": {"0": "background", ...}') from None


__all__ = ["FILES", "LabelMap", "find", "read"]
