"""U-Net: the way up is as wide as the way down, features are joined and not scores, and gaps between cells weigh most.
arXiv 1505.04597"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import edit, part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Info
from ...parts.maps.decoders import Contract, Expand
from ...parts.maps.losses import BorderCrossEntropy
from ...skeletons.segment import Segmenter
from . import fcn


def spec(preset: str = "paper") -> Segmenter:
    """The net of fig. 1 (grey pictures, valid convolutions, mirrored border), or "small": padded convolutions,
    batch norm, colour."""
    p = fcn.spec(preset)
    # not in the paper: a quarter of the width, batch norm, padded convolutions, rarity by its square root
    if preset == "small":
        widths = (16, 32, 64, 128, 256)
        down = part(Contract, widths=widths, valid=False, grey=False, norm=True, dropout=0.0)
        return replace(p, backbone=down, decoder=part(Expand, valid=False, norm=True),
                       loss=BorderCrossEntropy(weight=0.0, sigma=1.5, balance=0.5))
    return replace(p, backbone=part(Contract), decoder=part(Expand), loss=BorderCrossEntropy())


def prepare(net: Segmenter, info: Info) -> Segmenter:
    """Where the data is things on one stuff class (cells), that class is drawn between things that touch."""
    classes = info.classes_for("semantic")
    stuff = [i for i, thing in enumerate(classes.things) if not thing]
    if len(classes) == 2 and len(stuff) == 1 and "masks" in info.kinds:
        loss = edit(net.loss, "background", stuff[0])
        return replace(net, loss=replace(loss, weight=loss.weight or 5.0))
    return net


def recipe(preset: str = "paper") -> Recipe:
    """SGD of momentum .99 on one tile a step, elastic deformation;
    "small": ours, for two cores and 128-pixel scenes."""
    if preset == "small":
        return fcn.recipe(preset)
    return Recipe(
        optimizer="sgd", lr=1e-3, momentum=0.99, weight_decay=0.0, batch=1,
        length="36000s", schedule="constant", warmup=0.0, resize=Resize("keep", 512, divisor=1),
        augment=Augment(flip=0.5, vertical=0.5, quarter=0.75, colour=0.1, elastic=10.0),
    )


PAPER = Paper(
    title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
    authors="Ronneberger, Fischer, Brox",
    year=2015,
    arxiv="1505.04597",
    task="semantic",
    spec=spec,
    recipe=recipe,
    starts="random weights, drawn by the size of each layer's input",
    prepare=prepare,
    summary="Trained on some thirty pictures, it labels cells pixel by pixel. Each level of the way down is handed, "
    "uncut in channels, to the same level of the way up, where convolutions decide how to mix both. Elastic "
    "deformation makes many pictures of few; a weight map makes the thin background between "
    "touching cells the dearest pixels of all; mirrored, overlapping tiles label pictures of any size without seams.",
    parents=(
        Parent(
            fcn.PAPER,
            (
                ("backbone", "every level down from full resolution is kept, and nothing comes from ImageNet"),
                ("decoder", "scores that are added become features that are concatenated and mixed by convolutions"),
                ("loss", "pixels weigh by the rarity of their class and by how thin the gap is that they lie in"),
            ),
        ),
    ),
    claims=(
        Claim("warping error, ISBI EM challenge", 0.000353, "table 1"),
        Claim("mean IoU, PhC-U373", 0.9203, "table 2"),
        Claim("mean IoU, DIC-HeLa", 0.7756, "table 2"),
    ),
    facts=(
        Fact("parameters", 31_030_658, 2, source="sum over the layers of fig. 1, one channel in, two classes out"),
        Fact("output side of a 572-pixel tile", 388, 2, (("backbone.mirror", False),), source="fig. 1"),
        Fact("convolutions", 23, 2, source="sec. 2"),
    ),
    notes=(
        "The paper gives no learning rate and no schedule; 1e-3 constant is ours. It trained for ten hours. The loss "
        "is divided by the sum of the weights, where eq. 1 is a sum.",
        "Turns are quarter turns and flips, greys change by a tenth, pictures are not shifted; the paper names shift, "
        "rotation and grey without numbers.",
        "The warping error of the first claim has no measure here; mean IoU has. It is of the mean over seven rotated "
        "versions of the picture, which are not built.",
        "Where dropout sits is said only as 'at the end of the contracting path'; with .5 on the two coarsest levels "
        "it is the released net's, which also has a ReLU after each up-convolution and keeps 128 channels at the last.",
        "w_c is the inverse frequency of a class in its own picture, so that no pass over the data comes first.",
        "d1 and d2 are distances to the cells' pixels, so inside a cell d1 is 0 and the map rises towards a neighbour; "
        "beyond 4 sigma it is cut (.003 of 10).",
        "Training pictures are mirrored at their border too; backbone.mirror=false trains on the inner 388 of 572 "
        "pixels, as in fig. 1.",
        "Instance maps whose cells touch, as DSB 2018's, get a line of background two pixels wide between them, since "
        "the weight map alone presumes one.",
    ),
)
