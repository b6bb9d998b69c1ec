"""Windows cut out of pictures for training: those that show an object as a mask proposal wants it,
and those that do not.

Axes: B images, N objects, P windows with an object, Q without, T tries.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.part import Count
from ...core.types import Targets
from ...ops import boxes as bx
from ...ops.crops import averaged


@dataclass(frozen=True)
class Canonical:
    """DeepMask sec. 3 and 4: a window is positive when an object lies in its middle and its longer side fills `fill` of
    the window's.

    Drawn are `positives` windows a picture around objects, moved by up to `shift` and scaled by up to `octave`, and
    `negatives` windows that are `away` or farther from every object, or differ from its size by `apart` octaves.
    Lengths are shares of the window's side (published in pixels of a window of 224), octaves powers of two. Objects
    with a side under `least` pixels are not shown, but no negative is drawn on them either; nor on crowds.
    """

    positives: Count = 2
    negatives: int = 2
    fill: float = 128 / 224
    shift: float = 16 / 224
    octave: float = 0.25
    away: float = 32 / 224
    apart: float = 1.0
    least: float = 5.0
    tries: Count = 16

    def sides(self, boxes: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A"]:
        """The side of the window that an object asks for."""
        return (boxes[..., 2:] - boxes[..., :2]).amax(-1).clamp(min=1e-3) / self.fill

    def owners(self, t: Targets) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
        """(objects drawn evenly, with repetition, whether there is one), of one object or more."""
        ok = t.valid & ((t.boxes[..., 2:] - t.boxes[..., :2]).amin(-1) >= self.least)
        blank = t.boxes.new_zeros(len(ok), self.positives)
        return evenly(ok, blank), ok.any(1, keepdim=True).expand(-1, self.positives)

    def positive(self, t: Targets) -> tuple[Float[Tensor, "B P 4"], Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
        """(windows, the object of each, whether there is one). Objects are drawn evenly, with repetition."""
        blank = t.boxes.new_zeros(len(t.boxes), self.positives)
        if not t.boxes.shape[1]:
            return blank[..., None].expand(-1, -1, 4), blank.long(), blank > 0
        owner, there = self.owners(t)
        box = bx.take(t.boxes, owner)
        side = self.sides(box) * 2 ** ((2 * torch.rand_like(blank) - 1) * self.octave)
        move = ((2 * torch.stack([torch.rand_like(blank), torch.rand_like(blank)], -1) - 1) * self.shift
                * side[..., None])
        return around(bx.centre_size(box)[0] + move, side), owner, there

    def negative(self, t: Targets, sizes: Float[Tensor, "B 2"],
                 sides: tuple[float, float]) -> tuple[Float[Tensor, "B Q 4"], Bool[Tensor, "B Q"]]:
        """(windows, whether one was found): middles anywhere in the picture, sides between `sides`, evenly in octaves;
        the first of `tries` that is one."""
        blank = sizes.new_zeros(len(sizes), self.negatives * self.tries)
        middle = torch.stack([torch.rand_like(blank), torch.rand_like(blank)], -1) * sizes.flip(-1)[:, None]
        side = sides[0] * (sides[1] / sides[0]) ** torch.rand_like(blank)
        ok = self.clear(middle, side, t).view(len(sizes), self.negatives, self.tries)
        first = ok.to(torch.uint8).argmax(-1)
        at = first + torch.arange(self.negatives, device=ok.device) * self.tries
        return bx.take(around(middle, side), at), ok.any(-1)

    def clear(self, middle: Float[Tensor, "B K 2"], side: Float[Tensor, "B K"], t: Targets) -> Bool[Tensor, "B K"]:
        """Whether windows show no object in their middle at their size."""
        far = ((middle[:, :, None] - bx.centre_size(t.boxes)[0][:, None]).square().sum(-1).sqrt()
               >= self.away * side[..., None])
        other = (side[..., None] / self.sides(t.boxes)[:, None]).log2().abs() >= self.apart
        return (far | other | (t.labels < 0)[:, None]).all(-1)


def evenly(ok: Bool[Tensor, "B N"], like: Float[Tensor, "B P"]) -> Int[Tensor, "B P"]:
    """Places drawn evenly, with repetition, from those that are `ok`; any where none is. N is 1 or more."""
    want = (torch.rand_like(like) * ok.sum(1, keepdim=True)).long() + 1
    return (ok.cumsum(1)[:, None] < want[..., None]).sum(-1).clamp(max=ok.shape[1] - 1)


def around(middle: Float[Tensor, "*A 2"], side: Float[Tensor, "*A"]) -> Float[Tensor, "*A 4"]:
    return bx.from_centre(middle, side[..., None].expand_as(middle))


def cut(images: Float[Tensor, "B C H W"], windows: Float[Tensor, "B P 4"], side: int,
        mean: Float[Tensor, " C"], margin: int = 0) -> Float[Tensor, "BP C {side+2*margin} {side+2*margin}"]:
    """The windows as pictures of `side` pixels with `margin` more of the picture all around, averaged where they
    shrink, `mean` beyond the picture's edge."""
    colour, whole = mean.to(images)[:, None, None], side + 2 * margin
    if margin:
        middle, size = bx.centre_size(windows)
        windows = bx.from_centre(middle, size * (whole / side))
    return averaged(images - colour, windows, whole) + colour
