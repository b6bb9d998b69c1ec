"""Repulsion Loss: Faster R-CNN whose boxes are driven from the objects and the boxes that are not theirs.
arXiv 1711.07752"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Recipe, Resize
from ...parts.backbones.resnet import ResNet
from ...parts.dense.anchors import Pyramid
from ...parts.dense.repulsion import Repulsion
from ...parts.regions.heads import Align, FCHead
from ...skeletons.dense import Dense
from . import faster_rcnn, ssd


def spec(preset: str = "paper") -> Any:
    """ResNet-50 dilated to stride 8 for one class of upright boxes; "ssd": RepGT alone in SSD300, as in public code;
    "small" and "ssd-small": both terms in the parents' small, for two cores."""
    if preset.startswith("ssd"):
        one = ssd.spec("small" if preset == "ssd-small" else "paper")
        repel = Repulsion() if preset == "ssd-small" else Repulsion(gt=1.0, box=0.0, sigma_gt=0.0)
        return replace(one, rule=replace(one.rule, repel=repel))
    p = faster_rcnn.spec("small" if preset == "small" else "c4")
    # not in the paper: what draws is divided by all 48 regions as in the parent, a third of which answer, and eq. 1's
    # halves go along; else boxes have three times the say beside names, which hundreds of steps do not make good
    if preset == "small":
        return replace(p, stages=(replace(p.stages[0], repel=Repulsion(gt=0.17, box=0.17)),))
    assert p.rpn is not None
    stage = replace(p.stages[0], divide="positives", repel=Repulsion())
    # the sizes are ours: the paper says the shape alone, .41 times as wide as high
    rpn = replace(p.rpn, anchors=Pyramid((4.0, 8.0, 16.0, 32.0, 64.0), (1 / 0.41,)))
    head = part(FCHead, pool=Align(7, aligned=True), width=1024, reduce=256)
    return replace(p, backbone=part(ResNet, levels=(3,), stride=8), rpn_head=p.rpn_head.but(width=512), rpn=rpn,
                   stages=(replace(stage, head=head),))


def recipe(preset: str = "paper") -> Recipe:
    """CityPersons as large as it comes, 1,024 x 2,048: 80,000 steps of four pictures at .016, a tenth from 60,000 on
    (implementation details); the rest as Faster R-CNN with ResNet-50; "ssd" and the small ones: their parents'."""
    if preset.startswith("ssd"):
        return ssd.recipe("small" if preset == "ssd-small" else "paper")
    if preset == "small":
        return faster_rcnn.recipe("small")
    return replace(faster_rcnn.recipe("c4"), lr=0.016, batch=4, length="80000steps", milestones=(3 / 4,),
                   resize=Resize("shortest", 1024, 2048, 32))


def resized(spec: Any, recipe: Recipe, size: int) -> tuple[Any, Recipe]:
    """As its parent's, whichever it is: repulsion is in shares of areas."""
    return (ssd.resized if isinstance(spec, Dense) else faster_rcnn.resized)(spec, recipe, size)


PAPER = Paper(
    title="Repulsion Loss: Detecting Pedestrians in a Crowd",
    authors="Wang, Xiao, Jiang, Shao, Sun, Shen",
    year=2017,
    arxiv="1711.07752",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's ResNet-50; 'ssd' as SSD",
    summary="In a crowd a box that drifts from its own object lands on the next, where it is wrong and, after "
    "suppression, hides one that is right. So a box is not only drawn to its object but driven from others: from the "
    "other object that its proposal overlaps most, by how much of that it covers, and from the boxes of other objects, "
    "by their IoU. Dividing by the object's area alone leaves no way out by growing.",
    parents=(
        Parent(
            faster_rcnn.PAPER,
            (
                ("stages.0.repel", "two terms besides: boxes are driven from other objects and from their boxes"),
                ("stages.0.divide", "what draws a box to its object is divided by the boxes that have one"),
                ("backbone", "ResNet-50 dilated to stride 8"),
                (("rpn_head.width", "rpn"), "anchors of one upright shape, proposals as with ResNet-50"),
                (("stages.0.head", "stages.0.sample", "stages.0.box", "stages.0.count"),
                 "two layers of 1,024 on bilinear bins of the last stage, 512 regions"),
                ("post", "boxes of a class may overlap by half"),
            ),
        ),
        Parent(ssd.PAPER, (("", "'ssd': the same terms on the default boxes that answer for an object"),)),
    ),
    claims=(
        Claim("log-average miss rate, CityPersons validation, reasonable", 0.132, "results on CityPersons"),
        Claim("log-average miss rate, Caltech test, reasonable", 0.05, "results on Caltech-USA"),
        Claim("the same, trained on CityPersons before", 0.04, "results on Caltech-USA"),
    ),
    facts=(
        Fact("parameters of the terms", 0, 1, source="a loss has no weights"),
    ),
    notes=(
        "stages.0.repel.gt and .box are alpha and beta; 0 switches a term off, so RepGT and RepBox can be had apart "
        "(rule.repel.gt and rule.repel.box in 'ssd'). Each has its sigma, and overlap=iou divides RepGT by the union.",
        "The paper says an anchor's shape and the stride, not the sizes of anchors, the layers of the head nor how far "
        "boxes may overlap after suppression: 32 to 512 pixels, two layers on 256 squeezed channels, and a half.",
        "Caltech takes twice as many steps: --budget 160000steps. The paper mines hard regions to converge sooner, and "
        "does not say how many; here they are drawn. The rate's first rise is ours. Pictures enlarged by 1.3, the "
        "paper's larger setting, are --size 1331.",
        "The other object is the one that the proposal overlaps most; a proposal that overlaps none pays nothing. What "
        "is left uncovered counts as a thousandth at least.",
        "Eq. 7 divides by the pairs that overlap; here over the whole batch, where the paper has a picture a device.",
        "'ssd' is a public variant: RepGT alone with sigma 0, as much as the box loss.",
    ),
    presets=("paper", "ssd", "small", "ssd-small"),
    size=Size("as Faster R-CNN's or SSD's, whichever the preset is", resized),
)
