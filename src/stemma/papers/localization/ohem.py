"""OHEM: no sampling of regions by rule; all are looked at, and those whose loss is highest are trained on.
arXiv 1604.03540"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.recipe import Recipe
from ...parts.dense.assign import ByIoU
from ...parts.dense.sample import Hardest, HardestAfterNMS
from ...skeletons.two_stage import TwoStage
from . import fast_rcnn, faster_rcnn


def spec(preset: str = "paper") -> TwoStage:
    """64 regions a picture of all 2,000, after suppression by loss; "fast": in Fast R-CNN, as the paper; "once": one
    look and no suppression; "small", "once-small": ours.
    """
    p = fast_rcnn.spec() if preset == "fast" else faster_rcnn.spec("small" if preset.endswith("small") else "paper")
    stage = replace(p.stages[0], assign=ByIoU(0.5, 0.5))  # every overlap below .5 is background
    # not in the paper at "small": of 100 proposals, 48 would be nearly all that differ
    count = stage.count if preset == "fast" else stage.count // 2
    if preset.startswith("once"):
        return replace(p, stages=(replace(stage, sample=Hardest(stage.count), once=True, positive=1.0),))
    return replace(p, stages=(replace(stage, sample=HardestAfterNMS(count, 0.7), count=count, positive=1.0),))


def recipe(preset: str = "paper") -> Recipe:
    """The parent's, word for word: the sampler is all that differs. "fast": Fast R-CNN's, with its selective search,
    without VOC's difficult objects (authors' code)."""
    if preset == "fast":
        return replace(fast_rcnn.recipe(), difficult=False)
    return faster_rcnn.recipe("small" if preset.endswith("small") else "paper")


PAPER = Paper(
    title="Training Region-based Object Detectors with Online Hard Example Mining",
    authors="Shrivastava, Gupta, Girshick",
    year=2016,
    arxiv="1604.03540",
    task="detection",
    spec=spec,
    recipe=recipe,
    statistics=fast_rcnn.target_statistics,
    presets=("paper", "fast", "once", "small", "once-small"),
    summary="Region detectors drew a quarter of their regions from objects and the rest from background, by ratios "
    "that someone had tuned, because most background is easy. Here the network itself says what is hard: it looks at "
    "all proposals without learning, suppresses those that overlap one of higher loss, since they would say the same "
    "thing twice, and learns from the few of highest loss. The ratio of objects and the lowest "
    "overlap of background disappear.",
    parents=(
        Parent(faster_rcnn.PAPER, (("stages", "the 64 regions a picture of highest loss, after suppression by loss "
                                    "within a label; no ratio of objects"),)),
        Parent(fast_rcnn.PAPER, (("", "'fast', the paper's own ground: no region is drawn by rule, and background may "
                                  "lie anywhere; net and recipe stay"),)),
    ),
    claims=(
        Claim("VOC 2007 test mAP, VGG-16, trained on 07", 0.699, "table 3"),
        Claim("the same without mining", 0.669, "table 3"),
        Claim("VOC 2007 test mAP, VGG-16, trained on 07+12", 0.746, "table 3"),
        Claim("the same without mining", 0.700, "table 3"),
        Claim("VOC 2012 test mAP, VGG-16, trained on 07++12", 0.719, "table 4"),
        Claim("the same without mining", 0.684, "table 4"),
        Claim("COCO test-dev box AP, VGG-16", 0.226, "table 5"), Claim("the same without mining", 0.197, "table 5"),
        Claim("VOC 2007 test mAP, VGG-16, trained on 07, by the authors' code", 0.715, "README of the code"),
    ),
    facts=(
        Fact("parameters", 137_078_239, 20, source="Faster R-CNN's: nothing is added"),
        Fact("parameters", 134_690_729, 20, variant="fast", source="Fast R-CNN's"),
        Fact("regions trained on", 128, 20, source="sec. 4.2: B = 128 of N = 2 pictures"),
    ),
    notes=(
        "The paper mines in Fast R-CNN, on selective search, which is preset 'fast'. 'paper' takes its regions from "
        "the proposal network, trained end to end, where the authors say that others found less gain. The sampler goes "
        "into any system: stages.0.sample=HardestAfterNMS(64), or rpn.sample, or rule.sample of SSD, set in Python.",
        "Length and rate are the parent's: 40,000 steps in 'fast', as the authors' code has them.",
        "The code gives out what scores .00001, 2,000 of a picture; here it is the parent's .05 and 100 (post.0.score, "
        "post.0.keep).",
        "Loss to rank by: class and box together, as in the paper. Both passes share weights; ours has no read-only "
        "copy, since no gradient is recorded.",
        "Dropout rests in the look that ranks; in the authors' code it is on, with dice of its own.",
        "The code ranks per batch, of one picture; we rank per picture, 64 of each, so that pictures of a batch do "
        "not compete.",
        "'once' looks at all regions with gradient and lets the chosen 128 of each picture pay, without suppression: "
        "R-FCN's way. It costs the backward pass of the region head on what is not chosen, and saves the second look.",
        "Background down to an overlap of 0, as the paper asks; Fast R-CNN's .1 is gone, as it is from Faster R-CNN's "
        "end-to-end training.",
    ),
)
