"""Settings that a paper computes from its training data (YOLOv2's anchors, Fast R-CNN's targets): found once when a run
begins, and then part of the run."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core.paper import Paper
from ...core.recipe import Recipe
from ...core.types import Batch, Dataset
from ...data.loader import Loader
from ...data.subset import spread
from ..running.runs import Run
from . import outside

PICTURES = 4000  # at most so many are looked at, evenly spread
BATCHES = 200  # and of those whose proposals are wanted


def measured(card: Paper, spec: Any, recipe: Recipe, data: Dataset, sets: dict[str, Any] | None,
             run: Path | None = None) -> dict[str, Any]:
    """Settings by path for `spec` on `data`, those in `sets` left to the user; {} for most papers.

    Where `run` is a folder that holds a run, its own are handed back: data are not measured twice. Raises `StemmaError`
    where the data do not tell.
    """
    if card.measure is None and card.statistics is None:
        return {}
    if run is not None and (run / "run.json").is_file():
        kept: dict[str, Any] = Run.open(run).record.get("measured", {})
        return kept
    found = {} if card.measure is None else card.measure(spec, network_boxes(data, recipe))
    if card.statistics is not None:
        found = found | card.statistics(spec, drawn(spec, data, recipe))
    return {k: v for k, v in found.items() if k not in (sets or {})}


def network_boxes(data: Dataset, recipe: Recipe) -> np.ndarray:
    """The boxes (N, 4) of the objects that pay a loss, in pixels of the network's input at its usual size."""
    from ...data.transforms import network_size

    found = [np.zeros((0, 4))]
    step = max(len(data) / PICTURES, 1.0)
    for i in dict.fromkeys(int(k * step) for k in range(min(len(data), PICTURES))):
        s = data.truth(i)
        h, w = network_size(s.size, recipe.resize)
        y, x = h / s.size[0], w / s.size[1]
        found.append(s.boxes[~s.crowd].astype(np.float64) * [x, y, x, y])
    return np.concatenate(found)


def drawn(spec: Any, data: Dataset, recipe: Recipe) -> Iterator[Batch]:
    """An epoch of `BATCHES` batches at most, as training draws them, over pictures evenly spread, with the boxes that
    come from outside. Nothing is made before the first is asked for."""
    part = outside.with_proposals(spread(data, BATCHES * recipe.batch), recipe)
    outside.fill(part)
    yield from Loader(part, recipe, train=True, batch=recipe.batch, mean=spec.preprocess.mean,
                      needs=outside.needed(recipe)).epoch(0)


__all__ = ["drawn", "measured", "network_boxes"]
