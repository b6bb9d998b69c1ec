"""Boxes from outside, for the systems that look into boxes which they do not make: the source a recipe names,
around any data set."""
from __future__ import annotations

import os
import statistics
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ...core.outputs import cache
from ...core.recipe import Recipe
from ...core.types import Batch, Dataset
from ...data.loader import Loader
from ...data.proposals import Proposed, sourced, wants
from ...data.subset import read_at
from ..running.clock import Stopwatch
from ..running.ranks import Ranks


def with_proposals(data: Dataset, recipe: Recipe) -> Dataset:
    """`data` with the boxes that the recipe names, kept under `$STEMMA_CACHE` (default ~/.cache/stemma); `data` itself
    where none are wanted."""
    if not wants(recipe) or isinstance(data, Proposed):
        return data
    return Proposed(data, recipe.proposals, cache())


def fill(data: Dataset, at: Iterable[int] | None = None, show: bool = False, workers: int | None = None) -> None:
    """Compute the boxes of the pictures `at` (None: all) before they are asked for, on all cores, with a bar."""
    if not isinstance(data, Proposed):
        return
    from ..running.progress import counting

    which = None if at is None else list(at)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with counting(data.how.kind, len(data) if which is None else len(which), show) as bar:
        data.fill(which, workers or cores, bar)


def cost(data: Dataset, recipe: Recipe) -> tuple[float, float]:
    """Seconds of a processor and by the clock that the boxes of one picture take, made anew and not read from where
    they are kept: the median over `data`. (0, 0) where a system makes its own, or is handed a file of them."""
    if not wants(recipe) or recipe.proposals.kind == "file" or not len(data):
        return 0.0, 0.0
    base = data.base if isinstance(data, Proposed) else data
    fresh, taken = Proposed(base, recipe.proposals), []
    for i in range(len(base)):
        sample, one = base[i], Stopwatch("cpu")
        fresh.proposals(i, sample)
        one.lap()
        taken.append((one.busy, one.wall))
    return statistics.median(t[0] for t in taken), statistics.median(t[1] for t in taken)


def needed(recipe: Recipe) -> frozenset[str]:
    """What a loader must bring besides the targets."""
    return frozenset({"proposals"}) if wants(recipe) else frozenset()


def given(recipe: Recipe, batch: Batch) -> dict[str, Tensor]:
    """The keyword arguments of `predict` for a batch besides pictures and sizes: `proposals` (B P 4) where the system
    wants them."""
    if not wants(recipe):
        return {}
    assert batch.targets.proposals is not None, "the loader was not asked for proposals"
    return {"proposals": batch.targets.proposals}


def loader(model: nn.Module, data: Dataset, recipe: Recipe, *, batch: int, needs: frozenset[str] = frozenset(),
           workers: int = 0, ranks: Ranks = Ranks()) -> Loader:
    """Every picture once, in order, with the boxes that the model wants, read at the scale that it was trained at; of
    several processes each has its own part."""
    m: Any = model
    whole = with_proposals(read_at(data, None if m.info is None else m.info.white), recipe)
    return Loader(whole, recipe, train=False, batch=batch * ranks.world, mean=m.spec.preprocess.mean,
                  needs=needs | needed(recipe), workers=workers, rank=ranks.rank, world=ranks.world)


__all__ = ["cost", "fill", "given", "loader", "needed", "sourced", "wants", "with_proposals"]
