"""OverFeat: a classifier slides over the picture at six sizes, a regressor says a box from each window, and boxes that
agree are merged.  arXiv 1312.6229"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Size
from ...core.part import part
from ...core.recipe import Augment, Phase, Recipe, Resize
from ...parts.backbones.chain import Chain
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.assign import ByIoU
from ...parts.dense.coders import Edges
from ...parts.windows.heads import ClassBoxHead
from ...parts.windows.merge import GreedyMerge
from ...parts.windows.rules import ClassBoxRule, WindowLabels
from ...skeletons.windows import Windows, ladder

# channels, kernel, stride, padding; 0 channels: max pool (tables 1 and 3, without the last pool, which the head takes
# at every offset)
FAST = ((96, 11, 4, 0), (0, 2, 2, 0), (256, 5, 1, 0), (0, 2, 2, 0), (512, 3, 1, 1), (1024, 3, 1, 1), (1024, 3, 1, 1))
ACCURATE = ((96, 7, 2, 0), (0, 3, 3, 0), (256, 7, 1, 0), (0, 2, 2, 0), (512, 3, 1, 1), (512, 3, 1, 1), (1024, 3, 1, 1),
            (1024, 3, 1, 1))
SIDES = (245, 281, 317, 389, 425, 461)  # shorter sides of the six sizes (table 5)


def spec(preset: str = "paper") -> Windows[ClassBoxRule]:
    """The accurate net; "fast": the fast one; "classifier", "fast-classifier": for image labels, without regressor and
    background; "small"."""
    scales = tuple(side / SIDES[-1] for side in SIDES)
    if preset.startswith("fast"):
        head = part(ClassBoxHead, kernel=6, pool=2, widths=(3072, 4096))
        net = Windows(ClassBoxRule(), part(Chain, layers=FAST, std=0.01, levels=(2,)), head, window=231,
                      scales=scales, mirror=True)
    else:
        net = Windows(ClassBoxRule(), part(Chain, layers=ACCURATE, std=0.01, levels=(2,)), part(ClassBoxHead),
                      window=221, scales=scales, mirror=True)
    # not in the paper: a residual trunk of stride 8, windows of 24 pixels, three sizes, one regressor for all classes
    if preset.endswith("small"):
        rule = ClassBoxRule(assign=ByIoU(0.3, 0.1, rescue=True), coder=Edges(0.5), post=GreedyMerge(0.45, pre=150),
                            top=8, candidates=300, score=0.02)
        head = part(ClassBoxHead, kernel=2, pool=2, widths=(256,), boxes=(256,), per_class=False, dropout=0.0, std=0.0)
        net = Windows(rule, part(TinyResNet, widths=(32, 96), levels=(1,)), head, window=24,
                      scales=(0.8, 0.5, 0.32), border=8)
    if "classifier" in preset:
        scales = net.scales if preset.endswith("small") else tuple(side / 256 for side in SIDES)
        return replace(net, rule=WindowLabels(), head=net.head.but(boxes=()), scales=scales)
    return net


def recipe(preset: str = "paper") -> Recipe:
    """Rates and epochs of sec. 3.1; the shares of the phases and their end are ours, as is all of "small"."""
    phases = () if "classifier" in preset else (
        Phase("classify", 0.1, losses="^classify$"), Phase("regress", 0.1, r"^head\.regressor", "^box$"),
        Phase("detect", 0.8, losses="box|detect"),
    )
    if preset.endswith("small"):
        return Recipe(
            optimizer="muon", lr=0.04, other_lr=4e-3, momentum=0.95, weight_decay=1e-2, batch=8, length="100s",
            schedule="linear", milestones=(0.7,), warmup=0.03, ema=0.995, resize=Resize("shortest", 128, 256, 8),
            augment=Augment(flip=0.5, vertical=0.5, quarter=0.5), phases=phases,
        )
    short = 256 if "classifier" in preset else SIDES[-1]
    return Recipe(
        optimizer="sgd", lr=0.05, momentum=0.6, weight_decay=1e-5, batch=128, length="90epochs",
        schedule="step", gamma=0.5, milestones=tuple(e / 90 for e in (30, 50, 60, 70, 80)), warmup=0.0,
        resize=Resize("shortest", short, 2 * short, 1), augment=Augment(flip=0.5), phases=phases,
    )


def resized(spec: Windows[ClassBoxRule], recipe: Recipe, size: int) -> tuple[Windows[ClassBoxRule], Recipe]:
    """A window is what the fully connected layers read, so it keeps its pixels: the picture is seen at more sizes."""
    return replace(spec, scales=ladder(spec.scales, size / recipe.resize.size)), recipe.at(size)


SIX = ((245, 245, 9), (281, 317, 54), (317, 389, 135), (389, 461, 315), (425, 497, 432), (461, 569, 630))
PAPER = Paper(
    title="OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks",
    authors="Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun",
    year=2013,
    arxiv="1312.6229",
    task="detection",
    tasks=(("classifier", "weak"), ("fast-classifier", "weak"), ("classifier-small", "weak")),
    spec=spec,
    recipe=recipe,
    starts="random weights of deviation .01, which its own classification trains",
    summary="A classifier's fully connected layers become convolutions, so that it answers at every place of a picture "
    "of any size at little more than the cost of one. The picture is taken at six sizes, and the last pool at each "
    "of its offsets, which makes windows dense. A second head on the same features says from each window where the "
    "object's edges are. Many windows say the same box: they are averaged and their scores summed, not suppressed.",
    claims=(
        Claim("localisation error (top 5), ILSVRC 2013 test", 0.299, "sec. 4.4"),
        Claim("mAP, ILSVRC 2013 detection", 0.194, "sec. 5, in the competition"),
        Claim("mAP, ILSVRC 2013 detection", 0.243, "sec. 5, after the competition"),
    ),
    facts=(
        Fact("parameters", 144_656_488, 1000, variant="classifier", source="sum over the layers of table 3"),
        Fact("parameters", 145_920_872, 1000, variant="fast-classifier", source="sum over the layers of table 1"),
        *(Fact(f"windows of {h} x {w}", n, 1000, variant="classifier", source="table 5") for h, w, n in SIX),
    ),
    notes=(
        "Offset pooling is computed as a pool of stride 1 and a first layer dilated by the pool's size, which gives "
        "the interleaved map at once, for pictures of any size; the six sizes of table 5 come out as printed.",
        "A window answers for the object that it overlaps by an IoU of half; the paper trains the regressor on such "
        "windows and does not define the overlap.",
        "match_score is 'the sum of the distance between centres and the intersection area', its units and threshold "
        "unsaid: see GreedyMerge. Boxes of two classes are not merged. rule.post.nms=.5 is NMS.",
        "The classifier rests while the regressor learns, as in the paper, which leaves open what the regressor does "
        "while detection is trained: it learns on.",
        "The six sizes are shares of the loaded picture, whose shorter side is 461 (256 for the classifier, which "
        "learns on that size alone).",
        "Windows whose middle lies outside the picture are not asked. No contrast normalisation, as in the paper. One "
        "regressor for all classes, which the paper found better, is head.per_class=false.",
        "With image labels alone ('classifier') every window of the picture learns the labels, where the paper cuts "
        "out five of 221 pixels and their mirror images; several labels share the softmax's mass. The answer is each "
        "class's best window.",
    ),
    presets=("paper", "fast", "classifier", "fast-classifier", "small", "classifier-small"),
    size=Size("the shorter side of the largest look; windows keep their pixels, and looks are added between it and the "
              "coarsest, which keeps its pixels too", resized),
)
