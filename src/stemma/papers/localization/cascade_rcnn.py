"""Cascade R-CNN: three heads in a row, each trained on the boxes of the one before and stricter about what counts as
found.  arXiv 1712.00726"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.recipe import Recipe
from ...core.types import Batch, Targets
from ...ops import boxes as bx
from ...parts.dense.assign import ByIoU
from ...parts.dense.coders import Delta
from ...parts.dense.losses import SmoothL1
from ...parts.regions.regions import Regions
from ...skeletons.stages import Stage
from ...skeletons.two_stage import TwoStage, TwoStageModel
from . import fpn, mr_cnn

OVERLAPS = (0.5, 0.6, 0.7, 0.75)
STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067), (0.025, 0.025, 0.05, 0.05))
WEIGHTS = (1.0, 0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Integral(Stage):
    """Sec. 4 and fig. 3 c, the integral loss: one classifier an overlap u of U, all on one feature, L_cls = sum over u
    of L_cls(h_u(x), y_u).

    The head says `len(overlaps)` (C + 1) logits, the classifiers one after another. A region answers for an object by
    the lowest u, which also decides what the regressor learns; for each classifier above it is background until it
    overlaps its object by that u. Scores are averaged over the classifiers.
    `average=True` divides the sum by their number.
    """

    overlaps: tuple[float, ...] = OVERLAPS[:3]
    average: bool = False

    def logits(self, classes: int) -> int:
        return len(self.overlaps) * super().logits(classes)

    def each(self, logits: Tensor) -> Float[Tensor, "B R U K"]:
        every: Tensor = logits.unflatten(-1, (len(self.overlaps), -1))
        return every

    def class_cost(self, logits: Tensor, r: Regions, t: Targets) -> Tensor:
        every = self.each(logits)
        if t.boxes.shape[1] == 0:
            labels = r.labels[..., None].expand(every.shape[:3])
        else:
            iou = bx.iou_each(r.boxes.detach(), bx.take(t.boxes, r.object))
            need = iou.new_tensor(self.overlaps)
            labels = torch.where(iou[..., None] >= need, r.labels[..., None], every.shape[-1] - 1)
        cost = self.cls(every, labels)
        return cost.mean(-1) if self.average else cost.sum(-1)

    def scores(self, logits: Tensor) -> Tensor:
        return self.cls.scores(self.each(logits)).mean(2)


def cascade(first: Stage, count: int = 3) -> tuple[Stage, ...]:
    """`count` stages: overlaps, and standard deviations of the deltas that shrink as the boxes get better
    (sec. 4.2)."""
    steps = zip(OVERLAPS[:count], STDS, WEIGHTS)
    return tuple(replace(first, assign=ByIoU(u, u), coder=Delta(std), weight=weight) for u, std, weight in steps)


def spec(preset: str = "paper") -> TwoStage:
    """On FPN with ResNet-50, three stages; "one", "two", "four" of them; "iterative": one head, three rounds;
    "integral": three classifiers; "small": ours."""
    small = preset.endswith("small")
    p = fpn.spec("small" if small else "paper")
    first = replace(p.stages[0], head=p.stages[0].head.but(deltas="agnostic"))
    first = first if small else replace(first, box=SmoothL1(1.0))
    if preset.startswith("iterative"):
        return replace(p, stages=(first,), rounds=3, average="last")
    if preset.startswith("integral"):
        kept = {k: getattr(first, k) for k in ("head", "assign", "sample", "cls", "box", "coder", "count", "positive",
                                               "box_weight")}
        return replace(p, stages=(Integral(**kept),))
    return replace(p, stages=cascade(first, {"one": 1, "two": 2, "four": 4}.get(preset, 3)), average="last")


def recipe(preset: str = "paper") -> Recipe:
    """FPN's, the schedule called 1x; "small": ours, for two cores."""
    return fpn.recipe("small" if preset.endswith("small") else "paper")


@torch.no_grad()
def entering(model: TwoStageModel, batch: Batch, bins: int = 10) -> tuple[Float[Tensor, "T bins"], Float[Tensor, " T"]]:
    """Fig. 4: (histogram over 0..1 of the overlap with their objects of the regions that enter each stage, the share of
    them that is positive)."""
    found, share = [], []
    for seen in model.chain(model(batch.images), batch):
        r = seen.regions
        # proposals alone, not the objects that stand among them
        mine = seen.place >= batch.targets.valid.sum(1, keepdim=True)
        best = bx.iou(batch.targets.boxes, r.boxes).masked_fill(~batch.targets.valid[..., None], 0.0).amax(1)
        row = F.one_hot((best * bins).long().clamp(max=bins - 1), bins)
        found.append((row * mine[..., None]).sum((0, 1)).float())
        share.append((r.positive * mine).sum() / (r.weight * mine).sum().clamp(min=1))
    return torch.stack(found), torch.stack(share)


PAPER = Paper(
    title="Cascade R-CNN: Delving into High Quality Object Detection",
    authors="Cai, Vasconcelos",
    year=2017,
    arxiv="1712.00726",
    task="detection",
    spec=spec,
    recipe=recipe,
    presets=("paper", "one", "two", "four", "iterative", "integral", "small", "iterative-small", "integral-small"),
    summary="A detector trained to call an overlap of .5 a find makes sloppy boxes; one trained on .7 has too few "
    "examples. But a regressor's output is better than its input, so the boxes of a head trained at .5 are enough "
    "examples for one at .6, and its boxes for one at .7. At inference the same chain runs, each head meets boxes of "
    "the quality it was trained on, and the final class score is the mean of all heads'.",
    parents=(
        Parent(
            fpn.PAPER,
            (
                ("stages", "three heads, overlaps of .5, .6 and .7, one box for all classes, each trained on the boxes "
                 "of the one before"),
                ("average", "all heads score the last stage's regions"),
            ),
        ),
        Parent(mr_cnn.PAPER, (("", "'iterative' is its repeated box regression, one head that moves boxes again; here "
                               "each round has a stricter head"),)),
    ),
    claims=(
        Claim("COCO test-dev box AP, R101-FPN", 0.428, "table 5"),
        Claim("the same without the cascade", 0.388, "table 5"),
        Claim("COCO val2017 box AP, R101-FPN", 0.427, "authors' code, README"),
        Claim("the same without the cascade", 0.385, "authors' code, README"),
        Claim("COCO val2017 box AP, R50-FPN", 0.403, "authors' code, README"),
        Claim("the same without the cascade", 0.365, "authors' code, README"),
    ),
    facts=(
        Fact("parameters", 69_341_646, 80,
             source="FPN's, its head three times, with one set of deltas; batch norm frozen"),
        Fact("parameters", 69_394_766, 80, (("backbone.norm", "batch"),), source="the same with batch norm trained"),
    ),
    notes=(
        "Losses of the stages weigh 1, .5 and .25, as in the authors' code and mmdetection; in the paper they weigh "
        "the same (stages.1.weight=1, stages.2.weight=1). The authors' code has the later heads learn two and four "
        "times as fast, which makes up for it; mmdetection and we do not.",
        "The length is mmdetection's 1x; the authors train 280,000 steps of eight pictures from .005, a tenth from "
        "160,000 and 240,000.",
        "Scores: all heads on the third stage's regions, as in the paper and the authors' code; average=own is "
        "mmdetection's and detectron2's, each head on the regions that it was given.",
        "The 512 regions that a stage was trained on, moved, are the candidates of the next, with the objects added "
        "again and 512 sampled again, as in mmdetection; the authors' code takes all that came through. A region below "
        "the overlap is background; its box pays nothing.",
        "A fourth stage asks for .75; its deviations and weight go on as the others do, which the paper does not say.",
        "'iterative' is fig. 3 b (train one head, run it three times), 'integral' fig. 3 c with .5, .6, .7; "
        "stages.0.average=true divides by the classifiers.",
        "Smooth L1 bends at 1, as in mmdetection's and the authors' settings; FPN's here bends at 1/9. `entering` "
        "gives the histograms of fig. 4.",
    ),
)
