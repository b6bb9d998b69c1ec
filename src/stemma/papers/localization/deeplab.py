"""DeepLab: dilated convolutions keep the map fine, parallel rates see context at several scales, and a dense CRF
sharpens the edges.  arXiv 1606.00915"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import IGNORE, Batch, Losses, StemmaError
from ...parts.backbones.resnet import ResNet
from ...parts.backbones.tiny import TinyResNet
from ...parts.backbones.vgg import VGGAtrous
from ...parts.maps.decoders import ASPP
from ...parts.maps.losses import PixelCrossEntropy
from ...parts.maps.post import DenseCRF
from ...skeletons.segment import Segmenter, SegmenterModel
from . import fcn


@dataclass(frozen=True)
class DeepLab(Segmenter):
    """A segmenter that pays at its own stride and may look at the picture at several `scales` with the same weights (v2
    sec. 4.1.2, MSC)."""

    scales: tuple[float, ...] = (1.0,)

    def build(self, classes: int) -> DeepLabModel:
        return DeepLabModel(self, classes)


class DeepLabModel(SegmenterModel):
    """Scores at stride 8, the largest over the scales; learned on labels of every eighth pixel,
    predicted at every pixel."""

    spec: DeepLab

    def each(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B C _ _"]]:
        """The scores of every scale, each at its own size."""
        x, found = self.enlarged(images), []
        for scale in self.spec.scales:
            sides = [round((side - 1) * scale / self.divisor) * self.divisor + 1 for side in x.shape[-2:]]
            y = x if scale == 1 else F.interpolate(x, sides, mode="bilinear", align_corners=True)
            found.append(self.decoder(self.backbone(y)))
        return found

    @staticmethod
    def fused(found: list[Tensor]) -> Float[Tensor, "B C h w"]:
        """At every cell of the first scale's map, the largest score of each class."""
        size = found[0].shape[-2:]
        return torch.stack([found[0],
                            *(F.interpolate(y, size, mode="bilinear", align_corners=True) for y in found[1:])]).amax(0)

    def coarse(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        return self.fused(self.each(images))

    def loss(self, batch: Batch) -> Losses:
        """{"pixel": of the fused scores}, and with several scales one of each, "pixel_75" at scale .75.

        Raises `StemmaError` where the batch has no semantic map.
        """
        if batch.targets.semantic is None:
            raise StemmaError("this system learns from semantic maps and the data has none: use data with class masks, "
                              "or a detector")
        found = self.each(batch.images)
        wanted = {"pixel": self.fused(found)}
        if len(found) > 1:
            wanted |= {f"pixel_{round(100 * s)}": y for s, y in zip(self.spec.scales, found)}
        return {k: self.spec.loss(y, self.sampled(batch.targets.semantic, y)) for k, y in wanted.items()}

    def sampled(self, labels: Int[Tensor, "B H W"], logits: Float[Tensor, "B C h w"]) -> Int[Tensor, "B h w"]:
        """The label of the pixel on which each cell lies: every eighth at scale 1."""
        whole = F.pad(labels.long(), self.missing(*labels.shape[1:]), value=IGNORE)
        y, x = (torch.linspace(0, n - 1, m, device=labels.device).round().long()
                for n, m in zip(whole.shape[1:], logits.shape[-2:]))
        return whole[:, y[:, None], x[None]]


CRFS = {"vgg-aspp": DenseCRF(smooth=2.0, smooth_xy=2.0, appearance_xy=65.0),
        "large-fov": DenseCRF(smooth_xy=3.0, appearance_xy=49.0, appearance_rgb=5.0),
        "small": DenseCRF(iterations=3, appearance=8.0)}  # "paper": the part's own


def spec(preset: str = "paper") -> DeepLab:
    """ "paper": v2's ResNet-101 with ASPP and MSC; "vgg-aspp": v2 on VGG; "large-fov": v1, one rate;
    "small": ours, for two cores."""
    p, crf = fcn.spec("small" if preset == "small" else "paper"), CRFS.get(preset, DenseCRF())
    if preset == "small":
        return DeepLab(part(TinyResNet, levels=(2,), stride=8), part(ASPP, rates=(1, 2, 4, 6)), p.loss,
                       p.preprocess, (crf,))
    net = DeepLab(part(VGGAtrous), part(ASPP, width=1024), PixelCrossEntropy(), p.preprocess, (crf,))
    if preset != "paper":
        return net if preset == "vgg-aspp" else replace(net, decoder=part(ASPP, rates=(12,), width=1024))
    trunk = part(ResNet, depth=101, levels=(3,), freeze=0, stride_first=True, stride=8)
    return replace(net, backbone=trunk, decoder=part(ASPP), scales=(1.0, 0.75, 0.5))


def recipe(preset: str = "paper") -> Recipe:
    """20,000 steps of 10 windows of 321 pixels, rates falling as (1 - t)^.9, ten times them for the classifier;
    "large-fov": v1's steps of .1."""
    if preset == "small":
        return fcn.recipe(preset)
    heads = ((r"^decoder\.score\..*\.bias$", 20.0), (r"^decoder\.score\.", 10.0))
    plain = Recipe(
        lr=2.5e-4, momentum=0.9, weight_decay=5e-4, batch=10, length="20000steps", schedule="poly", power=0.9,
        warmup=0.0, lr_mult=heads, no_decay=r"\.bias$",
        resize=Resize("keep", 375, divisor=1),
        augment=Augment(flip=0.5, zoom=(0.5, 0.75, 1.0, 1.25, 1.5), window=(321,)),
    )
    if preset == "paper":
        return plain
    vgg = replace(plain, lr=1e-3, lr_mult=(*heads, (r"\.bias$", 2.0)), augment=Augment(flip=0.5, window=(321,)))
    return vgg if preset == "vgg-aspp" else replace(vgg, batch=20, length="6000steps", schedule="step",
                                                    milestones=(1 / 3, 2 / 3), gamma=0.1)


V1 = "arXiv 1412.7062"
PAPER = Paper(
    title="DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully "
    "Connected CRFs",
    authors="Chen, Papandreou, Kokkinos, Murphy, Yuille",
    year=2016,
    arxiv="1606.00915",
    task="semantic",
    spec=spec,
    recipe=recipe,
    starts="ImageNet's weights, of ResNet-101 with strides on the first 1x1, or of VGG-16, fc6 and fc7 cut down",
    presets=("paper", "vgg-aspp", "large-fov", "small"),
    summary="A classifier shrinks its picture 32 times, and FCN wins the lost pixels back by skips. Here two strides "
    "are not taken, and all later filters are spread by the same factor: with the weights of the old net the result is "
    "the old map with the cells between filled in. Spread filters also see far at no cost, so several rates are laid "
    "side by side over the last map and their scores added. What stays blurred at edges is given to a random "
    "field in which every pixel votes for its label at all others, the more so the nearer and the more alike in "
    "colour they are.",
    parents=(
        Parent(fcn.PAPER, (
            ("()", "looks at several scales with the same weights, and pays at stride 8 on labels of every "
             "eighth pixel"),
            ("scales", "the largest score over the scales counts"),
            ("backbone", "strides beyond 8 are not taken; what follows is dilated instead"),
            ("decoder", "no skips: parallel 3x3s of several rates on the last map, their class scores added"),
            ("loss", "averaged over labelled cells, every one alike"),
            ("post", "mean field in a fully connected CRF on place and colour"),
        )),
    ),
    claims=(
        Claim("VOC 2012 val mean IoU, R101, MSC, COCO", 0.7635, "table 4"),
        Claim("VOC 2012 val mean IoU, the same with the CRF", 0.7769, "table 4"),
        Claim("VOC 2012 test mean IoU, R101", 0.797, "table 5"),
        Claim("VOC 2012 val mean IoU, VGG ASPP", 0.6896, "table 3"),
        Claim("VOC 2012 val mean IoU, VGG ASPP with the CRF", 0.7157, "table 3"),
        Claim("VOC 2012 val mean IoU, LargeFOV", 0.6225, f"{V1}, table 1 a"),
        Claim("VOC 2012 val mean IoU, LargeFOV with the CRF", 0.6764, f"{V1}, table 1 a"),
        Claim("VOC 2012 test mean IoU, v1", 0.716, f"{V1}, abstract"),
    ),
    facts=(
        Fact("parameters", 44_048_532, 21, (("backbone.norm", "batch"),),
             source="ResNet-101 (42,500,160 with batch norm) and four 3x3 classifiers"),
        Fact("parameters", 37_877_652, 21, variant="vgg-aspp",
             source="VGG-16's convolutions (14,714,688) and four branches of 5,790,741"),
        Fact("parameters", 20_505_429, 21, variant="large-fov", source="VGG-16's convolutions and one branch"),
    ),
    notes=(
        "The CRF is run on the network's pixels, with the authors' library's lattice; v1 and v2 search w1 and both "
        "deviations of the appearance kernel on 100 held-out pictures (`parts.maps.post.search`); w2 and its own stay "
        "3. Each preset has its released model's settings, of which v2's have 1 and 2 there. post=() leaves it out.",
        "A map of 8 k + 1 pixels has k + 1 cells, whose corners stay corners when they are resized, as in the released "
        "nets; other sizes are filled up.",
        "decoder.rates=2,4,8,12 is ASPP-S. v1's variant with features of early layers (MSc) is not here. VGG's last "
        "pool is not averaged once more.",
        "Batch norm is frozen, scale and shift too. The step counts are those from ImageNet or COCO weights. "
        "Colours are scaled as torchvision's weights want them; the released nets take 0..255 less "
        "the mean pixel.",
    ),
)
