"""Elastic deformation: random displacements on a coarse grid, interpolated to every pixel (U-Net sec. 3.1).

Axes: B images, C channels, G grid points a side, H W pixels. Displacements are (x, y) in pixels.
"""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def elastic_field(
    height: int, width: int, sigma: float = 10.0, grid: int = 3, count: int = 1,
    generator: torch.Generator | None = None
) -> Float[Tensor, "B 2 H W"]:
    """Smooth random displacement fields: N(0, sigma px) on a `grid` x `grid` lattice whose corners are the picture's,
    bicubic between."""
    coarse = torch.randn(count, 2, grid, grid, generator=generator) * sigma
    return F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)


def warp(
    x: Float[Tensor, "B C H W"], field: Float[Tensor, "B 2 H W"], mode: Literal["bilinear", "nearest"] = "bilinear",
    fill: float | None = None
) -> Float[Tensor, "B C H W"]:
    """`out[y, x] = in[y + field_y, x + field_x]`, mirrored beyond the edge, or `fill` there.

    One field serves a picture (bilinear) and its label maps and masks (nearest), so that they stay together.
    """
    h, w = x.shape[-2:]
    ys = torch.arange(h, device=x.device, dtype=field.dtype)[:, None] + field[:, 1]
    xs = torch.arange(w, device=x.device, dtype=field.dtype)[None, :] + field[:, 0]
    places = torch.stack([2 * xs / max(w - 1, 1) - 1, 2 * ys / max(h - 1, 1) - 1], -1)
    out = F.grid_sample(x.to(field.dtype), places, mode=mode, padding_mode="reflection", align_corners=True)
    if fill is not None:
        inside = (ys >= -0.5) & (ys <= h - 0.5) & (xs >= -0.5) & (xs <= w - 0.5)
        out = torch.where(inside[:, None], out, torch.full_like(out, fill))
    return out.to(x.dtype)
