"""DenseBox: every cell of a fine map says a score and how far the four edges of its object are; a pyramid of pictures
brings objects to one size.  arXiv 1509.04874"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Info
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGGLevels
from ...parts.dense.sample import TopShare
from ...parts.windows.distances import DistanceRule, Patches, PixelHead
from ...skeletons.windows import Windows, ladder
from . import fcn


def spec(preset: str = "paper") -> Windows[DistanceRule]:
    """VGG19 to conv4_4, joined with conv3_4 at stride 4; "landmarks": the score refined by landmarks; "small",
    "landmarks-small"."""
    if preset.endswith("small"):  # not in the paper: a residual trunk, a standard size of 24 pixels in patches of 64
        sample = Patches(3, 3, fill=24 / 64, shift=8 / 64, octave=0.3, away=0.0, apart=0.0, least=2.0, tries=1,
                         size="longer")
        net = Windows(DistanceRule(sample, TopShare(0.05), side=64, ring=1),
                      part(TinyResNet, widths=(32, 64, 128), levels=(0, 1, 2)),
                      part(PixelHead, hidden=96, dropout=0.0, refine=16), window=24,
                      scales=(2.0, 1.41, 1.0, 0.71, 0.5, 0.35))
    else:
        net = Windows(DistanceRule(), part(VGGLevels, depth=19, levels=(0, 1)), part(PixelHead), window=50,
                      scales=tuple(2 ** (k / 2) for k in range(-6, 3)))
    return replace(net, rule=replace(net.rule, points=5 if preset.endswith("small") else 72)) if (
        preset.startswith("landmarks")) else net


def prepare(net: Windows[DistanceRule], info: Info) -> Windows[DistanceRule]:
    """As many landmarks as the data have, where they are used."""
    if not net.rule.points or info.points is None or not info.points.names:
        return net
    return replace(net, rule=replace(net.rule, points=len(info.points.names)))


def recipe(preset: str = "paper") -> Recipe:
    """Sec. 3.3: momentum .9, a rate of 1e-3, a tenth of it after each 10,000 steps; batch and length are ours, as is
    all of "small"."""
    if preset.endswith("small"):
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 8),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    return Recipe(
        optimizer="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=5, length="30000steps", schedule="step",
        milestones=(1 / 3, 2 / 3), warmup=0.0, resize=Resize("keep", 480, divisor=1), augment=Augment(flip=0.5),
    )


def resized(spec: Windows[DistanceRule], recipe: Recipe, size: int) -> tuple[Windows[DistanceRule], Recipe]:
    """A look keeps the size that it is asked for; looks are added for larger pictures."""
    return replace(spec, scales=ladder(spec.scales, size / recipe.resize.size)), recipe.at(size)


PAPER = Paper(
    title="DenseBox: Unifying Landmark Localization with End to End Object Detection",
    authors="Huang, Yang, Deng, Yu",
    year=2015,
    arxiv="1509.04874",
    task="detection",
    spec=spec,
    recipe=recipe,
    prepare=prepare,
    summary="A fully convolutional net that labels every cell of a map at stride 4: is an object of the standard size "
    "around me, and how far are its four edges? No anchors and no second look. It learns from patches that show one "
    "object at its size in the middle; a circle around the middle is positive, a ring around that is not asked, and "
    "of the background half comes from the hundredth that it errs most on. At test a pyramid of pictures brings other "
    "sizes to the standard. Landmarks, learned beside it, can refine the score.",
    parents=(Parent(fcn.PAPER, (("", "at every cell a score and the distances of four edges in the place of classes, "
                                 "learned on patches of one scale and read from a pyramid"),)),),
    claims=(
        Claim("AP of cars, KITTI, about", 0.85, "README of the released code's KITTI experiment: 'approximately'"),
    ),
    facts=(
        Fact("parameters", 11_375_173, 1, source="VGG19 to conv4_4, and two branches of 768 x 512 and 512 x 1 or 4"),
        Fact("parameters of VGG19 to conv4_4", 10_585_152, 1, source="torchvision's vgg19, features 0 to 26"),
        Fact("cells of a patch", 3_600, 1, source="sec. 3.2: 60 x 60 from 240 x 240"),
        Fact("numbers of a cell", 5, 1, source="sec. 3.2"),
    ),
    notes=(
        "Patches are cut from whole pictures as they are loaded: one around an object and one anywhere of each (1:1, "
        "as published), so that a step has twice as many patches as pictures. The published mini-batch and length are "
        "not known to us: ten patches and 30,000 steps are ours.",
        "Patches are moved by up to 25 pixels and scaled between .8 and 1.25 about the standard size of 50.",
        "Objects of other sizes than .8 to 1.25 of the standard are background, as in the paper, which measures them "
        "against the object in the middle of the patch: here it is the standard itself, which patches without an "
        "object in their middle have too.",
        "The ring is a square of two cells about every positive one. A cell in two circles is that of the nearer "
        "middle; of an object's size the paper says only 'the box size': its height, for faces as for cars.",
        "The hundredth of highest loss is of the negatives of a step. Losses are divided by the number of cells "
        "chosen.",
        "The paper has one class. With several, each has a score at every cell and all share the distances.",
        "The layers that refine the score are drawn and not listed in the paper: one convolution over 5 x 5 cells and "
        "one over one are ours. 72 landmarks are those of the paper's faces; a run has as many as its data.",
        "Cells beyond the picture and inside crowds are not asked. The looks of the pyramid are our choice, half an "
        "octave apart.",
    ),
    presets=("paper", "landmarks", "small", "landmarks-small"),
    size=Size("the short side; cells keep their stride and their standard size, and looks are added as in OverFeat",
              resized),
)
