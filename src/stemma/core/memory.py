"""Memory: whether an error says that there is none left, and a word before the system ends a process for want of it.

On a processor most systems promise more memory than they have, and kill a process that takes it: nothing is raised,
and whoever looks at the terminal reads one word at most. What is said must be said before.
"""
from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

GIB = 2**30
LITTLE = 0.02  # share of the memory below which it is nearly full
EVERY = 0.2  # seconds between two looks
REFUSED = ("DefaultCPUAllocator", "out of memory")  # PyTorch raises a type of its own on CUDA alone
GROUPS = (  # limit, use, and what of the use can be given back: of control groups, the newer kind and the older
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def full(error: BaseException) -> bool:
    """Whether an error, or what it came from, says that memory was asked for and not there."""
    now: BaseException | None = error
    while now is not None:
        if (isinstance(now, MemoryError) or type(now).__name__ == "OutOfMemoryError"
                or isinstance(now, RuntimeError) and any(word in str(now) for word in REFUSED)):
            return True
        now = now.__cause__
    return False


def free() -> tuple[int, int] | None:
    """Bytes that may still be taken, and bytes in all: of the machine, or of the control group that this process is in
    where that has less. None where the system does not say."""
    try:
        known = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        least = tuple(int(known[k].split()[0]) * 1024 for k in ("MemAvailable", "MemTotal"))
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except (OSError, KeyError, ValueError):
        return None
    for _, kind, path in (g for g in groups if len(g) == 3 and g[1] in ("", "memory")):
        root = Path("/sys/fs/cgroup") / kind
        for place in (root / path.strip("/"), root):
            with suppress(OSError, ValueError, KeyError):
                most, used, back = GROUPS[bool(kind)]
                limit = int((place / most).read_text())
                stat = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
                left = limit - int((place / used).read_text()) + int(stat[back])
                least = min(least, (left, limit))
                break
    return least[0], least[1]


def held() -> int:
    """Bytes of memory that this process has; 0 where the system does not say."""
    with suppress(OSError, IndexError, ValueError):
        import resource

        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


@contextmanager
def watched(advice: Callable[[], str]) -> Iterator[None]:
    """Within it one warning, with `advice`, as soon as the memory is nearly full."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(EVERY):
            now = free()
            if now is None:
                return
            if now[0] < LITTLE * now[1]:
                warnings.warn(f"memory is nearly full: {now[0] / GIB:.1f} of {now[1] / GIB:.1f} GiB are left, and this "
                              f"process holds {held() / GIB:.1f}. Where none is left the system ends a process without "
                              f"a word. {advice()}", RuntimeWarning, stacklevel=2)
                return

    thread = threading.Thread(target=look, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


__all__ = ["free", "full", "held", "watched"]
