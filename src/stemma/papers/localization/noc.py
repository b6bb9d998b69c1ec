"""NoC: what is pooled in a region goes through a network of its own, with convolutions and the maximum of two sizes,
and not through fully connected layers alone.  arXiv 1504.06066"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Recipe, Resize
from ...parts.backbones.alexnet import ZFNet
from ...parts.backbones.pyramid import Scales
from ...parts.backbones.resnet import ResNet
from ...parts.backbones.vgg import VGG16
from ...parts.regions.heads import Align, MaxPool, Res5Head
from ...parts.regions.networks import Adjacent, NoC
from ...parts.windows.views import PyramidPool
from ...skeletons.fitted import Fitted
from ...skeletons.two_stage import TwoStage
from . import fast_rcnn, spp_net

SIZES, FROZEN = spp_net.SIZES, ((r"^backbone\.", 0.0), (r"\.bias$", 2.0))


def spec(preset: str = "paper") -> TwoStage | Fitted:
    """VGG-16, maximum of two sizes, two convolutions and three fully connected layers; "zf"; "res5", "naive": ResNet
    with its fifth stage after the pooling, or before it; "svm": three layers and SVMs; "small", "maxout-small",
    "res5-small"."""
    if preset == "svm":
        net = spp_net.spec()
        assert isinstance(net, Fitted)
        return replace(net, view=PyramidPool((6,), sizes=SIZES))
    small = preset.endswith("small")
    p = fast_rcnn.spec("small" if small else "paper")
    stage = p.stages[0]
    if small:  # not in the paper: a small net with batch norm, one level of stride 8 at one size or two
        many = preset == "maxout-small"
        pool = Adjacent(MaxPool(7), (128, 96), 48.0) if many else MaxPool(7)
        head = part(NoC, pool=pool, convs=(64,), width=128, dropout=0.0, merge=1 if many else -1, deltas="agnostic")
        stage = replace(stage, head=head if preset != "res5-small" else part(
            Res5Head, pool=Align(8, aligned=True), width=128, blocks=1, block="basic", deltas="agnostic"))
        return replace(p, stages=(stage,), backbone=part(Scales, body=p.backbone, sizes=(128, 96), always=True)
                       if many else p.backbone)
    if preset in ("res5", "naive"):
        before = preset == "naive"
        stage = replace(stage, head=part(NoC, depth=0) if before else part(Res5Head, pool=Align(14, aligned=True)))
        return replace(p, backbone=part(ResNet, depth=101, levels=(3,) if before else (2,)), stages=(stage,))
    body, bins, width = (part(ZFNet), 6, 256) if preset == "zf" else (part(VGG16, ceil=True), 7, 512)
    head = part(NoC, pool=Adjacent(MaxPool(bins), SIZES), convs=(width, width), merge=2)
    return replace(p, backbone=part(Scales, body=body, sizes=SIZES, always=True), stages=(replace(stage, head=head),))


def recipe(preset: str = "paper") -> Recipe:
    """The convolutions of the picture sleep, all five sizes are seen in every step, and 64 regions of each of two
    pictures teach the network above; "res5", "naive": one size and all layers; "small": ours, for two cores."""
    if preset == "svm":
        return spp_net.recipe()
    if preset.endswith("small"):
        return fast_rcnn.recipe("small")
    p = fast_rcnn.recipe()
    if preset in ("res5", "naive"):
        return replace(p, lr_mult=((r"\.bias$", 2.0),))
    return replace(p, lr_mult=FROZEN, resize=Resize("shortest", 1200, 2000, 1))


THREE = (("stages.0.head.convs", ()), ("stages.0.head.merge", -1))
PAPER = Paper(
    title="Object Detection Networks on Convolutional Feature Maps",
    authors="Ren, He, Girshick, Zhang, Sun",
    year=2015,
    arxiv="1504.06066",
    task="detection",
    spec=spec,
    recipe=recipe,
    statistics=fast_rcnn.target_statistics,
    presets=("paper", "zf", "res5", "naive", "svm", "small", "maxout-small", "res5-small"),
    summary="Everyone made the features deeper and left the classifier of a region as it was: two or three fully "
    "connected layers. Here the pooled map of a region is the input of a network that is designed like any other. "
    "Convolutions on it help more than another fully connected layer; the maximum of a region seen at two sizes helps "
    "more than choosing one; and a residual network detects well only if its last stage comes after the pooling.",
    parents=(
        Parent(spp_net.PAPER, (
            ("()", "the network on a region learns to name and to move it together; nothing is fitted afterwards"),
            ("preprocess", "colours as torchvision's weights want them"),
            ("backbone", "VGG-16, at all five sizes in training too"),
            ("view", "a grid of 7 x 7 bins, of two neighbouring sizes"),
            ("stages", "two convolutions under the fully connected layers, the maximum of both sizes between them"),
            ("svm", "no SVMs but in 'svm': the softmax scores"),
            ("ridge", "no ridge regressions"),
            (("chunk", "first"), "all regions of a picture at once, and all move"),
            ("post", "only what scores .05"),
        )),
        Parent(fast_rcnn.PAPER, (
            ("stages.0.head", "a sibling: its head is the network of three fully connected layers; here convolutions "
             "come before them, and the maximum of two sizes"),
            ("backbone", "five sizes of the picture, whose convolutions do not learn"),
        )),
    ),
    claims=(
        Claim("mAP gained on VOC 2007 by four fully connected layers over SVMs on the same features, ZF", 0.078,
              "sec. 3.1, as quoted in S.-H. Tsang's review of 2018"),
        Claim("COCO val box AP, Faster R-CNN, ResNet-101 with its fifth stage on each region", 0.272,
              "He et al. 2015, table 8"),
        Claim("the same with VGG-16", 0.212, "He et al. 2015, table 8"),
        Claim("VOC 2007 test mAP, ResNet-101 with its fifth stage on each region, 07+12", 0.764,
              "He et al. 2015, table 7"),
        Claim("the same with VGG-16", 0.732, "He et al. 2015, table 7"),
    ),
    facts=(
        Fact("parameters", 134_690_729, 20, THREE, source="three fully connected layers: Fast R-CNN's"),
        Fact("parameters", 139_410_345, 20, source="and two 3x3 convolutions of 512 channels"),
        Fact("parameters of the fifth stage", 14_942_208, 20, variant="res5",
             source="torchvision's layer4, its frozen batch norms aside"),
    ),
    notes=(
        "Depth and kind of the region's network are settings: stages.0.head.depth=0..3 (one to four fully connected "
        "layers with the last), .convs=512 or 512,512,512, .merge=0, 1, 2 (the maximum after the pooling or after so "
        "many convolutions; -1: one size), each on the same features. 'res5' beside 'naive' is the fifth stage after "
        "the pooling and before it.",
        "The paper fits boxes by a regression afterwards, as R-CNN does. Here they are learned with the classes, as in "
        "Fast R-CNN and in the paper's own later experiments; 'svm' has SVMs and ridge regressions on the three "
        "layers.",
        "Which convolution the published numbers take the maximum after is not known to us; 2 is ours. So is the "
        "length, Fast R-CNN's.",
        "Two neighbouring sizes: those between which a region has 224 x 224 pixels, or the two nearest to that.",
        "Layers of the region's network start at random. To start from others, --start a run or a weights file: what "
        "has the same name and shape is taken, as of a Fast R-CNN.",
        "'res5' and 'naive' look at one size and train all layers, on proposals from outside; with a proposal network "
        "'res5' is faster-rcnn 'c4'.",
    ),
    size=Size("the short side of the largest picture; the others stay the same shares of it, and a region is read "
              "where it has about 224 pixels a side"),
)
