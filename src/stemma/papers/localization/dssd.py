"""DSSD: SSD on a residual net, whose coarse maps come back down by deconvolution and are multiplied with the fine ones.
arXiv 1701.06659"""
from __future__ import annotations

import itertools
from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Recipe
from ...core.types import StemmaError
from ...parts.backbones.resnet import ResNet
from ...parts.dense.anchors import DefaultBoxes
from ...parts.dense.deconvolution import DeconvolutionPath, PredictionHead, ResidualExtras
from ...skeletons.dense import Dense, DenseRule
from . import ssd

Steps = tuple[tuple[int, int], ...]
HALF: Steps = ((2, 2),)  # kernel and stride of a level that halves the map
LAYERS = {321: (*HALF * 2, (3, 1), (3, 1)), 513: HALF * 5}
SHARES = {321: (10, 20, 38, 56, 74, 92, 110), 513: (4, 10, 27, 44, 61, 78, 95, 112)}  # sides in % of the picture's
ENCODER = r"^(backbone|neck\.blocks)\."
NORMS = r"\.(bn\d|downsample\.1|(above|side|join)\.[14])\."


def spec(preset: str = "paper") -> Dense[DenseRule]:
    """DSSD321 with VOC's boxes; "dssd513" with COCO's; "ssd321" and "ssd513", the SSDs on ResNet-101 that they begin
    from; "whole": "paper", all of which learns; "small"."""
    p = ssd.spec("small" if preset == "small" else "paper")
    # not in the paper: two levels above a small net, narrow modules that multiply by about 1 at first and predict from
    # their shortcuts, all learned at once; the shapes on boxes of 10 to 67 pixels
    if preset == "small":
        boxes = replace(ssd.BOXES_SMALL, ratios=((1.6, 2.0, 3.0),) * 4)
        return replace(p, rule=replace(p.rule, anchors=boxes), head=part(PredictionHead, width=32, still=True),
                       neck=part(DeconvolutionPath, layers=HALF * 2, width=32, wide=64, ones=True))
    size = 513 if preset.endswith("513") else 321
    path = ResidualExtras if preset.startswith("ssd") else DeconvolutionPath
    kernels = (5, 5, *(3,) * len(LAYERS[size]))
    return replace(
        p, rule=replace(p.rule, anchors=boxes_of(size)),
        backbone=part(ResNet, depth=101, levels=(1, 3), norm="batch", freeze=0, eps=1e-3, stride_first=True, stride=16,
                      ceil=True),
        neck=part(path, layers=LAYERS[size]), head=part(PredictionHead, kernels=kernels),
    )


def recipe(preset: str = "paper") -> Recipe:
    """30,000 steps of 32 pictures at 1e-3, a tenth from 20,000, in which the SSD sleeps (sec. 3.3); "ssd321": SSD's own
    80,000; at 513 and "whole": the authors' scripts; "small": SSD's small."""
    if preset == "small":
        return ssd.recipe("small")
    p = replace(ssd.recipe(), no_decay=rf"\.bias$|{NORMS}", lr_mult=((r"(deconv|predict\.\w+\.\d)\.bias$", 2.0),))
    p = p.at(513 if preset.endswith("513") else 321)
    if preset == "ssd321":
        return replace(p, length="80000steps", milestones=(1 / 2, 3 / 4))
    if preset == "ssd513":
        return replace(p, batch=40, length="250000steps", milestones=(13 / 25, 21 / 25))
    if preset == "whole":
        return replace(p, lr=1e-4, length="40000steps", milestones=(1 / 2,), lr_mult=((NORMS, 0.0), *p.lr_mult))
    p = replace(p, lr_mult=((ENCODER, 0.0), *p.lr_mult))
    if preset == "dssd513":
        return replace(p, length="150000steps", milestones=(8 / 15, 13 / 15))
    return replace(p, length="30000steps", milestones=(2 / 3,))


def boxes_of(size: int) -> DefaultBoxes:
    """The default boxes at 321 pixels, sizes of VOC, or at 513, sizes of COCO: on every map squares of two sizes and
    three shapes with their likes on end, which k-means finds in the training boxes (sec. 3.3)."""
    sides, grid = tuple(size * s / 100 for s in SHARES[size]), cells(size, LAYERS[size])
    return DefaultBoxes(sides[:-1], sides[1:], ((1.6, 2.0, 3.0),) * len(grid), tuple(step for _, step, _ in grid),
                        starts=tuple(start for _, _, start in grid))


def cells(size: int, layers: Steps) -> list[tuple[int, int, float]]:
    """(cells a side, pixels between them, where the first has its middle) of C3, C5 and every level above, for a square
    of `size`: nothing is padded after the first convolution. A single cell stands for the picture."""
    n = -(-((size - 1) // 2 - 2) // 2) + 1  # after the stem and its pool, which rounds up
    found, start, step = [(-(-n // 2), 8, 2.5), (-(-n // 4), 16, 2.5)], 2.5, 16
    for kernel, stride in layers:
        n, start, step = (found[-1][0] - kernel) // stride + 1, start + (kernel - 1) / 2 * step, step * stride
        found.append((n, step, start) if n > 1 else (n, size, size / 2))
    return found


def resized(spec: Dense[DenseRule], recipe: Recipe, size: int) -> tuple[Dense[DenseRule], Recipe]:
    """Default boxes in proportion, laid where the maps of that size have their cells. Raises `StemmaError` where
    nothing is left of the last."""
    boxes, layers = spec.rule.anchors.times(size / recipe.resize.size), spec.neck["layers"]
    assert isinstance(boxes, DefaultBoxes)
    if boxes.steps:
        if cells(size, layers)[-1][0] < 1:
            least = next(s for s in itertools.count(size) if cells(s, layers)[-1][0] >= 1)
            raise StemmaError(f"nothing is left of its last map at {size} pixels; {least} are the least")
        _, steps, starts = zip(*cells(size, layers))
        boxes = replace(boxes, steps=steps, starts=starts)
    return replace(spec, rule=replace(spec.rule, anchors=boxes)), recipe.at(size)


PAPER = Paper(
    title="DSSD: Deconvolutional Single Shot Detector",
    authors="Fu, Liu, Ranga, Tyagi, Berg",
    year=2017,
    arxiv="1701.06659",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="its own SSD on ResNet-101: preset 'ssd321' ('ssd513'), which begins from ImageNet's; 'whole' from 'paper'",
    summary="SSD asks its fine maps about small things, and they know least. Here the coarsest map is enlarged step by "
    "step by learned deconvolutions and multiplied, cell by cell, with a finer map, so that what is around gates what "
    "is seen. Before each prediction stands a residual block, without which a deeper backbone bought nothing. The "
    "encoder is trained as an SSD first and sleeps while the way down is learned.",
    parents=(
        Parent(
            ssd.PAPER,
            (
                ("rule.anchors", "eight boxes a cell on every map, shapes from k-means; centres where cells look"),
                ("backbone", "ResNet-101 with a dilated last stage in the place of VGG16"),
                ("neck", "further levels are bottlenecks; from the last of them down, each map is multiplied with what "
                 "is deconvolved from above"),
                ("head", "a residual block before each level's convolutions, 5x5 on the two finest"),
            ),
        ),
    ),
    claims=(
        Claim("mAP, VOC 2007, DSSD513", 0.815, "abstract"),
        Claim("mAP, VOC 2012, DSSD513", 0.800, "abstract"),
        Claim("AP, COCO, DSSD513", 0.332, "abstract"),
        Claim("mAP, VOC 2007, DSSD321", 0.786, "README of the authors' code"),
        Claim("mAP, VOC 2007, SSD321 on ResNet-101", 0.775, "README of the authors' code"),
    ),
    facts=(
        Fact("boxes", 17_080, 20, source="maps of 40, 20, 10, 5, 3 and 1 cells a side, eight a cell"),
        Fact("boxes", 43_688, 80, variant="dssd513", source="maps of 64, 32, 16, 8, 4, 2 and 1 cells a side"),
        Fact("boxes", 17_080, 20, variant="ssd321", source="the same maps"),
        Fact("parameters", 169_235_184, 20, source="sum over the layers of the authors' script, with fig. 4's 1x1s"),
    ),
    notes=(
        "First the SSD: stemma train dssd -p ssd321 --start R-101 (MSRA's ResNet-101), then -p paper --start of that "
        "run, and -p whole of that one, all at a tenth of the rate with the norms as they are, which helped at 513 "
        "alone (README). Predictors that fit are taken over too; the authors' begin anew.",
        "Fig. 4's modules are head.module=a, b, c or d. Its bottlenecks have 1x1s alone, the authors' code a 3x3 in "
        "the middle: head.middle=3. Predictors of 5x5 on the two finest maps are the code's (head.kernels).",
        "neck.fusion=add is the sum that the paper compares; concat is ours.",
        "Sizes of boxes, steps, centres and lengths are those of the authors' scripts: VOC at 321, COCO at 513.",
        "Statistics of batch norms move by a tenth a step; Caffe's keep 0.999 of what they were.",
    ),
    presets=("paper", "small", "dssd513", "ssd321", "ssd513", "whole"),
    size=Size("the side of the square; default boxes in proportion, laid by the cells of that size's maps", resized),
)
