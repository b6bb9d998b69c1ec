"""Files of a data folder: their bytes and text, what lies below a folder, and what of it nobody has read."""
from __future__ import annotations

import codecs
import csv
import io
import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from stemma.core.outputs import JOURNAL, predicted
from stemma.core.samples import DataError

from .images import SUFFIXES, is_pointer, listing
from .options import spelled

NOTES = frozenset({".txt", ".xml", ".json", ".jsonl", ".ndjson", ".geojson", ".manifest", ".csv", ".yaml", ".yml",
                   ".tsv", ".names", ".data", ".labels"})
# split -> what folders, files and columns call it
SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test", "testing")}
SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}
SPLIT_WORD = re.compile(
    rf"(?:^|(?<=[^a-z]))({'|'.join(sorted(SPLIT_OF, reverse=True))})(?=\d{{4}}(?:\D|$)|[^a-z0-9]|$)", re.I
)
# bytes that are no UTF-8, signs that XML has not, ends of lines
_NO_LINE = re.compile("[\ud800-\udfff\ufffe\uffff\x00-\x08\x0a-\x1f\x7f\u0085\u2028\u2029]")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def split_name(name: str) -> str:
    """The split ("train", "val", "test") that a file or folder name speaks of, or ""."""
    found = SPLIT_WORD.search(name)
    return SPLIT_OF[found[1].lower()] if found else ""


# ---------------------------------------------------------------- bytes and text


def read_bytes(path: Path) -> bytes:
    """The bytes of a file of annotations. Raises DataError, also for what Git LFS leaves in the place of a file."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(str(path), "there is no such file", "check the path") from None
    except (OSError, ValueError) as e:
        raise DataError(str(path)[:400], f"cannot be read ({getattr(e, 'strerror', None) or e})",
                        "check the path and its permissions") from None
    if is_pointer(raw):
        raise DataError(str(path), "is a Git LFS pointer, not the file itself", "run `git lfs pull` in its repository")
    return raw


def remembered(reads: Any, path: Path) -> Any:
    """What `reads(path, changed, size)`, an `lru_cache`, says of a file; asked anew where it changed in the last two
    seconds, for the clock of a file system may stand still between two changes. Raises `OSError`."""
    s = path.stat()
    if abs(time.time() - s.st_mtime) < 2:
        reads = reads.__wrapped__
    return reads(str(path), s.st_mtime_ns, s.st_size)


def head_of(path: Path, most: int) -> str:
    """The text of a file's first `most` bytes, for who looks what it is; that it is no UTF-8 is told where it is read.
    Raises OSError."""
    with open(path, "rb") as f:
        raw = f.read(most)
    try:
        return text_of(raw, path, cut=True)
    except DataError:
        return raw.decode("latin-1")


def text_of(raw: bytes, path: str | Path, cut: bool = False) -> str:
    """The text of a file, without the byte order mark that some editors write: UTF-8, or UTF-16 where the mark says so.
    `cut`: its first bytes alone are there. Raises DataError where it is neither."""
    mark, encoding = next(((m, e) for m, e in _MARKS if raw.startswith(m)), (b"", "utf-8"))
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw[len(mark) :], final=not cut)
        return text.removeprefix("\ufeff")  # a mark of a mark, of text that was recoded
    except UnicodeDecodeError as e:
        raise DataError(str(path), f"is no UTF-8 text (byte {e.start + len(mark)})", "save it as UTF-8") from None


def lines_of(path: Path) -> list[str]:
    """The lines of a text file, stripped, empty ones included. Raises DataError."""
    return [s.strip() for s in text_of(read_bytes(path), path).splitlines()]


def table_of(text: str, path: str | Path, delimiter: str = ",", stripped: bool = True) -> list[list[str]]:
    """The rows of a CSV text, cells stripped (or not), whatever ends its lines. Raises DataError."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        rows = csv.reader(io.StringIO(plain, newline=""), delimiter=delimiter)
        return [[c.strip() for c in row] if stripped else row for row in rows]
    except csv.Error as e:
        raise DataError(str(path), f"is no CSV ({e})", "write it again, or remove it") from None


def rows_of(text: str, path: str | Path, stripped: bool = True) -> list[list[str]]:
    """`table_of` by commas, semicolons or tabs, whichever the first line has most of. Raises DataError."""
    first = text.lstrip().splitlines()[0] if text.strip() else ""
    return table_of(text, path, max(",;\t", key=first.count), stripped)


# ---------------------------------------------------------------- folders


def inside(root: Path, path: str) -> Path:
    """`root / path`, each step taken in the case in which it is there."""
    at = root
    for step in Path(path).parts:
        exact = at / step
        if not exact.exists():
            try:
                step = next((n for n in sorted(os.listdir(at)) if n.lower() == step.lower()), step)
            except OSError:
                return root / path
        at = at / step
    return at


def given_folder(root: Path, given: str | Path, option: str) -> Path:
    """The folder that an option names, in the data folder or anywhere. Raises DataError, naming the option."""
    for at in (root / given, Path(given).expanduser()):
        if at.is_dir():
            return at
    raise DataError(str(given), "is no folder",
                    f"check {spelled(option)}; it is looked for in {root} and from where you are")


def class_list(given: str | Path | Sequence[str], root: Path) -> list[str]:
    """The class names that `--classes` says: a list, "bolt,nut", or a file of one name a line (in the data folder, or
    from where you are). Raises DataError."""
    if not isinstance(given, (str, Path)):
        return [str(n) for n in given]
    for path in (root / given, Path(given).expanduser()):
        if path.is_file():
            return named_lines(path)
    names = [n.strip() for n in str(given).split(",")]
    if len(names) < 2 or not all(names):
        raise DataError(str(given), "is no file of class names",
                        f"say {spelled('names')} with one name a line, or --classes first,second")
    return names


CLASS_FILES = ("classes.txt", "labels.txt", "predefined_classes.txt", "obj.names", "_darknet.labels")


def class_file(where: Path) -> list[str] | None:
    """Names of a class list in a folder, one a line; None where there is none."""
    path = class_path(where)
    return None if path is None else named_lines(path)


def class_path(where: Path) -> Path | None:
    """The class list of a folder: by its name in any case, or its only *.names."""
    try:
        there = {n.lower(): n for n in sorted(os.listdir(where), reverse=True)}
    except OSError:
        return None
    for name in CLASS_FILES:
        if name in there and (where / there[name]).is_file():
            return where / there[name]
    found = listing(where, {".names"})
    return where / found[0] if len(found) == 1 else None


def named_lines(path: Path) -> list[str]:
    """One name a line; empty lines and remarks are none, and what may be either is said. Raises DataError."""
    from .records import say_once

    found = [s for s in lines_of(path) if s and not is_remark(s)]
    if doubtful := [s for s in found if s.startswith("#")]:
        say_once(f"{path}: {doubtful[0]!r} is taken for a class: a remark has a blank behind its #")
    return found


def is_remark(line: str) -> bool:
    """Whether a line is "#", or begins with "# ", however many of them: without the blank it is a name that begins so,
    and left out it would move the numbers of all that follow."""
    rest = line.lstrip("#")
    return rest != line and not rest[:1].strip()


def fits_line(name: str) -> bool:
    """Whether a list of one name a line gives a name back, but for blanks around it."""
    return (bool(name.strip()) and not is_remark(name.strip()) and not _NO_LINE.search(name)
            and not name.strip().startswith("\ufeff"))


# ---------------------------------------------------------------- what is not used


@dataclass
class Unused:
    """Files of a data folder that no split has read: pictures, files of annotations, others; relative to it."""

    pictures: list[str] = field(default_factory=list)
    annotations: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.pictures or self.annotations or self.others)

    def said(self, others: bool = True) -> str:
        """"12 pictures (night: 8, day: 4) and 1 file of annotations (old.txt)"; "" where there is nothing."""
        parts = [_many(self.pictures, "picture"),
                 _many(self.annotations, "file of annotations", "files of annotations")]
        parts += [_many(self.others, "other file")] if others else []
        parts = [p for p in parts if p]
        return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else ""

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def unused(root: Path, used: Iterable[str]) -> Unused:
    """What lies below `root` and is none of `used`, paths in any spelling that a linked folder gives them. Hidden
    files, runs, and pages that say what the data are (README, LICENSE, *.md) are no data."""
    real = lru_cache(maxsize=None)(os.path.realpath)
    known = {(real(folder), name) for folder, name in map(os.path.split, used)}
    out = Unused()
    seen: set[str] = set()
    for at, below, names in os.walk(root, followlinks=True):
        here = os.path.realpath(at)
        if here in seen or "run.json" in names or "compare.json" in names:
            below.clear()
            continue
        seen.add(here)
        below[:] = sorted(d for d in below if not d.startswith("."))
        ours = JOURNAL in names
        for n in names:
            path = os.path.join(at, n)
            stem, suffix = os.path.splitext(n.lower())
            if n.startswith(".") or (here, n) in known or suffix == ".md" or ours and predicted(path):
                continue
            if stem.split(".")[0] in ("readme", "license", "licence", "copying", "citation"):
                continue
            kind = out.pictures if suffix in SUFFIXES else out.annotations if suffix in NOTES else out.others
            kind.append(os.path.relpath(path, root).replace(os.sep, "/"))
    for kind in (out.pictures, out.annotations, out.others):
        kind.sort()
    return out


def _many(files: list[str], one: str, several: str = "") -> str:
    """A count with the folders that hold most of them, or the names of a few."""
    if not files:
        return ""
    word = one if len(files) == 1 else several or f"{one}s"
    if len(files) <= 3:
        return f"{len(files)} {word} ({', '.join(files)})"
    of: dict[str, int] = {}
    for f in files:
        folder = f.rpartition("/")[0]
        of[folder or "at the top"] = of.get(folder or "at the top", 0) + 1
    most = sorted(of.items(), key=lambda kv: (-kv[1], kv[0]))
    shown = ", ".join(f"{k}: {n}" for k, n in most[:3]) if len(of) > 1 else (
        f"all {'' if most[0][0] == 'at the top' else 'in '}{most[0][0]}, the first {files[0].rpartition('/')[2]}")
    return f"{len(files):,} {word} ({shown}{', ...' if len(most) > 3 else ''})"


__all__ = [
    "CLASS_FILES", "NOTES", "SPLITS", "SPLIT_OF", "SPLIT_WORD", "Unused", "class_file", "class_list",
    "class_path", "fits_line", "given_folder", "head_of", "inside", "lines_of", "named_lines", "read_bytes",
    "remembered", "rows_of", "split_name", "table_of", "text_of", "unused",
]
