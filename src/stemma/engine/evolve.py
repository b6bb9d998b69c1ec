"""Evolution of a few weights behind one interface: ask for candidates, tell what they were worth (more is better).

`Cma` is the package `cma`, made resumable without a pickle: a strategy is a function of its seed and of what it was told, so its record of
fitness is its state.
"""
from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any, Protocol

import numpy as np

from ..core.types import StemmaError


class Strategy(Protocol):
    """What a controller's evolution needs."""

    def ask(self) -> np.ndarray: ...
    def tell(self, fitness: np.ndarray) -> None: ...
    @property
    def mean(self) -> np.ndarray: ...


class Cma:
    """CMA-ES (Hansen), from the package `cma`: candidates [P, W] around a mean, and their full covariance.

    history: fitness [G, P] of the generations before, to continue where a strategy of the same seed and beginning was.
    """

    def __init__(self, begin: np.ndarray, sigma: float, population: int, seed: int, history: np.ndarray | None = None) -> None:
        if importlib.util.find_spec("cma") is None:
            raise StemmaError("evolving a controller needs the package cma, which is not installed: pip install 'stemma-vision[worlds]'")
        with warnings.catch_warnings():  # it says that it cannot plot, which is not asked of it
            warnings.simplefilter("ignore")
            cma = importlib.import_module("cma")
        options: dict[str, Any] = {"popsize": population, "seed": seed + 1, "verbose": -9, "verb_log": 0, "verb_disp": 0}
        rng = np.random.default_rng(seed)
        options["randn"] = lambda *shape: rng.standard_normal(shape)
        self.es: Any = cma.CMAEvolutionStrategy(np.asarray(begin, np.float64), sigma, options)
        self.history: list[np.ndarray] = []
        self.asked: list[np.ndarray] = []
        for fitness in history if history is not None else ():
            self.ask()
            self.tell(fitness)

    def ask(self) -> np.ndarray:
        self.asked = self.es.ask()
        return np.stack(self.asked)

    def tell(self, fitness: np.ndarray) -> None:
        self.es.tell(self.asked, (-np.asarray(fitness, np.float64)).tolist())
        self.history.append(np.asarray(fitness, np.float64))

    @property
    def mean(self) -> np.ndarray:
        """The distribution's mean: what is kept, and not the luckiest candidate."""
        return np.asarray(self.es.mean, np.float64)

    @property
    def sigma(self) -> float:
        return float(self.es.sigma)


__all__ = ["Cma", "Strategy"]
