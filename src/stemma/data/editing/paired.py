"""Pictures before and after in two folders, with what was to be done in text: what a person makes without a list.

The folder, or a folder of its split in it, holds two folders, called input, before, source or original, and output,
after, target, edited or result. Partners have one path in them, but for the ending. What is to be done is said by

- a text file a pair, under that path too: in a folder prompts, instructions, captions, texts or edits, or beside
  either picture; each of its lines is an instruction
- or one file of these names (prompts.txt): a picture's name and what is to be done, with a tab or a comma between; or a
  line a pair, in the order of the names of the pictures before (2 comes before 10); or one line for all of them
"""
from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath

from ...core.samples import DataError
from ...core.sentence import many
from ..files import SPLIT_OF, SPLITS, lines_of
from ..images import SUFFIXES, shown, walk
from ..records import Fault
from .folders import MISSING, RECORD, Entry, alone, part_of
from .listed import Listed

BEFORE = ("input", "inputs", "before", "source", "sources", "original", "originals")
AFTER = ("output", "outputs", "after", "target", "targets", "edited", "result", "results")
TOLD = ("prompts", "prompt", "instructions", "instruction", "captions", "texts", "edits")
Sides = tuple[str, str]


def _sides(at: Path) -> Sides | None:
    """The folders of pictures before and after, where what is to be done is said beside them."""
    sides = _both(at)
    return sides if sides is not None and _texts(at, sides) else None


def _both(at: Path) -> Sides | None:
    there = {n.lower(): n for n in reversed(shown(at))}
    before, after = (next((there[n] for n in names if n in there), "") for names in (BEFORE, AFTER))
    return (before, after) if before and after else None


def unlike(path: Path) -> str:
    """That what is to be done is not said, where both folders are there; "" where they are not."""
    sides = _both(path) if os.path.isdir(path) else None
    return f"{sides[0]} and {sides[1]} are there, and no text says what is to be done" if sides is not None else ""


def are_partners(path: Path) -> bool:
    """Whether a folder holds two folders, called as those of before and after, most of whose pictures have a partner in
    the other."""
    sides = _both(path) if path.is_dir() else None
    if sides is None:
        return False
    first, then = ({_key(f) for f in walk(path / side, SUFFIXES)} for side in sides)
    return 2 * len(first & then) > len(first | then)


def _texts(at: Path, sides: Sides) -> list[str]:
    """The text files that say what is to be done: the one for all alone, else one a pair."""
    every = walk(at, (".txt",))
    each = [f for f in every if "/" in f and ((top := f.split("/")[0]) in sides or top.lower() in TOLD)]
    whole = {f[:-4].lower(): f for f in every if "/" not in f}
    return next(([whole[name]] for name in TOLD if name in whole), each)


def roots(path: Path) -> dict[str, tuple[Path, Sides]]:
    """split -> where its two folders are, "all" where they are not divided."""
    if (sides := _sides(path)) is not None:
        return {"all": (path, sides)}
    found = ((SPLIT_OF[n.lower()], path / n) for n in shown(path) if n.lower() in SPLIT_OF)
    return alone({split: (at, sides) for split, at in found if (sides := _sides(at)) is not None})


def splits_at(path: Path) -> tuple[str, ...]:
    """The splits that are there."""
    there = roots(path)
    return tuple(SPLITS) if "all" in there else tuple(s for s in SPLITS if s in there)


def open_paired(path: Path, split: str, follow_links: bool = False) -> Listed:
    """A split with all its entries, sound or not. Raises `DataError` for a file of instructions that fits neither the
    names nor the number of the pictures."""
    there = roots(path)
    at, sides = there.get(split) or there["all"]
    inner = "" if at == path else f"{at.name}/"
    entries, faults, strays = list[Entry](), list[Fault](), list[Fault]()
    first, then = dict[str, str](), dict[str, str]()
    for files, side in zip((first, then), sides, strict=True):
        for f in walk(at / side, SUFFIXES, follow_links):
            if (kept := files.setdefault(_key(f), f"{inner}{side}/{f}")) != f"{inner}{side}/{f}":
                strays.append(Fault(str(at / side / f), "", "", f"is called as {kept} is, but for the ending",
                                    "give it a name of its own; training leaves it out", True, RECORD))
    order, texts = sorted(first, key=_counted), _texts(at, sides)
    said, note = _by_line(at / texts[0], order) if "/" not in texts[0] else ({
        _key(f.partition("/")[2]): (inner + f, [s for s in lines_of(at / f) if s]) for f in texts}, "")
    for n, key in enumerate(order if split in there else part_of(order, split)[1]):
        if key not in then:
            faults.append(_alone(path / first[key], sides[1]))
        elif key not in said:
            faults.append(Fault(str(path / first[key]), f"picture {n}", "instruction",
                                "no text says what is to be done to it", "write it; training leaves it out", True,
                                RECORD))
        else:
            where, each = said[key]
            told = [" ".join(s.split()) for s in each] or [""]
            entries += [Entry(one, ((first[key], then[key]),), f"{where}:{key}")
                        for one in (["\n".join(told)] if split == "train" else told)]
    strays += [_alone(path / f, sides[0]) for key, f in then.items() if key not in first]
    strays += [Fault(str(path / where), key, "", "names no picture", "bring the picture, or take the text out", True,
                     RECORD) for key, (where, _) in said.items() if key not in first]
    digest = hashlib.sha256(repr((split, entries)).encode()).hexdigest()
    return Listed(path, "before and after", split, entries, digest, follow_links,
                  faults + (strays if split in there or split == "train" else []), note=note)


def _by_line(file: Path, order: list[str]) -> tuple[dict[str, tuple[str, list[str]]], str]:
    """(picture -> (where it is said, what is to be done), what is guessed) of a file for all."""
    lines = lines_of(file)
    while lines and not lines[-1]:
        lines.pop()
    named: dict[str, tuple[str, list[str]]] = {}
    for line in filter(None, lines):
        name, _, words = re.sub("[,\t]", "\t", line, count=1).partition("\t")
        named.setdefault(_key(name.strip()), (file.name, []))[1].append(words.strip().strip('"'))
    if not named.keys().isdisjoint(order):
        return named, ""
    if len(lines) == 1:
        return {key: (file.name, lines) for key in order}, f"{file.name} has one line, which is said of every picture"
    if len(lines) != len(order):
        said = f"has {many(len(lines), 'line')}, and there are {many(len(order), 'picture')} before"
        raise DataError(str(file), said, "write a line for each, in the order of their names, or each one's name, a "
                        "tab, and what is to be done")
    return {key: (file.name, [line]) for key, line in zip(order, lines, strict=True)}, (
        f"{file.name} names no pictures: its lines are taken in the order of their names, {order[0]}: "
        f"{lines[0][:60]!r}, and so on to {order[-1]}")


def _alone(file: Path, side: str) -> Fault:
    return Fault(str(file), "", "", f"has no partner in {side}",
                 "bring it, or take the picture out; training leaves it out", True, MISSING)


def _key(file: str) -> str:
    """The path of a picture or of its text, without its ending."""
    at = PurePosixPath(file)
    return str(at.with_suffix("") if at.suffix.lower() in (*SUFFIXES, ".txt") else at)


def _counted(key: str) -> list[tuple[int, str]]:
    """What names are ordered by: numbers in them by their value."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", key)]


__all__ = ["are_partners", "open_paired", "roots", "splits_at", "unlike"]
