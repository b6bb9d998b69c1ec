"""FPN: Faster R-CNN over a pyramid that is built from the top down; one anchor size a level, each region reads the
level of its size.  arXiv 1612.03144"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...parts.backbones.resnet import ResNet
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import Pyramid
from ...parts.dense.assign import ByIoU
from ...parts.dense.losses import Sigmoid, SmoothL1
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Random
from ...parts.dense.select import Proposals
from ...parts.necks import FPN
from ...parts.regions.heads import Align, FCHead
from ...skeletons.two_stage import TwoStage
from . import faster_rcnn


def spec(preset: str = "paper") -> TwoStage:
    """ResNet-50, P2..P6; the numbers are those that torchvision's weights were trained with.
    "small": ours, for two cores."""
    p = faster_rcnn.spec(preset)
    assert p.rpn is not None
    if preset == "small":  # not in the paper: a small net with batch norm, anchors of 16 to 64 pixels and beyond
        rpn = replace(p.rpn, anchors=Pyramid((4.0,), offset=0.5), proposals=Proposals(200, 100, 200, 100, 0.7, 1e-3))
        stage = replace(p.stages[0], head=p.stages[0].head.but(pool=Align(7, aligned=True, levels=3, canonical=96.0)))
        return replace(p, backbone=part(TinyResNet, levels=(0, 1, 2, 3)),
                       neck=part(FPN, width=64, extra="pool", norm="batch"), rpn=rpn, stages=(stage,),
                       post=(PerClassNMS(0.5, 0.02, 50, pre=400),))
    rpn = replace(
        p.rpn, anchors=Pyramid((8.0,), whole=True), assign=ByIoU(0.7, 0.3, rescue=True), cls=Sigmoid(),
        proposals=Proposals(1000, 1000, 2000, 2000, 0.7, 1e-3)
    )
    stage = replace(p.stages[0], head=part(FCHead, pool=Align(7), width=1024), sample=Random(512, 0.25),
                    box=SmoothL1(1 / 9), count=512)
    return replace(
        p, backbone=part(ResNet, levels=(0, 1, 2, 3)), neck=part(FPN, width=256, extra="pool"), rpn=rpn,
        stages=(stage,), post=(PerClassNMS(0.5, 0.05, 100),)
    )


def recipe(preset: str = "paper") -> Recipe:
    """90,000 steps of 16 pictures at .02, the schedule its authors later called 1x; "small": ours, for two cores."""
    if preset == "small":
        return faster_rcnn.recipe(preset)
    return Recipe(
        lr=0.02, momentum=0.9, weight_decay=1e-4, batch=16, length="90000steps", milestones=(2 / 3, 8 / 9),
        warmup=0.011, resize=Resize("shortest", 800, 1333, 32), augment=Augment(flip=0.5),
    )


PAPER = Paper(
    title="Feature Pyramid Networks for Object Detection",
    authors="Lin, Dollar, Girshick, He, Hariharan, Belongie",
    year=2016,
    arxiv="1612.03144",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's ResNet-50; the stem, C2 and all batch norms stay as they come",
    summary="Fine maps know where and coarse maps know what. Starting from the coarsest, each map is enlarged twofold "
    "and added to a 1x1 projection of the next finer one, so that every level of the pyramid knows what. The same "
    "proposal head slides over all levels with one anchor size each, and a "
    "region is pooled from the level whose stride suits its size. Nearly all of it costs nothing beside the backbone.",
    parents=(
        Parent(
            faster_rcnn.PAPER,
            (
                ("backbone", "all stages of a residual net hand out their maps"),
                ("neck", "a top-down pathway with lateral connections, and a subsampled last level"),
                ("rpn", "one anchor size a level, proposals ranked and suppressed level by level"),
                ("stages", "eq. 1 gives each region its level; two thin fully connected layers"),
                ("post", "boxes of a class may overlap by half"),
            ),
        ),
    ),
    claims=(
        Claim("COCO minival box AP, R50", 0.339, "table 3"), Claim("COCO test-dev box AP, R101", 0.362, "table 4"),
        Claim("COCO minival proposal AR@1000, R50", 0.563, "table 1"),
        Claim("COCO val2017 box AP, R50, 1x", 0.379, "detectron2 model zoo, sides drawn of 640 to 800"),
        Claim("COCO val2017 box AP, R50", 0.370, "torchvision model card"),
    ),
    facts=(
        Fact("parameters", 41_755_286, 90, source="torchvision's fasterrcnn_resnet50_fpn, batch norm frozen"),
        Fact("parameters", 41_808_406, 90, (("backbone.norm", "batch"),), source="the same with batch norm trained"),
        Fact("parameters of the neck", 3_344_384, 90, source="four 1x1 and four 3x3 convolutions"),
        Fact("parameters of the proposal head", 593_935, 90, source="torchvision's RPNHead"),
        Fact("parameters of the region heads", 14_362_055, 90, source="box head and predictor of torchvision"),
        Fact("anchors at 800x1344", 268_569, 90, source="five levels, three a cell"),
    ),
    notes=(
        "The paper pools with RoIPool; torchvision, detectron2 and this preset with RoIAlign. The switch: "
        "stages.0.head.pool=MaxPool(7), set in Python.",
        "Fig. 1: (b) one map is faster-rcnn 'c4'; (c) the bottom-up maps alone are neck.top_down=false; (a) the image "
        "pyramid is parts.backbones.pyramid.",
        "Table 1: (e) without laterals is neck.lateral=false; (f) the finest level alone is neck.finest=true with "
        "neck.extra=none.",
        "Anchors have whole-numbered sides and torchvision's spacing (rpn.anchors.whole), so that its weights "
        "give its boxes.",
        "Smooth L1 of the second look bends at 1/9, as in torchvision; Fast R-CNN and the paper bend at 1.",
        "The paper trains 80,000 steps; the 90,000 are those of its authors' later code and of every table since. In "
        "their first (Detectron) biases learn twice as fast and do not decay; in detectron2, in torchvision and here "
        "they are like the rest.",
    ),
    size=Size("the short side; every level keeps its anchor, and objects that grow are found on coarser levels"),
)
