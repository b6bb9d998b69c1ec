"""Pictures larger than memory: mirrored borders and overlapping tiles (U-Net, fig. 2).

Axes: B images, C channels, K classes, H W pixels.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def mirror_index(size: int, before: int, after: int, device: torch.device | None = None) -> Tensor:
    """Which pixel of 0..size-1 stands at each place of -before..size+after-1 when the picture is mirrored at its edge
    pixels, as often as it takes."""
    assert size >= 1 and before >= 0 and after >= 0
    at = torch.arange(-before, size + after, device=device)
    period = max(2 * size - 2, 1)
    at = at.remainder(period)
    return torch.minimum(at, period - at) if size > 1 else torch.zeros_like(at)


def mirror_pad(x: Float[Tensor, "*B H W"], left: int, right: int, top: int, bottom: int) -> Float[Tensor, "*B H2 W2"]:
    """Extend the last two axes by mirroring without repeating the edge pixel;
    any width, also beyond the picture's own size.

    Equals `F.pad(mode="reflect")` where that is defined.
    """
    h, w = x.shape[-2:]
    if left < w and right < w and top < h and bottom < h and x.ndim == 4:
        return F.pad(x, (left, right, top, bottom), mode="reflect")
    return x.index_select(-2, mirror_index(h, top, bottom,
                                           x.device)).index_select(-1, mirror_index(w, left, right, x.device))


def origins(size: int, tile: int) -> list[int]:
    """First pixels of the tiles that cover 0..size-1 without overlap; the last one may reach beyond."""
    return list(range(0, size, tile))


def overlap_tile(
    net: Callable[[Tensor], Tensor], images: Float[Tensor, "B C H W"], tile: int, context: int, together: int = 1
) -> Float[Tensor, "B K H W"]:
    """Run `net` over tiles of `tile` pixels, each seen with `context` pixels around it (mirrored at the picture's
    border), and join the results.

    `net` maps (B, C, tile + 2 context, same) to (B, K, tile, tile), as valid convolutions do, or to its own input size,
    of which the centre is kept. The joined map equals one pass over the whole mirrored picture where no output looks
    further than `context` pixels and tiles begin on a multiple of the net's stride.
    `together` tiles go through the net at once.
    """
    assert tile > 0 and context >= 0
    h, w = images.shape[-2:]
    tops, lefts = origins(h, tile), origins(w, tile)
    wide = mirror_pad(images, context, context + lefts[-1] + tile - w, context, context + tops[-1] + tile - h)
    side = tile + 2 * context
    places = [(y, x) for y in tops for x in lefts]
    out: Tensor | None = None
    for first in range(0, len(places), together):
        group = places[first : first + together]
        seen = net(torch.cat([wide[..., y : y + side, x : x + side] for y, x in group]))
        cut = (seen.shape[-1] - tile) // 2
        assert seen.shape[-2:] in ((tile, tile), (side, side)), (f"a tile of {side} gave {tuple(seen.shape[-2:])}, "
                                                                 f"wanted {tile} or {side}")
        parts = seen[..., cut : cut + tile, cut : cut + tile].split(len(images))
        if out is None:
            out = seen.new_empty((len(images), seen.shape[1], tops[-1] + tile, lefts[-1] + tile))
        for (y, x), part in zip(group, parts):
            out[..., y : y + tile, x : x + tile] = part
    assert out is not None
    return out[..., :h, :w]
