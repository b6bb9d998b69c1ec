"""What a course takes besides its budget, which is of the trainings alone: every picture is looked at for regression or
a search, every training is validated, and takes a step at least. Told beforehand, from a few pictures that are tried.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...core.modes import evaluating
from ...core.sentence import many
from ...data.labelled import Labelled
from ...skeletons.protocol import Protocol
from ..running.clock import Stopwatch
from . import features

TRIED = 8  # pictures
STEP = 3.0  # times a look that a step of training costs a picture: forward, and backward to weights and to maps


@dataclass(frozen=True)
class Forecast:
    """In seconds of work: `looks` at pictures for what is fitted on features, `validating` of the trainings, the
    `least` that `trainings` take where each takes one step."""

    looks: float
    validating: float
    least: float
    pictures: int
    trainings: int

    @property
    def besides(self) -> float:
        return self.looks + self.validating

    def says(self, budget: float) -> str | None:
        """A line, where it is much beside a budget of so many seconds; None where it is not."""
        parts = []
        if self.besides > budget / 4:
            parts.append(f"looking at {many(self.pictures, 'picture')} takes about {self.looks:.0f} s besides"
                         + f", validating {self.validating:.0f} s" * (self.validating > 1))
        if self.least > budget:
            parts.append(f"{many(self.trainings, 'training')} take a step each at least, about {self.least:.0f} s in "
                         "all (fewer: --preset linear, or --set grids.0.sets=1)")
        return f"a budget of {budget:g} s is that of the trainings; " + "; ".join(parts) if parts else None


def of(network: Any, spec: Protocol, sets: Sequence[Labelled], batch: int, device: str) -> Forecast:
    """By the time that a few pictures of the first set take; sets whose features are kept on disk cost nothing."""
    known = features.digest_of(network) if spec.source is None else ""
    shown = [s for s in sets if not s.features]
    if not shown:
        return Forecast(0.0, 0.0, 0.0, 0, 0)
    part = shown[0].parts["train"]
    count, net, clock = min(TRIED, len(part)), network, Stopwatch(device)
    with evaluating(net), torch.no_grad():
        for _ in range(2):  # the first does not count
            clock = Stopwatch(device)
            for pictures in features.batches(_first(part, count), spec.look.size):
                net.features(spec.look(pictures.to(device))).sum().item()
            clock.lap()
    each = clock.worked / count
    looked = [p for s in shown for p in s.parts.values()
              if not known or not features.place(known, spec.look, p).is_file()]
    validated = least = trainings = 0.0
    for grid in spec.grids:
        for s in shown[: grid.sets or len(shown)]:
            points = len(grid.points())
            validated += points * len(s.parts["val"]) * max(grid.stops, 1) + len(s.parts["test"]) * max(grid.curve, 1)
            least += (points + 1) * min(batch, len(s.parts["train"])) * STEP
            trainings += points + 1
    pictures = sum(map(len, looked))
    return Forecast(pictures * each, validated * each, least * each, pictures, int(trainings))


def _first(part: Any, count: int) -> Any:
    return type(part)(part.labels[:count], part.read, part.digest)


__all__ = ["Forecast", "of"]
