"""Phases without gradient: a method of the model looks at training pictures and fits what no gradient trains (SVMs,
regressions, clusters).

The method is called as `method(pictures, say)`. `for batch in pictures():` is a pass over training pictures, moved to
the model's device, not augmented, at the size of prediction; every pass of a phase sees the same pictures in the same
order, none twice. `say` prints a line. It is called without gradient, in eval mode,
and keeps what it learns in buffers of the model.

The state is saved when the phase begins and not until it is over. A run that was killed in between begins the phase
anew, which sees the same pictures and ends at the same weights; one that was told to stop is put back to where the
phase began.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import torch
import torch.distributed as dist

from ...core.interrupts import Wishes
from ...core.modes import evaluating
from ...core.recipe import Augment, Phase
from ...core.types import Batch, Dataset, StemmaError
from ...data.loader import Loader
from ..running import schedule
from ..running.budget import Spent
from ..running.clock import Stopwatch
from ..running.prices import Ledger
from . import outside
from .tasks import needs_of

APART = 1_000_000  # epochs of such phases: an order of their own, so that they take no pictures from the steps


class Training(Protocol):
    """What the passes see of a training: `pictures.trainer.Trainer` is one."""

    model: Any
    recipe: Any
    task: str
    data: Dataset
    plan: Any
    device: torch.device
    parts: int
    fabric: Any
    bar: Any
    ema: Any
    steps: int
    images: int
    clock: Stopwatch
    fits: Ledger
    fitted: int
    ran: int
    saved_at: int
    wishes: Wishes

    @property
    def spent(self) -> Spent: ...
    def _pulse(self) -> tuple[float, bool]: ...
    def _save(self) -> None: ...


class Passes:
    """The passes of one phase: `pictures()` begins the next. Each takes its part of the phase's share,
    and at most all pictures once."""

    def __init__(self, trainer: Training, index: int):
        self.t, self.index, self.phase = trainer, index, trainer.recipe.phases[index]
        self.begin, self.end = schedule.span(trainer.recipe.phases, index)
        self.done, self.first = 0, 0
        trainer.clock.start()
        recipe = replace(trainer.recipe, augment=Augment(flip=0.0), resize=replace(trainer.recipe.resize, scales=()))
        needs = needs_of(trainer.task, trainer.model.spec, trainer.data.info.kinds) | outside.needed(recipe)
        batch = trainer.plan.batch // trainer.parts
        self.loader = Loader(trainer.data, recipe, train=True, batch=batch, mean=trainer.model.spec.preprocess.mean,
                             seed=trainer.plan.seed, workers=trainer.plan.workers, needs=needs)

    def __call__(self) -> Iterator[Batch]:
        if self.done >= self.phase.passes:
            raise StemmaError(f"phase '{self.phase.name}' was declared with {self.phase.passes} pass(es) over the "
                              "pictures, and asks for more")
        self.done += 1
        until = self.begin + (self.end - self.begin) * self.done / self.phase.passes
        timed, count = not self.t.plan.budget.repeatable, 0
        batches = self.loader.epoch(APART + self.index)
        try:
            for batch in batches:
                yield batch.to(self.t.device)
                count += 1
                self.t.fitted += 1
                self.t.steps, self.t.images = self.t.steps + 1, self.t.images + len(batch)
                fraction = self.tick(f"{self.index}", batch.images.numel() / 3e6)
                if self.done > 1 and count >= self.first or (self.done == 1 or timed) and fraction >= until - 1e-9:
                    break
        finally:
            batches.close()  # type: ignore[attr-defined]
        self.first = self.first or count

    def tick(self, kind: str, amount: float) -> float:
        """Count the time since the last tick, or what so much of this kind of work costs, show it, and hear whether to
        stop: `Interrupted`. The fraction of the budget that is used."""
        self.t.fits.lap(self.t.clock, kind, amount)
        fraction, _ = self.t._pulse()
        self.t.wishes.heed()
        return fraction


def pictures(loader: Loader, phases: tuple[Phase, ...], images: float) -> Iterator[int]:
    """Data set indices that the passes of a training over so many `images` will see."""
    for i, p in enumerate(phases):
        if p.run:
            begin, end = schedule.span(phases, i)
            yield from loader.order(APART + i)[: round(images * (end - begin) / p.passes) + loader.batch].tolist()


def run(trainer: Training, index: int) -> None:
    """Let the model's method of phase `index` fit what it fits. Every process does the same,
    and takes process 0's result."""
    phase: Phase = trainer.recipe.phases[index]
    model: Any = trainer.model
    method = getattr(model, phase.run, None)
    if not callable(method):
        raise StemmaError(f"recipe.phases: {type(model).__name__} has no method '{phase.run}', which phase "
                          f"'{phase.name}' would run")
    trainer.bar.line(f"step {trainer.steps}: phase '{phase.name}'")
    if trainer.saved_at != trainer.steps:
        trainer._save()
    names = ("steps", "images", "fitted")
    before = {k: getattr(trainer, k) for k in names}, {k: v.clone() for k, v in model.state_dict().items()}
    spent = trainer.spent
    try:
        if trainer.ema is not None:
            model.load_state_dict(trainer.ema.state())
        passes = Passes(trainer, index)
        with evaluating(model), torch.no_grad():
            method(passes, trainer.bar.line)
        passes.tick(f"{index}/rest", 1.0)
        trainer.fits.settle(f"{index}", f"{index}/rest")
    except BaseException:
        for k, v in before[0].items():
            setattr(trainer, k, v)
        trainer.clock.resume(vars(spent))
        model.load_state_dict(before[1])
        raise
    if trainer.fabric.world_size > 1:
        for v in model.state_dict().values():
            dist.broadcast(v, 0)
    if trainer.ema is not None:
        trainer.ema.model.load_state_dict(model.state_dict())
    trainer.ran = index


__all__ = ["Passes", "run"]
