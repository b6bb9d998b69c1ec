"""Evolution of a few weights behind one interface: ask for candidates, tell what they were worth (more is better).

    es = strategy("cma", begin, sigma=0.1, population=64, seed=0)      "cma", "open-es",
    "pepg" or "ga": World Models' four
    es.tell(fitness_of(es.ask()))                                     es.mean is what is kept,
                                                                      es.history what it was told

A strategy is a function of its seed and of what it was told, so its record of fitness is its state: nothing is pickled.

Axes: P candidates, W weights, G generations.
"""
from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any

import numpy as np

from ...core.types import StemmaError


class Strategy:
    """Candidates [P, W] around a `mean` [W], as wide as `sigma`. A kind gives `_ask` and `_tell`."""

    def __init__(self, begin: np.ndarray, sigma: float, population: int, seed: int,
                 history: np.ndarray | None = None) -> None:
        self.centre, self.population = np.array(begin, np.float64), population
        self.width: Any = sigma  # one deviation, or one a weight [W]
        self.rng = np.random.default_rng(seed)
        self.history: list[np.ndarray] = []  # fitness [P] of each generation
        self._begin(seed)
        # continue where a strategy of the same seed and beginning was
        for fitness in history if history is not None else ():
            self.ask()
            self.tell(fitness)

    def _begin(self, seed: int) -> None:
        """What a kind needs besides."""

    def _ask(self) -> np.ndarray:
        raise NotImplementedError

    def _tell(self, fitness: np.ndarray) -> None:
        raise NotImplementedError

    def ask(self) -> np.ndarray:
        self.asked = self._ask()
        return self.asked

    def tell(self, fitness: np.ndarray) -> None:
        fitness = np.asarray(fitness, np.float64)
        self._tell(fitness)
        self.history.append(fitness)

    @property
    def mean(self) -> np.ndarray:
        """What is kept: the distribution's mean, and not the luckiest candidate."""
        return self.centre

    @property
    def sigma(self) -> float:
        return float(np.mean(self.width))

    def _narrow(self) -> None:
        """The annealing of the authors' training script: .999 a generation, down to .02."""
        self.width = np.where(self.width > 0.02, self.width * 0.999, self.width)


class Cma(Strategy):
    """CMA-ES (Hansen), from the package `cma`: the full covariance."""

    def _begin(self, seed: int) -> None:
        if importlib.util.find_spec("cma") is None:
            raise StemmaError("evolving a controller needs the package cma, which is not installed: pip install "
                              "'stemma-vision[worlds]'")
        with warnings.catch_warnings():  # it says that it cannot plot, which is not asked of it
            warnings.simplefilter("ignore")
            cma = importlib.import_module("cma")
        options: dict[str, Any] = {"popsize": self.population, "seed": seed + 1, "verbose": -9, "verb_log": 0,
                                   "verb_disp": 0}
        options["randn"] = lambda *shape: self.rng.standard_normal(shape)
        self.es: Any = cma.CMAEvolutionStrategy(self.centre, self.width, options)

    def _ask(self) -> np.ndarray:
        self.listed = self.es.ask()
        return np.stack(self.listed)

    def _tell(self, fitness: np.ndarray) -> None:
        self.es.tell(self.listed, (-fitness).tolist())
        self.centre, self.width = np.asarray(self.es.mean, np.float64), float(self.es.sigma)


class Adam:
    """The authors' optimiser of means: beta .99 and .999, rate .01; up the slope it is given."""

    def __init__(self) -> None:
        self.m: Any = 0.0
        self.v: Any = 0.0
        self.t = 0

    def step(self, slope: np.ndarray, rate: float) -> np.ndarray:
        self.t += 1
        self.m = 0.99 * self.m + 0.01 * slope
        self.v = 0.999 * self.v + 0.001 * slope**2
        moved: np.ndarray = rate * (1 - 0.999**self.t) ** 0.5 / (1 - 0.99**self.t) * self.m / (self.v**0.5 + 1e-8)
        return moved


def ranks(fitness: np.ndarray) -> np.ndarray:
    """Fitness by rank alone, -.5 for the worst to .5 for the best."""
    placed: np.ndarray = fitness.argsort(kind="stable").argsort(kind="stable") / max(len(fitness) - 1, 1) - 0.5
    return placed


class OpenES(Strategy):
    """Salimans et al. 2017 as the authors have it: mirrored noise, fitness by rank and then standardised, Adam, the
    deviation annealed.

    An odd population leaves its last mirror image out.
    """

    def _begin(self, seed: int) -> None:
        self.adam = Adam()

    def _ask(self) -> np.ndarray:
        half = self.rng.standard_normal(((self.population + 1) // 2, len(self.centre)))
        self.noise = np.concatenate([half, -half])[: self.population]
        return np.asarray(self.centre + self.width * self.noise)

    def _tell(self, fitness: np.ndarray) -> None:
        worth = ranks(fitness)
        worth = (worth - worth.mean()) / worth.std()
        self.centre = self.centre + self.adam.step(worth @ self.noise / (self.population * self.sigma), 0.01)
        self._narrow()


class Pepg(Strategy):
    """Policy gradients with parameter-based exploration (Sehnke et al. 2010) as the authors have it: mirrored noise
    with a deviation for each weight, which learns from how much better than the mean both of a pair are (rate .2, at
    most a fifth at once)."""

    def _begin(self, seed: int) -> None:
        if self.population % 2:
            raise StemmaError(f"pepg draws candidates in pairs; its population is even, not {self.population}")
        self.adam = Adam()
        self.width = np.full(len(self.centre), self.width)

    def _ask(self) -> np.ndarray:
        self.noise = self.rng.standard_normal((self.population // 2, len(self.centre))) * self.width
        return np.asarray(self.centre + np.concatenate([self.noise, -self.noise]))

    def _tell(self, fitness: np.ndarray) -> None:
        worth = ranks(fitness)
        one, other = worth[: len(self.noise)], worth[len(self.noise) :]
        self.centre = self.centre + self.adam.step((one - other) @ self.noise, 0.01)
        wider = ((one + other) / 2 - worth.mean()) @ ((self.noise**2 - np.square(self.width)) / self.width) / len(worth)
        most = 0.2 * self.width
        self.width = self.width + np.clip(0.2 * wider, -most, most)
        self._narrow()


class Genetic(Strategy):
    """The authors' simple genetic algorithm: the best tenth of a generation mate, weight by weight by a coin, and their
    children mutate."""

    def _begin(self, seed: int) -> None:
        self.elites = np.tile(self.centre, (max(1, self.population // 10), 1))

    def _ask(self) -> np.ndarray:
        a, b = self.rng.integers(len(self.elites), size=(2, self.population))
        coin = self.rng.random((self.population, len(self.centre))) > 0.5
        mutation = self.rng.standard_normal(coin.shape) * self.width
        return np.asarray(np.where(coin, self.elites[b], self.elites[a]) + mutation)

    def _tell(self, fitness: np.ndarray) -> None:
        self.elites = self.asked[(-fitness).argsort(kind="stable")[: len(self.elites)]]
        self.centre = self.elites[0]
        self._narrow()


KINDS: dict[str, type[Strategy]] = {"cma": Cma, "open-es": OpenES, "pepg": Pepg, "ga": Genetic}


def strategy(kind: str, begin: np.ndarray, sigma: float, population: int, seed: int,
             history: np.ndarray | None = None) -> Strategy:
    """A strategy by its name. Raises `StemmaError` for one that is not known, and where `cma` is not installed."""
    if kind not in KINDS:
        raise StemmaError(f"no strategy of evolution named '{kind}'; there are {', '.join(KINDS)}")
    return KINDS[kind](begin, sigma, population, seed, history)


__all__ = ["KINDS", "Adam", "Cma", "Genetic", "OpenES", "Pepg", "Strategy", "ranks", "strategy"]
