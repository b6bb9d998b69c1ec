"""Detectors that describe a box by several regions (MR-CNN): each region's layers learn apart, then SVMs are fitted to
all features side by side.

Axes: B images, P proposals, R regions of the loss, N boxes of a picture, C classes.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.types import Batch, Detections, Losses, Targets
from ..parts.dense.assign import Assign, ByIoU
from ..parts.dense.coders import Coder
from ..parts.dense.losses import Softmax
from ..parts.dense.post import PerClassNMS, every_pair
from ..parts.dense.sample import Random, Sampler
from ..parts.regions.multi_region import MultiRegionHead, SemanticMaps, mean
from ..parts.regions.regions import Regions, there, with_truth
from ..parts.regions.svm import SVM
from .dense import built
from .fitting import Pictures, fit
from .stages import Stage
from .two_stage import TwoStage, TwoStageModel, TwoStageRaw


@dataclass(frozen=True)
class MultiRegion(TwoStage):
    """`stages[0]` draws what the layers of each region learn from, by a softmax of their own, `moves` what the
    regression learns from; then `svm` is fitted to all features together. `svm` None: one softmax over all features
    trains everything at once. `first` chooses among the proposals of each class before they move; None: all move.
    """

    moves: tuple[Assign, Sampler] = (ByIoU(0.4, 0.4, low=0.4), Random(64, 1.0))  # no background fills the draw up
    svm: SVM | None = SVM()
    first: PerClassNMS | None = None
    chunk: int = 256

    def build(self, classes: int) -> MultiRegionModel:
        return MultiRegionModel(self, classes)


class MultiRegionModel(TwoStageModel):
    """Three losses, each of layers that learn from no other; where some layers sleep, theirs is not computed. `fit` is
    the SVMs' phase."""

    spec: MultiRegion

    def __init__(self, spec: MultiRegion, classes: int) -> None:
        super().__init__(spec, classes)
        self.register_buffer("long", torch.ones(2))  # mean lengths of a box's features, low (unused) and top
        self.long: Tensor

    def loss(self, batch: Batch, raw: TwoStageRaw | None = None) -> Losses:
        t, head, neck, joint = batch.targets, self.head, self.neck, self.spec.svm is None
        out: Losses = {}
        assert isinstance(neck, SemanticMaps)
        raw, stage = raw or self(batch.images), self.stages[0]
        boxes = with_truth(self.propose(raw, batch.sizes, True, t.proposals), t)
        maps, semantic = head.split(raw.levels)
        if self.awake(neck):
            out["semantic"] = neck.loss(semantic[0], t, batch.sizes)
        if self.awake(head.each):
            r = drawn(stage, boxes, t, self.classes)
            seen = head.every(raw.levels if joint else [*maps, *(x.detach() for x in semantic)], r.boxes)
            said = [soft(f) for soft, f in zip(head.soft, seen)] + ([head.classify(torch.cat(seen, -1))] if joint
                                                                    else [])
            out["regions"] = torch.stack([mean(Softmax()(s.float(), r.labels), r) for s in said]).sum()
        if self.awake(head.regress):
            r = drawn(replace(stage, assign=self.spec.moves[0], sample=self.spec.moves[1]), boxes, t, self.classes)
            out["box"] = mean(stage.box_cost(head.moves(raw.levels, r.boxes).float(), r, t) * r.positive,
                              r)
        return out

    def pairs(self, raw: TwoStageRaw, xs: list[list[Tensor]], sizes: Tensor, proposals: Tensor | None) -> Detections:
        """Every region as every class, moved; of the regions that `first` chooses."""
        d, first = super().pairs(raw, xs, sizes, proposals), self.spec.first
        if first is None:
            return d
        still = there(self.propose(raw, sizes, False, proposals))
        return d.take(first.places(every_pair(still[:, :, None], d.scores.unflatten(1, (still.shape[1], -1)))))

    def awake(self, layers: nn.Module) -> bool:
        """Whether the layers learn now; all do where none does, as when a loss is only looked at."""
        return any(p.requires_grad for p in layers.parameters()) or not any(p.requires_grad for p in self.parameters())

    @property
    def head(self) -> MultiRegionHead:
        head = self.heads[0]
        assert isinstance(head, MultiRegionHead)
        return head

    def fit(self, pictures: Pictures, say: Callable[[str], None]) -> None:
        """Sec. 3.2: SVMs as R-CNN's, with hard negatives, on the features of all regions side by side."""
        fit(self, pictures, say)
        self.svm_weight.mul_(self.scales[1])

    # ------------------------------------------------------------ what `fit` asks for

    @property
    def fits(self) -> tuple[SVM | None, None, Coder, int]:
        return self.spec.svm, None, built(self.stages[0].coder), self.spec.chunk

    @property
    def scales(self) -> Tensor:
        return (self.spec.svm or SVM()).length / self.long.clamp(min=1e-6)

    def prepare(self, images: Tensor) -> list[Tensor]:
        raw: TwoStageRaw = self(images)
        return raw.levels

    def features(self, xs: list[Tensor], boxes: Float[Tensor, "N 4"], image: Tensor) -> tuple[Tensor, Tensor]:
        top = torch.cat(self.head.every([x[image[0]][None] for x in xs], boxes[None]), -1)[0].float()
        return top[:, :1], top

    svm_weight = property(lambda self: self.head.classify.weight.data)
    svm_bias = property(lambda self: self.head.classify.bias.data)
    fitted = property(lambda self: self.head.fitted)
    ridge_weight = ridge_mean = svm_weight  # no regression is fitted


def drawn(rule: Stage, boxes: Float[Tensor, "B P 4"], t: Targets, classes: int) -> Regions:
    every = rule.label(boxes, t, classes)
    return every.at(rule.choose(every, None))
