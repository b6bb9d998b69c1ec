"""A network that names whole pictures: what region classifiers start from.

Axes: B images, C classes, D features.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import In, Part, part
from ..core.types import Batch, Detections, Losses
from ..ops.constants import constant
from ..parts.backbones.alexnet import ZFNet
from ..parts.points import labels_of, point_detections
from ..parts.preprocess import Preprocess
from ..parts.regions.feature_layers import FeatureLayers
from ..parts.regions.heads import RegionHead
from ..parts.trunk import Trunk
from ..parts.windows.views import PyramidPool, View


@dataclass(frozen=True)
class Whole:
    """The spec: the trunk, the view (of the whole picture as one region) and the layers on it."""

    preprocess: Preprocess = Preprocess()
    backbone: Part[Trunk] = part(ZFNet)
    view: View = PyramidPool()
    head: Part[RegionHead] = part(FeatureLayers)

    def build(self, classes: int) -> WholeModel:
        return WholeModel(self, classes)


class WholeModel(nn.Module):
    """`model(images)` gives a logit a class, `model.loss(batch)` learns image labels, `model.predict(images, sizes)`
    the classes by probability."""

    def __init__(self, spec: Whole, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        self.head: Any = spec.head.build(In((spec.view.length(self.backbone),), (1,), classes, logits=classes))

    def forward(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None) -> Float[Tensor, "B C"]:
        if sizes is None:
            sizes = constant((float(images.shape[-2]), float(images.shape[-1])), images).float().expand(len(images), 2)
        boxes = torch.cat([torch.zeros_like(sizes), sizes.flip(1)], 1)
        xs = self.spec.view.prepare(self.backbone, self.spec.preprocess(images))
        logits: Tensor = self.head.cls(self.head(self.spec.view(self.backbone, xs, boxes,
                                                                torch.arange(len(boxes), device=boxes.device)))).float()
        return logits

    def loss(self, batch: Batch) -> Losses:
        """Cross entropy of the softmax; the classes of a picture with several share it evenly."""
        wanted = labels_of(batch.targets, self.classes)
        wanted = wanted / wanted.sum(1, keepdim=True).clamp(min=1)
        return {"cls": -(F.log_softmax(self(batch.images, batch.sizes), 1) * wanted).sum(1).mean()}

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None) -> Detections:
        """Every class with its probability, at the picture's middle: this network does not say where."""
        if sizes is None:
            sizes = constant((float(images.shape[-2]), float(images.shape[-1])), images).float().expand(len(images), 2)
        middle = (sizes.flip(1) / 2)[:, None].expand(-1, self.classes, -1)
        return point_detections(self(images, sizes).softmax(1), middle, sizes)
