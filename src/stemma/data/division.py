"""Splits that a file of its own says: a table of pictures and splits, a JSON, or lists whose file names say the split;
and the division that data of one split say themselves, by their folders or by such lists beside them."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import DataError

from .files import lines_of, read_bytes, split_name, table_of, text_of
from .finding import Pictures
from .images import child, listing, walk
from .options import spelled
from .records import Draft

# folders of lists
_ROOMS = ("imagesets", "splits", "split", "lists", "annotations", "annots", "labels")
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
    base = where if where.is_dir() else where.parent
    said: dict[Path, dict[str, list[str]]] = {}
    for file in files:
        path = next((p for p in (base / file, Path(file).expanduser()) if p.is_file()), None)
        if path is None:
            raise DataError(str(file), "is no file",
                            f"check {spelled('split_file')}; it is looked for in {base} and from where you are")
        said[path] = members(path)
    out, lost = _placed(draft, said)
    if not out:
        raise DataError(str(files[0]), f"names no picture of {where}"
                        + (f"; the first name is {lost[0]!r}" if lost else ""), "write paths below the data folder")
    return _noted(draft, said, out, lost, "the split file")


def _placed(draft: Draft, said: Mapping[Path, Mapping[str, Sequence[str]]]) -> tuple[dict[str, np.ndarray], list[str]]:
    """(split -> ascending index of the pictures that files put into it, names that are no picture). A name may be the
    first word of a line, as in "a.jpg a.xml". Raises DataError."""
    pictures = Pictures(draft.root, draft.table.files)
    at = {f: k for k, f in enumerate(draft.table.files)}
    out: dict[str, list[int]] = {}
    of: dict[int, str] = {}
    lost: list[str] = []
    for path, splits in said.items():
        for split, names in splits.items():
            for n in names:
                try:
                    found = pictures.find(n) or pictures.find(n.partition(" ")[0])
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
    return {s: np.unique(k) for s, k in out.items()}, lost


def _noted(draft: Draft, said: Mapping[Path, object], out: dict[str, np.ndarray], lost: Sequence[str],
           what: str) -> dict[str, np.ndarray]:
    """`out`, and in the draft what is to be said of it."""
    draft.used |= set(map(str, said))
    if lost:
        draft.notes.append(f"{len(lost)} names of {what} are no picture of the data, the first {lost[0]!r}")
    rest = sorted(set(range(len(draft.table.files))) - {k for at in out.values() for k in at.tolist()})
    if rest:
        draft.notes.append(f"{len(rest)} of {len(draft.table.files)} pictures are in no split of {what} and "
                           f"are not used, the first {draft.table.files[rest[0]]}")
    return out


# ---------------------------------------------------------------- what the data say themselves


def may_say(root: Path) -> bool:
    """Whether a folder may say a division: its pictures lie in folders of several splits, or lists of splits lie in
    it."""
    return bool(_lists(root)) or len({s for n in walk(root, follow_links=True) if (s := _split(n))}) > 1


def told(draft: Draft, root: Path) -> dict[str, np.ndarray]:
    """split -> ascending index of its pictures, as data of one split say: each picture lies in the folder of a split,
    or lists such as train.txt, val_list.txt or ImageSets/val.txt name them. Empty where train is not divided off. What
    is taken, and why lists are not, is noted in the draft."""
    files = draft.table.files
    of = np.array([_split(f) for f in files])
    if "train" in of and "" not in of and len(set(of.tolist())) > 1:
        draft.notes.append("the folders of its pictures divide the data, for nothing else does")
        return {str(s): np.flatnonzero(of == s) for s in np.unique(of)}
    if not (lists := _lists(root)):
        return {}
    what = " and ".join(p.relative_to(root).as_posix() for p in lists.values())
    said = {p: {s: [n for n in lines_of(p) if n]} for s, p in lists.items()}
    try:
        out, lost = _placed(draft, said)
    except DataError as e:
        draft.notes.append(f"{what} do not divide the data: {Path(e.file).name} {e.problem}")
        return {}
    if "train" not in out or len(out) < 2 or 2 * len(lost) > sum(len(n) for of in said.values() for n in of.values()):
        return {}
    draft.notes.append(f"{what} divide the data, for nothing else does")
    return _noted(draft, said, out, lost, what)


def _split(name: str) -> str:
    """The split that a folder of a path is called after, the outermost one that is; "" without any."""
    return next((s for p in name.split("/")[:-1] if (s := split_name(p))), "")


def _lists(root: Path) -> dict[str, Path]:
    """split -> its list of names at the top or in a folder of lists, train's among them, or trainval's in its place;
    none where a split has two."""
    rooms = [root]
    for name in _ROOMS:
        if sets := child(root, name):
            rooms += [*([root / sets / main] if (main := child(root / sets, "Main")) else ()), root / sets]
    for room in rooms:
        of = [(s, n) for n in listing(room, {".txt"}) if (s := split_name(Path(n).stem) or whole_of(Path(n).stem))]
        found = as_train({s: room / n for s, n in of})
        if "train" in found and len(found) > 1 and len({s for s, _ in of}) == len(of):
            return {s: p for s, p in found.items() if s != "trainval"}
    return {}


def whole_of(name: str) -> str:
    """"trainval" of a name that says it, as trainval2007; else ""."""
    return "trainval" if name.lower().rstrip("0123456789") == "trainval" else ""


def as_train(own: Mapping[str, Any]) -> dict[str, Any]:
    """Splits by name, where trainval is what is trained on in data that have no train and no val."""
    alone = "trainval" in own and not {"train", "val"} & set(own)
    return {"train" if alone and s == "trainval" else s: v for s, v in own.items()}


__all__ = ["as_train", "divide", "may_say", "members", "told"]
