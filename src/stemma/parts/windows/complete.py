"""Whole masks from seen ones: the map that says them, occlusions made by pasting, and boxes that grow where a map runs
over their edge.

Axes: B images, N objects, P objects shown of an image, M = B P pictures of them, K boxes, S side of a picture, s side
of a map.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ...core.part import Count, In
from ...core.types import Targets
from ...ops import boxes as bx
from ...ops.masks import bounds, crop
from .map_boxes import inside
from .patches import around, cut


class HeatMap(nn.Module):
    """One map of a window from several levels: a linear classifier on each, brought to side x side bilinearly and
    added, as hypercolumns are classified (Hariharan et al. 2015, sec. 3)."""

    def __init__(self, inp: In, side: int = 50) -> None:
        super().__init__()
        self.side = side
        self.score = nn.ModuleList(nn.Conv2d(c, 1, 1) for c in inp.channels)
        for m in self.score:
            nn.init.normal_(m.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    def forward(self, levels: list[Tensor]) -> Float[Tensor, "M s s"]:
        said = [F.interpolate(score(x), (self.side, self.side), mode="bilinear", align_corners=False)
                for score, x in zip(self.score, levels, strict=True)]
        return torch.stack(said).sum(0)[:, 0]


@dataclass(frozen=True)
class Shown:
    """Pictures with the objects that are to be completed in them."""

    images: Float[Tensor, "I 3 H W"]
    boxes: Float[Tensor, "I P 4"]  # of what is seen of each
    owner: Int[Tensor, "I P"]  # of `whole`
    whole: Bool[Tensor, "I N H W"]
    unknown: Bool[Tensor, "I N H W"] | None  # pixels that are not asked
    used: Bool[Tensor, "I P"]


@dataclass(frozen=True)
class Paste:
    """Occlusions made of whole objects (Li & Malik sec. 3): a picture of an object, and over it up to `count` others
    cut out by their masks, somewhere on it, between `scale` of its size, mirrored or not.

    What is under them is still the object; the pixels of its neighbours are unknown, since more of it may lie behind
    them; the rest is background, and so stays what is pasted beside it. With `band` > 0 background within so many
    pixels of it is unknown too. `share`: less than this must not be left to see, else nothing is pasted.
    `side`: of the picture made, in pixels; `room`: its side in sides of the object's box.
    """

    count: Count = 2
    scale: tuple[float, float] = (0.5, 1.2)
    share: float = 0.3
    side: int = 96
    room: float = 2.5
    band: int = 0

    def __call__(self, images: Float[Tensor, "B 3 H W"], t: Targets, boxes: Float[Tensor, "B P 4"],
                 owner: Int[Tensor, "B P"], there: Bool[Tensor, "B P"], mean: Float[Tensor, " 3"]) -> Shown:
        assert t.masks is not None
        frames = around(bx.centre_size(boxes)[0], (boxes[..., 2:] - boxes[..., :2]).amax(-1).clamp(min=1) * self.room)
        seen = cut(images, frames, self.side, mean)
        own = (crop(t.masks, frames, owner, self.side) >= 0.5).flatten(0, 1)
        every = (crop(t.masks.any(1, keepdim=True), frames, torch.zeros_like(owner), self.side) >= 0.5).flatten(0, 1)
        unknown = every & ~own
        hidden, over = torch.zeros_like(own), seen
        many = (torch.rand_like(seen[:, 0, 0, 0], dtype=torch.float32) * (self.count + 1)).long()
        for k in range(self.count):
            piece, mask = self.thrown(seen, own)
            mask = mask & (many > k)[:, None, None]
            over, hidden = torch.where(mask[:, None], piece, over), hidden | mask
        left = (own & ~hidden).sum((1, 2)) >= self.share * own.sum((1, 2)).clamp(min=1)
        hidden = hidden & left[:, None, None]
        pictures = torch.where(left[:, None, None, None], over, seen)
        visible = own & ~hidden
        if self.band:
            k = 2 * self.band + 1
            wide = F.max_pool2d(own[:, None].float(), k, 1, self.band)[:, 0] > 0
            unknown = unknown | (wide & ~own)
        ok = there.flatten() & visible.any(-1).any(-1)
        return Shown(pictures, bounds(visible)[:, None], torch.zeros_like(owner).view(-1, 1), own[:, None],
                     unknown[:, None], ok[:, None])

    def thrown(self, pictures: Float[Tensor, "M 3 S S"],
               masks: Bool[Tensor, "M S S"]) -> tuple[Float[Tensor, "M 3 S S"], Bool[Tensor, "M S S"]]:
        """For each picture another one's object, scaled, perhaps mirrored, and moved onto it: (its pixels, its mask).
        Nothing where chance gives a picture its own."""
        m, dev = len(masks), masks.device
        one = lambda: torch.rand_like(pictures[:, 0, 0, 0], dtype=torch.float32)  # noqa: E731
        other = one().argsort(stable=True)
        size = self.scale[0] + (self.scale[1] - self.scale[0]) * one()
        flip = torch.where(one() < 0.5, -1.0, 1.0)
        reach = 1.4 / self.room  # of the middle of what is pasted from that of the object, in half sides
        x, y = ((2 * one() - 1) * reach for _ in range(2))
        theta = torch.zeros(m, 2, 3, device=dev)
        theta[:, 0, 0], theta[:, 1, 1] = flip / size, 1 / size
        theta[:, 0, 2], theta[:, 1, 2] = -x * flip / size, -y / size
        grid = F.affine_grid(theta, [m, 4, *masks.shape[-2:]], align_corners=False)
        both = torch.cat([pictures.float(), masks[:, None].float()], 1)[other]
        read = F.grid_sample(both, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        mine = other == torch.arange(m, device=dev)
        return read[:, :3], (read[:, 3] >= 0.5) & ~mine[:, None, None]


@dataclass(frozen=True)
class Grow:
    """Iterative bounding box expansion (Li & Malik sec. 4): `rounds` times, a side moves out by `step` of the box where
    the mean heat in the band that it would take in is above `limit`. A box never shrinks nor leaves the picture."""

    rounds: Count = 10
    step: float = 0.1
    limit: float = 0.1

    def __call__(self, boxes: Float[Tensor, "B K 4"], heat: Float[Tensor, "B K s s"], frames: Float[Tensor, "B K 4"],
                 sizes: Float[Tensor, "B 2"]) -> Float[Tensor, "B K 4"]:
        """One round. `heat`: probabilities over `frames`."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        dx, dy = (x2 - x1) * self.step, (y2 - y1) * self.step
        bands = torch.stack([torch.stack(v, -1) for v in (
            (x1 - dx, y1, x1, y2), (x1, y1 - dy, x2, y1), (x2, y1, x2 + dx, y2), (x1, y2, x2, y2 + dy))], 2)
        flat = bands.flatten(1, 2)
        maps = heat.repeat_interleave(4, 1)
        mean = inside(maps, frames.repeat_interleave(4, 1), flat, 8).mean((-1, -2)).view(*boxes.shape[:2], 4)
        out = (mean > self.limit) * torch.stack([-dx, -dy, dx, dy], -1)
        grown = bx.clip(boxes + out, sizes)
        low, high = torch.minimum(boxes[..., :2], grown[..., :2]), torch.maximum(boxes[..., 2:], grown[..., 2:])
        return torch.cat([low, high], -1)


def read_in(maps: Float[Tensor, "B K s s"], boxes: Float[Tensor, "B K 4"], frames: Float[Tensor, "B K 4"],
            side: int) -> Float[Tensor, "B K {side} {side}"]:
    """Maps inside boxes, as maps of `side` over frames; 0 outside the boxes."""
    read = inside(maps, boxes, frames, side)
    at = (torch.arange(side, device=maps.device) + 0.5) / side
    x, y = (frames[..., i, None] + at * (frames[..., i + 2] - frames[..., i])[..., None] for i in (0, 1))
    ok_x = (x >= boxes[..., 0, None]) & (x <= boxes[..., 2, None])
    ok_y = (y >= boxes[..., 1, None]) & (y <= boxes[..., 3, None])
    return read * (ok_y[..., :, None] & ok_x[..., None, :])
