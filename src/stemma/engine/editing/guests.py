"""Systems of other wings that answer what an editor is told to mark, without a sentence: a segmenter learns from the
same pictures what stands where, and what it says of the thing that is asked for is its mask."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core import paper as papers
from ...core.types import StemmaError
from ...data.editing.drawn import SHAPES, Edits, is_drawn, open_drawn
from ...data.editing.loading import mask_at
from ...data.editing.marked import Marked
from ...data.editing.pairs import Pair
from ...ops.edits import paint_mask
from .. import wings
from ..comparing.job import Job
from ..running.runs import Run
from . import GUESTS, derive, measure

ASKED = (("mark", 1.0),)  # the kinds of instruction that a guest can answer


def is_guest(paper: str, preset: str) -> bool:
    """Whether a system is another wing's."""
    return papers.get(paper).task_of(preset) in GUESTS


def learned(data: str, split: str) -> Marked:
    """The pictures that a guest learns from: those of the instructions that it is asked. Raises `StemmaError` where it
    is not known what stands where."""
    if not is_drawn(data):
        raise StemmaError(f"{data} does not say what stands where in its pictures, of which a segmenter learns; "
                          "compare it with editors on drawn edits (edits:64)")
    return Marked(open_drawn(data, split, [k for k, _ in ASKED]))


def train(job: Job, folder: Path) -> Run:
    """Train (or finish) a guest as its own wing trains it, and at its preset's size. Raises as that does."""
    held, card = learned(job.data, "val").edits, papers.get(job.paper)
    return wings.train(card, learned(job.data, "train"), job.length, job.preset, folder, job.seed, job.sets, True,
                       val=Marked(Edits(held.size, min(len(held), 4 * measure.BARE), "val", held.seed, held.kinds)),
                       device=job.device, batch=job.batch, workers=job.workers, size="preset",
                       precision=job.precision_of(card.recipe(job.preset).precision), val_every=1 / job.validations,
                       progress=False)


def said(model: Any, pictures: list[np.ndarray], device: str) -> list[np.ndarray]:
    """What stands where in pictures, uint8 (H, W, 3), as labels (H, W): positions in ("ground", *SHAPES)."""
    found = wings.predict(model, pictures, device=device, batch=min(32, len(pictures)))
    return [np.asarray(one["semantic"]) for one in found]


def evaluate(model: Any, data: str, split: str, limit: int | None, size: int, device: str) -> dict[str, Any]:
    """The measures of `measure.measure` that mean something of a mask, at `size` pixels as for the editors beside it;
    and of nothing marked at all ("copy") and of an untrained net ("untrained")."""
    pairs = measure.held_out(data, ASKED, split, limit)
    read = [pairs.pair(i) for i in range(len(pairs))]
    of = lambda maps: measure.means([(p.kind, masked(p, m, size)) for p, m in zip(read, maps, strict=True)])
    edits, count = open_drawn(data, split, [k for k, _ in ASKED]), min(limit or derive.PICTURES, derive.PICTURES)

    def ask(m: Any) -> derive.Ask:
        return lambda pictures: np.stack([[mask_at(found == 1 + t, (size, size)) for t in range(len(SHAPES))]
                                          for found in said(m, pictures, device)])

    own = lambda m: of(said(m, [p.before for p in read], device)) | derive.derived(ask(m), edits, count)
    return {**own(model), "copy": of([np.zeros(p.before.shape[:2], np.int64) for p in read]),
            "untrained": own(measure.untrained(model)), "size": size, "steps": 1, "edits": len(pairs)}


def masked(pair: Pair, found: np.ndarray, size: int) -> dict[str, float | None]:
    """The measures of one answer: labels (H, W) of the whole picture."""
    assert pair.mask is not None and pair.thing is not None
    mask, marked = (mask_at(x, (size, size)) for x in (pair.mask, found == 1 + SHAPES.index(pair.thing)))
    return measure.marked_well(marked, mask)


def painting(model: Any, device: str) -> measure.Made:
    """A guest's masks painted as an editor is asked to paint them."""

    def make(before: torch.Tensor, pairs: list[Pair], index: list[int]) -> torch.Tensor:
        out = []
        for picture, pair, found in zip(before, pairs, said(model, [p.before for p in pairs], device), strict=True):
            assert pair.thing is not None and pair.colour is not None
            mask = mask_at(found == 1 + SHAPES.index(pair.thing), tuple(picture.shape[-2:]))
            out.append(paint_mask(picture, torch.from_numpy(mask).to(picture), pair.colour))
        return torch.stack(out)

    return make


__all__ = ["ASKED", "evaluate", "is_guest", "learned", "masked", "painting", "said", "train"]
