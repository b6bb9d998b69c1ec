"""SVMs and regressions of boxes, fitted to a network's features of training pictures (R-CNN sec. 2.3, appendices B and
C).

Axes: B images, N objects, P proposals, C classes, D features of the view, E of the last layer.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..core.types import Batch
from ..ops import boxes as bx
from ..parts.dense.assign import crowded
from ..parts.dense.coders import Coder
from ..parts.regions.regions import with_truth
from ..parts.regions.ridge import Ridge, fit_class
from ..parts.regions.svm import SVM, Miner

Pictures = Callable[[], Iterator[Batch]]
MEASURED = 200  # proposals of a picture whose features' length is measured, as in the authors' code


class Fits(Protocol):
    """What is fitted: the model's features, and the buffers that hold the result."""

    classes: int
    long: Tensor
    svm_weight: Tensor
    svm_bias: Tensor
    ridge_weight: Tensor
    ridge_mean: Tensor
    fitted: Tensor

    @property
    def scales(self) -> Tensor: ...
    @property
    def fits(self) -> tuple[SVM | None, Ridge | None, Coder, int]: ...
    def prepare(self, images: Tensor) -> list[Tensor]: ...
    def features(self, xs: list[Tensor], boxes: Tensor, image: Tensor) -> tuple[Tensor, Tensor]: ...


@torch.no_grad()
def fit(model: Fits, pictures: Pictures, say: Callable[[str], None]) -> None:
    """Two passes: the objects' features and the mean lengths of features;
    then hard negatives, and pairs for the regressions.

    Every picture is mined by itself, in order, so the result does not depend on the batch.
    """
    svm, ridge, coder, _ = model.fits
    truth = _first(model, pictures)
    miner = Miner(model.classes, model.svm_weight.shape[1], svm or SVM(), model.long.device)
    if svm is not None and svm.examples == "truth":
        for top, labels in truth:
            miner.add(model.scales[1] * top, labels)
    pairs: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(model.classes)]
    for batch in pictures():
        t, xs = batch.targets, model.prepare(batch.images)
        boxes = with_truth(_clipped(batch), t)
        iou = bx.iou(boxes, t.boxes).masked_fill(~t.valid[:, None], 0.0)
        asked = (bx.area(boxes) > 0) & ~crowded(boxes, t)
        for i in range(len(boxes)):
            at = asked[i].nonzero()[:, 0]
            low, top = (k * v for k, v in zip(model.scales, _every(model, xs, boxes[i, at], i), strict=True))
            over, which = iou[i, at].max(1) if iou.shape[2] else (iou.new_zeros(len(at)), at)
            if svm is not None:
                if svm.examples == "proposals" and iou.shape[2]:
                    miner.add(top, torch.where(over >= svm.above, t.labels[i][which], -1))
                miner.mine(top, overlap_by_class(iou[i, at], t.labels[i], model.classes), boxes[i, at])
            near = (over > ridge.above).nonzero()[:, 0] if ridge is not None else at[:0]
            objects = which[near]
            deltas = coder.encode(boxes[i, at[near]], t.boxes[i, objects])
            for c in t.labels[i, objects].unique().tolist():
                mine = t.labels[i, objects] == c
                pairs[c].append((low[near][mine], deltas[mine]))
    if svm is not None:
        weight, bias = miner.finish()
        model.svm_weight.copy_(weight)
        model.svm_bias.copy_(bias)
        say("SVMs: {:,} positives, {:,} hard negatives kept, {:,} fits".format(*miner.counts, miner.fits))
    if ridge is not None:
        for c, rows in enumerate(pairs):
            if rows:
                weight, mean = fit_class(torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows]), ridge)
                model.ridge_weight[c], model.ridge_mean[c] = weight, mean
        say(f"boxes: {sum(len(y) for rows in pairs for _, y in rows):,} pairs")
    model.fitted.fill_(1.0)


def _first(model: Fits, pictures: Pictures) -> list[tuple[Tensor, Tensor]]:
    """(top, label) of the objects, picture by picture; sets the mean lengths of features."""
    found, total, count = [], torch.zeros(2, dtype=torch.float64, device=model.long.device), 0
    for batch in pictures():
        t, xs, boxes = batch.targets, model.prepare(batch.images), _clipped(batch)
        for i in range(len(boxes)):
            mine = t.valid[i].nonzero()[:, 0]
            some = boxes[i][bx.area(boxes[i]) > 0][:MEASURED]
            low, top = _every(model, xs, torch.cat([t.boxes[i, mine], some]), i)
            found.append((top[: len(mine)], t.labels[i, mine]))
            total += torch.stack([v[len(mine) :].double().norm(dim=1).sum() for v in (low, top)])
            count += len(some)
    model.long.copy_(total / max(count, 1))
    return found


def _clipped(batch: Batch) -> Float[Tensor, "B P 4"]:
    assert batch.targets.proposals is not None, "a batch without proposals"
    return bx.clip(batch.targets.proposals, batch.sizes)


def _every(model: Fits, xs: list[Tensor], boxes: Float[Tensor, "N 4"], image: int) -> tuple[Tensor, Tensor]:
    """Features of regions of one picture, in chunks."""
    chunk = model.fits[3]
    said = [model.features(xs, part, torch.full((len(part),), image, device=part.device))
            for part in boxes.split(chunk)]
    return torch.cat([low for low, _ in said]), torch.cat([top for _, top in said])


def overlap_by_class(iou: Float[Tensor, "P N"], labels: Int[Tensor, " N"], classes: int) -> Float[Tensor, "P C"]:
    """Each region's highest IoU with an object of each class; 0 where there is none."""
    at = torch.where(labels < 0, classes, labels).expand(len(iou), -1)
    return iou.new_zeros(len(iou), classes + 1).scatter_reduce(1, at, iou, "amax")[:, :classes]
