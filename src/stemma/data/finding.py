"""Which picture of a folder a name in an annotation file means: names are spelled by many tools, and paths are often
another machine's.

A picture's key is its path below the root. A base name alone is a key only where one picture has it.
"""
from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stemma.core.samples import DataError

from .files import SPLIT_OF, SPLITS, split_name
from .images import SUFFIXES, check_name, walk


def plain_name(name: str) -> str:
    """One spelling of a path: `/` between its parts, no `.` among them; of an address on the web the path alone.
    Leading `/`, drives and `..` stay, for `check_name` to judge."""
    if "://" in name and (there := on_the_web(name)):
        return there
    if "\\" not in name and "./" not in name and "//" not in name:
        return name
    text = name.replace("\\", "/")
    parts = text.split("/")
    return "/".join(p for k, p in enumerate(parts) if p not in ("", ".") or (k == 0 and p == ""))


def on_the_web(name: str) -> str:
    """The path of an address, such as "https://host/set/a%20b.jpg?key=1": "set/a b.jpg". "" of another name."""
    try:
        at = urlsplit(name)
    except ValueError:
        return ""
    return unquote(at.path).strip("/") if len(at.scheme) > 1 and at.netloc else ""


def same_letters(name: str) -> str:
    """A name for comparing: in small letters, and those with accents in one piece. Macs take them apart."""
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()


def foreign(name: str) -> bool:
    """Whether a name is a path that cannot lie in the data folder: absolute, of a Windows drive, or climbing."""
    try:
        check_name(name, "")
    except DataError:
        return True
    return False


class Pictures:
    """The files of a kind below a root, and what names mean among them. Nothing outside the root is ever looked at."""

    def __init__(self, root: str | Path, names: Iterable[str] | None = None, suffixes: Iterable[str] = SUFFIXES,
                 follow_links: bool = False):
        self.root = Path(root)
        self.names = list(walk(root, suffixes, follow_links) if names is None else names)
        self._whole = set(self.names)
        self._last: dict[str, list[str]] = {}
        self._below: dict[Path, str] = {}
        for n in self.names:
            for key in dict.fromkeys((_key(n), _key(os.path.splitext(n)[0]))):
                self._last.setdefault(key, []).append(n)

    def below(self, folder: Path) -> str:
        """Where a folder lies below the root, links followed; "" for the root itself and for what lies elsewhere."""
        if folder not in self._below:
            try:
                inner = folder.resolve().relative_to(self.root.resolve()).as_posix().removeprefix(".")
            except ValueError:
                inner = ""
            self._below[folder] = inner
        return self._below[folder]

    def find(self, name: str, near: str = "", beside: str = "") -> str | None:
        """The file that `name` means, with its ending or without: the one whose path ends as `name` does in most parts;
        None where none ends so.

        A picture in a folder of another split than `near`, or than one that the name says, is another one. Between
        equals decides `near`, a word of the path such as the name of a split, and then the way to `beside`, the folder
        of the file that says the name: the picture with which it has most folders in common. Raises `LookupError`,
        naming two, where several fit alike.
        """
        name = plain_name(name)
        if name in self._whole:
            return name
        if beside and f"{beside}/{name}" in self._whole:
            return f"{beside}/{name}"
        parts = [p for p in name.split("/") if p not in ("", ".", "..") and not p.endswith(":")]
        if not parts:
            return None
        found = self._last.get(_key(parts[-1]), [])
        if not found and "%" in name:
            parts = [unquote(p) for p in parts]
            found = self._last.get(_key(parts[-1]), [])
        if found and (mine := {near, *map(split_of, parts[:-1])} & SPLITS.keys()):  # another split's is another picture
            found = [n for n in found if not (own := set(map(split_of, n.split("/")[:-1])) - {""}) or own & mine]
        if len(found) > 1:
            alike = [_alike(parts, n) for n in found]
            found = [n for n, k in zip(found, alike, strict=True) if k == max(alike)]
        if len(found) > 1 and near:
            of_near = [n for n in found if any(near in (p, split_of(p), split_name(p)) for p in n.split("/")[:-1])]
            found = of_near or found
        if len(found) > 1 and beside:
            shared = [len(os.path.commonprefix([n.split("/")[:-1], beside.split("/")])) for n in found]
            found = [n for n, k in zip(found, shared, strict=True) if k == max(shared)]
        if len(found) > 1 and os.path.splitext(parts[-1])[1].lower() in SUFFIXES:
            found = [n for n in found if n.rsplit("/", 1)[-1] == parts[-1]] or found
        if len(found) > 1:
            raise LookupError(f"{found[0]} and {found[1]}")
        return found[0] if found else None


def split_of(folder: str) -> str:
    """The split that a folder is called after, in any of its words and with a year or not; "" for another."""
    return SPLIT_OF.get(folder.lower().rstrip("0123456789").rstrip("_-"), "")


def _key(name: str) -> str:
    return same_letters(name.rsplit("/", 1)[-1])


def _alike(parts: list[str], name: str) -> int:
    """How many of the folders before the last part two paths have in common, from the end."""
    k = 0
    for a, b in zip(reversed(parts[:-1]), reversed(name.split("/")[:-1])):
        if same_letters(a) != same_letters(b):
            break
        k += 1
    return k


# ---------------------------------------------------------------- several places


def each_of(where: Any) -> list[Any]:
    """The places that a text names with commas between; of what is no text, itself. A comma belongs to a name where a
    place is there that is called so, be there a word before it, as in "few:30:PLACE"."""
    pieces = where.split(",") if isinstance(where, str) else []
    if len(pieces) < 2:
        return [where]
    out: list[Any] = []
    while pieces:
        n = next((n for n in range(len(pieces), 1, -1) if _there(pieces[:n])), 1)
        out += [name] if (name := ",".join(pieces[:n]).strip()) else []
        pieces = pieces[n:]
    return out or [where]


def _there(pieces: Sequence[str]) -> bool:
    """Whether a place is called as the pieces with commas between, or as what is behind a colon or a star of the
    first."""
    cuts = [0, *(k + 1 for k, c in enumerate(pieces[0]) if c in ":*")]
    try:
        return any(Path(",".join([pieces[0][k:], *pieces[1:]]).strip()).expanduser().exists() for k in cuts)
    except (OSError, ValueError, RuntimeError):
        return False


# ---------------------------------------------------------------- paths to say


def common(roots: list[Path]) -> Path | None:
    """The deepest folder that holds all of `roots`; None where there is none, as on two drives."""
    try:
        return Path(os.path.commonpath([os.path.abspath(r) for r in roots])) if roots else None
    except ValueError:
        return None


def below(path: Path, base: Path | None) -> str:
    whole = Path(os.path.abspath(path))
    return (whole.relative_to(base) if base is not None else whole.relative_to(whole.anchor)).as_posix()


def below_common(files: Sequence[str]) -> list[str]:
    """Paths relative to the deepest folder that holds them all; what is no path of a file stays as it is."""
    there = [os.path.isabs(f) or os.path.exists(f) for f in files]
    base = common([Path(f).parent for f, path in zip(files, there, strict=True) if path])
    return [below(Path(f), base) if path else f for f, path in zip(files, there, strict=True)]


__all__ = ["Pictures", "below", "below_common", "common", "each_of", "foreign", "on_the_web", "plain_name",
           "same_letters"]
