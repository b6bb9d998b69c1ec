"""Detectors whose finds are looked at again by a second net, on crops of the picture, that shares nothing with them
(DCR).

Axes: B images, N objects, R regions, C classes.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import In, Part, part
from ..core.types import Batch, Detections, Losses
from ..ops import boxes as bx
from ..ops.constants import constant
from ..ops.scalars import normaliser
from ..parts.backbones.resnet import ResNet
from ..parts.dense.assign import ByIoU
from ..parts.dense.losses import Softmax
from ..parts.dense.post import every_pair
from ..parts.regions.refined import Crop, HardFalse, alone, flipped, named
from ..parts.regions.regions import there
from ..parts.trunk import Trunk, asleep
from .two_stage import TwoStage, TwoStageModel, TwoStageRaw

Found = tuple[Float[Tensor, "B R 4"], Float[Tensor, "B R C"]]  # regions where the detector moved them, and its scores


@dataclass(frozen=True)
class Refined(TwoStage):
    """A two-stage detector of one stage with one box for all classes, and `crop`, the net that names crops anew.

    `view` cuts them, `draw` chooses those of a picture that it learns from, a `flip` of which are mirrored. `chunk`:
    crops that go through the net at once when predicting. `remember`: while the detector sleeps, what it found in a
    picture is kept, and looked up when the same picture comes again; a picture that comes changed is looked at anew.
    """

    crop: Part[Trunk] = part(ResNet, depth=152, levels=(3,))
    view: Crop = Crop()
    draw: HardFalse = HardFalse()
    flip: float = 0.5
    chunk: int = 64
    remember: bool = True

    def build(self, classes: int) -> RefinedModel:
        return RefinedModel(self, classes)


class RefinedModel(TwoStageModel):
    """The detector's own losses and "crop"; that of a net which sleeps (a phase of the recipe) is not computed. No
    gradient goes from the crops into the detector."""

    spec: Refined

    def __init__(self, spec: Refined, classes: int) -> None:
        super().__init__(spec, classes)
        assert len(spec.stages) == 1 and spec.rounds == 1, "what is found is found at one look"
        self.crop = spec.crop.build(In((3,), (1,), classes))
        self.crop_name = nn.Linear(self.crop.out.channels[-1], classes + 1)
        nn.init.normal_(self.crop_name.weight, std=0.01)
        nn.init.zeros_(self.crop_name.bias)
        self.kept: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # of a picture: a few pixels, boxes, scores

    @property
    def detector(self) -> list[nn.Module]:
        return [m for m in (self.backbone, self.neck, self.rpn_head, self.heads) if m is not None]

    def train(self, mode: bool = True) -> RefinedModel:
        """As ever, but the detector, or the crops' net, keeps its statistics while none of its weights learn."""
        super().train(mode)
        for m in (*self.detector, self.crop):
            if asleep(m):
                m.eval()
        return self

    # ------------------------------------------------------------ what the detector finds

    @torch.no_grad()
    def found(self, raw: TwoStageRaw, sizes: Float[Tensor, "B 2"]) -> Found:
        """Its regions, each where it moved it, and the score of every class; those without area are none."""
        s, boxes = self.stages[0], self.propose(raw, sizes, False)
        (logits, deltas), _ = self.see(0, self.prepared(raw.levels)[0], boxes)
        moved = bx.clip(s.alike(boxes, deltas), sizes)
        real = (bx.area(boxes) > 0)[..., None]
        return moved * real, s.scores(logits) * real

    @torch.no_grad()
    def remembered(self, batch: Batch) -> Found:
        """The same while the detector sleeps: picture by picture, without the padding that is its batch's, so that it
        does not matter with which others a picture comes, nor whether this was computed before a kill or after it."""
        found, mean = [], self.spec.preprocess.mean
        for place, image, size in zip(batch.index.tolist(), batch.images, batch.sizes):
            pixels = image[:, ::16, ::16].to("cpu", copy=True)
            known = self.kept.get(place)
            if known is None or not (known[0].shape == pixels.shape and torch.equal(known[0], pixels)):
                boxes, scores = self.found(self(alone(image, size, mean)), size[None])
                known = pixels, boxes[0].cpu(), scores[0].cpu()
                if self.spec.remember and self.training:
                    self.kept[place] = known
            found.append(known[1:])
        boxes, scores = (torch.stack(v).to(batch.images.device) for v in zip(*found))
        return boxes, scores

    # ------------------------------------------------------------ learning and answering

    def loss(self, batch: Batch, raw: TwoStageRaw | None = None) -> Losses:
        out: Losses = {}
        still = all(asleep(m) for m in self.detector)
        nothing = still and asleep(self.crop)  # a loss is only looked at
        if not still or nothing:
            self.kept.clear()
            raw = raw or self(batch.images)
            out |= super().loss(batch, raw)
        if not asleep(self.crop) or nothing:
            out["crop"] = self.crop_loss(batch, self.remembered(batch) if raw is None
                                         else self.found(raw, batch.sizes))
        return out

    def crop_loss(self, batch: Batch, found: Found) -> Tensor:
        """Cross entropy of the classes and background, of the objects and of what was found."""
        t, (boxes, scores) = batch.targets, found
        n = t.boxes.shape[1]
        r = boxes.shape[1]
        boxes = torch.cat([boxes, t.boxes], 1)
        scores = F.pad(scores, (0, 0, 0, n))
        truth = F.pad(t.valid, (r, 0))
        rule = replace(self.stages[0], assign=ByIoU(0.5, 0.5))
        every = rule.label(boxes * (truth | (torch.arange(r + n, device=boxes.device) < r))[..., None], t, self.classes)
        real = every.weight > 0
        used = self.spec.draw(every.labels, scores, real, truth)
        weight, at = used.float().topk(min(self.spec.draw.count, used.shape[1]), dim=1)
        crops = flipped(self.spec.view(self.spec.preprocess(batch.images), bx.take(boxes, at), batch.sizes),
                        self.spec.flip)
        cost = Softmax()(self.named(crops).float(), every.labels.gather(1, at).flatten())
        return (cost * weight.flatten()).sum() / normaliser(weight.sum())

    def named(self, crops: Float[Tensor, "N 3 s s"]) -> Float[Tensor, "N K"]:
        logits: Tensor = self.crop_name(self.crop(crops)[-1].mean((-2, -1)))
        return logits

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None, proposals: Tensor | None = None,
                raw: TwoStageRaw | None = None) -> Detections:
        """What the detector found, each class's score times what the crop's net says of it; then suppression."""
        if sizes is None:
            sizes = constant((float(images.shape[-2]), float(images.shape[-1])), images).float().expand(len(images), 2)
        boxes, scores = self.found(raw or self(images), sizes)
        boxes = there(boxes)
        scores = scores[:, : boxes.shape[1]]
        crops, b = self.spec.preprocess(images), len(images)
        said = [self.named(self.spec.view(crops, part, sizes)).view(b, part.shape[1], -1)
                for part in boxes.split(max(1, self.spec.chunk // b), 1)]
        d = every_pair(boxes[:, :, None], named(torch.cat(said, 1), scores))
        for post in self.spec.post:
            d = post(d, self.again)
        return d

    def again(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("crops are looked at once")
