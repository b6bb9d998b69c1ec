"""AttractioNet: seeds that cover the picture are scored and refined round after round; a box is which rows and columns
cross the object, as in LocNet.  arXiv 1606.04446"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGG16
from ...parts.dense.sample import Random
from ...parts.regions.in_out import InOut, InOutHead, ManyNMS, ObjectHead, Offsets, Says, Seeds
from ...skeletons.attend import Attend
from . import mr_cnn

SIDES = (12.0, 21.0, 36.7, 64.0)  # of the seeds in scenes


def spec(preset: str = "paper") -> Attend:
    """VGG-16 to conv5_3, 56 parts a side; "borders", "combined": LocNet's other answers; "regression": what they stand
    against; "small", "regression-small"."""
    if preset.startswith("regression"):
        net = spec(preset.removeprefix("regression").lstrip("-") or "paper")
        return replace(net, where=net.where.but(parts=2), place=Offsets(), place_weight=1.0)
    if preset == "small":  # not in the paper: a residual trunk of stride 8, 24 parts, 500 seeds, three rounds
        return Attend(
            backbone=part(TinyResNet, widths=(32, 96), blocks=2, levels=(1,)),
            where=part(InOutHead, width=64, bins=7, parts=24, norm=True),
            object=part(ObjectHead, width=128, bins=4, dropout=0.0),
            seeds=Seeds(tuple((a, b) for a in SIDES for b in SIDES), 1.0, 500, 0.25), place=InOut(1.8, 24),
            sample=Random(32, 0.5), place_weight=3.0,
            about=24, rounds=3, keep=150,
            last=ManyNMS(keeps=(300, 300, 200, 150, 100, 60, 30, 15)),
        )
    says: Says = "borders" if preset == "borders" else "combined" if preset == "combined" else "in-out"
    return Attend(backbone=part(VGG16), where=part(InOutHead, says=says), object=part(ObjectHead),
                  place=InOut(says=says))


def recipe(preset: str = "paper") -> Recipe:
    """The size of the pictures is the authors'; rates and length are ours, as is all of "small"."""
    if preset.endswith("small"):
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 8),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    return Recipe(lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=4, length="320000steps", milestones=(0.875,),
                  gamma=0.1, warmup=0.0, resize=Resize("shortest", 1000, 1400, 16), augment=Augment(flip=0.5))


def resized(spec: Attend, recipe: Recipe, size: int) -> tuple[Attend, Recipe]:
    """Seeds are as large as they were beside the picture."""
    scale = spec.seeds.scale * (size / recipe.resize.size)
    return replace(spec, seeds=replace(spec.seeds, scale=scale)), recipe.at(size)


README = "README of the authors' code"
PAPER = Paper(
    title="Attend Refine Repeat: Active Box Proposal Generation via In-Out Localization",
    authors="Gidaris, Komodakis",
    year=2016,
    arxiv="1606.04446",
    task="proposals",
    spec=spec,
    recipe=recipe,
    presets=("paper", "borders", "combined", "regression", "small", "regression-small"),
    summary="Where an object lies is asked as a question of every column and every row of a region about a box: does "
    "it cross the object? The box is the interval that these probabilities make likeliest. A network that refines any "
    "box so, and says how like an object it is, needs no good boxes to begin with: it starts from boxes that cover the "
    "picture evenly, goes on from those that scored, round after round, and leaves those that stand still. Classes are "
    "not told apart, and objects of unseen ones are found too.",
    parents=(Parent(mr_cnn.PAPER, (("", "no boxes from outside and no classes: seeds are refined round after round by "
                                    "probabilities of rows and columns in the place of a regression"),)),),
    claims=(
        Claim("AR@10, COCO", 0.326, README), Claim("AR@100, COCO", 0.532, README),
        Claim("AR@1000, COCO", 0.660, README), Claim("AR@10, VOC 2007", 0.547, README),
        Claim("AR@100, VOC 2007", 0.740, README), Claim("AR@1000, VOC 2007", 0.848, README),
        Claim("AP of a detector on its proposals, COCO test-dev", 0.341, README),
    ),
    facts=(
        Fact("parameters", 139_791_282, 80, source="VGG-16's convolutions, two 3x3 and two layers of 7,168 x 56, "
             "fc6, fc7 and two numbers"),
        Fact("numbers of a box", 112, 80, source="2 M, M = 56"),
        Fact("numbers of a box", 336, 80, variant="combined", source="in-out and two borders of each axis"),
        Fact("seeds at most", 10_000, 80, source="the authors' code"),
    ),
    notes=(
        "Seeds are of the 25 shapes of the authors' code, 16 to 384 pixels of the file. A net knows its own pixels "
        "alone, so that both are tied by seeds.scale, that of a short side of 480, as most of COCO's, at 1,000.",
        "Columns and rows are counted with continuous edges: the k-th of M spans (k - 1) W / M to k W / M. The "
        "released codes subtract 1 and add .5, each in its own way.",
        "The loss of columns and rows weighs 20; pairs overlap by .4. A region is an object from an overlap of .5 on.",
        "Boxes to learn from are drawn about the truth, from the seeds, and from what the net makes of both at the "
        "moment; the authors alternate with proposals made ahead.",
        "What survives a lower threshold of the last suppression comes first, as in the code, where levels are added "
        "to scores; a score here is divided, to lie in 0..1.",
        "A box that moved to an overlap of .9 with itself stays in the pool and is not refined again.",
        "LocNet refines a detector's boxes class by class; here all share one answer. Its likelihoods are all here: "
        "`stemma train attractionet --preset borders`. 'regression' says Fast R-CNN's four numbers by the same layers. "
        "The detector on the proposals is any that takes a file of them: `--proposals`.",
    ),
    size=Size("the short side; seeds grow with it", resized),
)
