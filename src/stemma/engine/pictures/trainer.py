"""The training of a system that looks at pictures: its batches, the boxes that it takes from outside, its phases
without gradient, and its validation."""
from __future__ import annotations

import math
from typing import Any

from torch import nn

from ...core.interrupts import Wishes
from ...core.sentence import many
from ...core.types import Dataset
from ...data.loader import Loader
from ...data.subset import told_of
from ..running.runs import Run
from ..running.training import Plan, Training
from . import outside, passes
from .measure import measure
from .tasks import main_metric, needs_of


class Trainer(Training):
    """A training on pictures with truth."""

    def __init__(self, run: Run, fabric: Any, model: nn.Module, data: Dataset, val: Dataset, plan: Plan,
                 wishes: Wishes | None = None):
        m: Any = model
        self.task = m.paper.task_of(m.preset)
        super().__init__(run, fabric, model, outside.with_proposals(data, m.recipe), val, plan, wishes)

    def _share(self, parts: int) -> None:
        """Take each step in so many parts: batches of the loader whose gradients are added."""
        self.parts = parts
        self.loader = Loader(
            self.data, self.recipe, train=True, batch=self.plan.batch // parts,
            mean=self.model.spec.preprocess.mean, seed=self.plan.seed, workers=self.plan.workers,
            needs=needs_of(self.task, self.model.spec, self.data.info.kinds) | outside.needed(self.recipe),
            rank=self.fabric.global_rank, world=self.fabric.world_size,
        )

    def _look_ahead(self) -> None:
        """Compute the boxes from outside of the pictures that will be seen, before the clock starts.
        Ranks share the work."""
        rest, n = 1.0 - self.plan.budget.fraction(self.spent), len(self.data)
        images = {"seconds": math.inf, "steps": self.plan.batch, "images": 1,
                  "epochs": n}[self.plan.budget.unit] * self.plan.budget.amount * rest if rest else 0.0
        at = (list(range(n)) if images >= n
              else self.loader.order(self.epoch).tolist()[self.at * self.plan.batch :][: round(images)])
        if images < n:
            at = sorted({*at, *passes.pictures(self.loader, self.recipe.phases, images / max(rest, 1e-9))})
        if self.fabric.world_size > 1:
            at = at[self.fabric.global_rank :: self.fabric.world_size]
        outside.fill(self.data, None if len(at) == n else at, self.plan.show and self.fabric.is_global_zero)
        self.fabric.barrier()

    def _run_method(self, phase: int) -> None:
        passes.run(self, phase)

    def _validate(self) -> None:
        """Loss and metric of the averaged weights on rank 0; the best are kept."""
        self._log()
        if self.fabric.is_global_zero and len(self.val):
            m = self.ema.model if self.ema is not None else self.model
            with self.wishes.anywhere(self.control is None):
                result = measure(m, self.val, batch=min(self.plan.batch, 16), device=str(self.device),
                                 precision=self.precision, losses=True,
                                 workers=self.plan.workers, bar=self.bar.counting("validating", len(self.val)))
            name = main_metric(self.task)
            score = result.get(name)  # None where the measure is undefined: no objects
            self._scored(score, name, told_of(self.val, result["images"]))
            self._write({"kind": "val", "val_images": result.pop("images"), **result})
            said = "undefined" if score is None else f"{score:.3f}"
            self.bar.line(f"step {self.steps}, {many(self.images, 'image')}, {self.spent}: loss {result['loss']:.3f}, "
                          f"{name} {said}" + ("" if self.stale else " (best)"))
        self._validated()


__all__ = ["Trainer"]
