"""Relation Networks: regions look at one another, by what they show and how they lie, before they are named; and in the
same way a net learns which of them are duplicates, in the place of NMS.  arXiv 1711.11575"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Phase, Recipe, Resize
from ...parts.backbones.resnet import ResNet
from ...parts.dense.anchors import Legacy
from ...parts.dense.assign import ByIoU
from ...parts.dense.heads import RPNHead
from ...parts.dense.losses import SmoothL1
from ...parts.dense.post import PerClassNMS, SoftNMS
from ...parts.dense.sample import Hardest
from ...parts.dense.select import Proposals
from ...parts.regions.heads import Align, MaxPool
from ...parts.regions.relation import DuplicateRemoval, RelationHead
from ...skeletons.relation import Related
from ...skeletons.two_stage import TwoStage
from . import faster_rcnn, fpn

EVERY = (PerClassNMS(10.0, 0.001, 100),)  # an overlap that none has: nothing is suppressed


def related(p: TwoStage, removal: bool) -> Related:
    """`p` with regions that are looked at together."""
    return Related(**vars(p), removal=part(DuplicateRemoval) if removal else None)


def spec(preset: str = "paper") -> Related:
    """Faster R-CNN with ResNet-101 and two layers, relations in both, and learned removal, on COCO; "staged": the same
    net; "nms": relations alone; "fpn": on FPN; "small", "nms-small", "staged-small": ours, for two cores."""
    removal = not preset.startswith("nms")
    if preset.endswith("small"):  # not in the paper: four heads, and the 40 best regions of a class
        p = faster_rcnn.spec("small")
        head = part(RelationHead, pool=Align(7, aligned=True), width=128, heads=4, key=16, embed=32)
        net = related(replace(p, stages=(replace(p.stages[0], head=head, sample=Hardest(48), once=True,
                                                 positive=1.0),)), removal)
        if removal:
            net = replace(net, post=(replace(EVERY[0], keep=50),),
                          removal=part(DuplicateRemoval, first=40, width=64, rank=64, heads=4, key=16, embed=32))
        return net
    if preset == "fpn":
        p = fpn.spec()
        assert p.rpn is not None
        stage = replace(p.stages[0], head=part(RelationHead, pool=Align(7)), sample=Hardest(512), once=True,
                        positive=1.0, box=SmoothL1(1.0))
        rpn = replace(p.rpn, proposals=Proposals(6000, 1000, 6000, 1000, 0.7, 1e-3))
        net = related(replace(p, backbone=part(ResNet, depth=101), rpn=rpn, stages=(stage,), post=EVERY), True)
        return replace(net, removal=part(DuplicateRemoval, first=150, least=0.05))
    p = faster_rcnn.spec()
    assert p.rpn is not None
    stage = replace(
        p.stages[0], head=part(RelationHead, pool=MaxPool(7), reduce=256), assign=ByIoU(0.5, 0.5), sample=Hardest(128),
        once=True, positive=1.0,
    )
    rpn = replace(p.rpn, anchors=Legacy((4.0, 8.0, 16.0, 32.0)), proposals=Proposals(6000, 300, 6000, 300, 0.7, 1e-3))
    p = replace(
        p, backbone=part(ResNet, depth=101, levels=(2, 3), stride=16, stride_first=True, ceil=True),
        rpn_head=part(RPNHead, width=512), rpn=rpn, rpn_levels=1, stages=(stage,),
    )
    return related(replace(p, post=EVERY if removal else (SoftNMS(0.5, 0.001, 100, sigma=0.6),)), removal)


def recipe(preset: str = "paper") -> Recipe:
    """Sixteen epochs of COCO at 4 x .0005 for four pictures, a tenth from 10.66 on, everything together (the authors'
    eight, each of which sees a picture and its mirror image); "staged": the removal learns by itself in six more;
    "fpn": 4 x .00125; "small": ours, for two cores."""
    falls: tuple[tuple[float, ...], ...] = ((), ()) if preset.endswith("small") else ((5.33 / 8,), (2 / 3,))
    alone = (Phase("detector", 8.0, r"^(?!removal)", r"^(?!removal)", milestones=falls[0]),
             Phase("removal", 3.0, r"^removal", r"^removal$", milestones=falls[1]))
    if preset.endswith("small"):
        plain = faster_rcnn.recipe("small")
        return replace(plain, phases=alone) if preset.startswith("staged") else plain
    plain = Recipe(
        lr=2e-3, momentum=0.9, weight_decay=5e-4 / 4, no_decay=r"bias$", batch=4, length="16epochs",
        milestones=(5.33 / 8,), warmup=0.0, resize=Resize("shortest", 600, 1000, 16), augment=Augment(flip=0.5),
    )
    if preset == "fpn":
        return replace(plain, lr=5e-3, resize=Resize("shortest", 800, 1000, 32))
    return replace(plain, length="22epochs", phases=alone) if preset == "staged" else plain


PAPER = Paper(
    title="Relation Networks for Object Detection",
    authors="Hu, Gu, Zhang, Dai, Wei",
    year=2017,
    arxiv="1711.11575",
    task="detection",
    spec=spec,
    recipe=recipe,
    presets=("paper", "staged", "nms", "fpn", "small", "nms-small", "staged-small"),
    summary="Detectors name each region by itself, and then a rule that nobody learned drops what overlaps. Here every "
    "region gathers from all others what helps to name it, weighed by how alike they are and by how they lie to each "
    "other, in its own sides, so that place and scale do not matter. The same module, given the ranks of a class's "
    "best regions, learns which of them to keep, for several overlaps at once; no suppression is left.",
    parents=(
        Parent(faster_rcnn.PAPER, (
            ("()", "all regions of a picture are seen together"),
            ("backbone", "ResNet-101, its fifth stage dilated to a stride of 16"),
            (("rpn_head", "rpn_levels"), "proposals from the fourth stage"),
            ("rpn", "anchors from 64 pixels up, 300 proposals in training too"),
            ("stages", "relations among regions after both fully connected layers, one box for all classes; of all "
             "regions the hardest pay"),
            ("removal", "a net learns which regions of a class to keep"),
            ("post", "nothing is suppressed"),
        )),
        Parent(fpn.PAPER, (("", "'fpn' is FPN with ResNet-101 whose 1,000 regions look at one another, and whose "
                            "suppression is learned"),)),
    ),
    claims=(
        Claim("COCO minival box AP, R101, two layers and NMS", 0.318, "authors' code, README"),
        Claim("the same with soft NMS", 0.323, "authors' code, README"),
        Claim("the same with relations", 0.347, "authors' code, README"),
        Claim("the same with relations and learned removal, end to end", 0.352, "authors' code, README"),
        Claim("COCO minival box AP, Deformable Faster R-CNN R101", 0.372, "authors' code, README"),
        Claim("the same with relations and learned removal, end to end", 0.384, "authors' code, README"),
        Claim("COCO minival box AP, FPN R101, soft NMS", 0.368, "authors' code, README"),
        Claim("the same with relations and learned removal, end to end", 0.386, "authors' code, README"),
    ),
    facts=(
        Fact("parameters of a relation module", 3_149_840, 80,
             source="1,024 numbers, 16 heads: three layers of 1,024 x 1,024, one of 64 x 16, and biases"),
        Fact("parameters of the duplicate removal", 544_789, 80,
             source="the authors' learn-NMS symbols, layer by layer"),
        Fact("parameters of both relation modules", 6_299_680, 80, source="one after each layer"),
    ),
    notes=(
        "Pairs are measured in sides of the region that looks, and the ratio is its side by the other's, as in the "
        "code; the paper writes it the other way round. Sides are x2 - x1, without the code's + 1.",
        "A weight of a pair is at least 1e-6, as in the code; the paper's max(0, .) would drop the pair.",
        "Number of modules after each layer: stages.0.head.relations=2,2 or 0,1; 0,0 is the plain head. Overlaps that "
        "the removal learns: removal.overlaps=0.5; their mean or maximum: removal.merge. 'nms' has soft NMS as the "
        "code (post.0.sigma); post.0.sigma=0 with post.0.iou=.3 to .8 is the NMS that the paper compares.",
        "The cross entropy is of the product of both scores and the gradient goes into the class score too, as in the "
        "code; boxes are taken as they are. Objects stand among the regions in training and are looked at by none.",
        "'staged' trains the detector first and the removal alone after it, as phases of one run, whose rates fall by "
        "themselves; the code loads a trained detector, in its settings one without relations "
        "(stages.0.head.relations=0,0).",
        "The code's classes below .01 (FPN: .05) are left out, removal.least, and what then scores below .001. Of a "
        "class 100 regions are ranked, with FPN 150, removal.first. The FPN of the code takes 1,000 stored proposals; "
        "ours makes them.",
        "Rates are those of the code times its four devices, whose gradients it adds; decay is a quarter of its .0005. "
        "The embedding of the pairs is not kept for the way back but made anew.",
    ),
)
