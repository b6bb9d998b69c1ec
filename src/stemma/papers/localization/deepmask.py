"""DeepMask: for each window one network says the mask of the object in its middle, whatever it is, and whether there is
one.  arXiv 1506.06204"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...parts.backbones.chain import Chain
from ...parts.backbones.resnet import ResNet
from ...parts.backbones.tiny import TinyResNet
from ...parts.windows.heads import MaskHead
from ...parts.windows.patches import Canonical
from ...parts.windows.rules import MaskRule
from ...skeletons.windows import Windows
from . import fcn, overfeat

POOL = (0, 2, 2, 0)
VGG_A = (
    (64, 3, 1, 1), POOL, (128, 3, 1, 1), POOL, (256, 3, 1, 1), (256, 3, 1, 1), POOL, (512, 3, 1, 1), (512, 3, 1, 1),
    POOL, (512, 3, 1, 1), (512, 3, 1, 1),
)


def spec(preset: str = "paper") -> Windows[MaskRule]:
    """VGG-A without its last pool; "released": ResNet-50 to C4 on windows of 160; "small"."""
    if preset == "small":  # not in the paper: a residual trunk of stride 8, windows of 48 pixels, masks of 24 x 24
        head = part(MaskHead, kernel=6, hidden=64, rank=128, side=24, widths=(128,), dropout=0.0)
        rule = MaskRule(Canonical(positives=4, negatives=4), truth=48, keep=200, nms=0.8)
        return Windows(rule, part(TinyResNet, widths=(32, 96), levels=(1,)), head, window=48,
                       scales=(2.0, 1.41, 1.0, 0.71, 0.5), border=24)
    if preset == "released":
        head = part(MaskHead, kernel=10, hidden=128, widths=(1024,), shared=True)
        trunk = part(ResNet, depth=50, levels=(2,), freeze=0)
        sample = Canonical(shift=16 / 160, away=48 / 160, apart=2.5)
        return Windows(MaskRule(sample, alternate=0.5), trunk, head, window=160,
                       scales=tuple(2 ** (k / 2) for k in range(-5, 2)), border=80, margin=16)
    scales = tuple(2 ** (k / 2) for k in range(-4, 3))
    return Windows(MaskRule(truth=224), part(Chain, layers=VGG_A, levels=(2,)), part(MaskHead), window=224,
                   scales=scales, border=112)


def recipe(preset: str = "paper") -> Recipe:
    """Rates of sec. 4; eight pictures of four windows are its 32 samples, over which eq. 1 sums. The length is ours, as
    is all of "small"; "released": the code's 300 epochs of 4,000 steps, half the rate from the 51st, a tenth from the
    121st."""
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 8),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    plain = Recipe(
        optimizer="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-5, batch=8, length="500000steps",
        schedule="constant", warmup=0.0,
        resize=Resize("keep", 480, divisor=1), augment=Augment(flip=0.5),
        loss_weights=(("mask", 32.0), ("score", 32.0)),
    )
    if preset != "released":
        return plain
    return replace(plain, weight_decay=5e-4, length="1200000steps", schedule="step", milestones=(50 / 300, 120 / 300),
                   gammas=(0.5, 0.2))


PAPER = Paper(
    title="Learning to Segment Object Candidates",
    authors="Pinheiro, Collobert, Dollar",
    year=2015,
    arxiv="1506.06204",
    task="proposals",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's VGG-A, which is torchvision's vgg11; 'released' from ResNet-50",
    summary="A window is shown to one network with two heads. One says the mask of the object in the window's middle, "
    "class and all else aside, through two linear layers of low rank that see the whole window; the other, whether an "
    "object lies in the middle at the window's own scale. As convolutions both "
    "slide over the picture at several sizes; the best-scored masks are proposals. No edges or superpixels are looked "
    "at, and unseen classes are found too.",
    parents=(
        Parent(fcn.PAPER, (("", "one mask a window in the place of one label a pixel: every window answers for the "
                            "object in its own middle"),)),
        Parent(overfeat.PAPER, (("", "windows say a mask and a score in the place of classes and edges, learn from "
                                 "patches, and are ranked, not merged"),)),
    ),
    claims=(
        Claim("AR@10, boxes, COCO", 0.153, "table 1, DeepMask"),
        Claim("AR@100, boxes, COCO", 0.313, "table 1, DeepMask"),
        Claim("AR@1000, boxes, COCO", 0.446, "table 1, DeepMask"),
        Claim("AR@10, masks, COCO", 0.126, "table 1, DeepMask"),
        Claim("AR@100, masks, COCO", 0.245, "table 1, DeepMask"),
        Claim("AR@1000, masks, COCO", 0.331, "table 1, DeepMask"),
    ),
    facts=(
        Fact("parameters", 75_844_545, 80, source="sum over the layers of sec. 3.1"),
        Fact("parameters of the mask head", 53_252_160, 80,
             source="512 x 512, 14 x 14 x 512 x 512 and 512 x 56 x 56 weights, with biases"),
        Fact("parameters of the score head", 13_371_905, 80,
             source="7 x 7 x 512 x 512, 512 x 1024 and 1024 weights, with biases"),
        Fact("pixels of a mask", 3_136, 80, source="sec. 3.1: 56 x 56"),
    ),
    notes=(
        "Windows are cut from whole pictures as they are loaded: two with an object and two without of each, where the "
        "released code draws 32 pictures a step.",
        "A negative is 32 pixels of its window away from every object, or an octave from its size; in 'released' 48 of "
        "160 pixels, or 2.5 octaves, and windows with an object move by up to 16 of 160, as in the code.",
        "Eq. 1 sums over the 32 windows of a step. The rule divides by the number of windows, and recipe.loss_weights "
        "multiply by 32, which gives the rate its published meaning; the released code sums masks and takes the mean "
        "of scores, lambda being 1 / 32.",
        "Masks are compared at the window's own 224 x 224, to which sec. 3.1 upsamples; 'released' at 112 x 112, "
        "as its code.",
        "The paper trains both heads on every window by eq. 1; the released code takes steps on masks alone and on "
        "scores alone in turn: rule.alternate=.5.",
        "'released' is the layout of the code's ResNet-50: both heads read one code of 512 numbers. Its windows of 160 "
        "pixels are cut with 16 more of the picture around them, which the trunk sees and the heads do not (margin). "
        "Its padding by mirrored pixels is not here; pictures are bordered with their mean, not with grey.",
        "A box reaches where the map crosses .2, interpolated between its cells. Masks leave so that one half is where "
        "the map says .2.",
        "All windows of a size between the smallest and the largest scale are drawn as negatives. No suppression, as "
        "published; rule.nms adds it, by boxes.",
        "No length is printed but 'five days'; 500,000 steps at one rate are ours. Coordinates of windows are those of "
        "their cells, padding aside.",
    ),
    presets=("paper", "released", "small"),
    size=Size("the short side; windows keep their pixels, and looks are added as in OverFeat", overfeat.resized),
)
