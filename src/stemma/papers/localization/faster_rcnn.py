"""Faster R-CNN: a small network slides over the features and proposes the regions that are then looked at.
arXiv 1506.01497"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Phase, Recipe, Resize
from ...parts.backbones.resnet import ResNet
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import Legacy, Pyramid
from ...parts.dense.assign import ByIoU
from ...parts.dense.coders import ClassDelta, Delta
from ...parts.dense.heads import RPNHead
from ...parts.dense.losses import Sigmoid, SmoothL1, Softmax
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Random
from ...parts.dense.select import Proposals
from ...parts.regions.heads import Align, FCHead, Res5Head
from ...skeletons.dense import DenseRule
from ...skeletons.two_stage import TwoStage
from . import fast_rcnn, r_cnn


def spec(preset: str = "paper") -> TwoStage:
    """VGG-16 on VOC as published; "c4": ResNet-50 cut after its fourth stage; "alternating": the same net as "paper",
    whose second look learns as Fast R-CNN does; "small", "alternating-small", "c4-small"."""
    p = fast_rcnn.spec("paper")
    rpn = DenseRule(
        anchors=Legacy(), assign=ByIoU(0.7, 0.3, rescue=True, inside=True), sample=Random(256, 0.5), cls=Softmax(),
        box=SmoothL1(1 / 9), divide="sampled", proposals=Proposals(6000, 300, 12000, 2000, 0.7, 16.0),
    )
    stage = replace(p.stages[0], assign=ByIoU(0.5, 0.5), sample=Random(128, 0.25), coder=Delta((0.1, 0.1, 0.2, 0.2)),
                    count=128)
    net = replace(p, rpn_head=part(RPNHead), rpn=rpn, stages=(stage,))
    if preset == "alternating":
        return replace(net, stages=(replace(p.stages[0], coder=part(ClassDelta)),))
    if preset.startswith("c4"):
        rpn = replace(rpn, anchors=Pyramid((2.0, 4.0, 8.0, 16.0, 32.0)), assign=ByIoU(0.7, 0.3, rescue=True),
                      cls=Sigmoid(), proposals=Proposals(6000, 1000, 12000, 2000))
        stage = replace(stage, head=part(Res5Head, pool=Align(14, aligned=True)), sample=Random(512, 0.25),
                        box=SmoothL1(1 / 9), count=512)
        net = replace(net, backbone=part(ResNet, levels=(2,)), rpn=rpn, stages=(stage,),
                      post=(PerClassNMS(0.5, 0.05, 100),))
    # not in the paper: a small net with batch norm, one level of stride 8, anchors of 16 to 64 pixels
    if preset.endswith("small"):
        rpn = replace(rpn, anchors=Pyramid((2.0, 4.0, 8.0), offset=0.5), assign=ByIoU(0.6, 0.3, rescue=True),
                      sample=Random(128, 0.5), cls=Sigmoid(), proposals=Proposals(400, 100, 400, 100, 0.7, 1e-3))
        head = (part(Res5Head, pool=Align(8, aligned=True), width=128, blocks=1, block="basic", deltas="agnostic")
                if preset == "c4-small" else part(FCHead, pool=Align(7, aligned=True), width=128, deltas="agnostic"))
        stage = replace(stage, head=head, sample=Random(48, 0.33), box=SmoothL1(1 / 9), count=48, positive=0.33)
        if preset == "alternating-small":
            stage = replace(stage, head=head.but(deltas="class+background"), coder=part(ClassDelta))
        net = replace(net, backbone=part(TinyResNet, widths=(24, 64), blocks=2, levels=(1,)), rpn=rpn, stages=(stage,),
                      post=(PerClassNMS(0.3, 0.02, 50, pre=400),))
    return net


def recipe(preset: str = "paper") -> Recipe:
    """End-to-end: 70,000 steps of two pictures; "alternating": the four of sec. 3.2 in 240,000, and
    before every second one the targets are measured; "c4": 90,000 steps of 16; "small": ours, for two cores."""
    if preset == "alternating-small":
        return replace(recipe("small"), ema=0.0, phases=alternating(0.25, 0.07, 0.18, ()))
    if preset.endswith("small"):
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 32),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    if preset == "c4":
        return Recipe(lr=0.02, batch=16, length="90000steps", milestones=(2 / 3, 8 / 9), warmup=0.011,
                      resize=Resize("shortest", 800, 1333, 32))
    plain = Recipe(
        lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=2, length="70000steps", milestones=(5 / 7,), warmup=0.0,
        lr_mult=((r"backbone\.features\.[0-7]\.", 0.0), (r"\.bias$", 2.0)), resize=Resize("shortest", 600, 1000, 1),
    )
    if preset == "alternating":
        phases = alternating(80_000, r_cnn.VOC / 2, 40_000, (3 / 4,))
        return replace(plain, length=f"{240_000 + r_cnn.VOC}steps", phases=phases)
    return plain


def alternating(propose: float, measure: float, look: float, falls: tuple[float, ...]) -> tuple[Phase, ...]:
    """Sec. 3.2, 4-step alternating training: the proposal network, then the second look, each with the layers that both
    share, and then both again with these asleep; targets are measured on the proposals that the look will see."""
    def both(again: str, first: str, second: str) -> tuple[Phase, ...]:
        return (Phase("proposals" + again, propose, first, r"^rpn_", milestones=falls),
                Phase("targets" + again, measure, run="measure_targets"),
                Phase("regions" + again, look, second, r"^(cls|box)", milestones=falls))

    return (*both("", r"backbone|neck|rpn_head", r"backbone|neck|heads"), *both(" again", r"rpn_head", r"heads"))


def resized(spec: TwoStage, recipe: Recipe, size: int) -> tuple[TwoStage, Recipe]:
    """One level has all anchors, from 128 to 512 of 600 pixels: they stay the same shares of the picture, and so does
    the least proposal, whose 16 pixels the authors' code multiplies by the picture's scale too."""
    if spec.rpn is None:
        return spec, recipe.at(size)
    p, ratio = spec.rpn.proposals, size / recipe.resize.size
    rpn = replace(spec.rpn, anchors=spec.rpn.anchors.times(ratio), proposals=replace(p, min_side=p.min_side * ratio))
    return replace(spec, rpn=rpn), recipe.at(size)


TRAINED = (("backbone.norm", "batch"), ("stages.0.head.norm", "batch"))
PAPER = Paper(
    title="Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
    authors="Ren, He, Girshick, Sun",
    year=2015,
    arxiv="1506.01497",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's VGG-16, or ResNet-50 for 'c4'; what is new is drawn",
    presets=("paper", "alternating", "c4", "small", "c4-small", "alternating-small"),
    summary="Fast R-CNN spent most of its time waiting for proposals from elsewhere. Here a 3x3 convolution over the "
    "detector's own features says at every cell, for nine boxes of fixed shapes, whether there is an object and how to "
    "move the box onto it. The few hundred best boxes are pooled from the same features and classified. Anchors make "
    "the sizes and shapes a matter of the output layer, so one picture at one scale is enough.",
    parents=(
        Parent(
            fast_rcnn.PAPER,
            (
                ("rpn", "a network over the shared features proposes the regions, in place of selective search"),
                ("stages", "128 regions a picture, and background may lie anywhere"),
            ),
        ),
    ),
    claims=(
        Claim("VOC 2007 test mAP, VGG-16, trained on 07", 0.699, "table 3"),
        Claim("VOC 2007 test mAP, VGG-16, trained on 07+12", 0.732, "table 3"),
        Claim("VOC 2007 test mAP, VGG-16, trained on COCO+07+12", 0.788, "table 3"),
        Claim("VOC 2012 test mAP, VGG-16, trained on 07++12", 0.704, "table 4"),
        Claim("COCO val2017 box AP, R50-C4", 0.357, "detectron2 model zoo, 1x"),
    ),
    facts=(
        Fact("parameters", 137_078_239, 20, source="sum over the layers of the authors' VOC net"),
        Fact("parameters", 33_844_764, 80, TRAINED, "c4",
             "sum over the layers of detectron2's R50-C4, batch norm counted"),
        Fact("parameters", 33_791_644, 80, variant="c4",
             source="the same without the 53,120 of the frozen batch norms"),
        Fact("anchors at 600x1000", 21_546, 20,
             source="38 x 63 cells, nine each; the paper's N_reg is 'about 2,400' cells"),
        Fact("anchors at 800x1344", 63_000, 80, variant="c4", source="50 x 84 cells, fifteen each"),
    ),
    notes=(
        "The paper weighs the box loss by 10 with N_cls = 256 and N_reg = 2,400, which is nearly equal weights; the "
        "code divides both by the sampled anchors, and so do we.",
        "The end-to-end training of the code is approximate: no gradient flows through the proposals' coordinates. "
        "`detach_proposals=false` lets it flow, which needs stages.0.head.pool to be Align, since RoIPool has none.",
        "The smallest proposal is 16 pixels of the network's input; the code has 16 pixels of the file, times its "
        "scale. Smaller ones are dropped from the best 12,000 (6,000), as in later code; the first release drops them "
        "before it ranks.",
        "COCO has a fourth size, 64 pixels: rpn.anchors.scales=[4,8,16,32] gives its twelve anchors a cell.",
        "Background that lies in a crowd or a 'difficult' object is not asked, here and in all that descends from here "
        "(rpn.assign.crowd=1 asks it).",
        "Colours are scaled as torchvision's VGG weights want them; the released Caffe net takes 0..255 in BGR less "
        "the mean pixel.",
        "'alternating' trains the four steps as phases of one run, each with a rate of 1e-3 that falls at three "
        "quarters of it. The second starts from the first's backbone, where the paper starts again from ImageNet; and "
        "its proposals are made anew at each step, on features that learn, where the paper makes them once, on the "
        "first's. Before each second step a pass over the pictures measures the mean and deviation of each class's "
        "targets, as the code does, and the net keeps them; layers go on from their numbers as they stand. The "
        "second look has Fast R-CNN's 64 regions a picture, whose background overlaps an object by .1, as the code's "
        "has; its proposal network learns from one picture a step, here from two.",
        "'c4' has the heads and numbers of detectron2's R50-C4, but smooth L1 bent at 1/9 where detectron2 has none, "
        "two samples a bin and side, pictures of 800 pixels alone where detectron2 draws from 640 to 800, and strides "
        "on the 3x3 convolutions, where torchvision's ImageNet weights have them and detectron2's have not.",
    ),
    size=Size("the short side; anchors are shares of it and go along", resized),
)
