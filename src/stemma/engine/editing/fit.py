"""Train an editor: the loop, its budgets and its exact resume are common; batches are pairs and what is validated is
edits."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from ...core.interrupts import Wishes
from ...core.modes import evaluating
from ...core.paper import Paper
from ...core.recipe import Recipe
from ...core.sentence import many
from ...core.types import StemmaError
from ...data.editing.loading import PairLoader
from ...data.editing.open import Chosen, absolute, mixed, restricted
from ...data.editing.pairs import Pairs
from ...skeletons.edit import EditBatch
from ..running import checkpoint
from ..running.budget import Budget
from ..running.clock import clock
from ..running.devices import machine, make_fabric, precision_of
from ..running.runs import Run, begun_at
from ..running.training import Plan, Training
from . import measure

VAL = 48  # edits of a validation


class Teacher(Training):
    """A training on pairs of pictures."""

    loader: PairLoader

    def _share(self, parts: int) -> None:
        self.parts, recipe = parts, self.recipe
        pairs = getattr(self.data, "pairs", self.data)
        self.loader = PairLoader(
            pairs, recipe, self.model.text.tokens, EditBatch, batch=self.plan.batch // parts, seed=self.plan.seed,
            workers=self.plan.workers, rank=self.fabric.global_rank, world=self.fabric.world_size,
        )
        self.data = self.loader.at

    def _enter_phase(self, fraction: float) -> None:
        super()._enter_phase(fraction)
        self.model.learns = self.recipe.phases[self.phase].losses if self.recipe.phases else "noise"

    def _look_ahead(self) -> None:
        """No boxes: drawn edits are drawn, and those of a folder read, before the clock starts."""
        if len(self.data) <= 20_000:
            self.loader.fill()

    def _validate(self) -> None:
        """Edits made by the averaged weights, on rank 0; the best are kept."""
        self._log()
        if self.fabric.is_global_zero and len(self.val):
            m: Any = self.ema.model if self.ema is not None else self.model
            with evaluating(m), self.wishes.anywhere(self.control is None):
                found = measure.measure(self.val, self.recipe.resize.size, measure.editing(m), device=str(self.device),
                                        reader=m.reader)
            score, kinds = found.get("right"), found.pop("by_kind")
            self._scored(score, "right", many(found["edits"], "edit"))
            self._write({"kind": "val", **found,
                         **{f"{k}_{name}": v for k, of in kinds.items() for name, v in of.items()}})
            self.bar.line(f"step {self.steps}, {many(self.images, 'image')}, {self.spent}: edits made "
                          + ("undefined" if score is None else f"{score:.3f}")
                          + f", change beside them {found.get('background', float('nan')):.3f}"
                          + ("" if self.stale else " (best)"))
        self._validated()


def open_pair(data: Any, tasks: Any, val: Any = None, seed: int = 0,
              val_edits: int | None = VAL) -> tuple[Chosen, Pairs]:
    """The edits to learn from, mixed as the spec says, and those to validate on. Raises `DataError`."""
    kinds = [k for k, _ in tasks]
    train = mixed(restricted(data, kinds, "train"), tasks, seed)
    held = (measure.held_out(data, tasks, str(val or "val"), val_edits) if val in (None, "val", "test", "train")
            else measure.held_out(val, tasks, "val", val_edits))
    return train, held


def train(
    paper: str | Paper, data: Any, budget: str | Budget | None = "60s", preset: str = "small",
    out: str | Path = "runs/run", seed: int = 0, sets: dict[str, Any] | None = None, resume: bool = False, *,
    val: Any = None, start: Any = None, device: str = "auto", precision: str | None = None, batch: int | None = None,
    val_every: float = 0.2, val_edits: int = VAL, save_every: str | None = "60s", patience: int = 0, workers: int = 0,
    deterministic: bool = False, compile: bool = False, progress: bool = True, log_every: int = 0,
    wall: str | None = None, size: int | str | None = None,
) -> Run:
    """Train an editor on the edits that `data` names ("edits:64", a folder) and return its run folder.

    The kinds of instruction and their mixture are the spec's `tasks`; those that the data do not hold are left out.
    size: of the network's pictures, in pixels. val: a split's name or other edits. Otherwise as
    `stemma.engine.pictures.fit.train`, and raises as it does.
    """
    if size not in (None, "preset", "auto"):
        sets = {**(sets or {}), "size": size}
    card, spec, recipe = checkpoint.plan(paper, preset, sets)
    where = absolute(data) if isinstance(data, (str, Path)) else data.info.name
    pairs, held = open_pair(data, spec.tasks, val, seed, val_edits)
    info = pairs.info
    fabric = make_fabric(device, precision or recipe.precision)
    together = recipe.batch if batch is None else batch
    if together < 1 or together % (fabric.world_size * recipe.accumulate):
        raise StemmaError(f"a batch of {together} cannot be shared by {fabric.world_size} processes x "
                          f"{recipe.accumulate} parts; choose a multiple")
    length = (Budget.parse(recipe.length, wall).for_batch(recipe.batch, together) if budget is None
              else Budget.parse(budget, wall))
    asleep = [pattern for pattern, factor in recipe.lr_mult if factor == 0]
    if asleep and start is None and not resume:
        raise StemmaError(f"{card.cli_name}, preset {preset}, begins from a trained autoencoder and text encoder, "
                          "which do not learn: name them with --start (`stemma import diffusers FOLDER FILE` makes "
                          "such a file of Stable Diffusion's), or say --from-scratch")
    torch.manual_seed(seed)
    model = checkpoint.build(card, preset, sets=sets, info=info)
    sized(model, recipe)
    begun = checkpoint.start_from(model, start) if start is not None else None
    record: dict[str, Any] = {
        **checkpoint.describe(model), "budget": str(length), "wall_limit": length.wall,
        "clock": clock(str(fabric.device)), "batch": together, "seed": seed, "machine": machine(),
        "processes": fabric.world_size, "device": str(fabric.device), "precision": precision_of(fabric),
        "start": begun, "parameters": sum(p.numel() for p in model.parameters()),
        "data": {"where": where, "format": info.format, "fingerprint": pairs.fingerprint, "images": len(pairs),
                 "val_images": len(held), "val_fingerprint": held.fingerprint},
        "state": "running", "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    wishes = Wishes()
    with wishes.watched():
        run, again = begun_at(out, record, resume, fabric)
        if again and run.state == "finished" and length.over(run.record):
            return run
        plan = Plan(length, together, seed, val_every, Budget.parse(save_every) if save_every else None, patience,
                    workers, compile, False, log_every, progress, deterministic)
        with run.guarded():
            teacher = Teacher(run, fabric, model, pairs, held, plan, wishes)
            if again and fabric.is_global_zero:
                run.take_up(budget=str(length), wall_limit=length.wall)
            if again and run.saved:
                teacher.restore()
            teacher.fit()
        return run


def sized(model: Any, recipe: Recipe) -> None:
    """Raises `StemmaError` where the network cannot take pictures of the recipe's size."""
    if (side := recipe.resize.size) % model.step:
        below = max(side // model.step, 1) * model.step
        raise StemmaError(f"pictures of {side} pixels cannot be taken: sides are multiples of {model.step} here; say "
                          f"--size {below}")


__all__ = ["VAL", "Teacher", "open_pair", "sized", "train"]
