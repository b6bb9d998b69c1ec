"""SPP-net: the picture is convolved once, and each box is pooled from its features into the bins of a spatial pyramid.
arXiv 1406.4729"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import edit, leaves, part
from ...core.recipe import Phase, Recipe, Resize
from ...parts.backbones.alexnet import ZFNet
from ...parts.backbones.pyramid import Scales
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.assign import ByIoU
from ...parts.dense.post import PerClassNMS
from ...parts.regions.feature_layers import FeatureLayers
from ...parts.regions.ridge import Ridge
from ...parts.regions.svm import SVM
from ...parts.windows.views import PyramidPool
from ...skeletons.fitted import Fitted
from ...skeletons.whole import Whole
from . import r_cnn

SIZES = (480, 576, 688, 864, 1200)  # short sides (sec. 4.1); the authors' code has 874 for 864
CLASSIFIED = (180, 224)  # sides of training pictures in turn (sec. 3.2)


def spec(preset: str = "paper") -> Fitted | Whole:
    """ZF-5 at five scales on VOC as published; "classifier": the same convolutions on image labels, from which it
    starts; "small", "classifier-small"."""
    layers = part(FeatureLayers, std=0.01)
    if preset == "classifier":
        return Whole(r_cnn.CAFFE, part(Scales, body=part(ZFNet), sizes=CLASSIFIED[-1:]),
                     PyramidPool((1, 2, 3, 6)), layers)
    p = r_cnn.detector(preset.removeprefix("classifier-"))
    stage = p.stages[0]
    if preset.endswith("small"):  # not in the paper: one scale, two levels of bins, a residual trunk of stride 8
        small = stage.head.but(widths=(192,))
        if preset == "classifier-small":
            return Whole(p.preprocess, part(TinyResNet, widths=(32, 96), levels=(1,)), PyramidPool((1, 2, 4)), small)
        stage = replace(stage, assign=ByIoU(0.5, 0.5, low=0.1), head=small)
        return replace(p, backbone=part(TinyResNet, widths=(32, 96), levels=(1,)), view=PyramidPool((1, 2, 4)),
                       stages=(stage,), ridge=Ridge(4000.0, 0.5))
    stage = replace(stage, assign=ByIoU(0.5, 0.5, low=0.1), head=layers)
    return replace(
        p, backbone=part(Scales, body=part(ZFNet), sizes=SIZES), view=PyramidPool((1, 2, 3, 6), sizes=SIZES),
        stages=(stage,), first=PerClassNMS(0.3, 0.0474, 2000), svm=SVM(apart=0.7), ridge=Ridge(4000.0, 0.5),
    )


def recipe(preset: str = "paper") -> Recipe:
    """fc6 to fc8 alone, 30,000 steps each at .001, .0001 and .00001 (the authors' solver), then SVMs and boxes. "small"
    first learns convolutions."""
    small = r_cnn.recipe("small")
    if preset == "classifier-small":
        return replace(small, phases=(), proposals=type(small.proposals)(),
                       resize=Resize("square", 128, scales=(96, 128)))
    if preset == "small":
        phases = (Phase("learn convolutions", 0.55), Phase("fine-tune", 0.2, train=r"^head"),
                  Phase("SVMs and boxes", 0.25, run="fit", passes=2))
        return replace(small, phases=phases)
    p = r_cnn.recipe()
    if preset == "classifier":
        return replace(
            p, lr=0.01, batch=128, length="90epochs", milestones=(1 / 3, 2 / 3), weight_decay=5e-4,
            lr_mult=((r"bias$", 2.0),), phases=(), difficult=False,
            proposals=type(p.proposals)(), resize=Resize("square", 224, scales=CLASSIFIED),
        )
    steps, fit = 90_000, 2 * r_cnn.VOC // 2
    return replace(
        p, batch=2, length=f"{steps + fit}steps", milestones=(1 / 3, 2 / 3),
        lr_mult=((r"^backbone", 0.0), (r"bias$", 2.0)), no_decay=r"^head\.cls\.bias$",
        resize=Resize("shortest", 1200, 2000, 1, SIZES),
        phases=(Phase("fine-tune", steps), Phase("SVMs and boxes", fit, run="fit", passes=2)),
    )


def resized(spec: Any, recipe: Recipe, size: int) -> tuple[Any, Recipe]:
    """The sizes stand in the recipe, and wherever the network looks at several of them. A region is taken where it is
    nearest to 224 pixels wide at any size: so large were the things that the convolutions learned."""
    ratio, sizes = size / recipe.resize.size, {*recipe.resize.scales, recipe.resize.size}
    for path, value in leaves(spec):
        if isinstance(value, tuple) and value and sizes.issuperset(value):
            spec = edit(spec, path, tuple(round(v * ratio) for v in value))
    return spec, recipe.at(size)


PAPER = Paper(
    title="Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition",
    authors="He, Zhang, Ren, Sun",
    year=2014,
    arxiv="1406.4729",
    task="detection",
    tasks=(("classifier", "weak"), ("classifier-small", "weak")),
    spec=spec,
    recipe=recipe,
    starts="its own classifier, trained on ImageNet: preset 'classifier'",
    presets=("paper", "classifier", "small", "classifier-small"),
    summary="R-CNN convolves each of two thousand crops. Here the picture is convolved once, at five sizes, and a box "
    "is a window of the feature map, taken at the size that makes it about 224 pixels wide. A pyramid of 1, 2, 3 and 6 "
    "bins a side holds the largest activation in each bin, so that windows of any "
    "size and shape give a vector of one length, with nothing cropped or warped. The convolutions stay as the "
    "classifier learned them; the layers above are fine-tuned, and SVMs and regressions follow as in R-CNN.",
    parents=(
        Parent(r_cnn.PAPER, (
            ("backbone", "the picture is convolved, not the crop, at five sizes; ZF-5, whose convolutions stay "
             "as they were"),
            ("view", "crops are taken from the features, by a spatial pyramid of bins at the scale that fits the box"),
            ("stages.0.assign", "background overlaps an object by .1 at least"),
            ("stages.0.head", "fully connected layers start from N(0, .01)"),
            ("first", "proposals are suppressed at .3 class by class, and what is left moves"),
            ("svm", "of negatives of a picture that overlap one another by .7 one is kept"),
            ("ridge", "regressions of boxes on pooled features, from pairs that overlap by half"),
        )),
    ),
    claims=(
        Claim("VOC 2007 test mAP, ZF-5, five scales, fine-tuned, box regression", 0.592, "table 9"),
        Claim("VOC 2007 test mAP of R-CNN with box regression, there", 0.585, "table 9"),
        Claim("times as fast as R-CNN on test pictures, proposals aside, at least", 24.0, "abstract"),
        Claim("times as fast as R-CNN on test pictures, proposals aside, at most", 102.0, "abstract"),
    ),
    facts=(
        Fact("features of a region", 12_800, 20, source="sec. 4.1: 50 bins of 256 channels"),
        Fact("bins of the figure's pyramid", 21, 20, (("view.levels", (1, 2, 4)),),
             source="fig. 3: 4 x 4, 2 x 2 and 1"),
    ),
    notes=(
        "Box to cells as in appendix A, with the offset of the first cell's centre that it asks for where convolutions "
        "are not padded by half their kernel: cells whose centres lie inside the box. view.mapping=code rounds as the "
        "authors' code does, with its margin of 6.5 pixels.",
        "The scale of a box is the one whose short side is nearest to 224 min(h, w) / sqrt(area), as in the code; "
        "fine-tuning draws one size a batch, the code one a region.",
        "The fourth size is 864 in the paper and 874 in the code. The paper fine-tunes 250,000 steps at .0001 and "
        "50,000 at .00001; ours is the code's solver.",
        "The regressions' penalty of 4,000 and the overlap of half are the code's; the paper says half. What moves "
        "scores more than a margin of -1.5, as in the code, whose evaluation suppresses once more.",
        "Of negatives that overlap by .7 one stays, as the paper asks, which does not say which: the hardest. The code "
        "drops those alone that pool the same cells (svm.apart=1).",
        "ImageNet weights of ZF-5 are not included: train `classifier` and --start from it, or take a timm network by "
        "--backbone, which looks at one size.",
        "Objects that Pascal VOC calls difficult are learned, as in the code: its with_hard_samples=false keeps them.",
        "small learns its convolutions with the layers above first, on the same drawn pictures, in the place of "
        "ImageNet; then they rest.",
        "The classifier sees square pictures of 180 and 224 pixels, one size a batch; the paper changes size every "
        "epoch, and crops.",
    ),
    size=Size("the largest of the sizes that a picture is taken at; the others in proportion", resized),
)
