"""Two looks: propose boxes, then pool features inside each and look again (R-CNN and its family).

Axes: B images, N objects, P proposals, R regions, C classes, K logits, G sets of deltas, D detections.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..core.part import In, Part, part
from ..core.types import Batch, Detections, Losses, StemmaError, Targets
from ..ops import boxes as bx
from ..ops.constants import constant
from ..ops.scalars import normaliser
from ..parts.assign import Assign, ByIoU, Candidates
from ..parts.backbones.tiny import TinyResNet
from ..parts.branches import Branch
from ..parts.coders import Coder, Delta
from ..parts.heads import RPNHead
from ..parts.losses import BoxLoss, ClassLoss, SmoothL1, Softmax
from ..parts.necks import Same
from ..parts.post import PerClassNMS, Post, every_pair
from ..parts.preprocess import Preprocess
from ..parts.region_heads import FCHead, RegionHead, Seen, own
from ..parts.regions import Regions, compact, found, with_truth
from ..parts.sample import Random, Sampler
from ..parts.trunk import Trunk
from .dense import DenseRaw, DenseRule, head_in, look


@dataclass(frozen=True)
class Stage:
    """One look inside regions: `count` of them an image are trained on, which is also the static number of regions.

    `positive`: the most of them that answer for an object; branches look at no more. `box` is divided by the sampled regions, as `cls` is.
    """

    head: Part[RegionHead] = part(FCHead)
    assign: Assign = ByIoU(0.5, 0.5)
    sample: Sampler = Random(512, 0.25)
    cls: ClassLoss = Softmax()
    box: BoxLoss = SmoothL1(1 / 9)
    coder: Coder = Delta((0.1, 0.1, 0.2, 0.2))
    count: int = 512
    positive: float = 0.25
    box_weight: float = 1.0


@dataclass(frozen=True)
class TwoStage:
    """The spec of a two-stage detector. Without `rpn` the proposals come from outside: `Targets.proposals` and `predict(proposals=)`.

    `detach_proposals=False` lets the region losses move the proposals' coordinates too (Faster R-CNN sec. 3.2, the non-approximate joint training).
    """

    preprocess: Preprocess = Preprocess()
    backbone: Part[Trunk] = part(TinyResNet, levels=(2,))
    neck: Part[Trunk] = part(Same)
    rpn_head: Part[nn.Module] = part(RPNHead)
    rpn: DenseRule | None = DenseRule()
    detach_proposals: bool = True
    stages: tuple[Stage, ...] = (Stage(),)
    branches: tuple[Part[Branch], ...] = ()
    post: tuple[Post, ...] = (PerClassNMS(),)

    def build(self, classes: int) -> TwoStageModel:
        return TwoStageModel(self, classes)


@dataclass(frozen=True)
class TwoStageRaw:
    """The levels, and what the proposal network says on them."""

    levels: list[Float[Tensor, "B _ _ _"]]
    rpn: DenseRaw | None


torch.export.register_dataclass(TwoStageRaw)


class TwoStageModel(nn.Module):
    """A two-stage detector: `model(images)`, `model.loss(batch)`, `model.predict(images, sizes)`."""

    def __init__(self, spec: TwoStage, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        self.neck = spec.neck.build(self.backbone.out)
        self.out: In = self.neck.out
        self.rpn_head = None if spec.rpn is None else spec.rpn_head.build(head_in(self.out, spec.rpn, 1))
        told = [In(self.out.channels, self.out.strides, classes, logits=classes + s.cls.extra) for s in spec.stages]
        self.heads = nn.ModuleList(s.head.build(inp) for s, inp in zip(spec.stages, told))
        self.branches = nn.ModuleList(b.build(told[-1]) for b in spec.branches)
        self.sharing = any(b.shares for b in self.branches)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> TwoStageRaw:
        xs = self.neck(self.backbone(self.spec.preprocess(images)))
        if self.rpn_head is None or self.spec.rpn is None:
            return TwoStageRaw(xs, None)
        return TwoStageRaw(xs, look(self.rpn_head, self.spec.rpn, xs, self.out.strides, (images.shape[-2], images.shape[-1])))

    def propose(self, raw: TwoStageRaw, sizes: Tensor, training: bool, given: Tensor | None = None) -> Float[Tensor, "B P 4"]:
        """Proposals, best first, cut to the picture; those that are missing have no area."""
        rule = self.spec.rpn
        if rule is None or raw.rpn is None:
            if given is None:
                raise StemmaError("this system takes its proposals from outside: give `proposals`, boxes in network pixels")
            return bx.clip(given, sizes)
        if self.spec.detach_proposals:
            return rule.propose(raw.rpn, sizes, training).boxes
        dense = raw.rpn
        rank = (dense.logits[..., 0] - dense.logits[..., 1] if rule.cls.extra else dense.logits[..., 0]).detach()
        return rule.proposals(rank, dense.levels, lambda at: rule.decode(dense, at, sizes), training).boxes

    def see(self, i: int, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> tuple[Seen, Tensor | None]:
        """(logits and deltas of stage i, the features it read where a branch shares them)."""
        if self.sharing and i == len(self.heads) - 1:
            head: Any = self.heads[i]
            features: Tensor = head.features(xs, boxes)
            logits, deltas = head.read(features)
            return (logits.float(), deltas.float()), features
        logits, deltas = self.heads[i](xs, boxes)
        return (logits.float(), deltas.float()), None

    @torch.no_grad()
    def match(self, i: int, xs: list[Tensor], boxes: Float[Tensor, "B P 4"], t: Targets) -> tuple[Int[Tensor, "B R"], Regions]:
        """What stage i is trained on: (places among the candidates, -1 for none; the regions), positives first."""
        s = self.spec.stages[i]
        boxes = with_truth(boxes, t)
        state, index = s.assign(Candidates(boxes.detach()), t)
        state = torch.where(bx.area(boxes) > 0, state, -1)
        objects = t.labels if t.boxes.shape[1] else t.labels.new_full((len(boxes), 1), -1)
        labels = torch.where(state == 1, objects.clamp(min=0).gather(1, index), self.classes)
        cost = s.cls(self.see(i, xs, boxes)[0][0], labels) if s.sample.needs_loss else torch.zeros_like(boxes[..., 0])
        used = s.sample(state, cost)
        place = compact(used & (state == 1), used & (state == 0), min(s.count, boxes.shape[1]))
        at, w = place.clamp(min=0), (place >= 0).to(boxes)
        positive = w * (state.gather(1, at) == 1)
        return place, Regions(bx.take(boxes, at), labels.gather(1, at), index.gather(1, at), w, positive)

    def loss(self, batch: Batch) -> Losses:
        t, spec = batch.targets, self.spec
        raw = self(batch.images)
        out: Losses = {} if spec.rpn is None or raw.rpn is None else spec.rpn.loss(raw.rpn, t, 1, batch.sizes, prefix="rpn_")
        boxes, features, r = self.propose(raw, batch.sizes, True, t.proposals), None, None
        for i, s in enumerate(spec.stages):
            place, r = self.match(i, raw.levels, boxes.detach(), t)
            if not spec.detach_proposals:
                r = replace(r, boxes=bx.take(with_truth(boxes, t), place.clamp(min=0)))
            (logits, deltas), features = self.see(i, raw.levels, r.boxes)
            n = normaliser(r.weight.sum())
            delta = own(deltas, r.labels)
            tag = str(i) if len(spec.stages) > 1 else ""
            out[f"cls{tag}"] = (s.cls(logits, r.labels) * r.weight).sum() / n
            out[f"box{tag}"] = s.box_weight * (self.box_cost(s, r, delta, t) * r.positive).sum() / n
            boxes = bx.clip(s.coder.decode(r.boxes, delta).detach(), batch.sizes)  # the next stage starts here
        assert r is not None, "a two-stage detector has at least one stage"
        few = r.first(max(1, int(s.count * s.positive))).filled()
        for branch in self.branches:
            assert isinstance(branch, Branch)
            out |= branch.loss(raw.levels, few, t, None if features is None else features[:, : few.labels.shape[1]])
        return out

    @staticmethod
    def box_cost(s: Stage, r: Regions, delta: Float[Tensor, "B R 4"], t: Targets) -> Float[Tensor, "B R"]:
        if t.boxes.shape[1] == 0:
            return delta.sum(-1) * 0
        truth = bx.take(t.boxes, r.object)
        return s.box(s.coder.decode(r.boxes, delta), truth) if s.box.decoded else s.box(delta, s.coder.encode(r.boxes, truth))

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None, proposals: Tensor | None = None) -> Detections:
        if sizes is None:
            sizes = constant((float(images.shape[-2]), float(images.shape[-1])), images).float().expand(len(images), 2)
        raw = self(images)
        xs, last = raw.levels, len(self.heads) - 1
        boxes, each, scores = self.propose(raw, sizes, False, proposals), torch.empty(0), []

        def by_class(i: int, at: Tensor) -> tuple[Tensor, Tensor]:
            s, ((logits, deltas), _) = self.spec.stages[i], self.see(i, xs, at)
            return s.cls.scores(logits), bx.clip(s.coder.decode(at[:, :, None], deltas), sizes)

        real = bx.area(boxes) > 0
        for i in range(last + 1):
            score, each = by_class(i, boxes)
            scores.append(score)
            boxes = own(each, score.argmax(-1)) if i < last else boxes
        score = (torch.stack(scores).mean(0) if last else scores[0]).masked_fill(~real[..., None], 0.0)  # Cascade R-CNN: the stages are averaged
        d = every_pair(each, score)
        for step in self.spec.post:
            d = step(d, lambda at: by_class(last, at))
        d = found(d) if len(self.branches) else d
        for branch in self.branches:
            assert isinstance(branch, Branch)
            d = branch.predict(xs, d, self.see(last, xs, d.boxes)[1] if branch.shares else None)
        return d
