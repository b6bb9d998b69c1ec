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
from ..parts.regions.boost import Boost
from ..parts.regions.forest import Forest
from ..parts.regions.heads import MaxPool, Pool
from .bootstrap import Pictures, bootstrap
from .dense import built, head_in, look
from .stages import Stage
from .two_stage import TwoStage, TwoStageModel, TwoStageRaw


@dataclass(frozen=True)
class Forested(TwoStage):
    """The spec. The proposal network names classes, one or several; `boost` None: what it says is the answer,
    `rpn.score`, `rpn.nms` and `rpn.keep` being its.

    Candidates are the best `rpn.proposals` by their likeliest class, NMS in training alone; those lower than `height`
    pixels of the network's input are left out. Each class has a forest, and what it says of a candidate is half the
    logit of its score for the class and the sum of the trees; below `least` it is none of the class. Then `post`.
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
        self.rpn_head = spec.rpn_head.build(head_in(In(self.out.channels[-1:], self.out.strides[-1:], classes),
                                                    spec.rpn, classes))
        b = spec.boost
        self.forest = None if b is None else Forest(classes, self.backbone.channels * spec.pool.size**2,
                                                    max(b.stages, default=0), b.depth)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> TwoStageRaw:
        xs = self.backbone(self.spec.preprocess(images))
        return TwoStageRaw(xs[:1], look(self.rpn_head, self.rule, xs[1:], self.out.strides[1:],
                                        (images.shape[-2], images.shape[-1])))

    def loss(self, batch: Batch, raw: TwoStageRaw | None = None) -> Losses:
        raw = raw or self(batch.images)
        assert raw.rpn is not None
        return self.rule.loss(raw.rpn, batch.targets, self.classes, batch.sizes, prefix="rpn_")

    # ------------------------------------------------------------ what is looked at

    def candidates(self, raw: TwoStageRaw, sizes: Tensor, training: bool) -> Detections:
        """What the forest is asked about: padded, best first, label 0; `distribution` holds each class's score."""
        assert raw.rpn is not None
        p, scores = self.rule.proposals, built(self.rule.cls).scores(raw.rpn.logits)
        pre, keep, iou = (p.pre_train, p.keep_train, p.nms) if training else (p.pre, p.keep, 1.0)
        best, at = scores.amax(2).topk(min(pre, scores.shape[1]), dim=1)
        boxes = self.rule.decode(raw.rpn, at, sizes)
        side = boxes[..., 2:] - boxes[..., :2]
        label = (side >= p.min_side).all(-1).long() * (side[..., 1] >= self.spec.height) - 1
        d = Detections(boxes, best, label, distribution=bx.take(scores, at))
        return d.take(nms(boxes, best, label, iou, keep))

    @torch.no_grad()
    def proposals(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None) -> Detections:
        """The candidates, as those of training pictures are chosen."""
        return replace(self.candidates(self(images), TwoStageModel.known(images, sizes), True), distribution=None)

    def features(self, raw: TwoStageRaw, boxes: Float[Tensor, "B P 4"]) -> Float[Tensor, "B P F"]:
        """What is pooled of regions from maps as fine as the first level, channel by channel."""
        maps = torch.cat(self.backbone.fine(raw.levels[0]), 1)
        return self.spec.pool([maps], self.out.strides[:1], boxes).flatten(2).float()

    @staticmethod
    def before(scores: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """With what the trees begin: half the logit of the proposal network's score (sec. 3.2)."""
        return 0.5 * torch.logit(scores.float(), eps=1e-7)

    # ------------------------------------------------------------ the answer

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None) -> Detections:
        """A region of which H is said has the score 1/2 + H / (2 + 2 |H|): as H, without an end that many trees would
        all reach."""
        sizes, raw = TwoStageModel.known(images, sizes), self(images)
        if self.forest is None:
            assert raw.rpn is not None
            return self.rule.predict(raw.rpn, sizes)
        d = self.candidates(raw, sizes, False)
        assert d.distribution is not None
        x = self.forest.bytes(self.features(raw, d.boxes)).flatten(0, 1)
        said = self.before(d.distribution) + self.forest(x).view_as(d.distribution)
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
