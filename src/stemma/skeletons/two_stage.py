"""Two looks: propose boxes, then pool features inside each and look again (R-CNN and its family).

Axes: B images, N objects, P proposals, R regions, C classes, K logits, G sets of deltas, D detections.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import Count, In, Part, part
from ..core.types import Batch, Detections, Losses, StemmaError, Targets
from ..ops import boxes as bx
from ..ops.constants import constant
from ..parts.backbones.tiny import TinyResNet
from ..parts.dense.coders import ClassDelta
from ..parts.dense.heads import RPNHead
from ..parts.dense.post import PerClassNMS, Post, every_pair
from ..parts.necks import Same
from ..parts.preprocess import Preprocess
from ..parts.regions.branches import Branch
from ..parts.regions.heads import Seen, own
from ..parts.regions.regions import found, kept, there, with_truth
from ..parts.trunk import Trunk
from .dense import DenseRaw, DenseRule, awaken, head_in, look
from .stages import Looked, Stage


@dataclass(frozen=True)
class TwoStage:
    """The spec of a two-stage detector. Without `rpn` the proposals come from outside: `Targets.proposals` and
    `predict(proposals=)`.

    Prediction runs through the stages `rounds` times (Cascade R-CNN fig. 3 b, iterative box regression). Scores are
    averaged over all the looks: of each at its own regions ("own"), or of every head at the regions of the last look
    ("last", Cascade R-CNN sec. 4.1). The proposal network reads the first `rpn_levels` levels; 0: all.
    `detach_proposals=False` lets the region losses move the proposals' coordinates too (Faster R-CNN sec. 3.2, the
    non-approximate joint training).
    """

    preprocess: Preprocess = Preprocess()
    backbone: Part[Trunk] = part(TinyResNet, levels=(2,))
    neck: Part[Trunk] = part(Same)
    rpn_head: Part[nn.Module] = part(RPNHead)
    rpn: DenseRule | None = DenseRule()
    rpn_levels: int = 0
    detach_proposals: bool = True
    stages: tuple[Stage, ...] = (Stage(),)
    rounds: Count = 1
    average: Literal["own", "last"] = "own"
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
        n = spec.rpn_levels or len(self.out.strides)
        proposing = In(self.out.channels[:n], self.out.strides[:n], classes)
        self.rpn_head = None if spec.rpn is None else spec.rpn_head.build(head_in(proposing, spec.rpn, 1))
        told = [In(self.out.channels, self.out.strides, classes, logits=s.logits(classes)) for s in spec.stages]
        pairs = [awaken(s, inp) for s, inp in zip(spec.stages, told)]
        self.stages, self.heads = [s for s, _ in pairs], nn.ModuleList(m.pop("head") for _, m in pairs)
        self.memory = nn.ModuleList(m for _, m in pairs)
        self.branches = nn.ModuleList(b.build(told[-1]) for b in spec.branches)
        self.sharing = any(b.shares for b in self.branches)

    def forward(self, images: Float[Tensor, "B 3 H W"], answer: bool = False) -> TwoStageRaw:
        """`answer`: no loss will read it (`dense.look`)."""
        xs = self.neck(self.backbone(self.spec.preprocess(images)))
        if self.rpn_head is None or self.spec.rpn is None:
            return TwoStageRaw(xs, None)
        few, edge = xs[: self.spec.rpn_levels or len(xs)], (images.shape[-2], images.shape[-1])
        return TwoStageRaw(xs, look(self.rpn_head, self.spec.rpn, few, self.out.strides, edge, answer))

    def propose(self, raw: TwoStageRaw, sizes: Tensor, training: bool,
                given: Tensor | None = None) -> Float[Tensor, "B P 4"]:
        """Proposals, best first, cut to the picture; those that are missing have no area."""
        rule = self.spec.rpn
        if rule is None or raw.rpn is None:
            if given is None:
                raise StemmaError("this system takes its proposals from outside: give `proposals`, boxes in "
                                  "network pixels")
            return bx.clip(given, sizes)
        if self.spec.detach_proposals:
            return rule.propose(raw.rpn, sizes, training).boxes
        dense = raw.rpn
        return rule.proposals(rule.rank(dense).detach(), dense.levels, lambda at: rule.decode(dense, at, sizes),
                              training).boxes

    @torch.no_grad()
    def proposals(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None) -> Detections:
        """What the first stage proposes, best first, labels aside: 0, or -1 where there are fewer than asked for."""
        raw, rule = self(images, True), self.spec.rpn
        if rule is None or raw.rpn is None:
            raise StemmaError("this system makes no proposals of its own")
        return rule.propose(raw.rpn, sizes, False)

    def see(self, i: int, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> tuple[Seen, Tensor | None]:
        """(logits and deltas of stage i, the features it read where a branch shares them);
        `xs` as its head prepared them."""
        head: Any = self.heads[i]
        features = head.features(xs, boxes) if self.sharing and i == len(self.heads) - 1 else None
        logits, deltas = head(xs, boxes) if features is None else head.read(features)
        return (logits.float(), deltas.float()), features

    def prepared(self, xs: list[Tensor]) -> list[list[Tensor]]:
        """The levels as the head of each stage reads them."""
        return [head.prepare(xs) for head in self.heads]  # type: ignore[operator]

    def candidates(self, boxes: Float[Tensor, "B P 4"], t: Targets) -> Float[Tensor, "B P 4"]:
        """The regions that a stage is trained on some of: the objects themselves, and the proposals."""
        return with_truth(boxes, t)

    def look(self, i: int, xs: list[Tensor], boxes: Float[Tensor, "B P 4"], t: Targets) -> Looked:
        """Stage i in training: what it is trained on, and what it says there."""
        s = self.stages[i]
        every = s.label(self.candidates(boxes, t), t, self.classes)
        if s.once:
            (logits, deltas), features = self.see(i, xs, every.boxes)
            place = s.choose(every, s.cost(logits, deltas, every, t))
            at = place.clamp(min=0)
            return Looked(place, every.at(place), bx.take(logits, at), bx.take(deltas, at),
                          None if features is None else bx.take(features, at))
        with torch.no_grad():
            place = s.choose(every, s.cost(*self.see(i, xs, every.boxes)[0], every, t) if s.sample.needs_loss else None)
        r = every.at(place)
        (logits, deltas), features = self.see(i, xs, r.boxes)
        return Looked(place, r, logits, deltas, features)

    def chain(self, raw: TwoStageRaw, batch: Batch) -> Iterator[Looked]:
        """Every stage in training. The regions that one was trained on, moved as it says, are the candidates of the
        next (Cascade R-CNN sec. 4.1); no gradient flows from one to the other,
        and objects that stood in for proposals go no further.
        """
        t, xs = batch.targets, self.prepared(raw.levels)
        boxes = self.propose(raw, batch.sizes, True, t.proposals)
        for i, s in enumerate(self.stages):
            seen = self.look(i, xs[i], boxes, t)
            yield seen
            if i + 1 < len(self.stages):
                with torch.no_grad():
                    r = seen.regions
                    label = torch.where(r.labels < self.classes, r.labels, s.scores(seen.logits).argmax(-1))
                    moved = bx.clip(s.moved(r.boxes, seen.deltas, label), batch.sizes)
                    boxes = kept(moved, (r.weight > 0) & (seen.place >= t.valid.sum(1, keepdim=True)))

    # `raw`, here and below: where the network was run already
    def loss(self, batch: Batch, raw: TwoStageRaw | None = None) -> Losses:
        t, spec = batch.targets, self.spec
        raw = raw or self(batch.images)
        out: Losses = {} if spec.rpn is None or raw.rpn is None else spec.rpn.loss(raw.rpn, t, 1, batch.sizes,
                                                                                   prefix="rpn_")
        for i, (s, seen) in enumerate(zip(self.stages, self.chain(raw, batch))):
            said = s.losses(seen.logits, seen.deltas, seen.regions, t)
            out |= said if len(self.stages) == 1 else {f"{k}{i}": v for k, v in said.items()}
        few = seen.regions.first(max(1, int(s.count * s.positive))).filled()
        for branch in self.branches:
            assert isinstance(branch, Branch)
            out |= branch.loss(raw.levels, few, t,
                               None if seen.features is None else seen.features[:, : few.labels.shape[1]], batch.sizes)
        return out

    def measure_targets(self, pictures: Callable[[], Iterator[Batch]], say: Callable[[str], None]) -> None:
        """What a phase without gradient runs: the first stage's statistics of targets, on the proposals of now."""
        s, coder = self.stages[0], self.stages[0].coder
        assert isinstance(coder, ClassDelta), "stages.0.coder keeps what is measured class by class"
        boxes = ((self.propose(self(b.images), b.sizes, True, b.targets.proposals), b.targets) for b in pictures())
        say(coder.measure(s.answering(self.candidates(p, t), t, self.classes) for p, t in boxes))

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None, proposals: Tensor | None = None,
                raw: Any = None) -> Detections:
        sizes = self.known(images, sizes)
        raw, spec, last = raw or self(images, True), self.spec, len(self.heads) - 1
        xs = self.prepared(raw.levels)
        d = self.pairs(raw, xs, sizes, proposals)
        for post in spec.post:
            d = post(d, lambda at: self.by_class(last, xs[last], at, sizes))
        d = found(d) if len(self.branches) else d
        for branch in self.branches:
            assert isinstance(branch, Branch)
            d = branch.predict(raw.levels, d, self.see(last, xs[last], d.boxes)[1] if branch.shares else None)
        return replace(d, boxes=bx.clip(d.boxes, sizes)) if any(b.moves for b in self.branches) else d

    @staticmethod
    def known(images: Tensor, sizes: Tensor | None) -> Float[Tensor, "B 2"]:
        """`sizes`, or the whole input's."""
        if sizes is not None:
            return sizes
        return constant((float(images.shape[-2]), float(images.shape[-1])), images).float().expand(len(images), 2)

    def by_class(self, i: int, xs: list[Tensor], at: Float[Tensor, "B R 4"], sizes: Tensor) -> tuple[Tensor, Tensor]:
        """(scores "B R C", boxes "B R G 4" cut to the picture) that stage i has for regions."""
        s, ((logits, deltas), _) = self.stages[i], self.see(i, xs, at)
        return s.scores(logits), bx.clip(s.boxes(at, deltas), sizes)

    def pairs(self, raw: TwoStageRaw, xs: list[list[Tensor]], sizes: Tensor, proposals: Tensor | None) -> Detections:
        """Every region as every class, after the last look."""
        spec, boxes = self.spec, there(self.propose(raw, sizes, False, proposals))
        real, each, scores = bx.area(boxes) > 0, torch.empty(0), []
        order = list(range(len(self.heads))) * spec.rounds
        last = order[-1]
        for step, i in enumerate(order, 1):
            score, each = self.by_class(i, xs[i], boxes, sizes)
            scores.append(score)
            boxes = own(each, score.argmax(-1)) if step < len(order) else boxes
        if spec.average == "last" and len(scores) > 1:
            scores = [score, *[self.by_class(i, xs[i], boxes, sizes)[0] for i in range(last)]]
        return every_pair(each, torch.stack(scores).mean(0).masked_fill(~real[..., None], 0.0))
