"""Finished trials on the same resamples of the pictures: the interval of each system's measures,
and of the gap between two."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...metrics.detection import Floats
from ...metrics.resample import FEWEST, Tallies, interval, itself, mean_at

if TYPE_CHECKING:
    from ...metrics import Evaluator

MOST = 2000  # pictures of which `evaluate` tells intervals; of more they are narrow, and cost more than the measure
FILE = "pictures.npz"  # beside `trial.json`: what each picture adds to the measures


def tallies_of(evaluator: Evaluator, also: Evaluator | None, fingerprint: str) -> Tallies:
    """What each picture adds to the measures of an evaluator, and of one that saw the same pictures otherwise."""
    own = evaluator.tallies(fingerprint)
    return own if also is None else replace(own, by_measure=also.tallies().by_measure | own.by_measure)


def intervals(tallies: Tallies) -> dict[str, list[float]]:
    """The interval over pictures of each measure that has one, [low, high]."""
    if len(tallies.order) < FEWEST:
        return {}
    drawn = tallies.weights()
    found = {name: interval(tally.at(drawn), len(tally), itself(tally)) for name, tally in tallies.by_measure.items()}
    return {name: list(ends) for name, ends in found.items() if ends is not None}


class Paired:
    """Measures of several systems, each with a few seeds, under one set of resamples.
    `folders`: the finished runs of each system.

    A system stands for the mean over its seeds, so that what is left is what other pictures would change. `notes` says
    of which systems nothing is known, and why.
    """

    def __init__(self, folders: Mapping[str, Sequence[Path]]) -> None:
        self.notes: list[str] = []
        self._seeds: dict[str, list[Tallies]] = {}
        first: Tallies | None = None
        for ident, runs in folders.items():
            kept = []
            for run in runs:
                try:
                    kept.append(Tallies.read(run / FILE))
                except FileNotFoundError:
                    self.notes.append(f"no interval over pictures for {ident}: {run.name}/{FILE} is not there")
            first = first or (kept[0] if kept else None)
            if first is not None and any(not _alike(first, one) for one in kept):
                self.notes.append(f"no interval over pictures for {ident}: it was measured on other pictures")
            elif kept and len(kept) == len(runs):
                self._seeds[ident] = kept
        self.pictures = 0 if first is None else len(first.order)
        self._weights = None if first is None or self.pictures < FEWEST else first.weights()
        self._known: dict[tuple[str, str], Floats | None] = {}

    def values(self, ident: str, measure: str) -> Floats | None:
        """The mean over seeds of a system's measure on each resample, (R,); None where it is not known."""
        key = ident, measure
        if key not in self._known:
            tallies = [one.by_measure.get(measure) for one in self._seeds.get(ident, [])]
            there = [one for one in tallies if one is not None]
            known = self._weights is not None and there and len(there) == len(tallies)
            self._known[key] = mean_at(there, np.asarray(self._weights)) if known else None
        return self._known[key]

    def own(self, ident: str, measure: str) -> list[float] | None:
        """The interval of a system's measure over pictures."""
        values = self.values(ident, measure)
        if values is None:
            return None
        return self._interval(values, float(np.mean([itself(one.by_measure[measure]) for one in self._seeds[ident]])))

    def gap(self, one: str, other: str, measure: str) -> dict[str, Any]:
        """The interval of what `other` has more than `one`, how many pictures it is over,
        and whether these are too few for one."""
        a, b = self.values(one, measure), self.values(other, measure)
        ends = None if a is None or b is None else self._interval(b - a)
        both = one in self._seeds and other in self._seeds
        return {"interval": ends, "pictures": self.pictures if both else None, "few": both and self.pictures < FEWEST}

    def _interval(self, values: Floats, value: float | None = None) -> list[float] | None:
        found = interval(values, self.pictures, value)
        return None if found is None else list(found)


def _alike(one: Tallies, other: Tallies) -> bool:
    return one.fingerprint == other.fingerprint and np.array_equal(one.order, other.order)


__all__ = ["FILE", "MOST", "Paired", "intervals", "tallies_of"]
