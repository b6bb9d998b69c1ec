"""A data set of any format that is read, written in one that others read: the mended truth, pictures as they are.

What is written is what training sees: faults are mended as they are for training, and said. What the format cannot hold
is counted. The folder is there whole or not at all.
"""
from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from pkgutil import iter_modules
from typing import Any

from PIL import Image

from stemma.core.samples import DataError, Dataset

from . import writers
from .mix import is_mixture, origin, parts_of
from .open import every_split, is_scenes, same_classes
from .records import Records
from .subset import subset
from .writers.pages import UNREAD, Book

# what lists of names cannot hold: bytes that are no UTF-8, ends of lines
_NO_TEXT = re.compile("[\udc80-\udcff\x00-\x1f\x7f\u0085\u2028\u2029]")
WRITERS = {m.name.replace("_", "-"): import_module(f"{writers.__name__}.{m.name}")
           for m in iter_modules(writers.__path__) if m.name != "pages"}
FORMATS = tuple(sorted(n for n, w in WRITERS.items() if not hasattr(w, "NEEDS")))  # that hold objects of any data


@dataclass(frozen=True)
class Converted:
    """What was written: pictures and objects of each split, what the format cannot hold, and what was mended on the
    way."""

    place: Path
    format: str
    pictures: Mapping[str, int]
    objects: Mapping[str, int]
    lost: Sequence[str]
    mended: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"place": str(self.place), "format": self.format, "pictures": dict(self.pictures),
                "objects": dict(self.objects), "lost": list(self.lost), "mended": list(self.mended)}


def convert(where: str | Path, to: str, place: str | Path, format: str | None = None, *,
            leave: Collection[str] = (), progress: Callable[[int, int], None] | None = None,
            **options: Any) -> Converted:
    """Write the data set `where` into the new folder `place` in the format `to`, one of `FORMATS`, or of `WRITERS`
    where the data have what it needs.

    Data that is not divided is divided as training divides it. Of sets that are joined every split of each is
    written, a picture once, whatever its times an epoch. `train_split`: what is written as "train"; what it takes
    from another split is left out there. `leave`: files of pictures that are left out, as those that cannot be read
    or are there twice. What was mended is listed in CHANGES.md. Raises DataError where the data cannot be read, has
    no objects to write, its splits' classes disagree, or the folder holds something or lies in the data's own.
    """
    if to not in WRITERS:
        raise DataError(str(to), "is no format that is written", f"use one of {', '.join(sorted(WRITERS))}")
    place = Path(place).expanduser()
    check_room(place, where)
    own = every_split(where, format, **options)
    info = next(iter(own.values())).info
    for data in own.values():
        same_classes(info, data.info, str(where))
    if "boxes" not in info.kinds:
        raise DataError(str(where), "holds maps of classes and no objects",
                        f"{to} is a format of objects; there is none here to write")
    writer: Any = WRITERS[to]
    if (needs := getattr(writer, "NEEDS", "")) and any(needs not in d.info.kinds for d in own.values()):
        raise DataError(str(where), f"has no {needs} masks, which {to} is made of",
                        f"use one of {', '.join(FORMATS)}, or annotate whole objects with what is seen of them")
    if odd := [n for n in info.classes.names if not getattr(writer, "holds", lambda name: True)(n)]:
        raise DataError(str(where), f"has the class {odd[0][:80]!r}, a name that {to} cannot hold", "rename it, or use "
                        "coco, which holds any")
    lost: dict[str, int] = {}
    own = _once(own, leave, lost, told=bool(options.get("train_split")))
    _unwritten(where, format, own, lost, **options)
    book = Book(own, {k: _names(d) for k, d in own.items()}, info.classes, info.points, lost)
    read = {k: [origin(d, i) for i in range(len(d))] for k, d in own.items()}
    for once in {(d.annotations, what): (what, n) for of in read.values() for d, _ in of if isinstance(d, Records)
                 for what, n in d.unread.items()}.values():  # of two splits that one file is divided into
        book.lose(UNREAD.replace("{what}", _spelled(once[0])), once[1])
    others = [d.table.files[i] for of in read.values() for d, i in of
              if isinstance(d, Records) and _NO_TEXT.search(d.table.files[i])]
    if others:
        said = _spelled(repr(_text(others[0])))
        book.lose("{n} pictures have names that are no lines of text, and get others, as " + said, len(others))
    place.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        total, done = sum(map(len, own.values())), 0
        for split in own:
            for i, name in enumerate(book.names[split]):
                _picture(*read[split][i], work / writer.picture(split, name))
                done += 1
                if progress is not None:
                    progress(done, total)
        writer.write(work, book)
        counts = {k: [book.held[k, n] for n in names if (work / writer.picture(k, n)).is_file()]
                  for k, names in book.names.items()}
        if not any(counts.values()):
            raise DataError(str(where), f"has no picture that {to} can hold: {'; '.join(book.losses())[:300]}",
                            f"use one of {', '.join(n for n in FORMATS if n != to)}")
        bare = [_spelled(k) for k, of in counts.items() if not of]
        if bare:
            book.lose("{n} of the splits have no picture left: " + ", ".join(bare), len(bare))
        sources = {id(d): d for of in read.values() for d, _ in of}.values()
        mended = list(dict.fromkeys(str(f) for d in sources if isinstance(d, Records) for f in d.faults))
        mended += [f"{f} is left out: it cannot be used, or is there twice" for f in leave]
        if mended:
            (work / "CHANGES.md").write_text("".join(f"- {m}\n" for m in mended), encoding="utf-8",
                                            errors="backslashreplace")
        if place.is_dir():
            place.rmdir()  # empty, as was looked
        os.chmod(work, 0o777 & ~_umask())
        os.rename(work, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Converted(place, to, {k: len(v) for k, v in counts.items()}, {k: sum(v) for k, v in counts.items()},
                     book.losses(), mended)


def _spelled(text: str) -> str:
    """Text in a line that is formatted later."""
    return text.replace("{", "{{").replace("}", "}}")


def _key(data: Dataset, i: int, told: bool) -> Hashable:
    """What makes a picture one that was written: its file and what is said of it. That another split lists it too is
    the data's own doing, unless the split was `told`."""
    data, i = origin(data, i)
    if not isinstance(data, Records):
        return data.fingerprint, i
    t, rows = data.table, data.rows(i)
    return (str(data.path(i)), t.boxes[rows].tobytes(), t.labels[rows].tobytes(), t.maps and t.maps[i],
            "" if told else data.source)


def _once(own: Mapping[str, Dataset], leave: Collection[str], lost: dict[str, int], told: bool) -> dict[str, Dataset]:
    """The splits with each picture once, in the first that has it, without the files `leave`; what that takes away is
    counted in `lost`. A split of which nothing stays is none."""
    out: dict[str, Dataset] = {}
    seen: dict[Hashable, str] = {}
    for split, data in own.items():
        keep: list[int] = []
        again: Counter[str] = Counter()
        for i in range(len(data)):
            at, k = origin(data, i)
            if leave and isinstance(at, Records) and str(at.path(k)) in leave:
                continue
            if (key := _key(data, i, told)) in seen:
                again[seen[key]] += 1
                continue
            seen[key] = split
            keep.append(i)
        for first, n in again.items():
            lost[f"{{n}} pictures come more than once in {_spelled(split)}, and are written once" if first == split else
                 f"{{n}} pictures of {_spelled(split)} are left out there: they are in {_spelled(first)}"] = n
        if keep or not again:
            out[split] = data if len(keep) == len(data) else data.part(keep) if isinstance(data, Records) else subset(
                data, keep)
    return out


def _unwritten(where: str | Path, format: str | None, own: Mapping[str, Dataset], lost: dict[str, int],
               **options: Any) -> None:
    """Counts the pictures that no split of `own` holds: those that are not in the `train_split` that was told, and
    parts of which the labels of whole pictures are read."""
    if is_mixture(where):
        for place, times, alone in parts_of(str(where)):
            if alone:
                lost[f"{{n}} part is left out, labels:{_spelled(place)}: it marks no objects"] = 1
            elif times > 1:
                lost[f"{{n}} times an epoch {_spelled(place)} is read, which is left out: it is written once"] = times
    if not options.pop("train_split", None):
        return
    there = {_key(d, i, True) for d in own.values() for i in range(len(d))}
    for split, data in every_split(where, format, **options).items():
        if n := sum(_key(data, i, True) not in there for i in range(len(data))):
            lost[f"{{n}} pictures of the data's own {_spelled(split)} are left out: --train-split takes another"] = n


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def check_room(place: Path, where: str | Path, option: str = "--out") -> None:
    """Raises DataError unless the folder, which `option` names, is new or empty, and no part of the data."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise DataError(str(place), "holds something already", f"choose an empty or new folder with {option}")
    for part in (p for p, _, _ in parts_of(str(where))) if is_mixture(where) else (where,):
        if is_scenes(part) or not Path(part).expanduser().exists():
            continue
        data = Path(part).expanduser().resolve()
        if place.resolve().is_relative_to(data if data.is_dir() else data.parent):
            raise DataError(str(place), f"lies in the data folder {part}, where it would be read as a part of it",
                            f"choose another folder with {option}")


def _names(data: Dataset) -> list[str]:
    """Names of a split's pictures below its folder: their paths in their own data folder, and numbers of drawn ones. Of
    sets that are joined, those of a later one whose names an earlier one has get its number."""
    roots: dict[Any, list[tuple[int, str]]] = {}
    for i in range(len(data)):
        base, k = origin(data, i)
        of = roots.setdefault(base.root if isinstance(base, Records) else None, [])
        of.append((i, base.table.files[k] if isinstance(base, Records) else f"{i:06d}.png"))
    out = [""] * len(data)
    taken: set[str] = set()
    for number, of in enumerate(roots.values(), 1):
        own = _below([f for _, f in of])
        for (i, _), n in zip(of, own):
            path = PurePosixPath(n)
            while number > 1 and str(path.with_suffix("")).casefold() in taken:
                path = path.with_name(f"{path.stem}_{number}{path.suffix}")
            taken.add(str(path.with_suffix("")).casefold())
            out[i] = str(path)
        taken |= {str(PurePosixPath(out[i]).with_suffix("")).casefold() for i, _ in of}
    return out


def _below(files: Sequence[str]) -> list[str]:
    """Paths in one folder without the folders that all of them share. Two that differ in their ending alone, in any
    case, get it into their name: labels are found by the rest."""
    paths = [PurePosixPath(_text(f)) for f in files]
    parents = {p.parent for p in paths}
    shared = len(os.path.commonpath(list(map(str, parents))).split("/")) if parents and parents != {PurePosixPath()} \
        and os.path.commonpath(list(map(str, parents))) else 0
    names = [PurePosixPath(*p.parts[shared:]) for p in paths]
    seen: dict[str, int] = {}
    for n in names:
        key = str(n.with_suffix("")).casefold()
        seen[key] = seen.get(key, 0) + 1
    out = [str(n) if seen[str(n.with_suffix("")).casefold()] == 1
           else str(n.with_name(f"{n.stem}_{n.suffix[1:]}{n.suffix}")) for n in names]
    first = {n: k for k, n in reversed(list(enumerate(out)))}
    return [n if first[n] == k else f"{k}_{n}" for k, n in enumerate(out)]


def _text(name: str) -> str:
    """A name that is a line of UTF-8."""
    return _NO_TEXT.sub(lambda m: f"%{ord(m[0]) & 255:02X}", name)


def _picture(data: Dataset, i: int, file: Path) -> None:
    """A copy of the picture's file; of what is drawn, its pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, Records):
        shutil.copyfile(data.path(i), file)
        return
    image = data[i].image
    assert image is not None
    Image.fromarray(image).save(file)


__all__ = ["FORMATS", "WRITERS", "Converted", "check_room", "convert"]
