"""Which pictures a person means who names files, folders, patterns or arrays, and what each is called in the results.

A picture is called by its path relative to what was asked: of a folder, below that folder; of several things, below
what they have in common. So two pictures of one base name are told apart,
and drawn copies repeat the folders of their originals.
"""
from __future__ import annotations

import glob
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...core import outputs
from ...core.samples import StemmaError
from ...core.sentence import many
from ...data.finding import below, common
from ...data.images import SUFFIXES

MAGIC = ("*", "?", "[")


@dataclass
class Asked:
    """The pictures that are meant: paths or arrays, each once, and their names.
    `folders`: those that were asked for as a whole."""

    sources: list[Any] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sources)


def find_pictures(images: Any) -> Asked:
    """The pictures that `images` means: a file, those of a folder and its sub-folders, a pattern, an array,
    or a list of these.

    What lies in a folder and is no picture that is read, and what Stemma itself predicted earlier, is left out with one
    warning. Raises `StemmaError` when nothing is left.
    """
    out = Asked()
    seeker = _Seeker(out.folders)
    found = list(seeker.find(images))
    paths = [(p, root) for p, root in found if isinstance(p, Path)]
    if not found:
        if seeker.own:
            raise StemmaError(f"{seeker.own[0]} was drawn by Stemma; name the pictures themselves, or a copy in "
                              "another folder")
        where = ", ".join(map(str, images)) if isinstance(images, (list, tuple)) else images
        raise StemmaError(f"no pictures in {where}; looked for .jpg, .png, .tif and {len(SUFFIXES) - 3} more endings")
    base = common([root for _, root in paths])
    seen: set[str] = set()
    for k, (source, _) in enumerate(found):
        name = f"picture_{k}"
        if isinstance(source, Path):
            name = below(source, base)
            if name in seen:
                continue
            seen.add(name)
        out.sources.append(source)
        out.names.append(name)
    seeker.tell()
    return out


class _Seeker:
    """Walks what was asked for, and remembers what is left out."""

    def __init__(self, folders: list[Path]):
        self.folders = folders
        self.own: list[Path] = []
        self.other: Counter[str] = Counter()
        self.links: list[Path] = []

    def find(self, images: Any) -> Iterator[tuple[Any, Path]]:
        """(picture, folder that it is named from)."""
        if isinstance(images, (np.ndarray, Image.Image)):
            yield images, Path()
            return
        if isinstance(images, (list, tuple)):
            for one in images:
                yield from self.find(one)
            return
        path = Path(images).expanduser()
        if path.is_dir():
            self.folders.append(path)
            yield from ((p, path) for p in self._walk(path))
        elif path.is_file():
            yield from ((p, p.parent) for p in self._mine(path))
        else:
            yield from self._pattern(path, images)

    def _pattern(self, path: Path, said: Any) -> Iterator[tuple[Path, Path]]:
        matched = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        if not matched:
            raise StemmaError(f"no picture at {said}; name a file, a folder or a pattern in quotes, such as "
                              "'photos/*.jpg'")
        parts = path.parts
        plain = next((k for k, part in enumerate(parts) if any(c in part for c in MAGIC)), len(parts) - 1)
        root = Path(*parts[:plain])
        for p in matched:
            if not p.is_dir():
                yield from ((q, root) for q in self._file(p))
            elif not any(q != p and p in q.parents for q in matched):
                # a folder whose files the pattern does not name itself
                yield from ((q, root) for q in self._walk(p))

    def _mine(self, path: Path) -> Iterator[Path]:
        if outputs.predicted(path):
            self.own.append(path)
        else:
            yield path

    def _file(self, path: Path) -> Iterator[Path]:
        if not path.is_file():
            self.links.append(path)
        elif path.suffix.lower() in SUFFIXES:
            yield from self._mine(path)
        else:
            self.other[path.suffix.lower() or path.name] += 1

    def _walk(self, folder: Path) -> Iterator[Path]:
        for at, folders, files in os.walk(folder):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            self.links += [Path(at, f) for f in folders if Path(at, f).is_symlink()]
            for name in sorted(f for f in files if not f.startswith(".")):
                yield from self._file(Path(at, name))

    def tell(self) -> None:
        """One warning about all that is left out."""
        parts = []
        if self.other:
            kinds = ", ".join(f"{n} {k}" for k, n in self.other.most_common(6)) + (", ..." if len(self.other) > 6
                                                                                   else "")
            parts.append(f"{many(self.other.total(), 'file')} of a kind that is not read as a picture ({kinds})")
        if self.own:
            parts.append(f"{many(len(self.own), 'picture')} that Stemma drew itself "
                         f"({self.own[0]}{', ...' * (len(self.own) > 1)})")
        if self.links:
            parts.append(f"{many(len(self.links), 'link')} to folders or to nothing "
                         f"({self.links[0]}{', ...' * (len(self.links) > 1)})")
        if parts:
            warnings.warn(f"left out: {'; '.join(parts)}", stacklevel=3)


def drawn_names(names: list[str]) -> list[str]:
    """What the copies of pictures are called, without ending: the name without its own, or with it where another
    differs in nothing else."""
    stems = [Path(n).with_suffix("").as_posix() for n in names]
    often = Counter(s.casefold() for s in stems)
    taken: set[str] = set()
    out: list[str] = []
    for stem, name in zip(stems, names, strict=True):
        mine, k = stem if often[stem.casefold()] == 1 else name, 2
        while mine.casefold() in taken:
            mine, k = f"{name}_{k}", k + 1
        taken.add(mine.casefold())
        out.append(mine)
    return out


__all__ = ["Asked", "drawn_names", "find_pictures"]
