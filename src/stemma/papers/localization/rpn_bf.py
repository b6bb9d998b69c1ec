"""RPN+BF: the proposal network alone finds people, and boosted trees on finer features of it look again.
arXiv 1607.07032"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Phase, Recipe, Resize
from ...core.types import Targets
from ...parts.backbones.fine import Fine
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGGLevels
from ...parts.dense.anchors import Legacy
from ...parts.dense.assign import Assigned, ByIoU, Candidates
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Random
from ...parts.dense.select import Proposals
from ...parts.regions.boost import Boost
from ...parts.regions.heads import MaxPool
from ...skeletons.forested import Forested
from . import faster_rcnn

PICTURES = 42_782  # training pictures of the authors' log, from which the shares of the phases are counted


@dataclass(frozen=True)
class WholeObjects(ByIoU):
    """Positives that cross the picture's edge are not asked; background may cross it."""

    def __call__(self, c: Candidates, t: Targets) -> Assigned:
        state, index = super().__call__(c, t)
        return torch.where((state == 1) & ~self.within(c), -1, state), index


def spec(preset: str = "paper") -> Forested:
    """VGG-16 and 2,048 trees on people as published; "rpn": its proposal network alone; "small", "rpn-small": for two
    cores, any classes."""
    p = faster_rcnn.spec("small" if preset.endswith("small") else "paper")
    assert p.rpn is not None
    if preset.endswith("small"):
        rpn = replace(p.rpn, score=0.02, nms=0.3, keep=50, proposals=Proposals(600, 150, 600, 200, 0.7, 1e-3))
        net = Forested(
            p.preprocess, part(Fine, of=part(TinyResNet, widths=(24, 64), blocks=2, levels=(0, 1))), p.neck,
            p.rpn_head, rpn, pool=MaxPool(5), least=-4.0, post=(PerClassNMS(0.3, 0.0, 50),),
            boost=Boost((16, 32, 64, 96), 1, 0.125, first=4000, more=2000, most=10_000, above=0.7, hard=-2.0),
        )
    else:
        rpn = replace(
            p.rpn, anchors=Legacy(tuple(2.6 * 1.3**k for k in range(9)), (1 / 0.41,)), assign=WholeObjects(0.5, 0.5),
            sample=Random(120, 1 / 6), score=0.0, nms=0.5, keep=100,
            proposals=Proposals(6000, 40, 12000, 1000, 0.7, 16.0),
        )
        net = Forested(p.preprocess, part(Fine, of=part(VGGLevels)), p.neck, p.rpn_head, rpn, height=75.0,
                       post=(PerClassNMS(0.5, 0.0, 100),))
    return replace(net, boost=None) if preset.startswith("rpn") else net


def recipe(preset: str = "paper") -> Recipe:
    """80,000 steps of one picture at .001, a tenth after three quarters; then eight passes over all pictures for the
    forest's ranges and its seven stages."""
    size = "small" if preset.endswith("small") else "paper"
    r = faster_rcnn.recipe(size)
    if size == "small":
        grown = Phase("forest", 0.35, run="fit", passes=6)  # it takes five, and the sixth's time is for the last trees
        return r if preset.startswith("rpn") else replace(r, phases=(Phase("proposals", 0.65), grown))
    steps, fit = 80_000, 8 * PICTURES
    r = replace(r, batch=1, milestones=(0.75,), length=f"{steps}steps", resize=Resize("shortest", 720, 960, 1),
                augment=Augment(flip=0.0),
                lr_mult=((r"backbone\.of\.features\.[0-7]\.", 0.0), (r"\.bias$", 2.0)))
    if preset == "rpn":
        return r
    return replace(r, length=f"{steps + fit}steps",
                   phases=(Phase("proposals", steps), Phase("forest", fit, run="fit", passes=8)))


PAPER = Paper(
    title="Is Faster R-CNN Doing Well for Pedestrian Detection?",
    authors="Zhang, Lin, Liang, He",
    year=2016,
    arxiv="1607.07032",
    task="detection",
    spec=spec,
    recipe=recipe,
    presets=("paper", "rpn", "small", "rpn-small"),
    summary="On pedestrians the proposal network alone does better than with the second look behind it: on the coarse "
    "map a small person's region collapses to one bin, and easy background teaches nothing. So the second look is no "
    "network here. Regions are pooled from finer maps, one of them with its stride removed, and a forest of shallow "
    "boosted trees is grown on them in stages, each with the negatives that the one before took for people; it begins "
    "from the proposal's score.",
    parents=(
        Parent(faster_rcnn.PAPER, (
            ("stages", "no network looks inside regions"),
            (("()", "boost", "pool", "least"), "a forest of boosted trees does, on what is pooled of finer maps, in "
             "stages of hard negatives and from the proposal's score on"),
            ("backbone", "the fourth stage is had without its stride, dilated, beside the third"),
            ("rpn", "anchors of a person's shape in nine sizes, a sixth of 120 of them positive; they name a class"),
            ("height", "what is lower than 50 pixels of the file is left out"),
            ("post", "overlaps of half are suppressed, and nothing by its score"),
        )),
    ),
    claims=(
        Claim("Caltech reasonable MR-2, RPN alone, about", 0.14, "README of the authors' code: 'around ~14% MR'"),
        Claim("Caltech reasonable MR-2, RPN+BF", 0.0958, "Optimal Proposal Learning (Song et al.), table of Caltech"),
    ),
    facts=(
        Fact("features of a region", 37_632, 1, source="the authors' training log: nFtrs"),
        Fact("trees", 2048, 1, source="the authors' training log: nWeak of the last stage"),
        Fact("pictures of the training", PICTURES, 1, source="the authors' training log"),
        Fact("parameters of the proposal network", 17_102_198, 1, source="layer by layer: VGG-16's convolutions, 512 "
             "channels, nine anchors a cell of two logits and four codes"),
    ),
    notes=(
        "With several classes the network names what it proposes, and each class has a forest that looks at all that "
        "is proposed, from the class's own score on. With one class, as in the paper, nothing changes.",
        "Trees are those of the toolbox that the authors train with, restated on bytes: a split is the stump of least "
        "weighted error on a quarter of the features, drawn node by node; a leaf says half the log odds, 4 at most.",
        "No library's trees fit: LightGBM 4.7 stops with a failed check on weights as uneven as boosting makes them, "
        "and holds the bytes a second time; scikit-learn's histogram trees bin all features anew for each tree that "
        "is asked for. benchmarks/forest.py measures ours beside scikit-learn's.",
        "The range that a feature's 256 steps divide is that of all positives and of 25 other regions a picture, seen "
        "in a pass of its own; the toolbox takes that of all examples of a stage, anew for each stage. In use regions "
        "are compared as bytes, as in training; there floats are, with the thresholds that the bytes stand for.",
        "An object has the score of the candidate that overlaps it most; how the authors' code scores objects is not "
        "in what they released.",
        "The forest looks at the 40 best candidates of a picture; the authors drop candidates by a score that leaves "
        "40 a picture in the mean of the test set.",
        "A step's positives, up to 20, pay as one example each, and background fills up to 120; in the code they weigh "
        "20 together however few they are, beside 100 of background.",
        "50 pixels of Caltech's 480 rows are 75 of 720. Pictures are not mirrored, as in the code. Half of those that "
        "a step of the authors' takes hold a person; ours come as they are. The rate and its fall are Faster R-CNN's.",
        "A score that is given out is 1/2 + H / (2 + 2 |H|), which ranks as H does. 'rpn' is the proposal network as "
        "the final predictor.",
        "Without bootstrapping is one stage: --set boost.stages=2048, --set boost.most=30000 for the first negatives "
        "alone, and --set recipe.phases.1.passes=2.",
        "What the paper's own tables say of the second look by Fast R-CNN's head is not repeated, since we could not "
        "check the digits.",
        "small: the anchors and the net of Faster R-CNN's small preset, 96 stumps in four stages, positives from an "
        "overlap of .7 on, negatives that are hard from H = -2 on, every candidate above H = -4 kept. Deeper trees, or "
        "fewer negatives, learn some hundred pictures by heart and do worse than the proposal's score.",
    ),
)
