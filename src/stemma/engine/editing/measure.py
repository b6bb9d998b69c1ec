"""How well an editor does what it is told: edits that were made, what else it changed, and what can be read back out of
its pictures (masks, points). Beside it the baselines: the picture as it was, and a net that has learned nothing."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.types import StemmaError
from ...data.editing.drawn import COLOURS, RADIUS
from ...data.editing.loading import At, mask_at
from ...data.editing.open import Tasks, mixed, restricted, spread
from ...data.editing.pairs import Pair, Pairs
from ...metrics import edits as by
from ...ops.edits import read_disc, read_mask, share_of
from ..running import checkpoint
from ..running.clock import Stopwatch
from ..running.devices import pick_device
from ..running.runs import Run

Made = Callable[[torch.Tensor, list[Pair], list[int]], torch.Tensor]
FALSE = 0.25  # share of a colour from which a pixel of something that is not there counts as marked
BARE = 64  # edits on which an untrained net is measured


def scored(pair: Pair, before: np.ndarray, after: np.ndarray, made: np.ndarray) -> dict[str, float | None]:
    """The measures of one edit, all pictures float [3, H, W] in 0..1; None where a measure means nothing of it."""
    size = before.shape[-2:]
    mask = mask_at(pair.mask, size) if pair.mask is not None else None
    out: dict[str, float | None] = {
        "background": by.background_error(before, after, made), "direction": by.direction(before, after, made),
        "right": _number(by.done(before, after, made)),
    }
    if pair.kind == "recolour" and mask is not None and pair.colour is not None:
        out["right"] = _number(by.coloured(made, mask, pair.colour, list(COLOURS.values())))
    elif pair.kind in ("mark", "encircle") and mask is not None and pair.colour is not None:
        if not mask.any():
            area = float((share_of(before, made, pair.colour) >= FALSE).mean())
            return out | {"false_area": area, "right": _number(area <= 0.02)}
        if pair.kind == "mark":
            out["iou"] = by.iou(read_mask(before, made, pair.colour), mask)
            out["right"] = _number((out["iou"] or 0) >= 0.5)
        elif pair.point is not None:
            ratio = size[1] / pair.before.shape[1]
            found = read_disc(before, made, pair.colour, RADIUS * size[0])
            far = np.hypot(found[0] - pair.point[0] * ratio, found[1] - pair.point[1] * ratio) if found else np.inf
            out["found"] = out["right"] = _number(bool(far <= by.FOUND * RADIUS * size[0]))
            out["distance"] = float(far) if found else None
    return out


def _number(said: bool | None) -> float | None:
    return None if said is None else float(said)


def editing(model: nn.Module, **options: Any) -> Made:
    """`model.edit` as what makes pictures; the noise of an edit is that of its number."""
    m: Any = model

    def make(before: torch.Tensor, pairs: list[Pair], index: list[int]) -> torch.Tensor:
        edited: torch.Tensor = m.edit(before, [p.instruction for p in pairs], seed=index, **options)
        return edited

    return make


def copying(before: torch.Tensor, pairs: list[Pair], index: list[int]) -> torch.Tensor:
    """The picture as it was."""
    return before


def _batches(pairs: Pairs, size: int, batch: int) -> Iterator[tuple[list[int], list[Pair], torch.Tensor]]:
    at = At(pairs, size)
    for first in range(0, len(pairs), batch):
        index = list(range(first, min(first + batch, len(pairs))))
        read = [at.truth(i) for i in index]
        yield index, read, torch.from_numpy(np.stack([at.sized(p) for p in read])).float() / 255


def measure(pairs: Pairs, size: int, make: Made, batch: int = 50, device: str = "cpu",
            watch: Stopwatch | None = None) -> dict[str, Any]:
    """Means over edits, in all and by kind ("by_kind"). right: share that was made. background: mean change of what
    should stay. direction: cosine with the change that was asked for. iou, found, distance (pixels of the network),
    false_area: of masks, of points, of what is not there."""
    values: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for index, read, both in _batches(pairs, size, batch):
        if watch is not None:
            watch.start()
        made = make(both[:, 0].to(device), read, index)
        made = made.cpu()
        if watch is not None:
            watch.lap()
        for k, pair in enumerate(read):
            for name, v in scored(pair, both[k, 0].numpy(), both[k, 1].numpy(), made[k].numpy()).items():
                if v is not None:
                    values[name].append(v)
                    kinds[pair.kind][name].append(v)
    mean = lambda of: {k: float(np.mean(v)) for k, v in of.items()}
    return {**mean(values), "edits": len(pairs), "by_kind": {k: mean(v) for k, v in kinds.items()}}


def held_out(data: Any, tasks: Tasks, split: str, limit: int | None) -> Pairs:
    """The edits of a split that a system is asked for, evenly spread where they are too many."""
    pairs = restricted(data, [k for k, _ in tasks], split) if tasks else restricted(data, (), split)
    even = tuple((k, 1.0) for k, _ in tasks)
    return spread(mixed(pairs, even), limit)


def untrained(model: nn.Module) -> Any:
    """The same net before it has learned anything."""
    m: Any = model
    torch.manual_seed(0)
    bare = checkpoint.build(m.paper, m.preset, m.classes, m.sets, m.info)
    return bare.to(next(m.parameters()).device).eval()


def evaluate(
    model: nn.Module | Run | str | Path, data: Any = None, *, split: str = "val", limit: int | None = None,
    which: str = "best", batch: int = 50, device: str = "auto", text_guidance: float | None = None,
    image_guidance: float | None = None, steps: int | None = None, progress: bool = False,
) -> dict[str, Any]:
    """Measure an editor on the edits of `split` of `data`, of the kinds that it is trained on (`measure`), beside the
    picture as it was ("copy") and a net that has learned nothing ("untrained").

    Raises `StemmaError` where no data are named, and as `open_edits` does.
    """
    m: Any = checkpoint.resolve(model, which)
    if data is None:
        raise StemmaError("name the edits to measure on with --data: drawn ones (edits:64), or a folder")
    pairs = held_out(data, m.spec.tasks, split, limit)
    device = pick_device(device)
    m.to(device).eval()
    options = {"text": text_guidance, "image": image_guidance, "steps": steps}
    size, watch = m.recipe.resize.size, Stopwatch(device)
    watch.work = watch.wall = watch.own = 0.0
    found = measure(pairs, size, editing(m, **options), batch, device, watch)
    bare = measure(spread(pairs, BARE), size, editing(untrained(m), **options), batch, device)
    return {
        "paper": m.paper.name, "task": m.paper.task_of(m.preset), "split": split, "fingerprint": pairs.fingerprint,
        "size": size, "steps": steps or m.spec.sampler.steps, "ms": 1000 * watch.seconds / max(len(pairs), 1), **found,
        "copy": measure(pairs, size, copying, batch), "untrained": bare,
    }


__all__ = ["BARE", "copying", "editing", "evaluate", "held_out", "measure", "scored", "untrained"]
