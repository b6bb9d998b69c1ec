"""What a user may have meant who named a folder that holds no data set: the sets in the folders below it, or the set of
which it is a part."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .files import SPLIT_OF
from .images import ROOMS, listing, shown, without

DEPTH = 4  # how far below sets are looked for
MOST = 60  # folders that are looked at: a home folder shall not be searched
_PARTS = ROOMS | {"label", "imagesets", "main", "segmentation", "segmentationclass", "segmentationobject"}
_SPLITS = frozenset(SPLIT_OF)
_TAILS = ("annot", "annotations", "labels", "masks", "mask")

Kinds = Callable[[Path], list[str]]  # `formats.formats_at`


def below(path: Path, kinds: Kinds) -> list[tuple[Path, list[str]]]:
    """(folder, its formats) of the data sets in the folders below, the nearest first; none is looked for in another."""
    found: list[tuple[Path, list[str]]] = []
    rooms, looked = [path], 0
    for _ in range(DEPTH):
        deeper = []
        for room in rooms:
            for name in shown(room):
                if (room / name).is_symlink():
                    continue
                looked += 1
                if looked > MOST:
                    return found
                try:
                    kind = kinds(room / name)
                except OSError:
                    continue  # it may not be opened by this user
                if kind:
                    found.append((room / name, kind))
                else:
                    deeper.append(room / name)
        rooms = deeper
    return found


def above(path: Path, kinds: Kinds) -> Path | None:
    """The data set of which a folder is a part by its name; None where it is not called so. Of the folders beside it
    those alone are looked into that are called so too, or hold files of no picture: what lies elsewhere below a home
    folder or the root of a disk makes no set of it."""
    here = path.resolve()
    for folder in (here, here.parent):
        if not _part(folder.name):
            return None
        whole = folder.parent
        try:
            with without(whole, {n for n in shown(whole) if not _part(n) and _apart(whole / n)}):
                if kinds(whole):
                    return whole
        except OSError:
            return None
    return None


def _apart(folder: Path) -> bool:
    """Whether a folder could be a data set, or a store of some."""
    return bool(shown(folder) or listing(folder))


def among(path: Path, found: list[tuple[Path, list[str]]], names: list[str]) -> int:
    """How many of the folders `names` below `path` lie in one of the sets found."""
    inner = [p.relative_to(path).as_posix() for p, _ in found]
    return sum(any(n == i or n.startswith(f"{i}/") for i in inner) for n in names)


def said(found: list[tuple[Path, list[str]]]) -> str:
    """Sets as they are named in a line."""
    few = ", ".join(f"{p} ({' or '.join(kinds)})" for p, kinds in found[:6])
    return few + (f" and {len(found) - 6} more" if len(found) > 6 else "")


def _part(name: str) -> bool:
    """Whether a folder is called as one of pictures, of annotations, of a split (`train2017`), or of a split's maps
    (`trainannot`)."""
    name = name.lower()
    stems = [name, *(name[: -len(t)].rstrip("_-") for t in _TAILS if name.endswith(t))]
    return name in _PARTS or any(s.rstrip("0123456789") in _SPLITS for s in stems)


__all__ = ["above", "among", "below", "said"]
