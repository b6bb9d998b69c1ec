"""Folders of edits as they are published.

instruct-pix2pix   seeds.json, [[NAME, [SEED, ...]], ...]; NAME/prompt.json with "edit" (and "input", "output": the
                   pictures in words); NAME/SEED_0.jpg before, NAME/SEED_1.jpg after (or .png). Without splits of its
                   own: the first 90 % of the list are train, 5 % val, 5 % test, as the released reader divides it
magicbrush         SPLIT/edit_turns.json (SPLIT: train, dev, test; or the file itself in the folder),
                   [{"input", "output", "mask", "instruction"}, ...], and images/ID/FILE, where ID stands before the
                   first dash of a file's name; a mask is clear where the picture may change
"""
from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from ...core.samples import DataError, Info
from ..files import SPLIT_OF, SPLITS
from ..images import header, read_image, safe_join, subfolders
from ..readers.documents import load_json
from ..records import DataWarning, Fault
from .pairs import Pair, info_of, same_size

SHARES = {"train": (0.0, 0.9), "val": (0.9, 0.95), "test": (0.95, 1.0)}
OPAQUE = "has no clear pixel, so that nothing of its picture may change"
F = TypeVar("F", bound="Folder")
T = TypeVar("T")
FEW = 20  # folders that are looked into for what they lack
MISSING, SIZES, EMPTY, RECORD, MASK = "missing partner", "other size", "empty instruction", "record", "unusable mask"


@dataclass(frozen=True)
class Entry:
    """One edit before its pictures are read: (before, after) files a version, relative to the folder."""

    instruction: str
    files: tuple[tuple[str, str], ...]
    record: str
    mask: str = ""
    captions: tuple[str, str] | None = None
    about: tuple[int, ...] = ()  # the objects that it speaks of, where these are records of their own


@dataclass
class Folder:
    """A split of a folder of edits. `faults` are those of entries that were left out."""

    root: Path
    format: str
    split: str
    entries: list[Entry]
    digest: str
    follow_links: bool = False
    faults: list[Fault] = field(default_factory=list)
    task: str = "edit"  # the kind of its instructions
    note: str = ""  # what was guessed
    visits: int = 0  # versions in training of an edit that is made at each visit; 0: as many as it has files

    @property
    def info(self) -> Info:
        return info_of(self.root.name, self.format, (self.task,))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the list, what it says of each edit, and the names and sizes of the edits' files."""
        h = hashlib.sha256(self.digest.encode())
        for e in self.entries:
            files = [(n, os.stat(p).st_size if os.path.exists(p := os.path.join(self.root, n)) else -1)
                     for n in (*(n for pair in e.files for n in pair), *([e.mask] if e.mask else []))]
            h.update(repr((e, files)).encode("utf-8", "surrogatepass"))
        return h.hexdigest()

    def __len__(self) -> int:
        return len(self.entries)

    def kind(self, i: int) -> str:
        return self.task

    def versions(self, i: int) -> int:
        return self.visits if self.visits and self.split == "train" else len(self.entries[i].files)

    def ends(self, i: int) -> tuple[str, str] | None:
        """The files of the pictures before and after; None where they are several."""
        files = self.entries[i].files
        before, after = (os.path.normpath(self.root / name) for name in files[0])
        return (before, after) if len(files) == 1 else None

    def path(self, name: str) -> Path:
        """A file of the folder. Raises `DataError` for one that lies outside."""
        return safe_join(self.root, name, self.follow_links)

    def both(self, files: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """The pictures before and after, uint8 (H, W, 3), of their files."""
        return read_image(self.path(files[0])), read_image(self.path(files[1]))

    def pair(self, i: int, version: int = 0) -> Pair:
        """Raises `DataError` for pictures that are missing, damaged or of two sizes."""
        e = self.entries[i]
        before, after = self.both(e.files[version % len(e.files)])
        mask = None
        if e.mask:
            try:
                with Image.open(self.path(e.mask)) as im:
                    mask = np.asarray(im.convert("RGBA"))[..., 3] == 0
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise DataError(str(self.path(e.mask)), f"is no mask that can be read ({str(error)[:60]})",
                                "save it as PNG, or take it out of its entry", e.record, "mask") from None
            if mask.shape != before.shape[:2]:
                raise DataError(str(self.path(e.mask)), _other_size(mask.shape, before.shape[:2]), "bring it to the "
                                "picture's size, or take it out of its entry", e.record, "mask")
            if not mask.any():
                warnings.warn(f"{self.path(e.mask)}: {OPAQUE}; the pair is used without a mask", DataWarning,
                              stacklevel=2)
                mask = None
        return same_size(Pair(before, after, e.instruction, "edit", mask, captions=e.captions,
                              file=str(self.path(e.files[version % len(e.files)][0]))))

    def look(self, i: int) -> Iterator[Fault]:
        """What is wrong with an entry, by its words and its files' headers."""
        e = self.entries[i]
        source = str(self.root / e.record.partition(":")[0])
        if not e.instruction.strip():
            yield Fault(source, e.record, "instruction", "the instruction is empty",
                        "say what is to be done; training leaves it out", True, EMPTY)
        for pair in e.files:
            sizes = []
            for name, other in dict(zip(pair, pair[::-1])).items():
                try:
                    head = header(self.path(name))
                    sizes.append(head.size)
                except DataError as error:
                    gone = "there is no such image" in error.problem
                    said = f"{error.problem}, the partner of {other}" if gone else error.problem
                    yield Fault(error.file, e.record, "", said, f"{error.mend}; training leaves the pair out", True,
                                MISSING if gone else "unreadable image")
            if len(sizes) == 2 and sizes[0] != sizes[1]:
                (h, w), (g, v) = sizes
                yield Fault(str(self.root / pair[0]), e.record, "", f"has {w} x {h} pixels, and its partner {pair[1]} "
                            f"{v} x {g}", "bring both to one size; training leaves the pair out", True, SIZES)

    def look_at_mask(self, i: int) -> Iterator[Fault]:
        """Why an entry's mask cannot be used: it is not there, cannot be read, or has another size than its picture."""
        e = self.entries[i]
        if not e.mask:
            return
        mend = "mend it, or take it out of its entry; the pair is used without a mask"
        try:
            size = header(self.path(e.mask)).size
            if size != (whole := header(self.path(e.files[0][0])).size):
                yield Fault(str(self.root / e.mask), e.record, "mask", _other_size(size, whole), mend, True, MASK)
            elif not _may_be_clear(self.path(e.mask)):
                yield Fault(str(self.root / e.mask), e.record, "mask", OPAQUE,
                            "clear it where the picture may change; the pair is used without a mask", True, MASK)
        except DataError as error:
            yield Fault(error.file, e.record, "mask", error.problem, mend, True, MASK)


def _may_be_clear(path: Path) -> bool:
    """Whether a mask can have a clear pixel, by its header; of one that cannot be read `pair` tells."""
    try:
        with Image.open(path) as im:
            return bool({"A", "a"} & set(im.getbands())) or "transparency" in im.info
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return True


def _other_size(size: tuple[int, ...], whole: tuple[int, ...]) -> str:
    """What is wrong with a mask of one (height, width) on a picture of another."""
    return f"has {size[1]} x {size[0]} pixels, and its picture {whole[1]} x {whole[0]}"


def format_at(path: Path) -> str:
    """"instruct-pix2pix", "magicbrush", or "" where a folder holds no edits."""
    if (path / "seeds.json").is_file():
        return "instruct-pix2pix"
    return "magicbrush" if _turns(path) else ""


def unlike(path: Path) -> str:
    """What one of these layouts lacks, in words; "" of any other folder."""
    if format_at(path) or not path.is_dir():
        return ""
    if told := [n for n in subfolders(path)[:FEW] if (path / n / "prompt.json").is_file()]:
        return (f"{told[0]}/prompt.json is there, and no seeds.json, which lists the folders and their pictures "
                f'([["{told[0]}", ["SEED", ...]], ...])')
    sessions = next(iter(sorted([*path.glob("edit_sessions.json"), *path.glob("*/edit_sessions.json")])), None)
    return "" if sessions is None else (f"{sessions.relative_to(path).as_posix()} is there, and no edit_turns.json, "
                                        "MagicBrush's list of single edits, which is what is read")


def _turns(path: Path) -> dict[str, Path]:
    """split -> edit_turns.json."""
    if (path / "edit_turns.json").is_file():
        return {SPLIT_OF.get(path.name, "all"): path / "edit_turns.json"}
    return alone({SPLIT_OF[p.parent.name]: p for p in sorted(path.glob("*/edit_turns.json"))
                  if p.parent.name in SPLIT_OF})


def lists_at(path: Path) -> list[Path]:
    """The files that say what is where."""
    return [p for p in (path / "seeds.json", *_turns(path).values()) if p.is_file()]


def splits_at(path: Path) -> tuple[str, ...]:
    """The splits that are there."""
    if format_at(path) == "instruct-pix2pix" or "all" in _turns(path):
        return tuple(SPLITS)
    return tuple(s for s in SPLITS if s in _turns(path))


def alone(there: dict[str, T]) -> dict[str, T]:
    """What each split has, where train alone has something as "all": it is divided."""
    return {"all": there["train"]} if set(there) == {"train"} else there


def have(path: Path, split: str, there: tuple[str, ...]) -> None:
    """Raises `DataError` for a split that is not there."""
    if split not in there:
        raise DataError(str(path), f"there is no split '{split}'", f"it has {', '.join(there) or 'none'}")


def open_folder(path: Path, split: str, follow_links: bool = False) -> Folder:
    """A split with all its entries, sound or not. Raises `DataError` where there is none,
    or its file is no such list."""
    have(path, split, splits_at(path))
    return _released(path, split, follow_links) if format_at(path) == "instruct-pix2pix" else _brushed(
        path, split, follow_links)


def sound(folder: F) -> F:
    """The same with the entries in which nothing is wrong, without the masks that cannot be used; what is left out
    stands in `faults`. Headers are read."""
    kept, faults = [], list(folder.faults)
    for i, e in enumerate(folder.entries):
        found = list(folder.look(i))
        faults += found
        if not found:
            unusable = list(folder.look_at_mask(i))
            faults += unusable
            kept.append(replace(e, mask="") if unusable else e)
    return replace(folder, entries=kept, faults=faults)


def list_of(path: Path) -> tuple[list[Any], str]:
    """The records of a JSON list and the sha256 of its bytes. Raises `DataError` for anything else."""
    records, digest = load_json(path)
    return as_list(records, path), digest


def as_list(records: Any, path: Path) -> list[Any]:
    """What a file holds, where it is a list. Raises `DataError`."""
    if not isinstance(records, list):
        raise DataError(str(path), f"holds a {type(records).__name__} and no list of edits", "fetch the file again")
    return records


def part_of(records: list[Any], split: str) -> tuple[int, list[Any]]:
    """(the first's number, the part of a list that is a split). Of three to ten, whose shares leave none to validate
    on, val and test have one each."""
    count = len(records)
    first, last = (math.floor(share * count) for share in SHARES[split])
    if count >= 3 and math.floor(0.9 * count) == math.floor(0.95 * count):
        first, last = {"train": (0, count - 2), "val": (count - 2, count - 1), "test": (count - 1, count)}[split]
    return first, records[first:last]


def _released(path: Path, split: str, follow_links: bool) -> Folder:
    """The layout of InstructPix2Pix."""
    seeds = path / "seeds.json"
    records, digest = list_of(seeds)
    first, own = part_of(records, split)
    out = Folder(path, "instruct-pix2pix", split, [], hashlib.sha256(f"{digest} {split}".encode()).hexdigest(),
                 follow_links)
    for n, r in enumerate(own, first):
        if not (isinstance(r, list) and len(r) == 2 and isinstance(r[0], str) and isinstance(r[1], list) and r[1]):
            out.faults.append(Fault(str(seeds), f"entry {n}", "", "is no [NAME, [SEED, ...]]",
                                    "mend the entry; training leaves it out", True, RECORD))
            continue
        try:
            prompt, _ = load_json(out.path(f"{r[0]}/prompt.json"))
            said = prompt["edit"]
            if not isinstance(said, str):
                raise TypeError
        except (DataError, KeyError, TypeError) as error:
            out.faults.append(Fault(str(path / r[0] / "prompt.json"), f"entry {n}", "edit", getattr(
                error, "problem", 'has no "edit" that is text'), "write what is to be done; training leaves it out",
                                    True, RECORD))
            continue
        seen = prompt.get("input"), prompt.get("output")
        words = seen if all(isinstance(s, str) for s in seen) else None
        files = tuple((_shot(out, f"{r[0]}/{s}_0"), _shot(out, f"{r[0]}/{s}_1")) for s in r[1])
        out.entries.append(Entry(str(said), files, f"{r[0]}/prompt.json:{n}", captions=words))
    return out


def _shot(folder: Folder, name: str) -> str:
    """A picture of a seed: JPEG as it is published, or PNG, which others write."""
    try:
        png = not folder.path(f"{name}.jpg").exists() and folder.path(f"{name}.png").exists()
    except DataError:  # of a name that leads outside `look` tells
        png = False
    return f"{name}.png" if png else f"{name}.jpg"


def _brushed(path: Path, split: str, follow_links: bool) -> Folder:
    """The layout of MagicBrush."""
    turns = _turns(path)
    file = turns.get(split) or turns["all"]
    records, digest = list_of(file)
    first, own = (0, records) if split in turns else part_of(records, split)
    out = Folder(file.parent, "magicbrush", split, [], hashlib.sha256(f"{digest} {split}".encode()).hexdigest(),
                 follow_links)
    for n, r in enumerate(own, first):
        lack = [k for k in ("input", "output", "instruction")
                if not (isinstance(r, dict) and isinstance(r.get(k), str))]
        if lack:
            out.faults.append(Fault(str(file), f"entry {n}", lack[0], "is not there, or is no text",
                                    "mend the entry; training leaves it out", True, RECORD))
            continue
        at = lambda name: f"images/{name.partition('-')[0]}/{name}"
        mask = at(said) if isinstance(said := r.get("mask"), str) else ""
        if not isinstance(said, str | None):
            out.faults.append(Fault(str(file), f"entry {n}", "mask", "is no text", "write the mask's file; the pair is "
                                    "used without a mask", True, MASK))
        out.entries.append(Entry(r["instruction"], ((at(r["input"]), at(r["output"])),), f"{file.name}:{n}", mask))
    return out


__all__ = ["MASK", "MISSING", "OPAQUE", "RECORD", "Entry", "Folder", "alone", "as_list", "format_at", "have", "list_of",
           "lists_at", "open_folder", "part_of", "sound", "splits_at", "unlike"]
