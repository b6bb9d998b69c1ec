"""Whole objects in two looks: a net that finds objects and what is seen of them, and a second that is shown each with
its seen mask and says the whole.

Axes: B images, N objects, P of them shown, K proposals, S side of what the second net sees, s of its map.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..core.part import In, Part, part
from ..core.types import Batch, Detections, Losses, StemmaError
from ..ops import boxes as bx
from ..ops.constants import constant
from ..ops.masks import crop
from ..ops.scalars import normaliser
from ..parts.backbones.tiny import TinyResNet
from ..parts.trunk import Trunk
from ..parts.windows.complete import Grow, HeatMap, Paste, Shown, read_in
from ..parts.windows.map_boxes import enclose
from ..parts.windows.patches import Canonical, around, cut
from ..parts.windows.rules import MaskRule
from .windows import Windows, WindowsModel


@dataclass(frozen=True)
class Whole:
    """What the second net is shown and what of its map becomes a mask.

    `paste` makes its own occlusions from seen masks; None learns from true whole ones. A view is a square around the
    seen box, `room` times its longer side, of `side` pixels. Cells at `limit` or more are the object. `grow`: see
    there; None says the whole at once. `chunk` views are looked at together in an answer: it is memory alone.
    """

    sample: Canonical = Canonical(positives=4)
    paste: Paste | None = None
    grow: Grow | None = None
    side: int = 224
    room: float = 1.8
    limit: float = 0.5
    mask: int = 28
    chunk: int = 64


@dataclass(frozen=True)
class Completion:
    """The spec. `modal` finds objects and is asleep while `trunk` and `head`, the second net, learn."""

    modal: Windows[MaskRule]
    rule: Whole = Whole()
    trunk: Part[Trunk] = part(TinyResNet)
    head: Part[HeatMap] = part(HeatMap)

    @property
    def preprocess(self) -> Any:
        return self.modal.preprocess

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"masks"} if self.rule.paste else {"masks", "amodal"})

    def build(self, classes: int) -> CompletionModel:
        return CompletionModel(self, classes)


@dataclass(frozen=True)
class CompletionRaw:
    """Whole objects, best first, label -1 where there is none; masks inside their boxes, and what is seen of them."""

    boxes: Float[Tensor, "B D 4"]
    scores: Float[Tensor, "B D"]
    labels: Int[Tensor, "B D"]
    masks: Float[Tensor, "B D M M"]
    visible: Float[Tensor, "B D M M"]


torch.export.register_dataclass(CompletionRaw)


class CompletionModel(nn.Module):
    """`model(images)` are whole objects with their seen masks; `model.loss(batch)`; `model.predict(images, sizes)`."""

    def __init__(self, spec: Completion, classes: int) -> None:
        super().__init__()
        self.spec, self.classes, self.rule = spec, classes, spec.rule
        self.modal: WindowsModel = spec.modal.build(classes)
        self.trunk = spec.trunk.build(In((4,), (1,), classes))  # colours and the heat of the seen mask
        self.head: nn.Module = spec.head.build(self.trunk.out)

    def frames(self, boxes: Float[Tensor, "B K 4"]) -> Float[Tensor, "B K 4"]:
        """The square views of seen boxes."""
        found: Tensor = around(bx.centre_size(boxes)[0],
                               (boxes[..., 2:] - boxes[..., :2]).amax(-1).clamp(min=1) * self.rule.room)
        return found

    def say(self, images: Tensor, boxes: Tensor, seen: Tensor, frames: Tensor) -> Float[Tensor, "B K s s"]:
        """Logits of the whole objects over `frames`; `seen`: what is seen of them, a map inside `boxes`."""
        n = boxes.shape[1] if self.training else max(1, self.rule.chunk // len(images))
        return torch.cat([self._say(images, *some) for some in zip(boxes.split(n, 1), seen.split(n, 1),
                                                                   frames.split(n, 1))], 1)

    def _say(self, images: Tensor, boxes: Tensor, seen: Tensor, frames: Tensor) -> Tensor:
        mean = constant(self.spec.preprocess.mean, images)
        views = self.spec.preprocess(cut(images, frames, self.rule.side, mean))
        heat = read_in(seen, boxes, frames, self.rule.side).flatten(0, 1)[:, None]
        said: Tensor = self.head(self.trunk(torch.cat([views, heat.to(views)], 1)))
        return said.float().view(*boxes.shape[:2], *said.shape[1:])

    @torch.no_grad()
    def seen(self, images: Tensor, boxes: Float[Tensor, "B P 4"]) -> tuple[Tensor, Tensor]:
        """(boxes, maps inside them) of what the first net says of the objects in `boxes`."""
        rule: MaskRule = self.modal.spec.rule
        net, side = self.modal, self.modal.spec.window
        windows = around(bx.centre_size(boxes)[0], rule.sample.sides(boxes))
        mean = constant(net.spec.preprocess.mean, images)
        raw = net.look(cut(images, windows, side, mean, net.spec.margin), border=0)
        assert raw.codes is not None
        head: Any = net.head
        maps: Tensor = head.masks(raw.codes[:, 0]).float().unflatten(0, boxes.shape[:2])
        beyond = images.new_tensor([[images.shape[-2], images.shape[-1]]]).expand(len(images), -1)
        found, masks, ok = enclose(maps, windows, torch.logit(maps.new_tensor(rule.limit)), beyond, self.rule.mask)
        return torch.where(ok[..., None], found, boxes), masks * ok[..., None, None]

    def shown(self, batch: Batch) -> Shown:
        """Objects of a batch, occluded by pasting or as they are."""
        t = batch.targets
        owner, there = self.rule.sample.owners(t)
        boxes = bx.take(t.boxes, owner)
        if t.masks is None or (t.amodal is None and self.rule.paste is None):
            raise StemmaError("whole masks are learned from seen ones, or from whole ones, and the data have neither: "
                              "use data with amodal masks")
        if self.rule.paste is not None:
            return self.rule.paste(batch.images, t, boxes, owner, there, constant(self.spec.preprocess.mean, boxes))
        assert t.amodal is not None
        return Shown(batch.images, boxes, owner, t.amodal, None, there)

    def loss(self, batch: Batch) -> Losses:
        """`mask` and `score` of the first net, `amodal` of the second: cross entropy of the cells that are known, by
        their number. What is asleep pays nothing and is not computed."""
        awake = any(p.requires_grad for p in self.modal.parameters())
        losses = dict(self.modal.loss(batch)) if awake else {}
        if not any(p.requires_grad for p in self.trunk.parameters()) or not batch.targets.boxes.shape[1]:
            return losses
        s = self.shown(batch)
        frames = self.frames(s.boxes)
        logits = self.say(s.images, *self.seen(s.images, s.boxes), frames)
        side = logits.shape[-1]
        want = (crop(s.whole, frames, s.owner, side) >= 0.5).to(logits)
        known = s.used[..., None, None].expand_as(want)
        if s.unknown is not None:
            known = known & (crop(s.unknown, frames, s.owner, side) < 0.5)
        cost = F.binary_cross_entropy_with_logits(logits, want, reduction="none")
        losses["amodal"] = torch.where(known, cost, 0.0).sum() / normaliser(known.sum().to(cost))
        return losses

    def forward(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> CompletionRaw:
        """The first net's proposals, each completed."""
        rule = self.rule
        d = self.modal.rule.predict(self.modal, self.modal(images), sizes)
        assert d.masks is not None
        edges = sizes if sizes is not None else images.new_tensor([images.shape[-2:]]).expand(len(images), -1)
        boxes = d.boxes
        for _ in range(rule.grow.rounds if rule.grow else 0):
            assert rule.grow is not None
            frames = self.frames(boxes)
            boxes = rule.grow(boxes, self.say(images, d.boxes, d.masks, frames).sigmoid(), frames, edges)
        frames = self.frames(boxes)
        logits = self.say(images, d.boxes, d.masks, frames)
        found, whole, ok = enclose(logits, frames, torch.logit(logits.new_tensor(rule.limit)), edges, rule.mask)
        found, whole = (torch.where(ok.view(*ok.shape, *([1] * (v.ndim - 2))), v, w)
                        for v, w in ((found, d.boxes), (whole, d.masks)))
        return CompletionRaw(found, d.scores, d.labels, whole, read_in(d.masks, d.boxes, found, rule.mask))

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> Detections:
        raw: CompletionRaw = self(images, sizes)
        return Detections(raw.boxes, raw.scores, raw.labels, raw.masks, visible=raw.visible)
