"""MR-CNN: ten regions around each proposal and features that know where classes lie; boxes are looked at again, and vote.  arXiv 1505.01749"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Phase, ProposalSource, Recipe, Resize
from ...core.types import Batch, Losses, Targets
from ...parts.assign import Assign, ByIoU
from ...parts.backbones.pyramid import Scales
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGG16
from ...parts.coders import Delta
from ...parts.losses import L2, Sigmoid, Softmax
from ...parts.multi_region import MultiRegionHead, SemanticMaps, hinge, mean
from ...parts.post import Again, Voting
from ...parts.region_heads import own
from ...parts.regions import Regions, with_truth
from ...parts.sample import Random, Sampler
from ...skeletons.stages import Stage
from ...skeletons.two_stage import TwoStage, TwoStageModel, TwoStageRaw
from . import fcn

SCALES, SEMANTIC = (480, 576, 688, 874, 1200), (576, 874, 1200)


@dataclass(frozen=True)
class MultiRegion(TwoStage):
    """`stages[0]` classifies all features together and draws what its SVMs learn from; `modules` draws for the layers of each region, which learn by a
    softmax of their own, `moves` for the regression. `joint`: one softmax over all features trains everything.
    """

    modules: tuple[Assign, Sampler] = (ByIoU(0.5, 0.5, low=0.1), Random(64, 0.25))
    moves: tuple[Assign, Sampler] = (ByIoU(0.4, 0.4), Random(64, 1.0))
    joint: bool = False

    def build(self, classes: int) -> MultiRegionModel:
        return MultiRegionModel(self, classes)


class MultiRegionModel(TwoStageModel):
    """Four losses, each of layers that learn from no other; where some layers sleep, theirs is not computed."""

    spec: MultiRegion

    def loss(self, batch: Batch, raw: TwoStageRaw | None = None) -> Losses:
        t, head, neck, joint = batch.targets, self.heads[0], self.neck, self.spec.joint
        assert isinstance(head, MultiRegionHead) and isinstance(neck, SemanticMaps)
        raw, stage = raw or self(batch.images), self.spec.stages[0]
        out: Losses = {}
        boxes = with_truth(self.propose(raw, batch.sizes, True, t.proposals), t)
        maps, semantic = head.split(raw.levels)
        if self.awake(neck):
            out["semantic"] = neck.loss(semantic[0], t, batch.sizes)
        xs = raw.levels if joint else [*maps, *(x.detach() for x in semantic)]
        if self.awake(head.each):
            r = self.drawn(self.spec.modules, boxes, t)
            seen = head.every(xs, r.boxes)
            said = [soft(f) for soft, f in zip(head.soft, seen)] + ([head.classify(torch.cat(seen, -1))] if joint else [])
            out["modules"] = torch.stack([mean(stage.class_cost(s.float(), r, t) if joint else Softmax()(s.float(), r.labels), r) for s in said]).sum()
        if self.awake(head.regress):
            r = self.drawn(self.spec.moves, boxes, t)
            out["box"] = stage.box_weight * mean(stage.box_cost(own(head.moves(raw.levels, r.boxes).float(), r.labels), r, t) * r.positive, r)
        if self.awake(head.classify) and not joint:
            r = self.drawn((stage.assign, stage.sample), boxes, t)
            with torch.no_grad():
                features = torch.cat(head.every(xs, r.boxes), -1)
            out["svm"] = mean(hinge(head.classify(features).float(), r, t), r)
        return out

    def awake(self, layers: nn.Module) -> bool:
        """Whether the layers learn now; all do where none does, as when a loss is only looked at."""
        return any(p.requires_grad for p in layers.parameters()) or not any(p.requires_grad for p in self.parameters())

    def drawn(self, by: tuple[Assign, Sampler], boxes: Float[Tensor, "B P 4"], t: Targets) -> Regions:
        rule = replace(self.spec.stages[0], assign=by[0], sample=by[1])
        every = rule.label(boxes, t, self.classes)
        return every.at(rule.choose(every, None))


def spec(preset: str = "paper") -> MultiRegion:
    """VGG-16 on VOC as published; "joint": one softmax, everything trained together (ours); "small": ours, for two cores."""
    stage = Stage(
        head=part(MultiRegionHead, sizes=SCALES, semantic_sizes=SEMANTIC), assign=ByIoU(0.999, 0.999), sample=Random(64, 0.5), cls=Sigmoid(), box=L2(),
        coder=Delta(), count=64,
    )
    net = MultiRegion(
        backbone=part(Scales, body=part(VGG16, ceil=True), sizes=SCALES), neck=part(SemanticMaps, of=SCALES, sizes=SEMANTIC), rpn=None, stages=(stage,),
        post=(Again(score=0.0759), Voting(0.3, 0.018, 100)),
    )
    if preset == "small":  # not in the paper: a small net with batch norm, one level of stride 8
        head = part(MultiRegionHead, bins=4, width=64, dropout=0.0, semantic_bins=4, semantic_width=64)
        stage = replace(stage, head=head, sample=Random(24, 0.5), coder=Delta((0.1, 0.1, 0.2, 0.2)), count=24)
        return replace(
            net, backbone=part(TinyResNet, widths=(24, 64), blocks=2, levels=(1,)), neck=part(SemanticMaps, fc=64, width=32, kernel=3, dropout=0.0, norm=True),
            stages=(stage,), modules=(ByIoU(0.5, 0.5, low=0.1), Random(24, 0.33)), moves=(ByIoU(0.4, 0.4), Random(16, 1.0)),
            post=(Again(score=0.02, keep=100), Voting(0.3, 0.02, 50)),
        )
    if preset == "joint":
        return replace(net, joint=True, stages=(replace(stage, cls=Softmax()),), post=(Again(score=0.05), Voting(0.3, 0.05, 100, by="score")))
    return net


def recipe(preset: str = "paper") -> Recipe:
    """The authors' solvers one after the other: maps 250,000 steps, regions 160,000, regression 180,000, SVMs; "small": ours, for two cores."""
    maps, regions, moves, svm = r"^neck\.", r"heads\.0\.(each|soft)\.", r"heads\.0\.(regress|deltas)\.", r"heads\.0\.classify\."
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s", schedule="linear", milestones=(0.7,),
            warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 32), augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
            proposals=ProposalSource("selective-search", 300, width=0, least=6, sigma=0.5, scales=(20, 60), colours=("lab",), likeness=("ctsf",)),
            phases=(Phase("maps and regions", 0.65, rf"^backbone|{maps}|{regions}"), Phase("regression", 0.2, moves), Phase("SVMs", 0.15, svm)),
        )
    phases = (Phase("maps", 0.4, maps), Phase("regions", 0.26, regions), Phase("regression", 0.29, moves), Phase("SVMs", 0.05, svm))
    return Recipe(
        lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=2, length="620000steps", milestones=(0.5,), warmup=0.0,
        lr_mult=((r"^backbone\.", 0.0), (moves, 10.0), (r"heads\.0\.each\.10\.", 0.01), (r"\.bias$", 2.0)), resize=Resize("shortest", 1200, 2000, 1, SCALES),
        proposals=ProposalSource("selective-search"), phases=() if preset == "joint" else phases,
    )


PAPER = Paper(
    title="Object detection via a multi-region and semantic segmentation-aware CNN model",
    authors="Gidaris, Komodakis",
    year=2015,
    arxiv="1505.01749",
    task="detection",
    spec=spec,
    recipe=recipe,
    presets=("paper", "joint", "small"),
    summary="A box that holds an object and a bit more scores nearly as well as the right one, so scores alone place boxes badly. Here a box is described by "
    "ten regions, among them its halves, its middle, its rim and its surroundings, each with layers of its own, and by maps that learned, from boxes "
    "alone, which class covers what. A regression moves the boxes, they are scored again where they went, and the overlapping ones vote on the place.",
    parents=(Parent(fcn.PAPER, (("", "its classifier made convolutional gives the maps, learned from filled boxes; a detector pools them in regions"),)),),
    claims=(
        Claim("VOC 2007 test mAP, trained on 07+12", 0.782, "abstract"), Claim("VOC 2012 test mAP, trained on 07+12", 0.739, "abstract"),
        Claim("VOC 2007 test mAP, trained on 07", 0.749, "table 3"),
    ),
    facts=(
        Fact("features of a box", 43_008, 20, source="ten times 4,096 and 2,048: the authors' MRCNN_Semantic_Features_model_svm"),
        Fact("parameters of the recognition", 1_281_255_444, 20, source="sum over the layers of the same file, convolutions apart"),
        Fact("parameters of the regression", 119_873_616, 20, source="sum over the layers of the authors' VGG16_Region_Adaptation_BBox_Regression_Module"),
    ),
    notes=(
        "A region is pooled to 7 x 7 maxima; stages.0.head.bins=1 is one maximum a filter.",
        "Votes weigh the SVM's score plus 1.5 where that is positive, as in the code; the paper weighs by scores: post.1.by=score.",
        "A score is the sigmoid of an SVM's margin: ranks are those of the margins, and -2.5, the first threshold, is .0759.",
        "The code prunes the proposals before it moves them, we after: of the boxes of a class that overlap by .95 the best stays, 100 a class.",
        "A hole ends with the last cell of the inner rectangle; the code leaves that cell in, so there the rim of an object is seen by both neighbours.",
        "The paper does not say how the maps' loss counts classes whose boxes overlap: here each class is a binary question at each cell.",
        "Regions are trained side by side, which is the same as one by one, since the convolutions below are fixed and nothing else is shared.",
        "Pictures are drawn two a step and regions from these; the code draws 128 regions from everywhere. One rate schedule runs over all phases.",
    ),
)
