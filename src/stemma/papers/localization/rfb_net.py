"""RFB Net: SSD whose maps are read through branches that look the farther from the middle the wider they look.
arXiv 1711.07767"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Recipe
from ...parts.backbones.vgg import Extras
from ...parts.dense.anchors import DefaultBoxes
from ...parts.receptive import ReceptiveLevels
from ...skeletons.dense import Dense, DenseRule
from . import deeplab, ssd

LAYERS_300 = ((1024, 1, 2), (512, 2, 2), (256, 2, 2))  # channels, stride, visual
LAYERS_512 = (*LAYERS_300, (256, 2, 1), (256, 2, 1))
COCO_512 = (20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72)  # sides of boxes, and of the next level's


def spec(preset: str = "paper") -> Dense[DenseRule]:
    """RFB Net 300; "rfb512"; "rfb512-e", of more branches, on COCO; "small"."""
    large = preset.startswith("rfb512")
    p = ssd.spec("ssd512" if large else preset)
    anchors = p.rule.anchors
    assert isinstance(anchors, DefaultBoxes)
    # not in the paper: SSD's small with a block on each of its backbone's maps and one above, and norms that follow
    if preset == "small":
        neck = part(ReceptiveLevels, layers=((128, 1, 1), (128, 2, 1)), tail=((64, 128, *ssd.SHRINK),),
                    momentum=0.1)
        return replace(p, neck=neck, rule=replace(p.rule, anchors=replace(anchors, clip=True)))
    fine = 5 if large else 4  # maps whose boxes have four shapes
    ratios = ((2.0, 3.0),) * fine + ((2.0,),) * 2
    layers, tail = (LAYERS_512, ssd.EXTRAS_512[-1:]) if large else (LAYERS_300, ssd.EXTRAS_300[-2:])
    neck, anchors = part(ReceptiveLevels, layers=layers, tail=tail), replace(anchors, ratios=ratios, clip=True)
    if preset == "rfb512-e":
        neck = neck.but(layers=tuple((*row[:2], 1) for row in layers), first="rfb-s-e", kind="rfb-e", join=256)
        anchors = replace(anchors, small=COCO_512[:-1], large=COCO_512[1:])
    return replace(p, backbone=p.backbone.but(scale=0.0), neck=neck, rule=replace(p.rule, anchors=anchors))


def recipe(preset: str = "paper") -> Recipe:
    """300 epochs of VOC from 4e-3, a tenth from epochs 150, 200 and 250, after a rise from 1e-6 over five (authors'
    code); "rfb512-e": 150 of COCO, a tenth from 90, 120 and 140; "small": SSD's small."""
    if preset == "small":
        return ssd.recipe("small")
    p = ssd.recipe("ssd512" if preset.startswith("rfb512") else "paper")
    p = replace(p, lr=4e-3, length="300epochs", milestones=(1 / 2, 2 / 3, 5 / 6), warmup=5 / 300,
                   warmup_factor=1e-6 / 4e-3, lr_mult=(), no_decay="",
                   augment=replace(p.augment, expand=0.6, crop_every=True))
    return p if preset != "rfb512-e" else replace(p, length="150epochs", milestones=(0.6, 0.8, 14 / 15), warmup=5 / 150)


def resized(spec: Dense[DenseRule], recipe: Recipe, size: int) -> tuple[Dense[DenseRule], Recipe]:
    """As SSD's: a block of stride 2 gives the map that SSD's extra level of stride 2 gives."""
    halves = tuple((0, 0, *ssd.SHRINK) for _, stride, _ in spec.neck["layers"] if stride > 1)
    like = replace(spec, neck=part(Extras, layers=(*halves, *spec.neck["tail"])))
    other, recipe = ssd.resized(like, recipe, size)
    return replace(spec, rule=other.rule), recipe


PAPER = Paper(
    title="Receptive Field Block Net for Accurate and Fast Object Detection",
    authors="Liu, Huang, Wang",
    year=2017,
    arxiv="1711.07767",
    task="detection",
    spec=spec,
    recipe=recipe,
    summary="In the visual cortex fields are the larger the farther they lie from where one looks. A block does alike: "
    "branches of small, middle and large kernels, each followed by a 3x3 that is dilated the more the larger its "
    "kernel, so that what is near is seen finely and what is far coarsely; their mixture is added to the map. A "
    "detector on a light backbone sees as much around a place as one on a deep network, at a fraction of the time.",
    parents=(
        Parent(
            ssd.PAPER,
            (
                ("rule.anchors", "four shapes on the finest map too; no side longer than the picture"),
                ("backbone.scale", "no normalisation of conv4_3"),
                ("neck", "a block of branches on conv4_3, on fc7 and in the place of the strided extra levels; batch "
                 "norm in all of them"),
            ),
        ),
        Parent(deeplab.PAPER, (("", "its pyramid of dilated convolutions, with kernels that grow with the rates, on "
                                "each map of a detector"),)),
    ),
    claims=(
        Claim("mAP, VOC 2007, RFB Net 300", 0.807, "README of the authors' code"),
        Claim("mAP, VOC 2007, RFB Net 512", 0.822, "README of the authors' code"),
        Claim("AP, COCO test-dev, RFB Net 300", 0.303, "README of the authors' code"),
        Claim("AP, COCO test-dev, RFB Net 512", 0.338, "README of the authors' code"),
        Claim("AP, COCO test-dev, RFB Net 512-E", 0.344, "README of the authors' code"),
    ),
    facts=(
        Fact("boxes", 11_620, 20, source="maps of 38, 19, 10, 5 cells a side with six a cell, 3 and 1 with four"),
        Fact("parameters", 36_531_296, 20, source="sum over the layers of the authors' code"),
        Fact("boxes", 32_756, 20, variant="rfb512", source="maps of 64 to 4 with six a cell, 2 and 1 with four"),
        Fact("parameters", 49_935_326, 80, variant="rfb512-e", source="sum over the layers of the authors' larger net"),
    ),
    notes=(
        "neck.kind and neck.first take rfb, rfb-s, inception, aspp and deformable: the blocks of the paper's "
        "comparison, and `stemma.studies.fields` measures how far each sees. The paper leaves their widths open; here "
        "they divide channels alike, and neck.narrow evens out the weights.",
        "The code's 'clip' clamps a box's centre and sides to the picture, not its corners: boxes still reach over the "
        "edge.",
        "Branches are added in full (neck.scale=1), as the code's nets do; its blocks' own default is .1.",
        "Blocks dilate by 2, 3 and 5 (visual 2), the last two of 512 by 1, 2 and 3, and 1, 3, 3 and 5 on conv4_3.",
        "Boxes of COCO have 7 % of the side on the finest map: --set rule.anchors.small=21,45,99,153,207,261 with the "
        "same shifted as large. 'rfb512-e' has COCO's at 512.",
        "'rfb512-e' is the authors' larger net: blocks that reach seven cells, and on the finest map a block of 256 "
        "channels of conv4_3 and 256 of fc7, enlarged (neck.join). Its rates fall where the code's for COCO do; the "
        "end, 150 epochs, is ours: the code's 300 are its default for VOC.",
        "The paper's VOC schedule ends earlier than the code's 300 epochs; this is the code's.",
        "Pictures are cropped, and then zoomed out with probability .6; a crop's overlap is asked of every object, as "
        "in the code (SSD's asks one: recipe.augment.crop_every=false). Its canvas may also change shape.",
        "Scores from .01, the best 200 (its test has .01 and 200 a class).",
    ),
    presets=("paper", "small", "rfb512", "rfb512-e"),
    size=Size("the side of the square; default boxes in proportion, and the steps of maps that are laid out by their "
              "cells, as SSD's", resized),
)
