"""Faults of edits: missing partners, other sizes, empty instructions, pictures that cannot be read."""
from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...core.samples import DataError
from ...core.sentence import many
from ..doctor import Report, SplitFigures
from ..finding import each_of
from ..records import DataWarning, Fault
from . import folders, paired, published
from .drawn import KINDS, is_drawn
from .open import counts, is_made, open_edits, splits, weighed
from .open import is_edits as knows
from .sessions import sessions


def near_miss(where: str | Path) -> DataError | None:
    """What keeps a folder that is meant for edits from being one; None of any other."""
    path = Path(where).expanduser()
    said = published.near_miss(path) if path.is_dir() else ""
    mend = ("write edits.csv with before, after, instruction, or prompts.txt with a line a picture; where these are no "
            "pairs, call them otherwise" if paired.are_partners(path) else "mend that, or name the folder that "
            "holds them")
    return DataError(str(where), f"holds no edits: {said}", mend) if said else None


def examine(
    where: str | Path, format: str | None = None, *, progress: Callable[[int, int], None] | None = None,
    decode: bool = True, near: bool = True, **options: Any,
) -> Report:
    """Every split of drawn edits or of a folder of them; `decode`: the pictures themselves too, else their headers
    alone. Raises `DataError` for an option that says nothing here."""
    if unknown := [k for k in options if k != "follow_links"]:
        raise DataError(str(where), f"the option '{unknown[0]}' means nothing to edits", "leave it out")
    if is_drawn(where) or is_made(where) or len(each_of(where)) > 1 or weighed(where)[0] != 1:
        kinds = KINDS if is_drawn(where) else open_edits(where, splits(where)[0]).info.kinds
        report = Report(str(where), "edits", kinds, each="edit", sort="kind")
        for name in splits(where):
            drawn = open_edits(where, name)
            report.splits[name] = SplitFigures(len(drawn), fingerprint=drawn.fingerprint, classes=counts(drawn),
                                               unit="instructions")
        report.notes.append("edits are drawn, without files or faults" if is_drawn(where) else
                            "edits are made of other data, whose faults `stemma doctor` names where it is asked of "
                            "them by themselves")
        return report
    path = Path(where)
    report = Report(str(path), published.format_at(path), each="edit", sort="kind")
    seen, oblong = dict[bytes, tuple[str, str]](), set[str]()
    for name in splits(path):
        data = folders.sound(published.open_folder(path, name, **options))
        report.kinds = data.info.kinds
        report.faults += data.faults
        report.notes += [data.note] if data.note and data.note not in report.notes else []
        for i in range(len(data)) if decode else ():
            report.faults += _examined(data, i, name, seen, oblong)
            if progress is not None:
                progress(i + 1, len(data))
        versions = sum(len(e.files) for e in data.entries)
        report.splits[name] = SplitFigures(len(data), fingerprint=data.fingerprint, classes={data.kind(0): versions},
                                           unit="pairs")
        if turns := sessions(data):
            report.notes.append(f"{name}: {sum(map(len, turns))} of {many(len(data), 'edit')} follow upon each other, "
                                f"in {many(len(turns), 'session')} of up to {max(map(len, turns))} turns; `evaluate` "
                                "measures them in turn as well")
        if len(data):
            continue
        if name != "train":
            report.notes.append(f"{name}: no pair")
        else:
            report.faults.append(Fault(str(path), "", "", "no pair of the training split can be used",
                                       "mend the faults above", False, "nothing to learn"))
    if oblong:
        report.notes.append("no squares, and so learned and measured stretched to them (`predict` keeps the shape): "
                            f"{many(len(oblong), 'picture')}, {min(oblong)} among them")
    return report


def _examined(data: folders.Folder, i: int, split: str, seen: dict[bytes, tuple[str, str]],
              oblong: set[str]) -> list[Fault]:
    """Versions of an edit whose pictures have a header and cannot be read, or that are in another split too. seen: by
    both pictures' pixels, the split and the picture in which they were first. oblong: pictures that are no squares."""
    found = []
    for version, files in enumerate(data.entries[i].files):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)
                pair = data.pair(i, version)
            if (mask := data.entries[i].mask) and pair.mask is None and version == 0:
                found.append(Fault(str(data.root / mask), data.entries[i].record, "mask", folders.OPAQUE, "clear it "
                                   "where the picture may change; the pair is used without a mask", True, folders.MASK))
        except DataError as e:
            found.append(Fault(e.file, data.entries[i].record, "", e.problem,
                               f"{e.mend}; training leaves the pair out", True, "unreadable image"))
            continue
        if len({*pair.before.shape[:2]}) > 1:
            oblong.add(files[0])
        pixels = hashlib.blake2b(repr(pair.before.shape).encode() + pair.before.tobytes() + pair.after.tobytes())
        first, file = seen.setdefault(pixels.digest(), (split, files[0]))
        if first != split and (same := pixels.digest() + split.encode()) not in seen:
            seen[same] = split, files[0]
            found.append(Fault(str(data.root / files[0]), data.entries[i].record, "",
                               f"is, before and after, the pair of {file}, in the splits {first} and {split}",
                               "remove one of them: what is trained on is measured", True, "duplicate across splits"))
    return found


__all__ = ["examine", "knows", "near_miss"]
