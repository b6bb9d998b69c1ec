"""Panoptic FPN: a light semantic branch on the detector's own pyramid, so that one net draws things and stuff.
arXiv 1901.02446"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import In, Part, part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Batch, Losses, PanopticMap, StemmaError
from ...parts.maps.decoders import Decoder, SemanticFPN
from ...parts.maps.losses import PixelCrossEntropy, PixelLoss
from ...parts.maps.panoptic_merge import PanopticMerge, instances_of, pasted, semantic_of, things_apart, things_as_one
from ...parts.preprocess import Preprocess
from ...skeletons.two_stage import TwoStage
from . import mask_rcnn, panoptic_segmentation


@dataclass(frozen=True)
class PanopticFPN:
    """A detector with masks and a semantic branch on its pyramid; L = instance_weight (Lc + Lb + Lm) + semantic_weight
    Ls (sec. 3).

    `things` lists the classes, of the panoptic list, that the detector finds. To the semantic branch they are one
    class, the first, or with `apart` each a class of its own (sec. 4.1, Cityscapes); the merge drops them either way.
    """

    instances: TwoStage
    semantic: Part[Decoder] = part(SemanticFPN)
    loss: PixelLoss = PixelCrossEntropy()
    instance_weight: float = 1.0
    semantic_weight: float = 0.5
    apart: bool = False
    merge: PanopticMerge = PanopticMerge()
    things: tuple[int, ...] = tuple(range(80))

    @property
    def preprocess(self) -> Preprocess:
        return self.instances.preprocess

    def build(self, classes: int) -> PanopticFPNModel:
        return PanopticFPNModel(self, classes)


class PanopticFPNModel(nn.Module):
    """One pyramid, read by region heads and by the semantic branch."""

    def __init__(self, spec: PanopticFPN, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.instances = spec.instances.build(len(spec.things))
        place, stuff = (things_apart if spec.apart else things_as_one)(spec.things, classes)
        self.semantic = spec.semantic.build(In(self.instances.out.channels, self.instances.out.strides, len(stuff)))
        for name, table in (("place", place), ("stuff", stuff), ("thing", torch.tensor(spec.things))):
            self.register_buffer(name, table, persistent=False)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Any]:
        """What the detector says, and logits at every pixel: one class for all things, then the stuff; with `apart`
        all classes."""
        raw = self.instances(images)
        logits = F.interpolate(self.semantic(raw.levels), scale_factor=float(self.semantic.out.strides[0]),
                               mode="bilinear")
        return {"instances": raw, "semantic": logits[..., : images.shape[-2], : images.shape[-1]].float()}

    def loss(self, batch: Batch) -> Losses:
        """The detector's losses, named `instances_*`, and "semantic", each times its weight.

        Raises `StemmaError` where the batch has no panoptic map.
        """
        t, spec, raw = batch.targets, self.spec, self(batch.images)
        if t.panoptic is None or t.segments is None:
            raise StemmaError("this system learns from panoptic maps and the data has none")
        objects = instances_of(t.panoptic, t.segments, spec.things, self.classes, t.segments_crowd)
        found = self.instances.loss(replace(batch, targets=objects), raw["instances"])
        pixel = spec.loss(raw["semantic"], self.place[semantic_of(t.panoptic, t.segments)])  # type: ignore[index]
        return ({f"instances_{k}": spec.instance_weight * v for k, v in found.items()}
                | {"semantic": spec.semantic_weight * pixel})

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> PanopticMap:
        raw, (height, width) = self(images), images.shape[-2:]
        found = self.instances.predict(images, sizes, raw=raw["instances"])
        sure, best = raw["semantic"].softmax(1).max(1)
        classes = self.stuff[best]  # type: ignore[index]
        if sizes is not None:
            inside = [torch.arange(n, device=images.device) < sizes[:, k : k + 1]
                      for k, n in enumerate((height, width))]
            classes = torch.where(inside[0][:, :, None] & inside[1][:, None], classes, -1)
        labels = torch.where(found.labels < 0, -1, self.thing[found.labels.clamp(min=0)])  # type: ignore[index]
        return self.spec.merge(pasted(found, height, width), labels, found.scores, classes, self.spec.things,
                               self.classes, sure)


def spec(preset: str = "paper") -> PanopticFPN:
    """ "paper": COCO, ResNet-50; "cityscapes": the detector's losses count half, and the semantic branch tells things
    apart (sec. 4.1, table 2 d); "small": ours, for two cores."""
    p = panoptic_segmentation.spec("small" if preset == "small" else "paper")
    net = PanopticFPN(p.instances, merge=p.merge, things=p.things)
    if preset == "small":
        return replace(net, semantic=part(SemanticFPN, width=32, groups=8))
    return replace(net, instance_weight=0.5, semantic_weight=1.0, apart=True) if preset == "cityscapes" else net


def recipe(preset: str = "paper") -> Recipe:
    """Mask R-CNN's short schedule, 90,000 steps of 16 at .02, short sides of 640 to 800; "cityscapes": 65,000 steps of
    32 windows at .01 (sec. 4.1)."""
    if preset == "small":
        return panoptic_segmentation.recipe(preset)
    plain = replace(mask_rcnn.recipe(), length="90000steps", milestones=(2 / 3, 8 / 9), warmup=0.011,
                    no_decay=r"^semantic\.towers\.\d\.[159]\.")  # group norms, as in the authors' code
    if preset == "cityscapes":
        window = Augment(flip=0.5, zoom=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0), window=(512, 1024))
        return replace(plain, lr=0.01, batch=32, length="65000steps", milestones=(8 / 13, 11 / 13),
                       resize=Resize("keep", 1024, divisor=32), augment=window)
    return replace(plain, resize=replace(plain.resize, scales=(640, 672, 704, 736, 768, 800)))


PAPER = Paper(
    title="Panoptic Feature Pyramid Networks",
    authors="Kirillov, Girshick, He, Dollar",
    year=2019,
    arxiv="1901.02446",
    task="panoptic",
    spec=spec,
    recipe=recipe,
    prepare=panoptic_segmentation.prepare,
    presets=("paper", "cityscapes", "small"),
    summary="Masks and class maps used to come from two nets. The pyramid of a mask detector already holds fine and "
    "meaningful maps, so a small branch brings four of its levels to one size, adds them and scores every pixel: stuff "
    "by class, all things as one. Both tasks train together, their losses weighed, and the merged result is about as "
    "good as that of two nets at half the cost.",
    parents=(
        Parent(mask_rcnn.PAPER,
               (("", "the detector stays as it is; a semantic branch reads its pyramid, and both are merged"),)),
        Parent(panoptic_segmentation.PAPER, (
            ("()", "one net in place of two: the class map is read off the detector's pyramid"),
            (("semantic", "apart"), "P2 to P5 brought to stride 4 and added, a 1x1 on the sum; things are one class"),
            ("loss", "cross-entropy averaged over labelled pixels"),
            (("instance_weight", "semantic_weight"), "how much the detector's losses and the class map's count"),
        )),
    ),
    claims=(
        Claim("COCO val PQ, R50", 0.390, "table 3 a"),
        Claim("COCO val PQ, R101", 0.403, "table 3 b"),
        Claim("COCO test-dev PQ, R101", 0.409, "table 4 a"),
        Claim("Cityscapes val PQ, R50", 0.577, "table 3 a"),
        Claim("COCO val2017 PQ, R50, 1x", 0.394, "detectron2 model zoo, sides drawn of 640 to 800"),
        Claim("COCO val2017 PQ, R50, 3x", 0.415, "detectron2 model zoo, sides drawn of 640 to 800"),
        Claim("COCO val2017 PQ, R50, 1x", 0.402, "mmdet 3.3.0's configs"),
    ),
    facts=(
        Fact("parameters of the semantic branch", 1_630_774, 133,
             source="detectron2's SemSegFPNHead with 54 classes, layer by layer"),
        Fact("parameters", 44_347_573 + 1_630_774, 133, source="Mask R-CNN of 80 classes and the branch"),
    ),
    notes=(
        "One panoptic map gives both truths: masks that do not overlap, and classes of pixels. COCO's own instance "
        "masks may overlap a little.",
        "No bias before group norm, no aligned corners, as in detectron2. 54 outputs on COCO: 53 kinds of stuff, and "
        "one for all things, which is dropped.",
        "The halves meet at the network's size, whose pixels merge.stuff_area counts; detectron2 merges at the file's. "
        "instance_weight multiplies the RPN's losses too, which detectron2 leaves alone. mIoU is of the merged map; "
        "the paper measures class map and masks each by itself.",
        "On Cityscapes the paper lets the scale vary without steps; its largest semantic nets alone see other colours "
        "and more crops with rare classes. Its weights are the best of .5, .75 and 1; there .5 and 1 (table 2 d).",
    ),
    size=Size("as FPN's; the least area of stuff goes along, as the square", panoptic_segmentation.resized),
)
