"""ReInspect: a recurrent net reads each cell and says its boxes one by one, so that people who overlap need no
suppression.  arXiv 1506.04878"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Detections, Losses, Targets
from ...ops import boxes as bx
from ...ops.scalars import normaliser
from ...parts.backbones.googlenet import GoogLeNet
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import CellBoxes
from ...parts.dense.losses import ClassLoss, Softmax
from ...parts.dense.sets import SetHead, SetMatch, cell_objects
from ...parts.dense.stitch import Stitch
from ...parts.necks import Same
from ...skeletons.dense import Dense, DenseRaw
from . import overfeat


@dataclass(frozen=True)
class SetRule:
    """A set of boxes from each cell, in the order said (sec. 3). A code is the centre relative to that of the cell, and
    the size, in pixels.

    region: side of the square in the middle of a cell whose objects it must say.
    """

    anchors: CellBoxes = CellBoxes(5)
    match: SetMatch = SetMatch()
    cls: ClassLoss = Softmax()
    region: float = 64.0
    box_weight: float = 0.03
    stitch: Stitch = Stitch()
    no_graph: ClassVar[str] = "stitching takes the cells in turn, a small matching each, on the host"

    def objects(self, raw: DenseRaw, t: Targets) -> tuple[Tensor, Tensor]:
        """(place in the targets or -1, the object's box as a code) of every hypothesis."""
        b, s = len(raw.codes), self.anchors.per
        truth, place, real = (v.flatten(0, 1) for v in cell_objects(t, raw.anchors[::s], self.region, s))
        index = self.match(raw.codes.detach().unflatten(1, (-1, s)).flatten(0, 1), truth, real)
        want = bx.take(truth, index.clamp(min=0))
        place = torch.where(index >= 0, place.gather(1, index.clamp(min=0)), -1)
        return place.view(b, -1), want.view(b, -1, 4)

    def loss(self, raw: DenseRaw, t: Targets, classes: int, sizes: Tensor | None = None) -> Losses:
        """Eq. 1: L1 of what has an object, summed over a cell, and cross entropy of everything;
        means over cells, as in the code.

        The matching is fixed while the gradient is taken. Cells beyond the picture are not asked,
        nor what is left over where a crowd is.
        """
        s = self.anchors.per
        middle = bx.centre_size(raw.anchors)[0]
        asked = (middle < raw.sizes(sizes).flip(-1)[:, None]).all(-1)
        place, want = torch.full_like(asked, -1, dtype=torch.long), raw.codes
        label, used = torch.full_like(place, classes), asked
        if t.boxes.shape[1]:
            place, want = self.objects(raw, t)
            label = torch.where(place >= 0, t.labels.clamp(0, classes - 1).gather(1, place.clamp(min=0)), classes)
        if t.crowd is not None and t.boxes.shape[1]:
            centre, size = bx.centre_size(t.boxes)
            held = (((centre[:, None] - middle[:, None]).abs() < (size[:, None] + self.region) / 2).all(-1)
                    & t.crowd[:, None])
            used = asked & ((place >= 0) | ~held.any(-1))
        cells = normaliser(asked.sum().float() / s)
        box = torch.where(asked & (place >= 0), (raw.codes - want).abs().sum(-1), 0.0)
        cls = torch.where(used, self.cls(raw.logits, label), 0.0)
        return {"box": self.box_weight * box.sum() / cells, "cls": cls.sum() / (cells * s)}

    def predict(self, raw: DenseRaw, sizes: Tensor | None = None) -> Detections:
        """Hypotheses of all cells, stitched."""
        s = self.anchors.per
        scores, label = self.cls.scores(raw.logits).max(-1)
        boxes = bx.from_centre(bx.centre_size(raw.references())[0] + raw.codes[..., :2],
                               raw.codes[..., 2:].clamp(min=0))
        cell = torch.arange(boxes.shape[1] // s, device=boxes.device).repeat_interleave(s)
        d = self.stitch(Detections(boxes, scores, label), cell)
        return Detections(bx.clip(d.boxes, raw.image if sizes is None else sizes), d.scores, d.labels)


def spec(preset: str = "paper") -> Dense[SetRule]:
    """GoogLeNet and five boxes a cell of 32 pixels; "small": a residual trunk, four boxes a cell of 16,
    and no wider region."""
    if preset == "small":  # not in the paper
        return Dense(
            rule=SetRule(CellBoxes(4), region=16.0, box_weight=0.01), backbone=part(TinyResNet, levels=(2,)),
            neck=part(Same), head=part(SetHead, width=128, cells=96, dropout=0.0, shrink=0.2, scale=20.0, std=0.1),
        )
    return Dense(rule=SetRule(), backbone=part(GoogLeNet), neck=part(Same), head=part(SetHead))


def recipe(preset: str = "paper") -> Recipe:
    """Sec. 4.1 for Brainwash, pictures of 640 x 480; "small": ours, for two cores and 128-pixel scenes."""
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,),
            warmup=0.03, ema=0.995, resize=Resize("square", 128), augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    return Recipe(
        optimizer="sgd", lr=0.2, momentum=0.5, weight_decay=0.0, batch=1, length="500000steps",
        schedule="step", gamma=0.8, milestones=(0.2, 0.4, 0.6, 0.8), warmup=0.0, clip=0.1,
        lr_mult=((r"^backbone\..*bias$", 8.0), ("^backbone", 4.0), (r"^head\.reduce\.bias$", 2.0)),
        resize=Resize("shortest", 480, 640, 32), augment=Augment(flip=0.5, scale=0.1),
    )


def resized(spec: Dense[SetRule], recipe: Recipe, size: int) -> tuple[Dense[SetRule], Recipe]:
    """A cell answers for its own pixels, and more cells for a larger picture."""
    ratio = size / recipe.resize.size
    rule = replace(spec.rule, box_weight=spec.rule.box_weight / ratio)
    return replace(spec, rule=rule, head=spec.head.but(scale=spec.head["scale"] * ratio)), recipe.at(size)


PAPER = Paper(
    title="End-to-end people detection in crowded scenes",
    authors="Stewart, Andriluka, Ng",
    year=2015,
    arxiv="1506.04878",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's GoogLeNet",
    summary="Suppression by overlap cannot tell two people who stand before one another from one who was found twice. "
    "Here a cell's features enter a recurrent net that says the boxes around it one after another, each knowing what "
    "was said before, until its confidence falls. In training the boxes are matched with the objects at least cost, so "
    "that any order of the objects costs the same, and an order from sure to unsure comes of itself. What "
    "neighbouring cells say is stitched: matched with what is accepted already, one to one, and left out where it "
    "touches its match.",
    parents=(Parent(overfeat.PAPER, (
        ("", "cells of a grid in the place of sliding windows; a recurrent net that says a set of boxes, a matching as "
         "its teacher, and stitching for merging"),
    )),),
    claims=(
        Claim("AP at IoU .5, Brainwash", 0.78, "table 1, L_hungarian"),
        Claim("equal error rate, Brainwash", 0.81, "table 1, L_hungarian"),
        Claim("count error a picture, Brainwash", 0.76, "table 1, L_hungarian"),
        Claim("AP at IoU .5, Brainwash, OverFeat on GoogLeNet", 0.62, "table 1"),
    ),
    facts=(
        Fact("parameters", 7_986_182, 1,
             source="sum over the layers of train.py: GoogLeNet to 5b, 1x1, 3 gates of 250, 5 pairs of outputs"),
        Fact("parameters of GoogLeNet", 5_973_552, 1,
             source="bvlc_googlenet's 6,998,552 without the classifier's 1,025,000"),
        Fact("cells", 300, 1, source="sec. 4.1: 15 x 20"),
        Fact("boxes", 1_500, 1, source="config.json of the code: 5 a cell"),
    ),
    notes=(
        "Matching and loss are as in the paper; where the code's match adds 100 o + r + d / 2000, integers decide here "
        "before distances, which is exact.",
        "The paper stitches in one pass, each cell's list ending at its stop symbol; the code does it in nine, from "
        "confidence .8 to .05, and lets a surer box replace its match. The code's is taken, rule.stitch.passes = "
        "((0.5, 1.0),) is the paper's.",
        "A cell may touch more objects than it has boxes: those nearest to it count, where the code takes the first "
        "of the file.",
        "With several classes a step says one of them or none (softmax over classes and background), and its "
        "confidence is the likeliest class's; stitching does not look at classes. With one class this is the paper's.",
        "The losses are means over cells (boxes) and over hypotheses (confidences), as in the code; the paper "
        "writes sums.",
        "Cells whose centre is padding pay nothing; in cells that touch a crowd region only what is matched does. "
        "Colours have ImageNet's mean and deviation; the code takes 0..255 in BGR less the mean picture of its data.",
        "The gates of the memory are tied, and its output passes no tanh, as in the code and sec. 4.1; head.tied and "
        "head.tanh make it the usual one.",
        "A picture is scaled and moved by up to a tenth; the paper moves by up to 32 pixels, the code by 16. The code "
        "trains the trunk at four times the rate, and biases of convolutions at twice that, ours too; in the paper it "
        "starts from ImageNet. rule.match.how: first is L_firstk, fixed is L_fix.",
        "A graph holds the network up to the hypotheses (`export --outputs raw`); stitching is a sequence of small "
        "matchings and stays outside.",
    ),
    presets=("paper", "small"),
    size=Size("the side; boxes are said in a unit that goes along, and a pixel's error weighs as much less", resized),
)
