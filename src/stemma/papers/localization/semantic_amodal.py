"""Semantic Amodal Segmentation: regions with their hidden parts and an order of depth; DeepMask learns whole objects,
or a second net completes what is seen.  arXiv 1509.01329"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Phase, Recipe
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGGLevels
from ...parts.windows.complete import HeatMap
from ...parts.windows.patches import Canonical
from ...parts.windows.rules import MaskRule
from ...skeletons.complete import Completion, Whole
from ...skeletons.windows import Windows
from . import deepmask


def spec(preset: str = "paper") -> Windows[MaskRule] | Completion:
    """AmodalMask: DeepMask on whole masks; "expand": ExpandMask, a net that is shown a patch and the seen mask;
    "small", "expand-small"."""
    if preset == "expand-small":  # not in the paper: views of 48 pixels, maps of 24 x 24
        modal = deepmask.spec("small")
        return Completion(replace(modal, rule=replace(modal.rule, keep=100)), Whole(Canonical(positives=6), side=48),
                          part(TinyResNet, widths=(24, 48, 96), levels=(0, 1, 2)), part(HeatMap, side=24))
    if preset == "expand":
        return Completion(deepmask.spec("paper"), Whole(Canonical(positives=4)), part(VGGLevels),
                          part(HeatMap, side=56))
    net = deepmask.spec("small" if preset == "small" else "paper")
    return replace(net, rule=replace(net.rule, target="amodal"))


def recipe(preset: str = "paper") -> Recipe:
    """DeepMask's; ExpandMask begins when its proposals are learned, and they sleep then. The shares are ours."""
    plain = deepmask.recipe("small" if preset.endswith("small") else "paper")
    if not preset.startswith("expand"):
        return plain
    phases = (Phase("modal", 0.7, r"^modal\.", "^(mask|score)$"), Phase("amodal", 0.3, r"^(trunk|head)\.", "^amodal$"))
    return replace(plain, phases=phases)


def resized(spec: Any, recipe: Recipe, size: int) -> tuple[Any, Recipe]:
    """DeepMask's looks; the second net sees an object at its own size whatever the picture's."""
    if isinstance(spec, Completion):
        assert deepmask.PAPER.size is not None
        modal, recipe = deepmask.PAPER.size.change(spec.modal, recipe, size)
        return replace(spec, modal=modal), recipe
    assert deepmask.PAPER.size is not None
    return deepmask.PAPER.size.change(spec, recipe, size)


PAPER = Paper(
    title="Semantic Amodal Segmentation",
    authors="Zhu, Tian, Metaxas, Dollar",
    year=2015,
    arxiv="1509.01329",
    task="amodal",
    spec=spec,
    recipe=recipe,
    summary="People were asked to outline regions whole, hidden parts too, to name them, and to say which is in front: "
    "they agree on hidden parts nearly as well as on seen ones. The data brings measures by how much of a region is "
    "occluded, and by how often the order of two is told. Two simple systems open it: proposals that learn whole masks "
    "in the place of seen ones, and a net that is shown a patch with its seen mask and expands it.",
    parents=(Parent(deepmask.PAPER, (("rule.target", "masks of whole objects, hidden parts included, are learned"),)),),
    claims=(
        Claim("pictures annotated, COCO", 5_000, "abstract"),
        Claim("pictures annotated by several people, BSDS", 500, "abstract"),
    ),
    facts=(
        Fact("parameters", 75_844_545, 80, source="DeepMask's: a target has no weights"),
        Fact("parameters", 90_561_092, 80, variant="expand",
             source="DeepMask's, VGG16's convolutions on four channels, and a classifier on each of three levels"),
        Fact("pixels of a mask", 3_136, 80, variant="expand", source="DeepMask's 56 x 56"),
    ),
    notes=(
        "The paper trains SharpMask, DeepMask with a refinement, which the reading list does not hold; both its "
        "systems stand on DeepMask here. It starts AmodalMask from the seen masks' weights; "
        "here it starts from nothing, as DeepMask does.",
        "AmodalMask's windows lie around whole objects, whose boxes are taken from the whole masks.",
        "ExpandMask is said to be a network on a patch and a seen mask; its layers are ours: VGG16 on four channels "
        "and hypercolumns. It learns from the masks that its own sleeping proposals say, about the true boxes.",
        "Classes are not told apart, as in the paper's measures: mask_AP and mask_AR are over regions.",
        "The recall that the paper reports is not repeated here, since we could not check its digits.",
    ),
    presets=("paper", "expand", "small", "expand-small"),
    size=Size("the short side; windows keep their pixels, and looks are added as in OverFeat", resized),
)
