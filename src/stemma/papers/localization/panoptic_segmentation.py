"""Panoptic Segmentation: every pixel gets a class and an identity; a detector's masks and a class map are merged by
rule.  arXiv 1801.00868"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.recipe import Recipe
from ...core.types import Batch, Info, Losses, PanopticMap, StemmaError
from ...parts.maps.panoptic_merge import PanopticMerge, instances_of, pasted, semantic_of
from ...parts.preprocess import Preprocess
from ...skeletons.segment import Segmenter
from ...skeletons.two_stage import TwoStage
from . import fcn, mask_rcnn


@dataclass(frozen=True)
class PanopticPair:
    """Two nets that share nothing, and the merge. `things` lists the classes, of the panoptic list,
    that the detector finds."""

    instances: TwoStage
    semantic: Segmenter
    merge: PanopticMerge = PanopticMerge()
    things: tuple[int, ...] = tuple(range(80))  # COCO: 80 things before 53 kinds of stuff

    @property
    def preprocess(self) -> Preprocess:
        return self.instances.preprocess

    def build(self, classes: int) -> PanopticPairModel:
        return PanopticPairModel(self, classes)


class PanopticPairModel(nn.Module):
    """A detector of the things and a segmenter of all classes, trained side by side on one panoptic truth."""

    def __init__(self, spec: PanopticPair, classes: int) -> None:
        super().__init__()
        if not spec.things or max(spec.things) >= classes or len(set(spec.things)) != len(spec.things):
            raise StemmaError(f"'things' must list which of the {classes} classes are objects, not {spec.things}; data "
                              "with a panoptic class list tells it")
        self.spec, self.classes = spec, classes
        self.instances = spec.instances.build(len(spec.things))
        self.semantic = spec.semantic.build(classes)
        self.register_buffer("thing", torch.tensor(spec.things), persistent=False)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Any]:
        return {"instances": self.instances(images), "semantic": self.semantic(images)}

    def loss(self, batch: Batch) -> Losses:
        """The losses of both, named `instances_*` and `semantic_*`.

        Raises `StemmaError` where the batch has no panoptic map.
        """
        t = batch.targets
        if t.panoptic is None or t.segments is None:
            raise StemmaError("this system learns from panoptic maps and the data has none")
        objects = instances_of(t.panoptic, t.segments, self.spec.things, self.classes, t.segments_crowd)
        pixels = replace(t, semantic=semantic_of(t.panoptic, t.segments))
        found = self.instances.loss(replace(batch, targets=objects))
        return ({f"instances_{k}": v for k, v in found.items()}
                | {f"semantic_{k}": v for k, v in self.semantic.loss(replace(batch, targets=pixels)).items()})

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> PanopticMap:
        found, classes = self.instances.predict(images, sizes), self.semantic.predict(images, sizes)
        labels = torch.where(found.labels < 0, -1, self.thing[found.labels.clamp(min=0)])  # type: ignore[index]
        assert classes.scores is not None
        at = pasted(found, *images.shape[-2:])
        return self.spec.merge(at, labels, found.scores, classes.labels, self.spec.things, self.classes,
                               classes.scores.amax(1))


def spec(preset: str = "paper") -> PanopticPair:
    # 64^2 pixels of an 800-pixel picture are 100 of a 128-pixel one; scenes have eight kinds of things
    if preset == "small":
        return PanopticPair(mask_rcnn.spec(preset), fcn.spec(preset), PanopticMerge(stuff_area=100), tuple(range(8)))
    return PanopticPair(mask_rcnn.spec(preset), replace(fcn.spec(preset), loss=fcn.spec("normalised").loss))


def prepare(pair: PanopticPair, info: Info) -> PanopticPair:
    """`things` from the data's class list."""
    things = tuple(i for i, thing in enumerate(info.classes_for("panoptic").things) if thing)
    return replace(pair, things=things)


def recipe(preset: str = "paper") -> Recipe:
    """The detector's recipe; at "paper" the segmenter learns at the rates of its own, 1e-4 and twice that for biases,
    of the detector's .02."""
    base = mask_rcnn.recipe(preset)
    return base if preset == "small" else replace(base,
                                                  lr_mult=((r"^semantic\..*\.bias$", 0.01), (r"^semantic\.", 0.005)))


def resized(spec: Any, recipe: Recipe, size: int) -> tuple[Any, Recipe]:
    """Both nets as Mask R-CNN and FCN have it; the merge counts pixels of the picture that they see."""
    merge, ratio = spec.merge, size / recipe.resize.size
    return replace(spec, merge=replace(merge, stuff_area=round(merge.stuff_area * ratio**2))), recipe.at(size)


PAPER = Paper(
    title="Panoptic Segmentation",
    authors="Kirillov, He, Girshick, Rother, Dollar",
    year=2018,
    arxiv="1801.00868",
    task="panoptic",
    spec=spec,
    recipe=recipe,
    prepare=prepare,
    summary="Instance and semantic segmentation become one task: each pixel has one class, and each pixel of a "
    "countable class one identity, without overlap. Its measure, PQ, matches segments at an IoU above one half, which "
    "makes the matching unique, and is the product of how well matched segments fit and how "
    "many are found. The baseline merges a detector's masks, best first, with the class map of a second net, which "
    "fills what the masks leave.",
    parents=(
        Parent(mask_rcnn.PAPER,
               (("", "the detector becomes one half of a pair: its masks are laid down best first, without overlap"),)),
        Parent(fcn.PAPER, (("", "the segmenter becomes the other half: its stuff fills what the masks leave, its "
                            "things are dropped"),)),
    ),
    claims=(
        Claim("PQ of the merged baseline, Cityscapes", 0.612, "table 6"),
        Claim("PQ of the merged baseline, ADE20k", 0.356, "table 6"),
        Claim("PQ of the merged baseline, Mapillary Vistas", 0.383, "table 6"),
        Claim("PQ of a second human annotator, Cityscapes", 0.697, "table 2"),
    ),
    facts=(Fact("parameters", 179_255_428, 133,
                source="Mask R-CNN of 80 classes (44,347,573) and FCN-8s of 133 (134,907,855)"),),
    notes=(
        "The paper merges published outputs of Mask R-CNN and PSPNet; FCN-8s stands here for the second. Our pair "
        "trains both nets at once, for as long as the detector, on targets that are read from one panoptic map; no "
        "such training is published.",
        "The class map knows all classes; where it says thing and no mask agrees, the pixel stays void.",
        "Of an instance, the share already covered counts instances that were laid down, as in the authors' code; "
        "those that were dropped cover nothing.",
        "That small stuff segments are dropped stands in the authors' code, not in the paper: under 64 x 64 pixels "
        "there, under 100 in the small preset.",
        "Masks are sampled at pixel centres, not resized to whole-pixel boxes: they may differ by a pixel's width from "
        "the detector's own.",
    ),
    size=Size("the short side of both nets; the least area of stuff goes along, as the square", resized),
)
