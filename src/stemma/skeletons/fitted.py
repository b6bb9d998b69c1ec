"""Detectors in steps: a network learns to name regions, then SVMs and regressions are fitted to what it says of them
(R-CNN, SPP-net).

Axes: B images, P proposals, N regions of a batch, C classes, D features, N 4.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..core.part import In
from ..core.types import Batch, Detections, Losses, StemmaError
from ..ops import boxes as bx
from ..ops.constants import constant
from ..ops.scalars import normaliser
from ..parts.dense.coders import Coder
from ..parts.dense.post import PerClassNMS, every_pair
from ..parts.regions.regions import Regions, there, with_truth
from ..parts.regions.ridge import Ridge
from ..parts.regions.svm import SVM
from ..parts.windows.views import View, Warp
from .dense import built
from .fitting import Pictures, fit
from .two_stage import TwoStage


@dataclass(frozen=True)
class Fitted(TwoStage):
    """The spec. Its one stage is fine-tuned by softmax, on `count` regions of a batch drawn from all its pictures; then
    `fit` runs in a phase.

    `view`: how a region is looked at. `svm` None: the softmax names regions. `ridge` None: proposals stay where they
    are. `first` chooses among the proposals of each class before they move; None: all move. `chunk`: regions that go
    through the network at once when predicting.
    """

    view: View = Warp()
    svm: SVM | None = SVM()
    ridge: Ridge | None = Ridge()
    first: PerClassNMS | None = None
    chunk: int = 256

    def build(self, classes: int) -> FittedModel:  # type: ignore[override]
        return FittedModel(self, classes)


@dataclass(frozen=True)
class FittedRaw:
    """What is said of every proposal: a score in 0..1 and a box for each class."""

    scores: Float[Tensor, "B P C"]
    boxes: Float[Tensor, "B P C 4"]


torch.export.register_dataclass(FittedRaw)


class FittedModel(nn.Module):
    """`model.loss(batch)` fine-tunes, `model.fit(pictures, say)` fits,
    `model.predict(images, sizes, proposals)` answers."""

    def __init__(self, spec: Fitted, classes: int) -> None:
        super().__init__()
        assert len(spec.stages) == 1 and spec.rpn is None, "one look inside boxes from outside"
        self.spec, self.classes = spec, classes
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        low = spec.view.length(self.backbone)
        self.head = spec.stages[0].head.build(In((low,), (1,), classes, logits=spec.stages[0].logits(classes)))
        top = int(self.head.width)  # type: ignore[arg-type]
        for name, shape in (("fitted", ()), ("long", (2,)), ("svm_weight", (classes, top)), ("svm_bias", (classes,)),
                            ("ridge_weight", (classes, low + 1, 4)), ("ridge_mean", (classes, 4))):
            self.register_buffer(name, torch.zeros(shape))
        self.fitted: Tensor  # 1 once `fit` has run
        self.long: Tensor  # mean length of a region's features: low (the view's) and top (the last layer's)
        self.svm_weight: Tensor
        self.svm_bias: Tensor
        self.ridge_weight: Tensor
        self.ridge_mean: Tensor

    def prepare(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        return self.spec.view.prepare(self.backbone, self.spec.preprocess(images))

    def features(self, xs: list[Tensor], boxes: Float[Tensor, "N 4"],
                 image: Int[Tensor, " N"]) -> tuple[Float[Tensor, "N D"], Float[Tensor, "N E"]]:
        """(what the view gives, what the last layer gives) of regions anywhere in the batch."""
        low = self.spec.view(self.backbone, xs, boxes, image)
        return low.float(), self.head(low).float()

    def proposed(self, given: Tensor | None, sizes: Tensor) -> Float[Tensor, "B P 4"]:
        if given is None:
            raise StemmaError("this system takes its proposals from outside: give `proposals`, boxes in network pixels")
        return bx.clip(given, sizes)

    # ------------------------------------------------------------ fine-tuning

    def loss(self, batch: Batch) -> Losses:
        """Softmax over the classes and background (R-CNN sec. 2.3): regions drawn from all pictures together,
        not so many of each."""
        s, t = self.spec.stages[0], batch.targets
        every = s.label(with_truth(self.proposed(t.proposals, batch.sizes), t), t, self.classes)
        p = every.boxes.shape[1]
        flat = Regions(*(v.flatten(0, 1)[None]
                         for v in (every.boxes, every.labels, every.object, every.weight, every.positive)))
        place = s.choose(flat, None)
        r = flat.at(place)
        _, top = self.features(self.prepare(batch.images), r.boxes[0],
                               place[0].clamp(min=0).div(p, rounding_mode="floor"))
        logits = self.head.cls(top).float()  # type: ignore[operator]
        return {"cls": (s.class_cost(logits[None], r, t) * r.weight).sum() / normaliser(r.weight.sum())}

    # ------------------------------------------------------------ what is said

    @property
    def scales(self) -> Float[Tensor, 2]:
        """What features (low, top) are multiplied with, to have the mean lengths that regressions and SVMs want
        (R-CNN's code: 20)."""
        lengths = (self.spec.ridge or Ridge()).length, (self.spec.svm or SVM()).length
        return constant(lengths, self.long) / self.long.clamp(min=1e-6)

    def answer(self, low: Float[Tensor, "N D"],
               top: Float[Tensor, "N E"]) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C 4"]]:
        """(scores, deltas) for each class: of the softmax, and nothing to move, until `fit` has run. An SVM's margin m
        is shown as 1 / (1 + e^-2m)."""
        s = self.spec.stages[0]
        scores = s.scores(self.head.cls(top).float())  # type: ignore[operator]
        if self.spec.svm is not None:
            margins = (self.scales[1] * top) @ self.svm_weight.T + self.svm_bias
            scores = torch.where(self.fitted > 0, (2 * margins).sigmoid(), scores)
        moves = (torch.einsum("nd,cdk->nck", self.scales[0] * low, self.ridge_weight[:, :-1]) + self.ridge_weight[:, -1]
                 + self.ridge_mean)
        return scores, moves

    def forward(self, images: Float[Tensor, "B 3 H W"], proposals: Float[Tensor, "B P 4"]) -> FittedRaw:
        xs, (b, p) = self.prepare(images), proposals.shape[:2]
        image = torch.arange(b, device=images.device).repeat_interleave(p)
        said = [self.answer(*self.features(xs, *part))
                for part in zip(proposals.flatten(0, 1).split(self.spec.chunk), image.split(self.spec.chunk))]
        scores, moves = (torch.cat(v).unflatten(0, (b, p)) for v in zip(*said))
        return FittedRaw(scores, built(self.spec.stages[0].coder).decode(proposals[:, :, None], moves))

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Tensor | None = None,
                proposals: Tensor | None = None) -> Detections:
        if sizes is None:
            sizes = constant((float(images.shape[-2]), float(images.shape[-1])), images).float().expand(len(images), 2)
        boxes = there(self.proposed(proposals, sizes))
        raw = self(images, boxes)
        scores = raw.scores.masked_fill((bx.area(boxes) <= 0)[..., None], 0.0)
        d = every_pair(bx.clip(raw.boxes, sizes), scores)
        if self.spec.first is not None:
            d = d.take(self.spec.first.places(every_pair(boxes[:, :, None], scores)))
        for post in self.spec.post:
            d = post(d, self.again)
        return d

    def again(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        raise StemmaError("regions are looked at once: steps after the first look that look again are for detectors "
                          "trained in one piece")

    @property
    def fits(self) -> tuple[SVM | None, Ridge | None, Coder, int]:
        return self.spec.svm, self.spec.ridge, built(self.spec.stages[0].coder), self.spec.chunk

    def fit(self, pictures: Pictures, say: Callable[[str], None]) -> None:
        """What the phase without gradient runs: SVMs and regressions."""
        fit(self, pictures, say)
