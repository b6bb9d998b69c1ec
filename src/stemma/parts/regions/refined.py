"""Crops of the picture at what a detector found, for a second net to learn from (DCR).

Axes: B images, R regions an image, K chosen of them, C classes, H W pixels.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.part import Count
from ...ops import boxes as bx
from ...ops.crops import warp
from ..dense.sample import best


@dataclass(frozen=True)
class HardFalse:
    """Which crops of a picture the second net learns from: the objects, and then, at random, of what was found `kinds`,
    `count` in all.

    hard:       named wrongly with a score of `score` or more, or though it overlaps an object by half
    foreground: overlaps an object by half and is named rightly
    background: overlaps none by half
    With all three every region is one of them, and the draw is uniform, as in the authors' setting.
    """

    count: Count = 32
    score: float = 0.3
    kinds: tuple[str, ...] = ("hard", "foreground", "background")

    def marked(self, labels: Int[Tensor, "B R"], scores: Float[Tensor, "B R C"]) -> dict[str, Bool[Tensor, "B R"]]:
        """By kind, the regions that are of it; `labels` C is background."""
        high, said = scores.max(-1)
        object_ = labels < scores.shape[-1]
        wrong = said != labels
        return {"hard": wrong & (object_ | (high >= self.score)), "foreground": object_ & ~wrong,
                "background": ~object_}

    def __call__(self, labels: Int[Tensor, "B R"], scores: Float[Tensor, "B R C"], real: Bool[Tensor, "B R"],
                 truth: Bool[Tensor, "B R"]) -> Bool[Tensor, "B R"]:
        every, asked = self.marked(labels, scores), torch.zeros_like(real)
        for kind in self.kinds:
            asked = asked | every[kind]
        ok = real & (asked | truth)
        draw = torch.rand_like(real, dtype=torch.float32) + truth
        return best(draw, ok, ok.sum(1), self.count)


@dataclass(frozen=True)
class Crop:
    """A box of the picture, `enlarge` times as large, cut to the picture and stretched to `side` x `side` pixels."""

    side: int = 224
    enlarge: float = 1.0

    def __call__(self, images: Float[Tensor, "B 3 H W"], boxes: Float[Tensor, "B K 4"],
                 sizes: Float[Tensor, "B 2"]) -> Float[Tensor, "B*K 3 s s"]:
        """`images` are normalised: what lies outside is 0, the mean."""
        centre, size = bx.centre_size(boxes)
        boxes = bx.clip(bx.from_centre(centre, size * self.enlarge), sizes)
        image = torch.arange(len(boxes), device=boxes.device)[:, None].expand(boxes.shape[:2])
        return warp(images, boxes.flatten(0, 1), image.flatten(), self.side)


def alone(image: Float[Tensor, "3 H W"], size: Float[Tensor, 2], mean: tuple[float, ...],
          step: int = 32) -> Float[Tensor, "1 3 H2 W2"]:
    """A picture without the padding that its batch gave it: to the next multiple of `step`, with the mean colour."""
    h, w = (int(v) for v in size.ceil().tolist())
    canvas = image.new_tensor(mean).view(1, 3, 1, 1).expand(1, 3, -(-h // step) * step, -(-w // step) * step).clone()
    canvas[0, :, :h, :w] = image[:, :h, :w]
    return canvas


def flipped(crops: Float[Tensor, "N 3 s s"], share: float) -> Float[Tensor, "N 3 s s"]:
    """A `share` of the crops, drawn at random, mirrored left to right."""
    coin = torch.rand_like(crops[:, :1, :1, :1], dtype=torch.float32) < share
    return torch.where(coin, crops.flip(-1), crops)


def named(logits: Float[Tensor, "B R K"], scores: Float[Tensor, "B R C"]) -> Float[Tensor, "B R C"]:
    """The product of what both nets say of each class; K = C + 1, the last is background."""
    return F.softmax(logits.float(), -1)[..., :-1] * scores
