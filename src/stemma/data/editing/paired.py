"""Pictures before and after, with what was to be done in text: what a person makes without a list.

The pictures of a folder, or of a folder of its split in it, are paired

- by two folders, called input, before, source or original, and output, after, target, edited or result: partners have
  one path in them, but for the ending
- by their names, where most of a folder's are so: NAME_before.png and NAME_after.png (or before-NAME.png), with the
  same words, start and end (as trainers of edits by low rank ask), src and tgt, 0 and 1, or a and b
- or as the halves of one picture, twice as wide as high: the left one is before (as pix2pix publishes them)

What is to be done is said by

- a text file a pair, under that path or name too (NAME.txt): in a folder prompts, instructions, captions, texts or
  edits, or beside a picture; each of its lines is an instruction
- or one file of these names (prompts.txt): a picture's name and what is to be done, with a tab or a comma between; or a
  line a pair, in the order of the names of the pictures before (2 comes before 10); or one line for all of them

What lies in one folder is taken for edits where these texts are words, and no numbers as of boxes.
"""
from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from ...core.samples import DataError
from ...core.sentence import many
from ..files import SPLIT_OF, SPLITS, lines_of
from ..images import SUFFIXES, header, listing, read_image, shown, walk
from ..records import Fault
from .folders import FEW, MISSING, RECORD, SIZES, Entry, alone, part_of
from .listed import Listed

BEFORE = ("input", "inputs", "before", "source", "sources", "original", "originals")
AFTER = ("output", "outputs", "after", "target", "targets", "edited", "result", "results")
TOLD = ("prompts", "prompt", "instructions", "instruction", "captions", "texts", "edits")
MARKS = {**dict.fromkeys((*BEFORE, "start", "src"), 0), **dict.fromkeys((*AFTER, "end", "tgt"), 1)}
COUNTED = {"0": 0, "1": 1, "a": 0, "b": 1}  # marks that many names of other pictures end in
_MARKED = [re.compile(form.format("|".join(of)), re.I) for form, of in (
    ("(?P<key>.+)[ _.-](?P<mark>{})", MARKS), ("(?P<mark>{})[ _.-](?P<key>.+)", MARKS),
    ("(?P<key>.+)[ _.-](?P<mark>{})", COUNTED))]
HALVES = "has {} x {} pixels, and is no picture of two halves, which is twice as wide as high"


@dataclass(frozen=True)
class Sides:
    """How the pictures before and after are told apart: two folders, two marks in their names, or halves."""

    before: str
    after: str
    by: Literal["folders", "names", "halves"] = "folders"

    def key(self, name: str) -> tuple[str, int | None]:
        """(the pair of a picture that lies in the folder itself, its side) by its file's name."""
        whole = _key(name)
        if self.by == "names" and (found := _marked(whole)) and found[1] in (self.before, self.after):
            return found[0], int(found[1] == self.after)
        return whole, None


@dataclass
class Halved(Listed):
    """Pairs that are the halves of one picture."""

    def both(self, files: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        whole = read_image(self.path(files[0]))
        if whole.shape[1] != 2 * len(whole):
            raise DataError(str(self.path(files[0])), HALVES.format(whole.shape[1], len(whole)), "cut it so")
        return whole[:, :len(whole)], whole[:, len(whole):]

    def look(self, i: int) -> Iterator[Fault]:
        found = list(super().look(i))
        yield from found
        name = self.entries[i].files[0][0]
        if not found and (size := header(self.path(name)).size)[1] != 2 * size[0]:
            yield Fault(str(self.root / name), self.entries[i].record, "", HALVES.format(size[1], size[0]),
                        "cut it so; training leaves the pair out", True, SIZES)


def _marked(stem: str) -> tuple[str, str] | None:
    """(what both pictures of a pair are called, the mark that tells them apart, lower case)."""
    found = next(filter(None, (form.fullmatch(stem) for form in _MARKED)), None)
    return found and (found["key"], found["mark"].lower())


def _sides(at: Path) -> Sides | None:
    """How pictures are told apart where what is to be done is said beside them."""
    sides = _both(at)
    if sides is not None:
        return sides if _texts(at, sides) else None
    own = listing(at)
    sides = _named(own) or (Sides("left", "right", "halves") if own else None)
    if sides is None or not (texts := _texts(at, sides)):
        return None
    if not _for_all(texts[0]):
        keys = {sides.key(n)[0] for n in own}
        texts = [f for f in texts if _told(sides, f) in keys]
    if not any(re.search(r"[^\W\d_]{2}", line) for f in texts[:FEW] for line in _lines(at / f)):
        return None
    some = own[:FEW]
    return sides if sides.by == "names" or 2 * sum(_is_halved(at / n) for n in some) > len(some) else None


def _lines(file: Path) -> list[str]:
    try:
        return lines_of(file)
    except DataError:  # told where it is read
        return []


def _is_halved(file: Path) -> bool:
    try:
        height, width = header(file).size
    except DataError:
        return False
    return width == 2 * height


def _both(at: Path) -> Sides | None:
    there = {n.lower(): n for n in reversed(shown(at))}
    before, after = (next((there[n] for n in names if n in there), "") for names in (BEFORE, AFTER))
    return Sides(before, after) if before and after else None


def _named(own: list[str]) -> Sides | None:
    """The marks by which most of these pictures have a partner."""
    of = [found for n in own if (found := _marked(_key(n)))]
    count = Counter(m for _, m in of)
    sides = [[m for m in count if (MARKS | COUNTED)[m] == side] for side in (0, 1)]
    pairs = [(a, b) for a in sides[0] for b in sides[1] if a in MARKS and b in MARKS or a + b in ("01", "ab")]
    both = {p: len({k for k, m in of if m == p[0]} & {k for k, m in of if m == p[1]}) for p in pairs}
    best = max(both, key=lambda p: both[p], default=None)
    return Sides(*best, "names") if best is not None and 4 * both[best] > len(own) else None


def unlike(path: Path) -> str:
    """That what is to be done is not said, where pictures before and after are there; "" where they are not."""
    sides = (_both(path) or _named(listing(path))) if os.path.isdir(path) else None
    if sides is None or sides.before in COUNTED:
        return ""
    said = (f"{sides.before} and {sides.after}" if sides.by == "folders" else
            f"pictures whose names say {sides.before} and {sides.after}")
    return f"{said} are there, and no text says what is to be done"


def are_partners(path: Path) -> bool:
    """Whether a folder holds two folders, called as those of before and after, most of whose pictures have a partner in
    the other; or pictures whose names say so."""
    sides = _both(path) if path.is_dir() else None
    if sides is None:
        named = _named(listing(path)) if path.is_dir() else None
        return named is not None and named.before not in COUNTED
    first, then = ({_key(f) for f in walk(path / side, SUFFIXES)} for side in (sides.before, sides.after))
    return 2 * len(first & then) > len(first | then)


def _texts(at: Path, sides: Sides) -> list[str]:
    """The text files that say what is to be done: the one for all alone, else one a pair."""
    whole = {f[:-4].lower(): f for f in listing(at, (".txt",))}
    told = [f"{top}/{f}" for top in shown(at) if top.lower() in TOLD for f in walk(at / top, (".txt",))]
    beside = ([f"{top}/{f}" for top in (sides.before, sides.after) for f in walk(at / top, (".txt",))]
              if sides.by == "folders" else list(whole.values()))
    return next(([whole[name]] for name in TOLD if name in whole), told + beside)


def _for_all(text: str) -> bool:
    """Whether a text is the one for all."""
    return "/" not in text and text[:-4].lower() in TOLD


def _told(sides: Sides, text: str) -> str:
    """Of which pair a text of its own is."""
    return _key(text.partition("/")[2] if sides.by == "folders" else text.rpartition("/")[2])


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
    sorts: tuple[dict[str, str], dict[str, str]] = {}, {}
    for key, side, f in _pictures(at, sides, follow_links):
        if side is None:
            strays.append(Fault(str(at / f), "", "", f"says neither {sides.before} nor {sides.after} in its name",
                                "call it so, or take it out; training leaves it out", True, RECORD))
        elif (kept := sorts[side].setdefault(key, inner + f)) != inner + f:
            strays.append(Fault(str(at / f), "", "", f"is called as {kept} is, but for the ending",
                                "give it a name of its own; training leaves it out", True, RECORD))
    first, then = sorts if sides.by != "halves" else (sorts[0], sorts[0])
    order, texts = sorted(first, key=_counted), _texts(at, sides)
    said, note = _by_line(at / texts[0], order, sides) if _for_all(texts[0]) else ({
        _told(sides, f): (inner + f, [s for s in lines_of(at / f) if s]) for f in texts}, "")
    if sides.by != "folders":
        note = "; ".join(filter(None, (_guessed(sides, order), note)))
    for n, key in enumerate(order if split in there else part_of(order, split)[1]):
        if key not in then:
            faults.append(_alone(path / first[key], sides.after, sides))
        elif key not in said:
            faults.append(Fault(str(path / first[key]), f"picture {n}", "instruction",
                                "no text says what is to be done to it", "write it; training leaves it out", True,
                                RECORD))
        else:
            where, each = said[key]
            told = [" ".join(s.split()) for s in each] or [""]
            entries += [Entry(one, ((first[key], then[key]),), f"{where}:{key}")
                        for one in (["\n".join(told)] if split == "train" else told)]
    strays += [_alone(path / f, sides.before, sides) for key, f in then.items() if key not in first]
    strays += [Fault(str(path / where), key, "", "names no picture", "bring the picture, or take the text out", True,
                     RECORD) for key, (where, _) in said.items() if key not in first]
    digest = hashlib.sha256(repr((split, entries)).encode()).hexdigest()
    make = Halved if sides.by == "halves" else Listed
    return make(path, "before and after", split, entries, digest, follow_links,
                  faults + (strays if split in there or split == "train" else []), note=note)


def _pictures(at: Path, sides: Sides, follow_links: bool) -> Iterator[tuple[str, int | None, str]]:
    """(pair, side, file) of each picture."""
    if sides.by == "folders":
        for k, side in enumerate((sides.before, sides.after)):
            yield from ((_key(f), k, f"{side}/{f}") for f in walk(at / side, SUFFIXES, follow_links))
    else:
        yield from ((*sides.key(f), f) if sides.by == "names" else (_key(f), 0, f) for f in listing(at))


def _guessed(sides: Sides, order: list[str]) -> str:
    if sides.by == "halves":
        return f"pictures are pairs in one, the left half before and the right one after: {order[0]}, and so on"
    return f"pictures are paired by their names, which say {sides.before} and {sides.after}: {order[0]}, and so on"


def _by_line(file: Path, order: list[str], sides: Sides) -> tuple[dict[str, tuple[str, list[str]]], str]:
    """(picture -> (where it is said, what is to be done), what is guessed) of a file for all."""
    lines = lines_of(file)
    while lines and not lines[-1]:
        lines.pop()
    named: dict[str, tuple[str, list[str]]] = {}
    for line in filter(None, lines):
        name, _, words = re.sub("[,\t]", "\t", line, count=1).partition("\t")
        named.setdefault(sides.key(name.strip())[0], (file.name, []))[1].append(words.strip().strip('"'))
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


def _alone(file: Path, other: str, sides: Sides) -> Fault:
    where = f"in {other}" if sides.by == "folders" else f"whose name says {other}"
    return Fault(str(file), "", "", f"has no partner {where}",
                 "bring it, or take the picture out; training leaves it out", True, MISSING)


def _key(file: str) -> str:
    """The path of a picture or of its text, without its ending."""
    at = PurePosixPath(file)
    return str(at.with_suffix("") if at.suffix.lower() in (*SUFFIXES, ".txt") else at)


def _counted(key: str) -> list[tuple[int, str]]:
    """What names are ordered by: numbers in them by their value."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", key)]


__all__ = ["are_partners", "open_paired", "roots", "splits_at", "unlike"]
