"""Engines that run as a process beside an environment: the folder that they look for where they begin."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    from fcntl import LOCK_EX, flock
except ImportError:
    flock = None  # type: ignore[assignment]


TURNS = 1000  # tries at having a folder that others take away


@contextmanager
def looked_for(name: str) -> Iterator[None]:
    """Within it there is a folder `name` where this process works, and afterwards none again, unless something lies in
    it. Engines look for theirs as they begin, or make it: of several that begin together all but one would end. So each
    process waits for its turn to have it."""
    held, turn = -1, False
    try:
        with suppress(OSError):  # it cannot be made, or the file system has no locks: it stays
            for _ in range(TURNS if flock is not None else 0):
                with suppress(FileExistsError, FileNotFoundError):  # whoever had it took it away meanwhile
                    os.makedirs(name, exist_ok=True)
                    held = os.open(name, os.O_RDONLY)
                    flock(held, LOCK_EX)
                    turn = os.path.samestat(os.fstat(held), os.stat(name))
                if turn:
                    break
                if held >= 0:
                    os.close(held)
                    held = -1
            os.makedirs(name, exist_ok=True)
        yield
    finally:
        if turn:
            with suppress(OSError):
                os.rmdir(name)
        if held >= 0:
            os.close(held)


__all__ = ["looked_for"]
