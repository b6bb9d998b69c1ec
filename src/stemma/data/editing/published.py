"""The layouts of folders of edits that are published, behind one door: edits (`folders`), spoiled and sound pictures
(`restored`), things told by a sentence (`referred`), things taken out (`removed`), lists of edits (`listed`), two
folders and what is to be done (`paired`)."""
from __future__ import annotations

import functools
from pathlib import Path

from .. import around
from ..images import walk
from . import folders, listed, paired, referred, removed, restored
from .folders import Folder


def format_at(path: Path) -> str:
    """"instruct-pix2pix", "magicbrush", "refcoco", "restoration", "edits" (a list), "gqa-inpaint", "before and
    after", or "" where a folder holds none."""
    if found := folders.format_at(path):
        return found
    if referred.is_referred(path):
        return "refcoco"
    if restored.layout_at(path):
        return "restoration"
    if listed.lists_at(path):
        return "edits"
    return "gqa-inpaint" if removed.lists_at(path) else "before and after" if paired.roots(path) else ""


def unlike(path: Path) -> str:
    """What keeps a folder that looks like one of edits from being one, in words; "" of any other."""
    return folders.unlike(path) or listed.unlike(path) or paired.unlike(path) or _below(path)


def near_miss(path: Path) -> str:
    """The same of a folder that is meant for edits, whatever else it could be taken for; "" of any other."""
    return folders.unlike(path) or (unlike(path) if paired.are_partners(path) else _below(path))


def _below(path: Path) -> str:
    """Which folders below hold edits, where most of a folder's pictures lie in them."""
    found = around.below(path, lambda p: [kind] if (kind := format_at(p)) else []) if path.is_dir() else []
    most = found and 2 * sum(len(walk(p)) for p, _ in found) > len(walk(path))
    return f"{around.said(found)} below it {'do' if len(found) > 1 else 'does'}" if most else ""


def splits_at(path: Path) -> tuple[str, ...]:
    """The splits that are there."""
    where = {"refcoco": referred.splits_at, "restoration": restored.splits_at, "edits": listed.splits_at,
             "gqa-inpaint": removed.splits_at, "before and after": paired.splits_at}.get(format_at(path))
    return where(path) if where is not None else folders.splits_at(path)


def open_folder(path: Path, split: str, follow_links: bool = False) -> Folder:
    """A split with all its entries, sound or not. Raises `DataError` where there is none,
    or what should list them does not."""
    folders.have(path, split, splits_at(path))
    match format_at(path):
        case "refcoco":
            return referred.open_referred(path, split, follow_links)
        case "restoration":
            return restored.open_spoiled(path, split, follow_links)
        case "edits":
            return listed.open_listed(path, split, follow_links)
        case "gqa-inpaint":
            return removed.open_removed(path, split, follow_links)
        case "before and after":
            return paired.open_paired(path, split, follow_links)
    return folders.open_folder(path, split, follow_links)


@functools.cache
def _checked(path: str, split: str, follow_links: bool, changed: tuple[float, ...]) -> Folder:
    return folders.sound(open_folder(Path(path), split, follow_links))


def open_sound(path: Path, split: str, follow_links: bool = False) -> Folder:
    """`folders.sound`, remembered while the lists stay as they are; folders without lists are walked anew."""
    lists = [*folders.lists_at(path), *referred.lists_at(path), *listed.lists_at(path).values(),
             *removed.lists_at(path), *path.glob("*_instructions*.json")]
    if not lists:
        return folders.sound(open_folder(path, split, follow_links))
    return _checked(str(path), split, follow_links, tuple(p.stat().st_mtime for p in lists))


__all__ = ["format_at", "near_miss", "open_folder", "open_sound", "splits_at", "unlike"]
