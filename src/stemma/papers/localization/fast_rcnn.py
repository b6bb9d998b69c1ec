"""Fast R-CNN: the picture is convolved once, each proposal is pooled to a fixed grid, and one net learns class and box
together.  arXiv 1504.08083"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Batch, StemmaError
from ...ops import boxes as bx
from ...parts.backbones.pyramid import Scales
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGG16
from ...parts.dense.assign import ByIoU
from ...parts.dense.coders import Delta, MeasuredDelta
from ...parts.dense.losses import SmoothL1, Softmax
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Random
from ...parts.necks import Same
from ...parts.regions.heads import FCHead, MaxPool, NearestScale
from ...parts.regions.regions import with_truth
from ...skeletons.stages import Stage
from ...skeletons.two_stage import TwoStage
from . import spp_net

SVD = (("stages.0.head.ranks", (1024, 256)),)  # table 4: fc6 and fc7
SCALES = spp_net.SIZES  # "multi-scale" draws one a batch


def spec(preset: str = "paper") -> TwoStage:
    """VGG-16 on VOC as published, proposals from outside; "multi-scale": the same net on pictures of five sizes;
    "small": ours, for two cores."""
    stage = Stage(
        head=part(FCHead, pool=MaxPool(7), width=4096, dropout=0.5), assign=ByIoU(0.5, 0.5, low=0.1),
        sample=Random(64, 0.25), cls=Softmax(), box=SmoothL1(1.0), coder=MeasuredDelta((0.1, 0.1, 0.2, 0.2)),
        count=64,
    )
    net = TwoStage(backbone=part(VGG16, ceil=True), neck=part(Same), rpn=None, stages=(stage,),
                   post=(PerClassNMS(0.3, 0.05, 100),))
    if preset == "multi-scale":
        stage = replace(stage, head=stage.head.but(pool=NearestScale(MaxPool(7), SCALES)))
        return replace(net, backbone=part(Scales, body=part(VGG16, ceil=True), sizes=SCALES), stages=(stage,))
    if preset == "small":  # not in the paper: a small net with batch norm, one level of stride 8
        stage = replace(stage, head=part(FCHead, pool=MaxPool(7), width=128, deltas="agnostic"),
                        sample=Random(48, 0.33), box=SmoothL1(1 / 9), coder=Delta((0.1, 0.1, 0.2, 0.2)), count=48,
                        positive=0.33)
        net = replace(net, backbone=part(TinyResNet, widths=(24, 64), blocks=2, levels=(1,)), stages=(stage,),
                      post=(PerClassNMS(0.3, 0.02, 50, pre=400),))
    return net


def recipe(preset: str = "paper") -> Recipe:
    """Sec. 2.3 and 4.1: two pictures a step, 64 regions of each, 30,000 steps at .001 and 10,000 at .0001, biases twice
    as fast, conv1 and conv2 asleep."""
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 32),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5), proposals=spp_net.recipe("small").proposals,
        )
    return Recipe(
        lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=2, length="40000steps", milestones=(0.75,), warmup=0.0,
        lr_mult=((r"^backbone\.(body\.)?features\.[0-7]\.", 0.0), (r"\.bias$", 2.0)),
        proposals=spp_net.recipe().proposals, difficult=True, resize=Resize("shortest", 1200, 2000, 1, SCALES)
        if preset == "multi-scale" else Resize("shortest", 600, 1000, 1),
    )


def target_statistics(net: TwoStage, batches: Iterable[Batch]) -> dict[str, tuple[float, ...]]:
    """Sec. 2.3: the mean and deviation of the regression targets over all regions of `batches` that answer for an
    object, the objects among them, as settings of the net. Where `fit` asks for it."""
    coder = net.stages[0].coder
    if not isinstance(coder, MeasuredDelta) or not coder.fit:
        return {}
    total, squares, count = torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64), 0
    for b in batches:
        assert b.targets.proposals is not None, "the targets follow from the proposals"
        regions = with_truth(b.targets.proposals, b.targets)
        r = net.stages[0].label(regions, b.targets, int(b.targets.labels.max()) + 1)
        code = Delta().encode(r.boxes, bx.take(b.targets.boxes, r.object))[r.positive > 0].double()
        total, squares, count = total + code.sum(0), squares + code.square().sum(0), count + len(code)
    mean = total / max(count, 1)
    deviation = (squares / max(count, 1) - mean.square()).clamp(min=0).sqrt()
    if not (deviation > 1e-4).all():
        raise StemmaError("no proposals overlap an object by half: there are no targets to measure. Keep the usual "
                          "deviations (--set stages.0.coder.fit=false), or take other --proposals")
    return {"stages.0.coder.means": tuple(mean.tolist()), "stages.0.coder.stds": tuple(deviation.tolist())}


PAPER = Paper(
    title="Fast R-CNN",
    authors="Girshick",
    year=2015,
    arxiv="1504.08083",
    task="detection",
    spec=spec,
    recipe=recipe,
    statistics=target_statistics,
    starts="ImageNet's VGG-16, both fully connected layers included",
    presets=("paper", "multi-scale", "small"),
    summary="R-CNN convolves every proposal by itself. Here the picture is convolved once and each proposal pools a "
    "grid of 7 x 7 from the shared map, so a picture costs little more than a crop did. A softmax over the classes and "
    "a box regressor share the layers above and one loss; the gradient goes through the pooling into the convolutions. "
    "Nothing is cached and nothing is trained apart. Proposals still come from elsewhere.",
    parents=(
        Parent(spp_net.PAPER, (
            ("()", "one net answers for class and box and learns both together; nothing is cached and nothing fitted "
             "afterwards"),
            ("preprocess", "colours as torchvision's weights want them"),
            ("backbone", "VGG-16 at one size, and it learns too, from conv3 up"),
            ("view", "one level of 7 x 7 bins, which the gradient goes through"),
            ("stages", "class and box on the same layers with one loss; 64 regions of each of two pictures"),
            ("svm", "no SVMs: the softmax scores"),
            ("ridge", "no ridge regressions"),
            ("chunk", "all regions of a picture at once"),
            ("first", "all regions move, and are suppressed where they went"),
            ("post", "only what scores .05"),
        )),
    ),
    claims=(
        Claim("VOC 2007 test mAP, VGG-16, trained on 07", 0.669, "table 1"),
        Claim("VOC 2007 test mAP, VGG-16, trained on 07+12", 0.700, "table 1"),
        Claim("VOC 2012 test mAP, VGG-16, trained on 12", 0.657, "table 3"),
        Claim("VOC 2012 test mAP, VGG-16, trained on 07++12", 0.684, "table 3"),
        Claim("VOC 2007 test mAP, VGG-16, fc6 and fc7 by truncated SVD", 0.666, "table 4"),
        Claim("COCO test-dev box AP, VGG-16", 0.197, "sec. 5.6"),
    ),
    facts=(
        Fact("parameters", 134_690_729, 20, source="sum over the layers of the authors' VOC net"),
        Fact("parameters of fc6", 102_764_544, 20, source="25,088 x 4,096 weights and a bias each"),
        Fact("parameters of fc6", 29_888_512, 20, SVD,
             source="sec. 3.1: t (u + v) weights with t = 1,024, and the biases"),
        Fact("parameters", 47_134_633, 20, SVD, source="the whole with fc6 of rank 1,024 and fc7 of rank 256"),
        Fact("parameters", 134_690_729, 20, variant="multi-scale", source="the five sizes share the weights"),
    ),
    notes=(
        "Regression targets are brought to mean 0 and deviation 1 over the training regions (sec. 2.3), measured on up "
        "to 200 batches when a training begins and kept by the run; the first release does so class by class, which is "
        "not offered. stages.0.coder.fit=false keeps the usual means 0 and deviations .1, .1, .2, .2 of later code.",
        "Background overlaps an object by .1 to .5, so a picture without objects pays no loss (stages.0.assign.low=0 "
        "asks all, as Faster R-CNN does).",
        "What scores .05 is given out, 100 of a picture, as in the later code; the first release suppresses 40 regions "
        "of a class and picture on average, whatever they score (post.0.score=0).",
        "The objects themselves are among the regions, as in the code; those that Pascal VOC calls difficult are "
        "learned, as in the first release (later code leaves them out: --set recipe.difficult=false).",
        "Truncated SVD follows training: stemma.compress(model, (1024, 256)), or --svd 1024,256 of `stemma predict`, "
        "`evaluate` and `export`; what it makes is an ordinary checkpoint with the setting stages.0.head.ranks.",
        "'multi-scale' trains on a size drawn for each batch (the paper: each picture), and predicts from all five, "
        "each region where its area is nearest to 224 x 224 (sec. 2.4).",
        "RoIPool counts pixels to the inclusive last cell as published; boxes have continuous edges, without the +1.",
        "Colours are scaled as torchvision's VGG weights want them; the released Caffe net takes 0..255 in BGR less "
        "the mean pixel.",
    ),
    size=Size("the short side; of 'multi-scale' the largest, and the others in proportion", spp_net.resized),
)
