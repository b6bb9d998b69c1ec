"""Splits that a file of its own says: a table of pictures and splits, a JSON,
or lists whose file names say the split."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stemma.core.samples import DataError

from .files import read_bytes, split_name, table_of, text_of
from .finding import Pictures
from .options import spelled
from .records import Draft

_COLUMNS = ("split", "set", "subset", "fold", "phase", "partition")


def members(file: Path) -> dict[str, list[str]]:
    """split -> names of pictures, as a file says. Raises DataError."""
    text = text_of(read_bytes(file), file)
    out: dict[str, list[str]] = {}
    if file.suffix.lower() == ".json":
        try:
            doc = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise DataError(str(file), f"is no JSON ({str(e)[:80]})", "write it again") from None
        if not isinstance(doc, dict) or not all(isinstance(v, list) for v in doc.values()):
            raise DataError(str(file), "is no object of lists", 'write {"train": ["a.jpg", ...], "val": [...]}')
        for key, names in doc.items():
            out.setdefault(split_name(key) or key, []).extend(str(n) for n in names)
        return out
    lines = [s for s in text.splitlines() if s.strip()]
    delimiter = next((d for d in ("\t", ";", ",") if lines and d in lines[0]), "")
    if not delimiter:
        return {split_name(file.stem) or file.stem: [s.strip() for s in lines]}
    rows = table_of("\n".join(lines), file, delimiter)
    head = [c.lower() for c in rows[0]]
    column = next((head.index(c) for c in _COLUMNS if c in head), None)
    body = rows[1:] if column is not None else rows
    if column is None:
        column = 1
    name = 0 if column else 1
    for k, row in enumerate(body, 1 + (body is not rows)):
        if len(row) <= max(column, name) or not row[column]:
            raise DataError(str(file), "has no split", "write picture and split", f"line {k}")
        out.setdefault(split_name(row[column]) or row[column], []).append(row[name])
    return out


def divide(draft: Draft, where: Path, files: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """split -> ascending index of the draft's pictures that it has. What the files name and the data does not hold, and
    pictures that they do not name, are noted in the draft. Raises DataError."""
    pictures = Pictures(draft.root, draft.table.files)
    at = {f: k for k, f in enumerate(draft.table.files)}
    out: dict[str, list[int]] = {}
    of: dict[int, str] = {}
    lost: list[str] = []
    base = where if where.is_dir() else where.parent
    for file in files:
        path = next((p for p in (base / file, Path(file).expanduser()) if p.is_file()), None)
        if path is None:
            raise DataError(str(file), "is no file",
                            f"check {spelled('split_file')}; it is looked for in {base} and from where you are")
        draft.used.add(str(path))
        for split, names in members(path).items():
            for n in names:
                try:
                    found = pictures.find(n)
                except LookupError as e:
                    raise DataError(str(path), f"names {n!r}, which could be {e}",
                                    "write the path below the data folder") from None
                if found is None:
                    lost.append(n)
                    continue
                k = at[found]
                if of.setdefault(k, split) != split:
                    raise DataError(str(path), f"puts {found} into {of[k]} and {split}",
                                    "put each picture into one split")
                out.setdefault(split, []).append(k)
    if not out:
        raise DataError(str(files[0]), f"names no picture of {where}"
                        + (f"; the first name is {lost[0]!r}" if lost else ""), "write paths below the data folder")
    if lost:
        draft.notes.append(f"{len(lost)} names of the split file are no picture of the data, the first {lost[0]!r}")
    rest = [f for k, f in enumerate(draft.table.files) if k not in of]
    if rest:
        draft.notes.append(f"{len(rest)} of {len(draft.table.files)} pictures are in no split of the split file and "
                           f"are not used, the first {rest[0]}")
    return {s: np.unique(k) for s, k in out.items()}


__all__ = ["divide", "members"]
