"""Data for machines that do not share this one's disk: which folders a name stands for, whether they lie there already,
and folders as bytes.

    for path in needed("my/folder+labels:more"):          my/folder, more
        if signature(path) is not the other machine's:
            pack(path, send)                              chunks of bytes, and a hash of what they hold
            unpack(chunks, there)                         on the other machine
"""
from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

CHUNK = 1 << 26  # bytes that travel at a time
MOST = 4 << 30  # bytes of a folder that are sent at most: more is better shared


def needed(where: str | Path, format: str | None = None) -> list[Path]:
    """The folders that must be there for `where` to be opened, from the root of the file system. None of drawn
    scenes."""
    from . import formats, mix

    if mix.is_mixture(where):
        places = [place for place, _, _ in mix.parts_of(str(where))]
    else:
        places = [] if formats.is_scenes(where) else [str(where)]
    paths = [Path(p).expanduser().resolve() for p in places if not formats.is_scenes(p)]
    return list(dict.fromkeys(p if p.is_dir() else _root(p, format) for p in paths))


def _root(file: Path, format: str | None) -> Path:
    """The folder that holds a file of annotations and all that it names."""
    from . import formats

    root = getattr(formats.open_at(file, formats.splits_at(file, format)[0], format), "root", file.parent)
    return Path(os.path.commonpath([Path(root).resolve(), file.parent]))


def files_in(path: Path) -> Iterator[tuple[str, Path]]:
    """(name within `path`, file) of every file, links followed, in one order everywhere."""
    for folder, below, names in os.walk(path, followlinks=True):
        below.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file():
                yield file.relative_to(path).as_posix(), file


def signature(path: str | Path) -> str:
    """A hash of the names and sizes of all files in a folder, or of one file: tells, without reading them, whether two
    machines hold the same. Empty where there is nothing."""
    path, h, empty = Path(path), hashlib.blake2b(digest_size=16), True
    for name, file in [(path.name, path)] if path.is_file() else files_in(path):
        h.update(f"{name}\0{file.stat().st_size}\n".encode("utf-8", "surrogatepass"))
        empty = False
    return "" if empty else h.hexdigest()


def weigh(path: Path, most: int = MOST) -> int:
    """Bytes at `path`. Raises `StemmaError` where they are more than are sent."""
    size = sum(file.stat().st_size for _, file in files_in(path))
    if size > most:
        from ..core.types import StemmaError

        raise StemmaError(f"{path} holds {size / 2**30:.1f} GB, and at most {most / 2**30:.1f} GB are sent to machines "
                          "that do not have it; mount or copy it to the same path on every one of them")
    return size


def pack(path: Path, send: Callable[[bytes], Any], chunk: int = CHUNK) -> str:
    """Hand all of `path` to `send`, `chunk` bytes at a time; a hash of names and contents. Owners, times and modes stay
    behind. Raises `StemmaError` where it is too large."""
    weigh(path)
    out = _Chunks(send, chunk)
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, file in files_in(path):
            entry = tarfile.TarInfo(name)
            with open(file, "rb") as f:
                entry.size = os.fstat(f.fileno()).st_size
                tar.addfile(entry, f)
    return out.close()


def unpack(chunks: Iterable[bytes], into: Path) -> None:
    """Write what `pack` packed into the folder `into`. Nothing is written outside of it: raises `tarfile.TarError`."""
    into.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=_Joined(chunks), mode="r|") as tar:
        for entry in tar:
            if not entry.isfile():
                raise tarfile.ExtractError(f"what was sent as data holds '{entry.name}', which is no file")
            tar.extract(entry, into, filter="data")


class _Chunks(io.RawIOBase):
    """What is written is handed on in pieces of one size."""

    def __init__(self, send: Callable[[bytes], Any], chunk: int) -> None:
        self.send, self.chunk, self.held, self.hash = send, chunk, bytearray(), hashlib.blake2b(digest_size=16)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.held += data
        self.hash.update(data)
        while len(self.held) >= self.chunk:
            self.send(bytes(self.held[: self.chunk]))
            del self.held[: self.chunk]
        return len(data)

    def close(self) -> str:  # type: ignore[override]
        if self.held:
            self.send(bytes(self.held))
            self.held.clear()
        return self.hash.hexdigest()


class _Joined(io.RawIOBase):
    """Pieces as one stream, each fetched when it is come to."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks, self.held = iter(chunks), b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, left = [], size
        while left:
            if not self.held:
                self.held = next(self.chunks, b"")
                if not self.held:
                    break
            part, self.held = (self.held, b"") if left < 0 else (self.held[:left], self.held[left:])
            parts.append(part)
            left = left - len(part) if left > 0 else left
        return b"".join(parts)


__all__ = ["CHUNK", "MOST", "files_in", "needed", "pack", "signature", "unpack", "weigh"]
