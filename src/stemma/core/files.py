"""Files that are whole or not there."""
from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: str | Path, flush: bool = False) -> Iterator[Path]:
    """A path beside `path`, with its ending, to write to. It takes the place of `path` when the block ends, and is
    removed when the block raises.

    flush: the content is on the disk before it takes its place, so that not even a power cut leaves half a file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}.new{path.suffix}")
    try:
        yield fresh
        if flush:
            with open(fresh, "rb+") as f:
                os.fsync(f.fileno())
        os.replace(fresh, path)
        if flush and hasattr(os, "O_DIRECTORY"):
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Remove what a kill left half-written in `folder` and below it."""
    for pattern in (".*.new", ".*.new.*"):
        for p in folder.rglob(pattern):
            p.unlink(missing_ok=True)


__all__ = ["tidy", "whole_file"]
