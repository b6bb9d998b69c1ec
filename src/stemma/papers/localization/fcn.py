"""FCN: a classifier whose fully connected layers are convolutions labels every pixel; finer levels add their own
scores.  arXiv 1411.4038"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg_fcn import VGGFCN
from ...parts.maps.decoders import ScoreSkips
from ...parts.maps.losses import PixelCrossEntropy
from ...skeletons.segment import Segmenter

LEVELS = {"32s": 1, "16s": 2}
RATES = {"32s": 1e-10, "16s": 1e-12, "at-once": 1e-10}  # of the unnormalised loss; the 8s net continues at 1e-14


def spec(preset: str = "paper") -> Segmenter:
    """Presets: "paper" is FCN-8s, "32s", "16s"; "at-once" trains all three levels together; "normalised" averages the
    loss over pixels."""
    if preset == "small":  # not in the paper: pictures of 128 pixels, so one level finer (4s) and a small ResNet
        return Segmenter(part(TinyResNet, levels=(0, 1, 2, 3)), part(ScoreSkips, levels=4, std=0.01),
                         PixelCrossEntropy(balance=0.5))
    net = Segmenter(part(VGGFCN), part(ScoreSkips, levels=LEVELS.get(preset, 3)),
                    PixelCrossEntropy(normalise=preset == "normalised"))
    if preset == "at-once":
        return replace(net, decoder=part(ScoreSkips, levels=3, scales=(1e-4, 1e-2, 1.0)))
    return net


def recipe(preset: str = "paper") -> Recipe:
    """Heavy learning (momentum .99, one picture a step, no averaging over pixels) as released;
    "normalised" as in sec. 4.3."""
    if preset == "small":  # ours, for two cores and 128-pixel scenes
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 32),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
        )
    plain = Recipe(
        optimizer="sgd", lr=RATES.get(preset, 1e-14), momentum=0.99, weight_decay=5e-4, batch=1, length="100000steps",
        schedule="constant", warmup=0.0,
        lr_mult=((r"\.bias$", 2.0),), no_decay=r"\.bias$", resize=Resize("keep", 375, divisor=1),
        augment=Augment(flip=0.0),
    )
    if preset == "at-once":
        return replace(plain, length="300000steps")
    return replace(plain, lr=1e-4, momentum=0.9, batch=20) if preset == "normalised" else plain


def resized(spec: Segmenter, recipe: Recipe, size: int) -> tuple[Segmenter, Recipe]:
    """U-Net's borders and DeepLab's CRF are measured in pixels; windows and warps of the recipe are too."""
    return spec.times(size / recipe.resize.size), recipe.at(size)


RELEASE = "README of the authors' code, seg11valid"
PAPER = Paper(
    title="Fully Convolutional Networks for Semantic Segmentation",
    authors="Long, Shelhamer, Darrell",
    year=2014,
    arxiv="1411.4038",
    task="semantic",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's VGG-16, its fully connected layers as convolutions",
    presets=("paper", "32s", "16s", "at-once", "normalised", "small"),
    summary="A fully connected layer over a map is a convolution as large as the map, so an image classifier slides "
    "over a picture of any size and gives a coarse map of class scores. A transposed convolution brings the scores "
    "back to the pixels. Its stride of 32 blurs edges; two finer levels are scored "
    "as well and added to the upsampled scores, which brings the stride down to 8.",
    claims=(
        Claim("mean IoU, FCN-32s", 0.636, RELEASE), Claim("mean IoU, FCN-16s", 0.650, RELEASE),
        Claim("mean IoU, FCN-8s", 0.655, RELEASE),
        Claim("mean IoU, FCN-8s, VOC 2012 test", 0.672, "README of the authors' code"),
        Claim("mean IoU, FCN-8s, VOC 2012 test, conference version", 0.622, "CVPR 2015, table 3"),
    ),
    facts=(
        Fact("parameters", 134_362_751, 21,
             source="sum over the layers of the released 8s net, fixed upsampling left out"),
        Fact("parameters", 134_357_354, 21, variant="16s", source="the same of the 16s net"),
        Fact("parameters", 134_346_581, 21, variant="32s", source="the same of the 32s net"),
    ),
    notes=(
        "The upsampling filters are fixed to bilinear, as in the released nets; the paper learns all but the last: "
        "decoder.learn=true. They act on each class alone.",
        "The crops of the released nets (5, 9 and 31 pixels for 8s) are not settings: they are computed from where "
        "each map lies on the picture.",
        "Score layers start at zero, so on the first step nothing below them moves; the small preset starts "
        "them at .01.",
        "Unnormalised loss with rate r and momentum .99 on one picture moves about as far as the averaged loss with "
        "rate r H W / (1 - .99).",
        "Rates, momentum and steps are those of the released solvers. The 8s and 16s nets continue from the net before "
        "them, at 1e-14 and 1e-12; a run that starts from ImageNet weights wants `at-once`.",
        "Colours are scaled as torchvision's VGG weights want them; the released Caffe net takes 0..255 less the "
        "mean pixel.",
    ),
    size=Size("the short side; what a loss or a later step measures in pixels goes along", resized),
)
