"""R-CNN: boxes proposed by segmentation are cut out of the picture, warped to one size and classified by a
convolutional network and SVMs.  arXiv 1311.2524"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Augment, Phase, ProposalSource, Recipe, Resize
from ...parts.backbones.alexnet import CaffeNet
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.assign import ByIoU
from ...parts.dense.coders import Delta
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Random
from ...parts.necks import Same
from ...parts.preprocess import Preprocess
from ...parts.regions.feature_layers import FeatureLayers
from ...parts.regions.ridge import Ridge
from ...parts.regions.svm import SVM
from ...parts.windows.views import Warp
from ...skeletons.fitted import Fitted
from ...skeletons.stages import Stage
from ...skeletons.whole import Whole
from . import overfeat

# the mean pixel; values run to 255
CAFFE = Preprocess((122.7717 / 255, 115.9465 / 255, 102.9801 / 255), (1 / 255,) * 3)
VOC = 5011  # pictures of VOC 2007 trainval, from which the shares of the phases are counted


def spec(preset: str = "paper") -> Fitted | Whole:
    """CaffeNet on crops of 227 pixels as published; "classifier": the net it starts from, on whole pictures; "small",
    "classifier-small": ours."""
    net = detector(preset.removeprefix("classifier-").replace("classifier", "paper"))
    if not preset.startswith("classifier"):
        return net
    assert isinstance(net.view, Warp)
    return Whole(net.preprocess, net.backbone, replace(net.view, pad=0), net.stages[0].head)


def detector(preset: str = "paper") -> Fitted:
    """The presets that find objects; "small": for two cores, a residual net on crops of 48."""
    stage = Stage(head=part(FeatureLayers), assign=ByIoU(0.5, 0.5), sample=Random(128, 0.25), coder=Delta(), count=128)
    net = Fitted(
        preprocess=CAFFE, backbone=part(CaffeNet), neck=part(Same), rpn=None, stages=(stage,),
        post=(PerClassNMS(0.3, 0.0, 100, pre=2000),), view=Warp(227, 16), svm=SVM(), ridge=Ridge(),
    )
    if preset == "small":
        head = part(FeatureLayers, widths=(128,), dropout=0.0, std=0.0, bias=0.0, norm=True)
        stage = replace(stage, head=head, sample=Random(384, 0.25), count=384)
        return replace(
            net, preprocess=Preprocess(), backbone=part(TinyResNet, widths=(24, 64), levels=(1,)), stages=(stage,),
            view=Warp(48, 4), post=(PerClassNMS(0.3, 0.0, 50, pre=400),),
        )
    return net


def recipe(preset: str = "paper") -> Recipe:
    """70,000 steps of 128 regions at .001, a tenth every 20,000 (the authors' solver); then SVMs and boxes in two
    passes over the pictures.

    The classifier: 450,000 steps of 256 pictures at .01, a tenth every 100,000 (Caffe's reference solver).
    """
    if preset == "classifier-small":
        return replace(recipe("small"), phases=(), proposals=ProposalSource(), resize=Resize("square", 128))
    if preset == "classifier":
        return Recipe(
            lr=0.01, momentum=0.9, weight_decay=5e-4, batch=256, length="450000steps",
            milestones=tuple(k / 4.5 for k in (1, 2, 3, 4)), warmup=0.0,
            lr_mult=((r"bias$", 2.0),), no_decay=r"bias$", resize=Resize("square", 227), augment=Augment(flip=0.5),
        )
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=16, length="100s",
            schedule="linear", milestones=(0.5,), warmup=0.03, ema=0.99, resize=Resize("shortest", 128, 256, 1),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5),
            phases=(Phase("fine-tune", 0.7), Phase("SVMs and boxes", 0.3, run="fit", passes=2)),
            proposals=ProposalSource("selective-search", 240, 0, 6, 0.5, (20,), ("lab",), ("ctsf",)),
        )
    steps, fit = 70_000, 2 * VOC // 16
    return Recipe(
        lr=1e-3, momentum=0.9, weight_decay=5e-4, batch=16, length=f"{steps + fit}steps",
        milestones=tuple(k * 20_000 / steps for k in (1, 2, 3)), warmup=0.0,
        lr_mult=((r"head\.cls\.bias$", 20.0), (r"head\.cls\.", 10.0), (r"bias$", 2.0)), no_decay=r"bias$",
        resize=Resize("keep", 375, divisor=1), augment=Augment(flip=0.5), proposals=ProposalSource("selective-search"),
        phases=(Phase("fine-tune", steps), Phase("SVMs and boxes", fit, run="fit", passes=2)), difficult=True,
    )


PAPER = Paper(
    title="Rich feature hierarchies for accurate object detection and semantic segmentation",
    authors="Girshick, Donahue, Darrell, Malik",
    year=2013,
    arxiv="1311.2524",
    task="detection",
    tasks=(("classifier", "weak"), ("classifier-small", "weak")),
    spec=spec,
    recipe=recipe,
    starts="its own classifier, trained on the labels of ILSVRC 2012: preset 'classifier'",
    presets=("paper", "classifier", "small", "classifier-small"),
    summary="Selective search proposes about two thousand boxes a picture by merging segments. Each is cut out with "
    "some of its surroundings, stretched to 227 x 227 whatever its shape, and put through a network that was trained "
    "to classify pictures and then fine-tuned on such crops. On the last features a linear SVM a class gives the "
    "score, fitted with hard negatives, and on the last convolution's a ridge regression a class moves the box.",
    parents=(
        Parent(overfeat.PAPER, (("", "windows are not slid: a few thousand boxes come from selective search, each a "
                                 "warped crop that goes through the network by itself; SVMs for the softmax, ridge "
                                 "regressions for the regression network, NMS for merging"),)),
    ),
    claims=(
        Claim("VOC 2007 test mAP, AlexNet, without box regression", 0.542, "table 2 and the authors' code"),
        Claim("VOC 2007 test mAP, AlexNet, box regression", 0.585, "table 2 and the authors' code"),
        Claim("VOC 2007 test mAP, VGG-16, box regression", 0.660, "table 3"),
        Claim("VOC 2010 test mAP, without box regression", 0.502, "table 1"),
        Claim("VOC 2010 test mAP, box regression", 0.537, "table 1"),
        Claim("VOC 2012 test mAP, without box regression", 0.496, "the authors' code"),
        Claim("VOC 2012 test mAP, box regression", 0.533, "abstract and the authors' code"),
        Claim("ILSVRC 2013 detection test mAP, box regression", 0.314, "sec. 2.5 and the authors' code"),
    ),
    facts=(Fact("parameters", 56_954_261, 20,
                source="sum over the layers of the authors' fine-tuned net, 21 outputs"),),
    notes=(
        "The paper starts from a net trained on ImageNet. Ours starts from random weights unless --start names others, "
        "and learns all it knows from the crops: train `classifier` on pictures with labels and --start from it, or "
        "put a timm network with its weights in the place of the convolutions by --backbone. The classifier sees "
        "pictures stretched to 227 x 227; Caffe's reference net saw crops of 227 out of 256.",
        "128 regions of a step, a quarter of them objects, are drawn from 16 pictures; the authors draw them from a "
        "list of all regions of all pictures.",
        "Positives of the SVMs are the objects themselves, and regions that overlap one by .3 or more are left out; "
        "'trained with the threshold .3' alone, without the change of positives, is svm.examples=proposals with "
        "svm.above=.3. The softmax's own scores: spec field svm set to None in Python.",
        "liblinear's dual coordinate descent is replaced by Newton's method on a hinge that is rounded less and less, "
        "until the duality gap is small; the objective is the same.",
        "All boxes move, and are suppressed at .3 class by class where they went, as in the code, whose evaluation "
        "suppresses; it keeps the 100 best proposals of a class before, and gives out what is left of them, we 100 a "
        "picture.",
        "Crops are read by bilinear interpolation at real coordinates; the authors round boxes to pixels, which count "
        "from 1 and have a width of x2 - x1 + 1.",
        "The SVM of a class has margins and no probabilities: a margin m is given out as the score 1 / (1 + exp(-2m)), "
        "which ranks alike.",
        "Objects that Pascal VOC calls difficult are learned like others, by the net, the SVMs and the regressions, as "
        "in the code; crowds, and regions inside them, are neither positives nor negatives.",
        "Selective search's order is random as in its paper, with the box's area for the depth in the hierarchy, so "
        "that a picture always has the same proposals.",
        "small: a residual net with batch norm on crops of 48 pixels, 384 regions a step, one grouping of "
        "selective search.",
    ),
    size=Size("the short side of the picture; boxes are warped to crops of the same side, which its layers read"),
)
