"""TridentNet: one picture seen three times by the same filters, dilated by 1, 2 and 3, each look for objects of its own
range of sizes.  arXiv 1901.01892"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.recipe import Recipe, Resize
from ...core.types import Batch, Detections, Losses, StemmaError, Targets
from ...ops import boxes as bx
from ...ops.nms import nms
from ...parts.backbones.trident import part_looks
from ...parts.dense.assign import ByIoU, OwnRange
from ...parts.dense.losses import SmoothL1
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Random
from ...parts.dense.select import Proposals
from ...parts.regions.regions import kept, with_truth
from ...skeletons.two_stage import TwoStage, TwoStageModel, TwoStageRaw
from . import faster_rcnn

ENDLESS = 1e5  # pixels


@dataclass(frozen=True)
class TridentNet(TwoStage):
    """`ranges`: roots of the areas (from, to) that each of `dilations` answers for, in pixels of the file, each `scale`
    of the network's. `stage`: where looks part, after its first block. `fast` predicts with the look of that place
    alone, for all sizes; -1: with all. `append`: objects stand in for proposals. `resample`: smaller maps, not wider
    filters."""

    dilations: tuple[int, ...] = (1, 2, 3)
    ranges: tuple[tuple[float, float], ...] = ((0.0, 90.0), (30.0, 160.0), (90.0, ENDLESS))
    scale: float = 800 / 480
    stage: str = "layer3"
    fast: int = -1
    shared: bool = True
    append: bool = False
    resample: bool = False

    def build(self, classes: int) -> TridentModel:
        return TridentModel(self, classes)


class TridentModel(TwoStageModel):
    """Everything after the parting has a batch of `looks` x B, look after look."""

    spec: TridentNet
    def __init__(self, spec: TridentNet, classes: int) -> None:
        if len(spec.dilations) != len(spec.ranges) or not -1 <= spec.fast < len(spec.dilations):
            raise StemmaError(f"dilations={spec.dilations} need a range each ({len(spec.ranges)} are given), and "
                              f"fast={spec.fast} is the place of one of them, or -1")
        super().__init__(spec, classes)
        part_looks(self.backbone, spec.stage, spec.dilations, spec.fast, spec.shared, lambda: self.looks, spec.resample)

    @property
    def looks(self) -> int:
        return len(self.spec.dilations) if self.training or self.spec.fast < 0 else 1

    def out_of_range(self, boxes: Float[Tensor, "LB N 4"]) -> Tensor:
        """Which boxes are of no size that their look answers for."""
        if self.looks < len(self.spec.ranges):
            return torch.zeros_like(boxes[..., 0], dtype=torch.bool)
        side, each = bx.area(boxes).sqrt() / self.spec.scale, len(boxes) // self.looks
        least, most = torch.tensor(self.spec.ranges, device=boxes.device).T.repeat_interleave(each, 1)[..., None]
        return torch.logical_or(side < least, side > most)

    def folded(self, v: Any) -> Any:  # a tensor of B pictures, once for each look
        return None if v is None else v.repeat(self.looks, *[1] * (v.ndim - 1))

    def candidates(self, boxes: Tensor, t: Targets) -> Tensor:
        return with_truth(boxes, t) if self.spec.append else boxes

    def propose(self, raw: TwoStageRaw, sizes: Tensor, training: bool, given: Tensor | None = None) -> Tensor:
        """In training those of a look's sizes; others are left out before they suppress any (authors' code)."""
        p, dense = self.spec.rpn, raw.rpn
        if training and p is not None and dense is not None:
            out = self.out_of_range(bx.clip(p.coder.decode(dense.references(), dense.codes), sizes))
            rank = dense.logits[..., :1].masked_fill(out[..., None], -torch.inf)
            raw = replace(raw, rpn=replace(dense, logits=torch.cat([rank, dense.logits[..., 1:]], -1)))
        boxes = super().propose(raw, sizes, training, given)
        return kept(boxes, ~self.out_of_range(boxes)) if training else boxes

    def loss(self, batch: Batch, raw: TwoStageRaw | None = None) -> Losses:
        t = batch.targets.map(self.folded)
        crowd = self.out_of_range(t.boxes) | (t.crowd if t.crowd is not None else False)
        many = replace(batch, targets=replace(t, crowd=crowd), sizes=self.folded(batch.sizes))
        return super().loss(many, raw or self(batch.images))

    def merged(self, d: Detections) -> Detections:
        """Sec. 3.3, inference: of each look what is of its sizes, all looks together."""
        d = replace(d, labels=torch.where(self.out_of_range(d.boxes), -1, d.labels))
        return Detections(*(torch.cat(v.chunk(self.looks), 1) for v in (d.boxes, d.scores, d.labels)))

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None, proposals: Tensor | None = None,
                raw: Any = None) -> Detections:
        raw, sizes = raw or self(images), self.folded(self.known(images, sizes))
        d = self.merged(self.pairs(raw, xs := self.prepared(raw.levels), sizes, self.folded(proposals)))
        for post in self.spec.post:
            d = post(d, lambda at: self.by_class(0, xs[0], self.folded(at), sizes))
        return d

    @torch.no_grad()
    def proposals(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None) -> Detections:
        """The first stage's, of all looks, those of their sizes, suppressed together."""
        d, p = self.merged(super().proposals(images, self.folded(self.known(images, sizes)))), self.spec.rpn
        return d if p is None else d.take(nms(d.boxes, d.scores, d.labels, p.proposals.nms, p.proposals.keep))


def spec(preset: str = "paper") -> TridentNet:
    """ResNet-50-C4; "fast": the middle look alone predicts, all learn any size; "small": ours, for two cores."""
    small = preset == "small"
    p = faster_rcnn.spec("c4-small" if small else "c4")
    assert p.rpn is not None and isinstance(p.rpn.assign, ByIoU)
    assign = OwnRange(p.rpn.assign.pos, p.rpn.assign.neg, rescue=True)
    stage = replace(p.stages[0], head=p.stages[0].head.but(deltas="agnostic"))
    same = {k: getattr(p, k) for k in p.__dataclass_fields__}
    if small:  # not in the paper: ranges of scenes, and objects stand in for proposals, which are few at first
        return TridentNet(**same | {"rpn": replace(p.rpn, assign=assign)}, scale=1.0, stage="stages.1", append=True,
                          ranges=((0.0, 26.0), (14.0, 44.0), (26.0, ENDLESS)))
    rpn = replace(p.rpn, assign=replace(assign, inside=True), proposals=Proposals(6000, 300, 12000, 500))
    stage = replace(stage, sample=Random(128, 0.5), box=SmoothL1(1.0), count=128, positive=0.5,
                    head=stage.head.but(pool=replace(stage.head["pool"], size=7), stride=1))
    net = TridentNet(**same | {"rpn": rpn, "stages": (stage,), "post": (PerClassNMS(0.5, 0.001, 100),)})
    return replace(net, fast=1, ranges=((0.0, ENDLESS),) * 3) if preset == "fast" else net


def recipe(preset: str = "paper") -> Recipe:
    """Its parent's, 90,000 steps of 16 pictures at .02, after a rise from nothing over 3,000 (authors' code)."""
    r = faster_rcnn.recipe("small" if preset == "small" else "c4")
    return r if preset == "small" else replace(r, warmup=1 / 30, warmup_factor=0.0, clip_value=5.0,
                                                   resize=Resize("shortest", 800, 1200, 32))


def resized(spec: TridentNet, recipe: Recipe, size: int) -> tuple[TwoStage, Recipe]:
    """As its parent's; a pixel of the file has as many more of the network."""
    net, r = faster_rcnn.resized(spec, recipe, size)
    return replace(net, scale=spec.scale * (size / recipe.resize.size)), r  # type: ignore[call-arg]


PAPER = Paper(
    title="Scale-Aware Trident Networks for Object Detection", authors="Li, Chen, Wang, Zhang", year=2019,
    arxiv="1901.01892", task="detection", spec=spec, recipe=recipe, presets=("paper", "fast", "small"),
    summary="How much of the picture a filter sees decides which sizes it is good for, and dilation decides that "
    "without another weight. So the blocks of one stage look three times, with the same filters one, two and three "
    "cells apart, and each look is trained on objects of its own range of sizes. Nothing is added to the weights.",
    parents=(Parent(faster_rcnn.PAPER, (
        (("()", "dilations", "stage", "shared", "resample"), "all blocks but the first of a stage look three times, "
         "dilated by 1, 2 and 3, with the same weights"),
        (("ranges", "scale"), "each look is trained on objects of its own sizes, and answers for them alone"),
        ("fast", "one look may answer for all"),
        ("append", "objects do not stand in for proposals"),
        ("backbone", "a residual net cut after its fourth stage, as 'c4'"),
        ("post", "boxes may overlap by half as 'c4', whatever scores .001"),
        ("rpn", "fifteen anchors a cell as 'c4'; those on objects of other sizes are not asked; 500 boxes a look"),
        ("stages", "the fifth stage on 7 x 7 bins; 128 regions a look, half of them objects, one box for all"),
    )),),
    claims=(
        Claim("COCO minival box AP, R101", 0.406, "authors' code, README"),
        Claim("the same with the middle look alone", 0.399, "authors' code, README"),
        Claim("the same, Faster R-CNN", 0.376, "authors' code, README"),
        Claim("COCO test-dev box AP, R101", 0.428, "authors' code, README"),
        Claim("COCO val2017 box AP, R50, 1x", 0.377, "mmdetection, configs/tridentnet"),
    ),
    facts=(Fact("parameters", 33_144_160, 80, source="its C4 parent's of one box a region: dilation has no weights"),),
    notes=(
        "Ranges are of the file's pixels; a net knows its own alone, so that both are tied by `scale`, that of a "
        "picture with a short side of 480, as most of COCO's, at 800. Ranges of (0, 1e5) for all make an ensemble.",
        "The paper's results are of ResNet-101: backbone.depth=101. Filters of a look's own: shared=false. One to four "
        "looks: dilations and ranges of as many. Another stage: stage=layer2. Smaller maps in the place of "
        "dilation, as an image pyramid has: resample=true. The code tests on long sides of up to 2,000 pixels.",
        "Objects of other ranges count as crowds: regions that lie in one by more than half are not asked, where the "
        "code lets them answer for it. 'fast' trains without ranges, as the authors' configuration does."),
    size=Size("the short side; anchors are shares of it and go along, and ranges stay those of the file", resized))
