"""Amodal Instance Segmentation: whole objects learned from seen masks alone, by pasting objects over one another; boxes
grow where the map runs over their edge.  arXiv 1604.08202"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Recipe
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGGLevels
from ...parts.windows.complete import Grow, HeatMap, Paste
from ...parts.windows.patches import Canonical
from ...skeletons.complete import Completion, Whole
from . import deepmask, semantic_amodal


def spec(preset: str = "paper") -> Completion:
    """VGG16 with hypercolumns of 50 x 50, boxes that grow; "small"."""
    if preset == "small":  # not in the paper: views of 48 pixels, maps of 24 x 24, two rounds
        modal = deepmask.spec("small")
        rule = Whole(Canonical(positives=6), Paste(side=64), Grow(2, 0.15), side=48)
        return Completion(replace(modal, rule=replace(modal.rule, keep=100)), rule,
                          part(TinyResNet, widths=(24, 48, 96), levels=(0, 1, 2)), part(HeatMap, side=24))
    return Completion(deepmask.spec("paper"), Whole(Canonical(positives=4), Paste(side=320), Grow()), part(VGGLevels),
                      part(HeatMap, side=50))


def recipe(preset: str = "paper") -> Recipe:
    """ExpandMask's: momentum .9, and what finds objects sleeps while the whole is learned."""
    return semantic_amodal.recipe("expand-small" if preset == "small" else "expand")


PAPER = Paper(
    title="Amodal Instance Segmentation",
    authors="Li, Malik",
    year=2016,
    arxiv="1604.08202",
    task="amodal",
    spec=spec,
    recipe=recipe,
    summary="Nobody had drawn whole objects, so occlusions are made: an object is cut out by its mask and pasted over "
    "another, of which everything is known. Its neighbours' pixels are unknown and pay nothing: it may go on behind "
    "them. The net is shown the patch and how the seen object was segmented, and says the whole. Since the seen box is "
    "too small for it, a side of the box moves out while the map just beyond it is warm.",
    parents=(
        Parent(semantic_amodal.PAPER, (("", "no whole masks in training: occlusions are made by pasting, unknown "
                                        "pixels pay nothing, the seen mask goes in with the patch, and boxes grow"),)),
        Parent(deepmask.PAPER, (("", "finds objects and their seen masks, and sleeps while a second net learns the "
                                 "whole"),)),
    ),
    claims=(Claim("cells along a side of the heat map", 50, "the network's output, 50 x 50"),),
    facts=(
        Fact("parameters", 90_561_092, 80,
             source="DeepMask's, VGG16's convolutions on four channels, and a classifier on each of three levels"),
        Fact("cells of a map", 2_500, 80, source="50 x 50"),
    ),
    notes=(
        "The paper's seen masks come from Iterative Instance Segmentation on Fast R-CNN's boxes, which the reading "
        "list does not hold: DeepMask's stand in; with them classes are not told apart, and the heat has one channel.",
        "Up to two objects of other pictures of the batch are pasted, between half and 1.2 of the object's size of "
        "view, mirrored or not, somewhere on it. Where they would hide more than seven tenths nothing is pasted. The "
        "range is ours.",
        "rule.paste.band makes the background beside an object unknown too: objects 'may be occluded by background'.",
        "A side moves by a tenth of the box while the mean heat of the band that it would take in is above .1, ten "
        "rounds at most. A cell is the object from one half on.",
        "Cut-outs are seen masks, as COCO's: one that is itself occluded is pasted as it is seen.",
        "The accuracies that the paper reports are not repeated here, since we could not check their digits.",
    ),
    presets=("paper", "small"),
)
