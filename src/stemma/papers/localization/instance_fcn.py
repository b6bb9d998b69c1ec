"""InstanceFCN: an FCN says at every pixel which part of an object it is, in a grid of k x k parts, and a window's mask
is put together from these maps without one more weight.  arXiv 1603.08678"""
from __future__ import annotations

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...parts.backbones.vgg import VGGAtrous
from ...parts.windows.instances import InstanceHead, InstanceRule
from ...parts.windows.patches import Canonical
from ...skeletons.windows import Windows
from . import deepmask, fcn

SCALES = tuple(1.5**k for k in range(-4, 2))  # of a picture of 600 pixels (sec. 3.3)


def spec(preset: str = "paper") -> Windows[InstanceRule]:
    """VGG-16 of stride 8, k = 5, windows of 168 pixels; "small": ours, for two cores."""
    p = deepmask.spec("small" if preset == "small" else "paper")
    if preset == "small":  # not in the paper: a residual trunk of stride 8, windows of 7 x 7 cells
        rule = InstanceRule(Canonical(positives=4, negatives=4), count=64, every=True, first=400, keep=200)
        return Windows(rule, p.backbone, part(InstanceHead, k=3, width=64), window=56, scales=p.scales, border=28)
    return Windows(InstanceRule(), part(VGGAtrous), part(InstanceHead), window=168, scales=SCALES, border=84)


def recipe(preset: str = "paper") -> Recipe:
    """Eight pictures a step at a size drawn from six, 256 windows of each; "small": DeepMask's, for two cores."""
    if preset == "small":
        return deepmask.recipe("small")
    sizes = tuple(round(600 * s) for s in SCALES)
    return Recipe(
        lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=8, length="40000steps", milestones=(0.8,), warmup=0.0,
        lr_mult=((r"backbone\.features\.[0-7]\.", 0.0),), augment=Augment(flip=0.5),
        resize=Resize("shortest", 600, 1000, 8, sizes),
    )


PAPER = Paper(
    title="Instance-sensitive Fully Convolutional Networks",
    authors="Dai, He, Li, Ren, Sun",
    year=2016,
    arxiv="1603.08678",
    task="proposals",
    spec=spec,
    recipe=recipe,
    summary="DeepMask says a window's mask with a layer that has weights for every pixel of it, so neighbouring "
    "windows say the same pixels anew. Here every pixel says once, for each of k x k parts, whether it is that part of "
    "an object: left above, middle, right below. A window takes of each map the part that lies there, copied cell by "
    "cell. What two windows share they read from the same numbers, and no weight knows how large a mask is.",
    parents=(
        Parent(deepmask.PAPER, (
            ("rule", "masks are assembled from maps, learn on windows of whole pictures, and are suppressed at .8"),
            ("backbone", "VGG-16, holes in conv5 in the place of the fourth pool's stride"),
            ("head", "k x k maps of parts in the place of a fully connected mask, and a convolution for the score"),
            (("window", "border", "scales"), "windows of 21 x 21 cells, on pictures of six sizes"),
        )),
        Parent(fcn.PAPER, (("", "maps say which part of an object a pixel is, and not which class; windows copy their "
                            "masks from them"),)),
    ),
    claims=(
        Claim("AR@1000, masks, COCO", 0.392, "Feature Pyramid Networks (arXiv 1612.03144), its table 6, COCO val"),
    ),
    facts=(
        Fact("numbers a cell", 26, 80, source="k^2 = 25 maps and a score"),
        Fact("parameters of the head", 2_738_202, 80, source="512 x 512, 9 x 512 x 25, 9 x 512 x 512 and 512 weights, "
             "with biases"),
    ),
    notes=(
        "k is head.k: 1, 3, 5 or 7, also where it does not divide the window's cells; row y then belongs to part "
        "floor(y k / m).",
        "A window learns by DeepMask's rule of what lies in its middle at its size, in shares of the window. Which "
        "windows there are is the lattice's matter: one a cell, none is cut out or moved.",
        "The mask's term is the mean over the window's cells; rule.weight=441 is the sum that is printed. A window "
        "whose object is shown at no other size learns at the size that the picture was drawn at; small looks at all "
        "its sizes in every step.",
        "The 2,000 best windows are assembled and 1,000 proposals left; the paper keeps 300 for its instance "
        "segmentation.",
        "Of the paper's tables of AR one number is repeated, which another paper's table has too; we could not check "
        "the others.",
        "The trunk keeps DeepLab's 3x3 pools of stride 1. Length, rate and batch are ours.",
        "Cells of a window beyond the map are those at its edge; the border of mean colour around a picture is half a "
        "window wide, so that this happens to windows without a middle in the picture alone.",
    ),
)
