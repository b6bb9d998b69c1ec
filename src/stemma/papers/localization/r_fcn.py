"""R-FCN: the head convolves the whole picture into maps that each watch one part of an object; a region only gathers
their votes.  arXiv 1605.06409"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...parts.backbones.resnet import ResNet
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import Legacy
from ...parts.dense.assign import ByIoU
from ...parts.dense.heads import RPNHead
from ...parts.dense.losses import SmoothL1
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Hardest, Random
from ...parts.dense.select import Proposals
from ...parts.regions.position_heads import PositionAlign, PositionMean, VoteHead
from ...skeletons.two_stage import TwoStage
from . import faster_rcnn


def spec(preset: str = "paper") -> TwoStage:
    """ResNet-101, k = 7, hard examples; "random": without mining; "coco": twelve anchors; "align": bilinear bins;
    "small": ours, k = 3."""
    p = faster_rcnn.spec("small" if preset == "small" else "paper")
    assert p.rpn is not None
    if preset == "small":  # not in the paper: the third stage dilated in place of the fifth, one stride of 8
        stage = replace(p.stages[0], head=part(VoteHead, pool=PositionAlign(3), width=96), sample=Hardest(48),
                        once=True, positive=1.0)
        body = part(TinyResNet, widths=(24, 64, 96), blocks=2, levels=(1, 2), stride=8)
        rpn = replace(p.rpn, proposals=Proposals(400, 80, 400, 80, 0.7, 1e-3))
        return replace(p, backbone=body, rpn_head=part(RPNHead, width=64), rpn=rpn, rpn_levels=1, stages=(stage,))
    pool = PositionAlign(7) if preset == "align" else PositionMean(7)
    stage = replace(p.stages[0], head=part(VoteHead, pool=pool), sample=Hardest(128), once=True, positive=1.0,
                    box=SmoothL1(1.0))
    if preset == "random":
        stage = replace(stage, assign=ByIoU(0.5, 0.5, low=0.1), sample=Random(128, 0.25), once=False, positive=0.25)
    rpn = replace(p.rpn, proposals=Proposals(6000, 300, 6000, 300, 0.7, 1e-3))
    if preset == "coco":
        rpn = replace(rpn, anchors=Legacy((4.0, 8.0, 16.0, 32.0)))
    backbone = part(ResNet, depth=101, levels=(2, 3), stride=16, stride_first=True, ceil=True)
    return replace(p, backbone=backbone, rpn_head=part(RPNHead, width=512), rpn=rpn, rpn_levels=1, stages=(stage,),
                   post=(PerClassNMS(0.3, 0.0, 100),))


def recipe(preset: str = "paper") -> Recipe:
    """Two pictures a step, 80,000 at .001 and 30,000 at .0001, biases twice as fast (authors' code); "coco": eight,
    90,000 and 30,000 (sec. 4.2);
    "small": Faster R-CNN's, for two cores.
    """
    if preset == "small":
        return faster_rcnn.recipe("small")
    plain = Recipe(
        lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=2, length="110000steps", milestones=(8 / 11,), warmup=0.0,
        lr_mult=((r"\.bias$", 2.0),), resize=Resize("shortest", 600, 1000, 16), augment=Augment(flip=0.5),
    )
    if preset == "coco":
        return replace(plain, batch=8, length="120000steps", milestones=(3 / 4,),
                       resize=replace(plain.resize, scales=(400, 500, 600, 700, 800)))
    return plain


R50 = ("backbone.depth", 50)
COUNTED = (("backbone.norm", "batch"), ("stages.0.head.background", True))
PAPER = Paper(
    title="R-FCN: Object Detection via Region-based Fully Convolutional Networks",
    authors="Dai, Li, He, Sun",
    year=2016,
    arxiv="1605.06409",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's ResNet-101 as its authors trained it for Caffe, with strides on the first 1x1",
    presets=("paper", "random", "coco", "align", "small"),
    summary="A classifier should not care where an object lies, a detector must. Faster R-CNN made up for that with "
    "many layers run on every region. Here all layers run once on the picture; the last gives each class nine or "
    "forty-nine maps, one that finds top left parts, one for top right parts and so on. A region is cut into as many "
    "bins, each takes the mean of its own map, and the bins vote. The cost of a region is next to nothing.",
    parents=(
        Parent(
            faster_rcnn.PAPER,
            (
                ("backbone", "a ResNet whose fifth stage keeps stride 16 and is dilated; the fourth goes to the "
                 "proposals, the fifth to the regions"),
                ("rpn_head", "512 channels on the fourth stage"),
                ("rpn", "300 proposals in training too, of any size"),
                ("rpn_levels", "proposals read the first of the two levels"),
                ("stages", "position-sensitive maps, pooling and votes for classes and for one box a region; the 128 "
                 "hardest regions learn"),
                ("post", "whatever it scores, a region may be given out"),
            ),
        ),
    ),
    claims=(
        Claim("VOC 2007 test mAP, R101, trained on 07+12", 0.795, "table 4"),
        Claim("VOC 2007 test mAP, R50, trained on 07+12", 0.774, "authors' code, README"),
        Claim("the same with R101", 0.795, "authors' code, README"),
        Claim("VOC 2012 test mAP, R101, trained on 07++12", 0.776, "table 5"),
        Claim("VOC 2007 test mAP, R101, without mining", 0.766, "table 2"),
        Claim("the same with k = 3", 0.755, "table 2"), Claim("COCO test-dev box AP, R101", 0.299, "table 6"),
        Claim("COCO test-dev box AP, R101", 0.321, "Deformable ConvNets' code, README"),
    ),
    facts=(
        Fact("parameters", 31_809_539, 20, (R50, *COUNTED),
             source="sum over the layers of the authors' net, 8 k^2 box maps, batch norm counted"),
        Fact("parameters", 50_801_667, 20, COUNTED, source="the same with ResNet-101"),
        Fact("parameters", 50_495_423, 20, source="4 k^2 box maps as in the paper, batch norm frozen"),
        Fact("class maps", 1_029, 20, source="k^2 (C + 1)"),
        Fact("box maps", 392, 20, COUNTED, source="8 k^2 in the authors' code"),
        Fact("box maps", 196, 20, source="4 k^2, sec. 2"),
    ),
    notes=(
        "Box maps are 4 k^2, as the paper has them; the code has 8 k^2, of which the background's 4 k^2 learn nothing "
        "(stages.0.head.background=true).",
        "The code suppresses the 400 best regions of a class and gives out what is left, 160 of a class and picture on "
        "average; we the best 100 of a picture.",
        "k = 3 is the figure's; k = 7 the default, and stages.0.head.pool.size sets it.",
        "A bin takes the mean of all cells that it touches, boxes rounded to pixels, as in the code. Boxes here have "
        "continuous edges, so the code's +1 is in them. torchvision's operator leaves out the map's last row and "
        "column; 'align' is its bilinear sibling.",
        "'random' draws 128 of a picture, a quarter of them objects, and background that overlaps an object by .1 at "
        "least, as the code's settings without mining.",
        "Both losses are divided by the regions that learn, 128 a picture unless there are fewer; the code divides the "
        "box loss by a fixed 128 a picture.",
        "The schedule on VOC is the released code's; the paper has eight pictures a step, 20,000 steps at .001 and "
        "10,000 at .0001.",
        "The strides sit on the first 1x1 convolutions, as in the ResNets that the paper starts from, so that the "
        "first dilated 3x3 is already spread; the first pool rounds up and pads nothing, as theirs.",
        "The proposal network starts and is trained as Faster R-CNN's; the paper alternates in four steps (on COCO "
        "five), which are `faster-rcnn`'s phases. The position-sensitive maps come from InstanceFCN, which "
        "is not here.",
        "'coco' draws the short side of each step's pictures from 400 to 800 pixels, the paper's multi-scale training, "
        "which is where its 29.9 comes from.",
    ),
)
