"""Deformable ConvNets: filters and pooling bins learn where to look, by offsets that the features themselves say.
arXiv 1703.06211"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import Part, part
from ...core.recipe import Recipe
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import Legacy
from ...parts.dense.assign import ByIoU
from ...parts.dense.heads import RPNHead
from ...parts.dense.losses import SmoothL1, Softmax
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Random
from ...parts.dense.select import PerLevel
from ...parts.necks import FPN, Same
from ...parts.regions.deformable import Bins, Deformed, DeformFCHead, DeformVoteHead
from ...parts.trunk import Trunk
from ...skeletons.dense import Dense, DenseRule
from ...skeletons.two_stage import TwoStage
from . import deeplab, faster_rcnn, fpn, r_fcn

LAST = r"layer4\.\d+\.conv2"  # the three 3x3s of the fifth stage
TINY = r"stages\.2\.\d+\.conv2"


def deformed(of: Part[Trunk], small: bool, groups: int = 4, at: str = LAST) -> Part[Deformed]:
    return part(Deformed, of=of, at=TINY if small else at, groups=groups)


def proposer(p: TwoStage, small: bool) -> Dense[DenseRule]:
    """Sec. 3.2, the class-aware RPN: the proposal network asks for classes in place of "object", and is the whole
    detector. It reads the last stage."""
    assert p.rpn is not None
    rule = DenseRule(
        anchors=p.rpn.anchors if small else Legacy(), assign=p.rpn.assign if small
        else ByIoU(0.7, 0.3, rescue=True, inside=True), sample=p.rpn.sample, cls=Softmax(), box=SmoothL1(1 / 9),
        divide="sampled", score=0.02 if small else 0.05, select=PerLevel(400 if small else 6000), nms=0.3,
    )
    backbone = (part(TinyResNet, widths=(24, 64, 96), blocks=2, levels=(2,), stride=8) if small
                else r_fcn.spec().backbone.but(levels=(3,)))
    return Dense(rule, p.preprocess, deformed(backbone, small), part(Same), part(RPNHead, width=96 if small else 512))


def spec(preset: str = "paper") -> Any:
    """ "paper": R-FCN, both ideas; "faster": two fully connected layers; "fpn": convolutions in stages 3 to 5 of
    ResNet-50; "fpn-pool": bins alone;
    "rpn": class-aware proposals; "deeplab": segmentation; "small", "faster-small", "rpn-small",
    "deeplab-small": ours, for two cores.
    """
    small = preset.endswith("small")
    size = "small" if small else "paper"
    if preset.startswith("deeplab"):
        s = deeplab.spec(size)
        return replace(s, backbone=deformed(s.backbone, small, 1), post=())
    if preset.startswith("fpn"):
        p = fpn.spec()
        if preset == "fpn":
            return replace(p, backbone=deformed(p.backbone, False, 1, r"layer[234]\.\d+\.conv2"))
        return replace(p, stages=(replace(p.stages[0], head=part(DeformFCHead, pool=Bins(7))),))
    p = r_fcn.spec(size)
    if preset.startswith("rpn"):
        return proposer(p, small)
    p, stage = replace(p, backbone=deformed(p.backbone, small), post=p.post if small
                       else (PerClassNMS(0.3, 0.001, 300),)), p.stages[0]
    if preset.startswith("faster"):
        two = faster_rcnn.spec(size).stages[0]
        head = (part(DeformFCHead, pool=Bins(5, samples=2), width=128, deltas="agnostic", reduce=64) if small
                else part(DeformFCHead, pool=Bins(7), reduce=256))
        return replace(p, stages=(replace(two, head=head),) if small
                       else (replace(two, head=head, assign=ByIoU(0.5, 0.5, low=0.1), sample=Random(128, 0.25)),))
    return replace(p, stages=(replace(stage, head=part(DeformVoteHead, size=3, samples=2, width=96) if small
                                      else part(DeformVoteHead, size=7)),))


def recipe(preset: str = "paper") -> Recipe:
    """Fourteen epochs of VOC at 4 x .0005 for four pictures, a tenth from 9.66 on (the authors' seven, each of which
    sees a picture and its mirror image); others as their parents; "small": ours, for two cores."""
    if preset.startswith("deeplab"):
        return deeplab.recipe("small" if preset.endswith("small") else "paper")
    shift = ((r"\.shift\.", 0.01),) if preset in ("faster", "fpn-pool") else ()
    if preset.endswith("small"):
        return replace(r_fcn.recipe("small"), lr_mult=((r"\.offset\.|\.shift", 0.1),))
    if preset.startswith("fpn"):
        return replace(fpn.recipe(), lr_mult=shift)
    squeeze = ((r"\.reduce\.", 3.0),) if preset == "paper" else ()
    return replace(
        r_fcn.recipe(), lr=2e-3, batch=4, length="14epochs", milestones=(4.83 / 7,), warmup=0.017, warmup_factor=0.1,
        warmup_power=0.0, weight_decay=5e-4 / 4, no_decay=r"bias$", lr_mult=(*squeeze, *shift),
    )


def resized(spec: Any, recipe: Recipe, size: int) -> tuple[Any, Recipe]:
    """Offsets are in cells and go with the map. The anchors of proposals that name classes are the picture's shares."""
    if isinstance(spec, Dense):
        anchors = spec.rule.anchors.times(size / recipe.resize.size)
        return replace(spec, rule=replace(spec.rule, anchors=anchors)), recipe.at(size)
    two = isinstance(spec, TwoStage)
    parent: Paper = deeplab.PAPER if not two else fpn.PAPER if spec.neck.cls is FPN else r_fcn.PAPER
    return parent.at(spec, recipe, size)


R50 = (("backbone.of.depth", 50),)
PAPER = Paper(
    title="Deformable Convolutional Networks",
    authors="Dai, Qi, Xiong, Li, Zhang, Hu, Wei",
    year=2017,
    arxiv="1703.06211",
    task="detection",
    spec=spec,
    recipe=recipe,
    presets=("paper", "faster", "fpn", "fpn-pool", "rpn", "deeplab", "small", "faster-small", "rpn-small",
             "deeplab-small"),
    tasks=(("deeplab", "semantic"), ("deeplab-small", "semantic")),
    summary="A filter's grid is fixed, objects are not. A small convolution beside a 3x3 says for each of its nine "
    "taps, at every place, how far to move, and the taps read there bilinearly. In the same way each bin of a region's "
    "pooling is moved by an offset learned from the region. Offsets "
    "start at zero, so the net starts as the one it extends, and they learn from the task alone.",
    parents=(
        Parent(
            r_fcn.PAPER,
            (
                ("backbone", "the 3x3s of the fifth stage are deformable, in four groups"),
                ("stages", "bins are moved by offsets pooled from maps of their own, two a class, and two for the box"),
                ("post", "the best 300 of what scores .001"),
            ),
        ),
        Parent(faster_rcnn.PAPER, (("", "'faster': pooled bins say by two numbers each where to be pooled again, on a "
                                    "dilated and deformable fifth stage"),)),
        Parent(fpn.PAPER, (("", "'fpn' and 'fpn-pool': deformable convolutions in stages three to five, or deformable "
                            "pooling of regions"),)),
        Parent(deeplab.PAPER, (("", "'deeplab': the last stage's 3x3s are deformable, and no CRF follows"),)),
    ),
    claims=(
        Claim("VOC 2007 test mAP, R-FCN R101", 0.823, "authors' code, README"),
        Claim("the same without deformation", 0.796, "authors' code, README"),
        Claim("VOC 2007 test mAP at .7, R-FCN R101", 0.678, "authors' code, README"),
        Claim("the same without deformation", 0.631, "authors' code, README"),
        Claim("COCO test-dev box AP, R-FCN R101", 0.357, "authors' code, README"),
        Claim("the same without deformation", 0.321, "authors' code, README"),
        Claim("COCO test-dev box AP, Faster R-CNN (2fc) R101", 0.350, "authors' code, README"),
        Claim("the same, plain", 0.303, "authors' code, README"),
        Claim("VOC 2012 val mean IoU, DeepLab R101", 0.759, "authors' code, README"),
        Claim("the same, plain", 0.707, "authors' code, README"),
        Claim("Cityscapes val mean IoU, DeepLab R101", 0.752, "authors' code, README"),
        Claim("the same, plain", 0.703, "authors' code, README"),
        Claim("COCO val2017 box AP, R50-FPN, stages 3 to 5", 0.413, "mmdetection"),
        Claim("COCO val2017 box AP, R50-FPN, pooling", 0.389, "mmdetection"),
    ),
    facts=(
        Fact("offset channels of a convolution", 72, 20, source="2 x 9 taps x 4 groups"),
        Fact("offset maps of the classes", 2_058, 20, source="2 k^2 (C + 1), sec. 2.2"),
        Fact("offset maps of the box", 98, 20, source="2 k^2"),
        Fact("parameters of the offsets", 995_544 + 2_109_450 + 100_450, 20,
             source="three 3x3s of 512 to 72; 1x1s of 1,024 to 2,058 and 98"),
    ),
    notes=(
        "Offsets are (y, x) as in torchvision's operator; the authors' pooling has (x, y). Convolutions come with the "
        "offsets' gradient at the full rate, the fully connected layer of 'faster' and 'fpn-pool' at a hundredth, "
        "R-FCN's 1x1 at three times, as in the code.",
        "Bins read 4 x 4 points from their first edge on, boxes rounded to pixels and shifted by half a cell, as in "
        "the code; a point more than half a cell outside the map is not counted.",
        "'deeplab' keeps its parent's parallel rates, scales and recipe, without the CRF; the authors' own has a 1x1 "
        "of 1,024 and stride 16, 12 epochs at .0005, and offsets from a 3x3 that is not dilated and whose bias learns "
        "twice as fast. One group of offsets, as theirs.",
        "The code adds the gradients of its four pictures and steps at .0005; the same steps are four times as long on "
        "their mean, with a quarter of its decay of .0005, which biases do not have.",
        "Background of 'faster' overlaps an object by .1 to .5, as in the authors' settings; that of R-FCN "
        "lies anywhere.",
        "'fpn' deforms every block of stages 3 to 5 with one group, as mmdetection; the authors' FPN the last block of "
        "3 and 4 and all of 5, with four.",
    ),
    size=Size("as R-FCN's, FPN's or DeepLab's, whichever the preset deforms", resized),
)
