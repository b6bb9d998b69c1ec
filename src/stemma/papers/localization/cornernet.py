"""CornerNet: a box is a top-left and a bottom-right corner; find both on heat maps and pair them by learned tags,
without anchors.  arXiv 1808.01244"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import In, Part, part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Batch, Detections, Losses, StemmaError
from ...parts.backbones.hourglass import HourglassNet
from ...parts.backbones.resnet import ResNet
from ...parts.dense.corners import CornerHead, CornerRaw, CornerRule
from ...parts.necks import FPN, Same
from ...parts.preprocess import Preprocess
from ...parts.trunk import Trunk
from . import retinanet

COCO_COLOURS = Preprocess((0.47026115, 0.44719302, 0.40789654), (0.27809835, 0.27408164, 0.28863828))


@dataclass(frozen=True)
class CornerNet:
    """The spec. Every level of the backbone is a stack at one stride, with a head of its own; the last is read.

    `flip` looks at the mirrored picture too, `scales` at other sizes of it; soft-NMS merges what is found.
    """

    rule: CornerRule = CornerRule()
    preprocess: Preprocess = COCO_COLOURS
    backbone: Part[Trunk] = part(HourglassNet)
    neck: Part[Trunk] = part(Same)
    head: Part[nn.Module] = part(CornerHead)
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)

    def build(self, classes: int) -> CornerModel:
        return CornerModel(self, classes)


class CornerModel(nn.Module):
    """CornerNet built: `model(images)`, `model.loss(batch)`, `model.predict(images, sizes)`."""

    def __init__(self, spec: CornerNet, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        self.neck = spec.neck.build(self.backbone.out)
        out = self.neck.out
        if len(set(out.strides)) > 1:
            raise StemmaError(f"CornerNet reads maps of one stride, not {out.strides}; the preset 'pyramid' brings the "
                              "levels of a backbone together")
        self.stride = out.strides[0]
        self.heads = nn.ModuleList(spec.head.build(In((c,), (self.stride,), classes)) for c in out.channels)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> CornerRaw:
        """All stacks in training (intermediate supervision), the last one otherwise."""
        xs = self.neck(self.backbone(self.spec.preprocess(images)))
        used = range(len(xs)) if self.training else range(len(xs) - 1, len(xs))
        heat, tag, offset = (list(v) for v in zip(*([y.float() for y in self.heads[i](xs[i])] for i in used)))
        return CornerRaw(heat, tag, offset, self.stride, (images.shape[-2], images.shape[-1]))

    def loss(self, batch: Batch) -> Losses:
        return self.spec.rule.loss(self(batch.images), batch.targets, self.classes)

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> Detections:
        """Sec. 4.2: the picture, mirrored too, as large as it is; candidates of all looks together."""
        rule, wide, found = self.spec.rule, images.shape[-1], []
        for scale in self.spec.scales:
            seen = images if scale == 1 else F.interpolate(images, scale_factor=scale, mode="bilinear",
                                                           align_corners=False)
            factors = images.new_tensor([seen.shape[-1] / wide, seen.shape[-2] / images.shape[-2]] * 2)
            for mirrored in (False, True) if self.spec.flip else (False,):
                d = rule.pairs(self(seen.flip(-1) if mirrored else seen))
                boxes = d.boxes / factors
                if mirrored:
                    boxes = torch.stack([wide - boxes[..., 2], boxes[..., 1], wide - boxes[..., 0], boxes[..., 3]], -1)
                found.append(replace(d, boxes=boxes))
        whole = Detections(*(torch.cat([getattr(d, k) for d in found], 1) for k in ("boxes", "scores", "labels")))
        return rule.settle(whole, (images.shape[-2], wide) if sizes is None else sizes)


def spec(preset: str = "paper") -> CornerNet:
    """Two stacked hourglasses of 54 layers each, Hourglass-104; "small"; "pyramid": ours, corners on the finest level
    of an FPN, for other backbones."""
    if preset == "pyramid":
        return CornerNet(backbone=part(ResNet, levels=(0, 1, 2, 3)), neck=part(FPN, finest=True))
    if preset == "small":  # not in the paper: one thin hourglass, read without the mirrored picture
        body = part(HourglassNet, stacks=1, widths=(32, 48, 64, 96), blocks=(1, 1, 1, 1), width=32, stem=32)
        return CornerNet(backbone=body, head=part(CornerHead, width=16), flip=False)
    return CornerNet()


def recipe(preset: str = "paper") -> Recipe:
    """500,000 steps of 49 crops of 511 pixels by Adam at 2.5e-4, a tenth of it for the last 50,000 (sec. 4.2); "small":
    ours, RetinaNet's small."""
    if preset == "small":
        return retinanet.recipe("small")
    factors = tuple(round(1 / s, 4) for s in (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3))
    return Recipe(
        optimizer="adam", lr=2.5e-4, weight_decay=0.0, batch=49, length="500000steps", schedule="step",
        milestones=(0.9,), warmup=0.0,
        resize=Resize("keep", 511, divisor=128), augment=Augment(flip=0.5, colour=0.4, zoom=factors, window=(511,)),
    )


PAPER = Paper(
    title="CornerNet: Detecting Objects as Paired Keypoints",
    authors="Law, Deng",
    year=2018,
    arxiv="1808.01244",
    task="detection",
    spec=spec,
    recipe=recipe,
    starts="random weights, without other data; 'pyramid', which is ours, from ImageNet's ResNet-50",
    summary="No anchors and no box regression: one set of heat maps finds top-left corners of each class, another "
    "bottom-right ones. A corner often lies where nothing of the object is seen, so each cell is told the largest "
    "feature along its row and its column, which is where the object's edges touch. Corners "
    "of one object learn equal tags and those of others different ones, and pairs with near tags become boxes.",
    parents=(Parent(retinanet.PAPER, (
        ("", "corners on heat maps, pooled towards and paired by embeddings, in the place of anchors; the focal loss "
         "stays, softened around each corner"),
    )),),
    claims=(
        Claim("AP, COCO test-dev, single scale", 0.405, "table 4"),
        Claim("AP, COCO test-dev, several scales", 0.421, "table 4"),
        Claim("AP, COCO val2017, single scale, retrained", 0.412, "mmdet's configs/cornernet, 10 x 5 pictures"),
    ),
    facts=(
        Fact("parameters", 201_035_212, 80,
             source="sum over the layers of the authors' code, heads of both stacks included"),
        Fact("parameters of the hourglasses", 184_268_800, 80, source="twice 92,134,400"),
    ),
    notes=(
        "Pull and push are means over pictures, as eq. 4 and 5 are written for one; the authors' code sums them over "
        "the pictures of a GPU.",
        "A radius of IoU .3 is the released setting; it takes the true roots, where later copies of the code halve "
        "them wrongly.",
        "Crops: the picture scaled by 1 / .6 to 1 / 1.3 and cut to 511, with what is left of any object; the code lays "
        "them around any point 128 pixels from the edges, so that they may reach out. Its colours change in "
        "brightness, contrast and saturation, ours a little in hue as well.",
        "scales=0.5,0.75,1,1.25,1.5 is the test at several scales, without the code's averaging of boxes that overlap. "
        "head.pool=false: no corner pooling.",
        "Pictures are padded to a multiple of 128 on the right and below; the code pads to such a size less one, "
        "around the middle.",
        "Cells inside a crowd pay nothing; the paper does not speak of crowds. Its PCA lighting noise is left out.",
    ),
    presets=("paper", "small", "pyramid"),
    size=Size("the short side, and the side of training's windows; corners have no size, their Gaussians an object's"),
)
