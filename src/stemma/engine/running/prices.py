"""What a step costs on this machine: seconds of work a megapixel, found once for a system on a data set and kept, so
that a budget of seconds means the same steps whatever else the machine does, and again the next time.

A price is what a few steps took in processor time before the first one that counts. From then on a step is counted at
its price and no clock decides: beside busy neighbours, who take caches and memory's way as well as time, a processor
second holds less of a step (a third less was seen), and two trainings of one comparison would be served differently.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from statistics import median
from typing import Any

from ...core.outputs import cache, replace
from ...core.types import StemmaError
from .clock import Stopwatch

SHARE, SHORT, MOST = 0.05, 0.5, 16  # of the budget, or seconds, that finding a price may take; steps at most
ENOUGH = 32  # times that work which is not tried out is clocked before it has a price
SLACK = 0.9  # a training whose steps took less than that part of their price shows that it is too high

Prices = dict[str, float]  # phase ("" where there are none) -> seconds of work a megapixel of its batches


def found(step: Callable[[], float], clock: Stopwatch, seconds: float) -> float:
    """The price of a step: the least of as many as go into `seconds`, at least 2 and at most MOST, after one that does
    not count. What else a machine does only adds: on a quiet one the least was 5 to 9 % under the median, and where
    four threads of two trainings shared two cores the median of one was 1.7 times its least, of the other 1.1.
    step: takes one, and says how many megapixels it was."""
    step()
    taken: list[float] = []
    begin = clock.worked
    while len(taken) < 2 or (clock.worked - begin < seconds and len(taken) < MOST):
        clock.start()
        before = clock.worked
        size = step()
        clock.lap()
        taken.append((clock.worked - before) / size)
    return min(taken)


def room(amount: float) -> float:
    """Seconds that finding a price may take beside a budget of so many."""
    return max(SHARE * amount, SHORT)


class Kept:
    """Prices of one kind of training, kept under `$STEMMA_CACHE` (default ~/.cache/stemma): one that is there stands.

    what: all that decides the price, the machine and its libraries included; anything that JSON holds.
    """

    def __init__(self, what: dict[str, Any]) -> None:
        folder = cache() / "prices"
        told = json.dumps(what, sort_keys=True, default=str)
        self.file = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.json"

    def read(self) -> Prices | None:
        """What is kept; None where there is nothing that can be read."""
        try:
            said = json.loads(self.file.read_text(encoding="utf-8"))
            return {str(k): float(v) for k, v in said.items()} if all(v > 0 for v in said.values()) else None
        except (OSError, ValueError, AttributeError, TypeError):
            return None

    def write(self, prices: Prices, anew: bool = False) -> Prices:
        """Keep them, and what counts from now on: for what another training has a price of already that one, unless
        `anew`. Where the folder takes no file they count for this training alone."""
        first = {} if anew else self.read() or {}
        now = prices | first
        if now != first:
            with contextlib.suppress(StemmaError, OSError):
                replace(self.file, lambda p: p.write_text(json.dumps(now), encoding="utf-8"))
        return now


def mended(kept: Kept | None, prices: Prices, clock: Stopwatch) -> float | None:
    """At the end of a training: where what was counted took clearly less than its price, the lower one is kept for the
    next training. The part that it took; else None."""
    part = clock.worked / max(clock.work, 1e-9)
    if kept is None or not prices or part >= SLACK:
        return None
    kept.write({k: v * part for k, v in prices.items()}, anew=True)
    return part


def told(part: float | None) -> list[str]:
    """What a training says of that, a line or none."""
    return [] if part is None else [
        f"steps took {100 * (1 - part):.0f} % less than they were counted at, for the machine was busy when that was "
        "found; the next training counts them anew"]


class Ledger:
    """Prices of work that cannot be tried out beforehand (a life that is lived, a fit without gradient): found while it
    is done the first time, and counted by ever after. Without `kept` the clock says everything."""

    def __init__(self, kept: Kept | None = None) -> None:
        self.kept, self.seen = kept, dict[str, list[float]]()
        self.prices: Prices = (kept and kept.read()) or {}

    def lap(self, clock: Stopwatch, kind: str, amount: float) -> None:
        """A lap of the clock that was work of a `kind`, so much of it (megapixels, updates, steps that were lived)."""
        price, before = self.prices.get(kind), clock.worked
        clock.lap(None if price is None else price * amount)
        if self.kept is not None and price is None and amount:
            self.seen.setdefault(kind, []).append((clock.worked - before) / amount)
            if len(self.seen[kind]) > ENOUGH:
                self.settle(kind)

    def settle(self, *kinds: str) -> None:
        """Give a price to what has been seen of these kinds (of all): the median, the first time left out."""
        found = {k: median(v[1:] or v) for k, v in self.seen.items() if not kinds or k in kinds}
        if self.kept is not None and found:
            self.prices |= self.kept.write({k: v for k, v in found.items() if v > 0})
            self.seen = {k: v for k, v in self.seen.items() if k not in found}


__all__ = ["SLACK", "Kept", "Ledger", "Prices", "found", "mended", "room", "told"]
