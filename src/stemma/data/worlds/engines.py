"""Engines that run as a process beside an environment: the folder that they look for where they begin."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    from fcntl import LOCK_EX, flock
except ImportError:
    flock = None  # type: ignore[assignment]


@contextmanager
def looked_for(name: str) -> Iterator[None]:
    """Within it there is a folder `name` where this process works, and afterwards none again, unless something lies in
    it. Engines look for theirs as they begin, or make it: of several that begin together all but one would end. So each
    process waits for its turn to have it."""
    held, turn = -1, False
    try:
        with suppress(OSError):  # it cannot be made, or the file system has no locks: it stays
            while not turn:
                os.makedirs(name, exist_ok=True)
                if flock is None:
                    break
                held = os.open(name, os.O_RDONLY)
                flock(held, LOCK_EX)
                turn = os.path.isdir(name) and os.path.samestat(os.fstat(held), os.stat(name))
                if not turn:  # whoever had it took it away
                    os.close(held)
                    held = -1
        yield
    finally:
        if turn:
            with suppress(OSError):
                os.rmdir(name)
        if held >= 0:
            os.close(held)


__all__ = ["looked_for"]
