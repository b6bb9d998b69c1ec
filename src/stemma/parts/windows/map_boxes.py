"""From a map of probabilities to the box that holds what lies above a limit, and the mask inside that box.

Axes: B images, D maps, h w cells of a map, M side of a mask.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ...ops import boxes as bx


def enclose(
    logits: Float[Tensor, "B D h w"], frames: Float[Tensor, "B D 4"], limit: float | Float[Tensor, "B D"],
    sizes: Float[Tensor, "B 2"], side: int = 28
) -> tuple[Float[Tensor, "B D 4"], Float[Tensor, "B D {side} {side}"], Bool[Tensor, "B D"]]:
    """(boxes, masks, whether there is anything) of maps that cover `frames` of the picture,
    what lies outside the picture cut away.

    A box goes around what is at `limit` (a logit) or above, between cells by interpolation along its axis. A mask is a
    probability inside its box that is one half where the map's logit is `limit`.
    """
    h, w = logits.shape[-2:]
    limit = torch.as_tensor(limit, device=logits.device).to(logits)[..., None, None]
    cell = (frames[..., 2:] - frames[..., :2]) / frames.new_tensor([w, h])
    edge = sizes.to(frames)[:, None]
    x, y = (frames[..., i, None] + (torch.arange(n, device=logits.device) + 0.5) * cell[..., i, None]
            for i, n in ((0, w), (1, h)))
    seen = ((y > 0) & (y < edge[..., :1]))[..., :, None] & ((x > 0) & (x < edge[..., 1:]))[..., None, :]
    above = (logits - limit).masked_fill(~seen, -torch.inf)
    (left, right), (top, bottom) = (extent(above.amax(axis)) for axis in (-2, -1))
    boxes = torch.cat([frames[..., :2] + torch.stack(v, -1) * cell for v in ((left, top), (right, bottom))], -1)
    boxes = bx.clip(boxes, sizes)
    return boxes, inside(logits - limit, frames, boxes, side).sigmoid(), (above >= 0).flatten(-2).any(-1)


def extent(line: Float[Tensor, "*A n"]) -> tuple[Float[Tensor, "*A"], Float[Tensor, "*A"]]:
    """Where a line of values at the middles of n cells first rises to 0, and where it falls below it for good, in cells
    from its beginning.

    Between two cells the value is taken to run straight; beyond the ends, and beside a cell of -inf, it goes on to the
    cell's border. (0, n) where nothing reaches 0.
    """
    return first_rise(line), line.shape[-1] - first_rise(line.flip(-1))


def first_rise(line: Float[Tensor, "*A n"]) -> Float[Tensor, "*A"]:
    at = (line >= 0).to(torch.uint8).argmax(-1, keepdim=True)
    here, before = line.gather(-1, at)[..., 0], line.gather(-1, (at - 1).clamp(min=0))[..., 0]
    at = at[..., 0]
    between = (at > 0) & (before > -torch.inf)
    back = here / (here - torch.where(between, before, here - 1)).clamp(min=1e-6)
    return at + torch.where(between, 0.5 - back, 0.0)


def inside(maps: Float[Tensor, "B D h w"], frames: Float[Tensor, "B D 4"], boxes: Float[Tensor, "B D 4"],
           side: int) -> Float[Tensor, "B D {side} {side}"]:
    """Each map read bilinearly at the middles of a side x side grid over its box;
    the outermost cells reach on beyond the frame."""
    b, d, h, w = maps.shape
    step = (torch.arange(side, device=maps.device) + 0.5) / side
    at = boxes[..., None, :2] + step[:, None] * (boxes[..., 2:] - boxes[..., :2])[..., None, :]  # B D side 2
    at = 2 * (at - frames[..., None, :2]) / (frames[..., 2:] - frames[..., :2]).clamp(min=1e-6)[..., None, :] - 1
    x, y = at.flatten(0, 1).unbind(-1)
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1)
    read = F.grid_sample(maps.flatten(0, 1)[:, None], grid.to(maps), mode="bilinear", padding_mode="border",
                         align_corners=False)
    return read.view(b, d, side, side)
