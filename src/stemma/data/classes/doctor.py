"""Faults of pictures by class: folders without a picture, classes that a split lacks, pictures that cannot be read, and
those that lie in two splits."""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core.samples import DataError
from ..doctor import Report, SplitFigures
from ..formats import formats_at, sets_near
from ..images import read_image, walk
from ..labelled import open_set
from ..records import Fault
from . import folders

LOOSE = True  # any folders of pictures look so: other kinds are asked first


def knows(where: str | Path) -> bool:
    """Whether a folder holds pictures by class and nothing that says boxes, or an .npz or a drawn set is named."""
    path = Path(where).expanduser()
    if path.is_file() or _is_drawn(where):
        return _is_drawn(where) or path.suffix == ".npz"
    return path.is_dir() and bool(folders.counts(path)) and not formats_at(path) and not sets_near(path)


def examine(
    where: str | Path, format: str | None = None, *, progress: Callable[[int, int], None] | None = None,
    decode: bool = True, near: bool = True, **options: Any,
) -> Report:
    """Classes by split; `decode`: whether every picture can be read, and which are alike to the pixel. Raises
    `DataError` for an option that says nothing here."""
    if unknown := [k for k in options if k != "follow_links"]:
        raise DataError(str(where), f"the option '{unknown[0]}' means nothing to pictures by class", "leave it out")
    path = Path(where).expanduser()
    if path.is_file() or _is_drawn(where):
        return _opened(where, "drawn" if _is_drawn(where) else "arrays")
    found = folders.counts(path)
    names = sorted({c for of in found.values() for c in of})
    report = Report(str(path), "class folders", ("labels of whole pictures",), tuple(names))
    for split, of in found.items():
        report.splits[split] = SplitFigures(sum(of.values()), classes={c: of.get(c, 0) for c in names}, unit="pictures")
        for c in [c for c, n in of.items() if not n]:
            report.faults.append(Fault(str(path / folders.folder_of(path, split) / c), "", "",
                                       "is a class folder without a picture", "fill it, or remove it: it is no class",
                                       True, "empty class"))
        for c in names:
            if c not in of or split != "train" and not of[c]:
                report.notes.append(f"{split}: no picture of the class {c}")
    try:
        data = open_set(path)
    except DataError as e:
        report.faults.append(Fault.of(e, "nothing to learn"))
        return report
    for file, line, name, before in folders.repeated(path):
        report.faults.append(Fault(file, line, "", f"names {name}, which is named in {before} too",
                                   "name each picture once, in one split", True, "picture listed twice"))
    report.notes += data.notes
    for split, part in data.parts.items():
        if split in report.splits:
            report.splits[split].fingerprint = part.digest
    if decode:
        report.faults += _looked(path, sum(map(sum, (of.values() for of in found.values()))), progress)
    return report


def _is_drawn(where: str | Path) -> bool:
    return str(where).startswith("drawn:") and not Path(where).exists()


def _opened(where: str | Path, format: str) -> Report:
    """A set as `data.labelled` reads it: what each split holds of each class, or what is wrong with it."""
    report = Report(str(where), format, ("labels of whole pictures",), ())
    try:
        data = open_set(where)
    except DataError as e:
        report.faults.append(Fault.of(e, "nothing to learn"))
        return report
    report.classes = data.classes
    for split, part in data.parts.items():
        count = part.labels.sum(0) if data.many else np.bincount(part.labels, minlength=len(data.classes))
        of = dict(zip(data.classes, map(int, count)))
        report.splits[split] = SplitFigures(len(part), classes=of, unit="pictures")
        report.splits[split].fingerprint = part.digest
        report.notes += [f"{split}: no picture of the class {c}" for c, n in zip(data.classes, count) if not n]
    report.notes += data.notes
    return report


def _looked(path: Path, total: int, progress: Callable[[int, int], None] | None) -> Iterator[Fault]:
    """Pictures that cannot be read, and those whose pixels another class or split has too."""
    seen: dict[bytes, str] = {}
    for k, file in enumerate(walk(path), 1):
        if progress is not None:
            progress(min(k, total), total)
        try:
            image = np.ascontiguousarray(read_image(path / file))
        except DataError as e:
            yield Fault(e.file, "", "", e.problem, f"{e.mend}; a training that meets it stops", False,
                        "unreadable image")
            continue
        key = hashlib.blake2b(image.tobytes() + repr(image.shape).encode(), digest_size=16).digest()
        other = seen.setdefault(key, file)
        if other != file:
            apart = [a != b for a, b in zip(other.split("/")[:-1], file.split("/")[:-1])]
            yield Fault(str(path / file), "", "", f"has the very pixels of {path / other}",
                        "remove one of them" + (": they lie in two folders" if any(apart) else ""), True,
                        "duplicate image")


__all__ = ["examine", "knows"]
