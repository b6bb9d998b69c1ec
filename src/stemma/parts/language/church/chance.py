"""The primitives that draw, as values: a law draws, says how likely a value is, and lists its values where they are
finitely many."""
from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from .reader import ChurchError


@dataclass(frozen=True)
class Flip:
    """True with probability p."""

    p: float

    def draw(self, rng: random.Random) -> bool:
        return rng.random() < self.p

    def log(self, x: Any) -> float:
        q = self.p if x else 1 - self.p
        return math.log(q) if q > 0 else -math.inf

    def values(self) -> list[Any]:
        return [v for v, q in ((True, self.p), (False, 1 - self.p)) if q > 0]


@dataclass(frozen=True)
class Among:
    """One of `items`, all alike."""

    items: tuple[Any, ...]

    def draw(self, rng: random.Random) -> Any:
        return self.items[int(rng.random() * len(self.items))]

    def log(self, x: Any) -> float:
        count = sum(v is x or v == x for v in self.items)
        return math.log(count / len(self.items)) if count else -math.inf

    def values(self) -> list[Any]:
        out: list[Any] = []
        for v in self.items:
            if v not in out:
                out.append(v)
        return out


@dataclass(frozen=True)
class Real:
    """A number: normal (mean a, standard deviation b), uniform in a..b, or exponential of rate a."""

    kind: str
    a: float
    b: float = 0.0

    def draw(self, rng: random.Random) -> float:
        if self.kind == "gaussian":
            return rng.gauss(self.a, self.b)
        return rng.uniform(self.a, self.b) if self.kind == "uniform" else rng.expovariate(self.a)

    def log(self, x: Any) -> float:
        if self.kind == "gaussian":
            return -0.5 * ((float(x) - self.a) / self.b) ** 2 - math.log(self.b * math.sqrt(2 * math.pi))
        if self.kind == "uniform":
            return -math.log(self.b - self.a) if self.a <= x <= self.b else -math.inf
        return math.log(self.a) - self.a * float(x) if x >= 0 else -math.inf

    def values(self) -> list[Any]:
        raise ChurchError(f"{self.kind} has more values than can be listed; infer by rejection, mh or weighting")


Law = Flip | Among | Real

__all__ = ["Among", "Flip", "Law", "Real"]
