"""Two clocks of a training: its work, for which a busy machine only takes longer, and the wall's.

On a CPU a second of work is a second of processor time of each thread that the training was given: all that its threads
and the processes that it started have worked, over the number of threads. On a GPU it is a second by the clock: kernels
do not share.

How much a second of work gets done is another question: a processor whose caches and core others use does less in it.
What a step or an update costs is therefore found once, and steps are counted (`prices`).
"""
from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from .budget import Spent

# work over wall time; with less, something else had the processor, and a clock tells more of that than of us
TRUSTED = 0.8
PROC = Path("/proc")


def wall_seconds() -> float:
    """Seconds by the clock, from any beginning."""
    return time.perf_counter()


def processor_seconds() -> float:
    """Seconds that processors have worked for this process: its threads, and all that it has started, alive or over.

    What a child has worked that still lives is read where the system has /proc (Linux);
    elsewhere it counts when the child ends.
    """
    return time.process_time() + _ended() + sum(_worked(pid) for pid in _living(os.getpid()))


def _ended() -> float:
    """What children have worked that are over."""
    try:
        import resource
    except ImportError:  # a system that is not Unix
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _living(pid: int) -> list[int]:
    """The processes that a process has started and that are not over, theirs included."""
    threads = PROC / str(pid) / "task"
    found: list[int] = []
    try:
        for thread in os.listdir(threads):
            with open(threads / thread / "children", "rb") as f:
                found += [int(x) for x in f.read().split()]
    except OSError:  # it has just ended, or the system keeps no such list
        if pid == os.getpid():
            found = [p.pid for p in multiprocessing.active_children() if p.pid is not None]
    return found + [x for child in found for x in _living(child)]


def _worked(pid: int) -> float:
    """Seconds of a process's threads and of those of its children that are over; 0 where the system does not say."""
    try:
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def clock(device: str) -> Literal["processor", "wall"]:
    """What the seconds of work on a device are seconds of."""
    return "processor" if device.split(":")[0] == "cpu" else "wall"


def own_seconds() -> float:
    """Seconds that a processor has worked for this thread."""
    return time.thread_time()


class Stopwatch:
    """Adds up work and wall time: `start`, and `lap` as often as one likes, each of which adds what has passed since.

    by: what a second of work is of (`clock`). threads: those that share the processor time; None: PyTorch's.
    own: processor time of the thread that holds it, which on a quiet machine is seldom idle, however many it leads.
    worked: what the clock says of the work, also where it was counted at a price (`prices`).
    """

    def __init__(self, device: str = "cpu", threads: int | None = None) -> None:
        self.by = clock(device)
        self.threads = threads or torch.get_num_threads()
        self.work = self.worked = self.wall = self.own = 0.0
        self.start()

    def _now(self) -> tuple[float, float, float]:
        wall = wall_seconds()
        return (processor_seconds() / self.threads, wall, own_seconds()) if self.by == "processor" else (wall,) * 3

    def start(self) -> None:
        """Go on from now."""
        self._at = self._now()

    def lap(self, price: float | None = None) -> None:
        """Add what has passed since the start or the last lap; `price`: the work that it counts for, whatever the clock
        says."""
        now = self._now()
        work, wall, own = (a - b for a, b in zip(now, self._at))
        self.work += work if price is None else price
        self.worked, self.wall, self.own = self.worked + work, self.wall + wall, self.own + own
        self._at = now

    def add(self, other: Stopwatch) -> None:
        """Add what another has counted."""
        self.work, self.worked = self.work + other.work, self.worked + other.worked
        self.wall, self.own = self.wall + other.wall, self.own + other.own

    def spent(self, steps: int, epochs: float, images: int) -> Spent:
        """What a training has used, whose clock it is."""
        return Spent(self.work, steps, epochs, images, self.wall, self.worked)

    def kept(self) -> dict[str, float]:
        """What a saved state holds of it, for `resume`."""
        return {"seconds": self.work, "wall": self.wall, "worked": self.worked}

    def resume(self, kept: Mapping[str, Any]) -> None:
        """Put back what `kept` gave; a state from before one of its numbers was counted has the work in its place."""
        self.work = kept["seconds"]
        self.wall, self.worked = kept.get("wall", self.work), kept.get("worked", self.work)

    @property
    def busy(self) -> float:
        """Seconds that it would have taken with nothing beside: those of the thread that leads, or of all together
        where others, or other processes, work while it waits."""
        return max(self.work, self.own)

    @property
    def told(self) -> Literal["processor", "wall"]:
        """The clock by which a speed is told: the wall's where it can be trusted."""
        return "wall" if self.by == "wall" or self.busy >= TRUSTED * self.wall else "processor"

    @property
    def seconds(self) -> float:
        """Seconds by the clock that is told."""
        return self.wall if self.told == "wall" else self.busy


__all__ = ["TRUSTED", "Stopwatch", "clock", "own_seconds", "processor_seconds", "wall_seconds"]
