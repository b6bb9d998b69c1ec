"""MR-CNN: ten regions around each proposal and features that know where classes lie; boxes are looked at again, and
vote.  arXiv 1505.01749"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Phase, Recipe, Resize
from ...parts.backbones.pyramid import Scales
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGG16
from ...parts.dense.assign import ByIoU
from ...parts.dense.coders import Delta
from ...parts.dense.losses import L2, Sigmoid, Softmax
from ...parts.dense.post import Again, PerClassNMS, Voting
from ...parts.dense.sample import Random
from ...parts.regions.multi_region import MultiRegionHead, SemanticMaps
from ...skeletons.multi_region import MultiRegion
from ...skeletons.stages import Stage
from . import fcn, r_cnn, spp_net

SCALES, SEMANTIC = (480, 576, 688, 874, 1200), (576, 874, 1200)


def spec(preset: str = "paper") -> MultiRegion:
    """VGG-16 on VOC as published; "joint": one softmax, everything trained together (ours);
    "small": ours, for two cores."""
    stage = Stage(
        head=part(MultiRegionHead, sizes=SCALES, semantic_sizes=SEMANTIC), assign=ByIoU(0.5, 0.5, low=0.1),
        sample=Random(64, 0.25), cls=Sigmoid(), box=L2(), coder=Delta(), count=64,
    )
    p = r_cnn.detector("small" if preset == "small" else "paper")
    net = MultiRegion(
        preprocess=p.preprocess, backbone=part(Scales, body=part(VGG16, ceil=True), sizes=SCALES),
        neck=part(SemanticMaps, of=SCALES, sizes=SEMANTIC),
        rpn=None, stages=(stage,), svm=p.svm, first=PerClassNMS(0.95, 0.0759, 2000),
        post=(Again(score=0.0, iou=1.0), Voting(0.3, 0.018, 100)),
    )
    if preset == "small":  # not in the paper: a small net with batch norm, one level of stride 8
        head = part(MultiRegionHead, bins=4, width=64, dropout=0.0, semantic_bins=4, semantic_width=64,
                    semantic_std=0.02)
        stage = replace(stage, head=head, sample=Random(24, 0.33), coder=Delta((0.1, 0.1, 0.2, 0.2)), count=24)
        return replace(
            net, backbone=part(TinyResNet, widths=(24, 64), blocks=2, levels=(1,)), first=None,
            neck=part(SemanticMaps, fc=64, width=32, kernel=3, dropout=0.0, norm=True), stages=(stage,),
            moves=(ByIoU(0.4, 0.4), Random(16, 1.0)), post=(Again(score=0.02, keep=100), Voting(0.3, 0.02, 50)),
        )
    if preset == "joint":
        return replace(net, svm=None, first=None, stages=(replace(stage, cls=Softmax()),),
                       post=(Again(score=0.05), Voting(0.3, 0.05, 100, by="score")))
    return net


def recipe(preset: str = "paper") -> Recipe:
    """Maps 250,000 steps, then the authors' solvers: regions 180,000, a tenth every 80,000, regression 180,000, a tenth
    every 60,000, and SVMs; "small": ours, for two cores."""
    maps, regions, moves = r"^neck\.", r"heads\.0\.(each|soft)\.", r"heads\.0\.(regress|deltas)\."
    if preset == "small":
        p, fit = spp_net.recipe("small"), Phase("SVMs", 0.15, run="fit", passes=2)
        return replace(p, milestones=(0.7,), ema=0.995, resize=Resize("shortest", 128, 256, 32), phases=(
            Phase("maps and regions", 0.65, rf"^backbone|{maps}|{regions}"), Phase("regression", 0.2, moves), fit))
    steps, fit = (250_000, 180_000, 180_000), Phase("SVMs", 2 * r_cnn.VOC // 2, run="fit", passes=2)
    phases = (Phase("maps", steps[0], maps, milestones=(0.2, 0.4, 0.6, 0.8)),
              Phase("regions", steps[1], regions, milestones=(4 / 9, 8 / 9)),
              Phase("regression", steps[2], moves, milestones=(1 / 3, 2 / 3)), fit)
    return Recipe(
        lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=2, length=f"{sum(steps) + 2 * r_cnn.VOC // 2}steps",
        milestones=(0.5,), warmup=0.0,
        lr_mult=((r"^backbone\.", 0.0), (rf"{moves}.*bias$", 20.0), (moves, 10.0),
                 (r"heads\.0\.each\.10\..*bias$", 0.02), (r"heads\.0\.each\.10\.", 0.01), (r"\.bias$", 2.0)),
        no_decay=r"heads\.0\.(soft|deltas|each\.10)\..*bias$", augment=Augment(flip=0.5),
        resize=Resize("shortest", 1200, 2000, 1, SCALES),
        proposals=spp_net.recipe().proposals, phases=() if preset == "joint" else phases, difficult=True,
    )


PAPER = Paper(
    title="Object detection via a multi-region and semantic segmentation-aware CNN model",
    authors="Gidaris, Komodakis",
    year=2015,
    arxiv="1505.01749",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's VGG-16",
    presets=("paper", "joint", "small"),
    summary="A box that holds an object and a bit more scores nearly as well as the right one, so scores alone "
    "place boxes badly. Here a box is described by ten regions, among them its halves, its middle, its rim and its "
    "surroundings, each with layers of its own, and by maps that learned, from boxes alone, which class covers what. A "
    "regression moves the boxes, they are scored again where they went, and the overlapping ones vote on the place.",
    parents=(
        Parent(spp_net.PAPER, (
            ("()", "boxes move by a network of their own, and what is found is looked at again"),
            ("backbone", "VGG-16, whose convolutions stay as they were"),
            ("neck", "maps beside them that learned from filled boxes which class covers what"),
            ("stages", "ten regions and a semantic one are pooled from the maps, each with layers of its own"),
            ("view", "regions pool for themselves"),
            ("first", "of the proposals of a class near-duplicates alone are dropped before they move"),
            ("svm", "negatives may overlap one another"),
            ("ridge", "no ridge regressions: two layers on a region 1.3 times the box"),
            ("moves", "the regression learns from all that overlaps an object by .4"),
            ("post", "found boxes are looked at again, and the overlapping ones vote"),
        )),
        Parent(fcn.PAPER, (("", "its classifier made convolutional learns maps from filled boxes; a detector pools "
                            "them in regions"),)),
    ),
    claims=(
        Claim("VOC 2007 test mAP, trained on 07+12", 0.782, "abstract"),
        Claim("VOC 2012 test mAP, trained on 07+12", 0.739, "abstract"),
        Claim("VOC 2007 test mAP, trained on 07", 0.749, "table 3"),
    ),
    facts=(
        Fact("features of a box", 43_008, 20,
             source="ten times 4,096 and 2,048: the authors' MRCNN_Semantic_Features_model_svm"),
        Fact("parameters of the recognition", 1_281_255_444, 20,
             source="sum over the layers of the same file, convolutions apart"),
        Fact("parameters of the regression", 119_873_616, 20,
             source="sum over the layers of the authors' VGG16_Region_Adaptation_BBox_Regression_Module"),
    ),
    notes=(
        "A region is pooled to 7 x 7 maxima; stages.0.head.bins=1 is one maximum a filter.",
        "Votes weigh the SVM's score plus 1.5 where that is positive, as in the code; the paper weighs by scores: "
        "post.1.by=score.",
        "A score is the sigmoid of an SVM's margin: ranks are those of the margins, and -2.5 and -4, the first and the "
        "last threshold, are .0759 and .018.",
        "As in the code, of a class's proposals that overlap by .95 the best moves, 100 of a class; 'joint' and small "
        "move all, and drop near-duplicates where they went.",
        "A hole is the inner rectangle with its first and last cells; the code leaves these in, so there the rim of an "
        "object is seen by both neighbours. Rectangles become cells as in RoIPool; the code has SPP-net's margins.",
        "The paper does not say how the maps' loss counts classes whose boxes overlap: here each class is a binary "
        "question at each cell.",
        "Regions are trained side by side, which is the same as one by one, since the convolutions below are fixed and "
        "nothing else is shared. Until the SVMs are fitted the mean of the regions' softmaxes scores; 'joint' keeps a "
        "softmax over all features and trains all but VGG's layers at once.",
        "Pictures are drawn two a step and regions from these, at one size a batch; the code draws 128 regions from "
        "everywhere, each at a size at random near its best. The regression learns the box of the object that a region "
        "overlaps most; in the code those of all classes that it overlaps by .4.",
        "How the maps were trained was not released: they take the steps and rates of the layer on their region, which "
        "learns for 250,000 steps, a tenth every 50,000, in the code, and beside the other ten regions here.",
        "The code learns from selective search and edge boxes together, and finds among edge boxes (--proposals "
        "edge-boxes).",
        "Objects that Pascal VOC calls difficult are learned, as in the code, which leaves them out of the SVMs' "
        "positives alone.",
        "small has no ImageNet to start from: its convolutions learn with the maps and regions, and rest for the "
        "regression and the SVMs.",
    ),
)
