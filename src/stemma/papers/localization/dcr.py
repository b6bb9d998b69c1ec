"""DCR: what a detector found is cut out of the picture and named again by a second net that shares nothing with it; the
scores are multiplied.  arXiv 1803.06799"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Phase, Recipe, Resize
from ...parts.backbones.resnet import ResNet
from ...parts.backbones.tiny import TinyResNet
from ...parts.dense.anchors import Legacy
from ...parts.dense.assign import ByIoU
from ...parts.dense.heads import RPNHead
from ...parts.dense.losses import SmoothL1
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Hardest
from ...parts.dense.select import Proposals
from ...parts.regions.heads import FCHead, MaxPool
from ...parts.regions.refined import Crop, HardFalse
from ...skeletons.refined import Refined
from . import faster_rcnn, fpn, r_cnn

COCO = 118_287  # pictures of train2017


def spec(preset: str = "paper") -> Refined:
    """Faster R-CNN with ResNet-101 and two layers, and ResNet-152 on crops of 224 pixels, on COCO; "fpn": on FPN;
    "small": ours, for two cores."""
    if preset == "small":  # not in the paper: crops of 48 pixels for a small residual net
        p = faster_rcnn.spec("small")
        return Refined(**vars(p), crop=part(TinyResNet, widths=(24, 64, 96), levels=(2,)), view=Crop(48),
                       draw=HardFalse(16), chunk=1024)
    if preset == "fpn":
        p = fpn.spec()
        stage = replace(p.stages[0], head=p.stages[0].head.but(deltas="agnostic"), sample=Hardest(512), once=True,
                        positive=1.0, box=SmoothL1(1.0))
        p = replace(p, backbone=part(ResNet, depth=101), stages=(stage,))
    else:
        p = faster_rcnn.spec()
        assert p.rpn is not None
        head = part(FCHead, pool=MaxPool(7), deltas="agnostic", reduce=256)
        p = replace(
            p, backbone=part(ResNet, depth=101, levels=(2, 3), stride=16, stride_first=True, ceil=True),
            rpn_head=part(RPNHead, width=512), rpn_levels=1,
            rpn=replace(p.rpn, anchors=Legacy((4.0, 8.0, 16.0, 32.0)),
                        proposals=Proposals(6000, 300, 6000, 300, 0.7, 1e-3)),
            stages=(replace(p.stages[0], head=head, assign=ByIoU(0.5, 0.5, low=0.1)),),
        )
    return Refined(**vars(replace(p, post=(PerClassNMS(0.3, 0.001, 100),))))


def recipe(preset: str = "paper") -> Recipe:
    """The detector sixteen epochs at 4 x .0005 for four pictures, 1,000 steps at a tenth first; then it sleeps, and the
    crops' net learns sixteen at 4 x .0001, its last layer ten times as fast; each a tenth from 10.66 on (the authors'
    eight, each of which sees a picture and its mirror image). "fpn": the detector fourteen at 4 x .005, 500 steps
    first, a tenth from 8 and 12 on. "small": ours."""
    fpn, small = preset == "fpn", preset == "small"
    epochs, lr, late = (14, 2e-2, 500) if fpn else (16, 2e-3, 1000)
    phases = (Phase("detector", epochs / 16, r"^(?!crop)", r"^(?!crop)",
                    milestones=() if small else (4 / 7, 6 / 7) if fpn else (5.33 / 8,),
                    warmup=0.0 if small else late / (epochs * COCO / 4)),
              Phase("crops", 1.0, r"^crop", r"^crop$", milestones=() if small else (5.33 / 8,)))
    if small:
        return replace(faster_rcnn.recipe("small"), phases=phases, milestones=(0.8,))
    return Recipe(
        lr=lr, momentum=0.9, weight_decay=(1e-4 if fpn else 5e-4) / 4, no_decay=r"bias$", batch=4,
        length=f"{epochs + 16}epochs", warmup=0.0, warmup_factor=0.1, warmup_power=0.0,
        lr_mult=((r"^crop_name\.", 4e-3 / lr), (r"^crop\.", 4e-4 / lr)), augment=Augment(flip=0.0), phases=phases,
        resize=Resize("shortest", 800, 1280, 32) if fpn else Resize("shortest", 600, 1000, 16),
    )


PAPER = Paper(
    title="Revisiting RCNN: On Awakening the Classification Power of Faster RCNN",
    authors="Cheng, Wei, Shi, Feris, Xiong, Huang",
    year=2018,
    arxiv="1803.06799",
    task="detection",
    spec=spec,
    recipe=recipe,
    presets=("paper", "fpn", "small"),
    summary="The classifier of a detector shares its features with the regressor, which wants to know where a thing "
    "is, and sees a region through a receptive field much larger than it. So it is sure of things that are not there. "
    "Here each box found is cut out of the picture, as R-CNN did, and a net of its own names the crop; it learned from "
    "the detector's own mistakes, and no gradient goes from one to the other. A box must convince both: the scores are "
    "multiplied.",
    parents=(
        Parent(faster_rcnn.PAPER, (
            ("()", "what is found is named again from crops of the picture"),
            (("crop", "view", "chunk"), "ResNet-152 looks at each box found, 224 pixels large"),
            (("draw", "flip"), "32 crops of a picture: its objects and what the detector found, right and wrong"),
            ("remember", "the detector sleeps by then, and is asked once a picture"),
            ("backbone", "ResNet-101, its fifth stage dilated to a stride of 16"),
            (("rpn_head", "rpn_levels"), "proposals from the fourth stage"),
            ("rpn", "anchors from 64 pixels up, 300 proposals in training too"),
            ("stages", "two layers of 1,024 and one box for all classes; background overlaps an object by .1"),
            ("post", "whatever scores .001 is given out"),
        )),
        Parent(r_cnn.PAPER, (("", "crops are named as there, but of a detector's finds and not of a segmentation's, "
                              "and to correct its scores"),)),
        Parent(fpn.PAPER, (("", "'fpn' names the finds of FPN with ResNet-101 again"),)),
    ),
    claims=(
        Claim("COCO test-dev box AP, Faster R-CNN R101, two layers", 0.305, "authors' code, README"),
        Claim("the same with DCR V1, R152 on crops", 0.339, "authors' code, README"),
        Claim("COCO test-dev box AP, FPN R101", 0.388, "authors' code, README"),
        Claim("the same with DCR V1, R152 on crops", 0.407, "authors' code, README"),
        Claim("COCO val2017 box AP, Faster R-CNN R101, two layers", 0.300, "authors' code, README"),
        Claim("the same with DCR V1, R152 on crops", 0.331, "authors' code, README"),
    ),
    facts=(
        Fact("parameters of the crops' net", 58_158_353, 80,
             source="torchvision's resnet152 with 81 outputs, its batch norms aside"),
    ),
    notes=(
        "Sampling as in the authors' setting, whose three kinds are all regions together, so that the draw is uniform "
        "beside the objects: draw.kinds=hard,foreground asks for mistakes and finds alone; draw.score is the hardness. "
        "Where there are fewer than draw.count, fewer pay; the code repeats some, whose labels it ignores.",
        "The code writes what the detector found of every picture to a file. Here it is computed when a picture first "
        "comes and kept in memory; an interrupted training computes it again, to the last bit. Pictures are not "
        "mirrored, crops are (flip): with recipe.augment changed a picture is looked at anew each time.",
        "Crops have real coordinates, one bilinear reading a pixel; the code cuts whole pixels. Context: "
        "view.enlarge=1.5; size: view.side=112.",
        "Both nets are trained in one run, as phases. To take a trained detector, --start its run and --set "
        "recipe.phases.0.share=0.001; what has the same name and shape is taken.",
        "The code adds the gradients of its four pictures; its steps are four times as long on their mean, with a "
        "quarter of the decay of .0005 ('fpn': .0001). Crops decay as the detector does; the code's by .0001, in a run "
        "of their own.",
        "The code's crop net is ResNet-152 in its second form, with batch norm that learns neither scale nor "
        "statistics; ours is the first form, as torchvision's weights are. All of the 300 regions are named, 300 crops "
        "a picture.",
        "V2, which pools crops from the second stage and learns end to end, is not here.",
    ),
)
