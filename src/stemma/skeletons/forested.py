"""Proposals that a forest of boosted trees looks at again, inside finer features of the same network (RPN+BF).

Axes: B images, P candidates, N regions, C classes, F features of a region.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import In, Part, part
from ..core.types import Batch, Detections, Losses
from ..ops import boxes as bx
from ..ops.nms import nms
from ..parts.backbones.fine import Fine
from ..parts.backbones.tiny import TinyResNet
from ..parts.dense.post import every_pair
from ..parts.dense.select import PerLevel
from ..parts.regions.boost import Boost
from ..parts.regions.forest import Forest
from ..parts.regions.heads import MaxPool, Pool
from .bootstrap import Pictures, bootstrap
from .dense import head_in, look
from .stages import Stage
from .two_stage import TwoStage, TwoStageModel, TwoStageRaw


@dataclass(frozen=True)
class Forested(TwoStage):
    """The spec. `boost` None: the proposal network names classes, and what it says is the answer, `rpn.score`,
    `rpn.nms` and `rpn.keep` being its.

    Candidates are the best `rpn.proposals`, NMS in training alone; those lower than `height` pixels of the network's
    input are left out. Each class has a forest, and what it says of a candidate is half the logit of the candidate's
    score and the sum of its trees; below `least` the candidate is none of the class. Then `post`.
    """

    backbone: Part[Fine] = part(Fine, of=part(TinyResNet, levels=(0, 1)))
    stages: tuple[Stage, ...] = ()
    pool: Pool = MaxPool(7)
    boost: Boost | None = Boost()
    height: float = 0.0
    least: float = -1.0

    def build(self, classes: int) -> ForestedModel:  # type: ignore[override]
        return ForestedModel(self, classes)


class ForestedModel(nn.Module):
    """`model.loss(batch)` trains the proposal network, `model.fit(pictures, say)` the forest,
    `model.predict(images, sizes)` answers."""

    def __init__(self, spec: Forested, classes: int) -> None:
        super().__init__()
        assert spec.rpn is not None and not spec.stages, "proposals of its own, and no second look but the forest's"
        self.spec, self.classes, self.rule = spec, classes, spec.rpn
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        self.out: In = self.backbone.out
        b = spec.boost
        self.kinds = classes if b is None else 1  # what the proposal network tells apart
        self.rpn_head = spec.rpn_head.build(head_in(In(self.out.channels[-1:], self.out.strides[-1:], classes),
                                                    spec.rpn, self.kinds))
        self.forest = None if b is None else Forest(classes, self.backbone.channels * spec.pool.size**2,
                                                    max(b.stages, default=0), b.depth)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> TwoStageRaw:
        xs = self.backbone(self.spec.preprocess(images))
        return TwoStageRaw(xs[:1], look(self.rpn_head, self.rule, xs[1:], self.out.strides[1:],
                                        (images.shape[-2], images.shape[-1])))

    def loss(self, batch: Batch, raw: TwoStageRaw | None = None) -> Losses:
        raw = raw or self(batch.images)
        assert raw.rpn is not None
        return self.rule.loss(raw.rpn, batch.targets, self.kinds, batch.sizes, prefix="rpn_")

    # ------------------------------------------------------------ what is looked at

    def named(self, raw: TwoStageRaw, sizes: Tensor, pre: int, keep: int, iou: float) -> Detections:
        """The proposal network's own answer: the `pre` best boxes, those too small left out, NMS within a class (none
        where `iou` is 1), the best `keep`."""
        assert raw.rpn is not None
        scores, label, at = PerLevel(pre)(raw.rpn.logits, self.rule.cls, raw.rpn.levels)  # type: ignore[arg-type]
        boxes = self.rule.decode(raw.rpn, at, sizes)
        side = boxes[..., 2:] - boxes[..., :2]
        big = (side >= self.rule.proposals.min_side).all(-1) & (side[..., 1] >= self.spec.height)
        label = torch.where(big, label, -1)
        return Detections(boxes, scores, label).take(nms(boxes, scores, label, iou, keep))

    def candidates(self, raw: TwoStageRaw, sizes: Tensor, training: bool) -> Detections:
        """What the forest is asked about: padded, best first."""
        p = self.rule.proposals
        return self.named(raw, sizes, p.pre_train if training else p.pre, p.keep_train if training else p.keep,
                          p.nms if training else 1.0)

    @torch.no_grad()
    def proposals(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None) -> Detections:
        """The candidates, as those of training pictures are chosen, without classes."""
        d = self.candidates(self(images), TwoStageModel.known(images, sizes), True)
        return replace(d, labels=d.labels.clamp(max=0))

    def features(self, raw: TwoStageRaw, boxes: Float[Tensor, "B P 4"]) -> Float[Tensor, "B P F"]:
        """What is pooled of regions, level by level, from maps as fine as the first."""
        maps = self.backbone.fine(raw.levels[0])
        return torch.cat([self.spec.pool([x], self.out.strides[:1], boxes).flatten(2) for x in maps], -1).float()

    @staticmethod
    def before(scores: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """With what the trees begin: half the logit of the proposal's score (sec. 3.2)."""
        return 0.5 * torch.logit(scores.float(), eps=1e-7)

    # ------------------------------------------------------------ the answer

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None) -> Detections:
        """A region of which H is said has the score 1/2 + H / (2 + 2 |H|): as H, without an end that many trees would
        all reach."""
        sizes, raw = TwoStageModel.known(images, sizes), self(images)
        if self.forest is None:
            d = self.named(raw, sizes, self.rule.proposals.pre, self.rule.keep, self.rule.nms)
            keep = (d.labels >= 0) & (d.scores > self.rule.score)
            return replace(d, labels=torch.where(keep, d.labels, -1), scores=torch.where(keep, d.scores, 0.0))
        d = self.candidates(raw, sizes, False)
        x = self.forest.bytes(self.features(raw, d.boxes)).flatten(0, 1)
        said = self.before(d.scores)[..., None] + self.forest(x).unflatten(0, d.scores.shape)
        kept = (said > self.spec.least) & (d.labels >= 0)[..., None]
        d = every_pair(d.boxes[:, :, None], torch.where(kept, 0.5 + 0.5 * said / (1 + said.abs()), 0.0))
        d = replace(d, labels=torch.where(kept.flatten(1), d.labels, -1))
        for post in self.spec.post:
            d = post(d, self.again)
        return d

    def again(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("steps that look again are for region heads")

    def fit(self, pictures: Pictures, say: Callable[[str], None]) -> None:
        """What the phase without gradient runs: the stages of the forest."""
        if self.forest is not None:
            bootstrap(self, pictures, say)
