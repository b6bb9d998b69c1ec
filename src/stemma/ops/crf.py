"""The fully connected CRF of Kraehenbuehl and Koltun (2011) as DeepLab uses it: mean field, differentiable.

Axes: B images, C classes, H W pixels, N = H W, P = B N.

    E(x) = sum_i theta_i(x_i) + sum_ij [x_i != x_j] (w1 exp(-|p_i - p_j|^2 / 2 a^2 - |I_i - I_j|^2 / 2 b^2) + w2
    exp(-|p_i - p_j|^2 / 2 g^2))

with theta = -log P of the network, p a pixel's place and I its colour in 0..255 (DeepLab v2, eq. 2 and 3). A kernel k
is normalised to k_ij / sqrt(n_i n_j), n_i = sum_j k_ij, pixel i itself counted,
which is what the authors' library does.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..core.types import StemmaError
from .lattice import Lattice

Method = Literal["lattice", "exact"]
Filter = Callable[[Float[Tensor, "P C"]], Float[Tensor, "P C"]]
MOST = 20_000  # pixels of which the exact method holds every pair
TINY = 1e-20


def mean_field(
    unary: Float[Tensor, "B C H W"], images: Float[Tensor, "B 3 H W"], iterations: int = 10,
    smooth: float | Tensor = 3.0, smooth_xy: float = 1.0, appearance: float | Tensor = 4.0, appearance_xy: float = 67.0,
    appearance_rgb: float = 3.0, method: Method = "lattice", where: Bool[Tensor, "B H W"] | None = None,
) -> Float[Tensor, "B C H W"]:
    """Probabilities after `iterations` of Q_i(l) ~ exp(-unary_i(l) + sum_m w_m sum_j k_m(i, j) Q_j(l)),
    from Q ~ exp(-unary).

    `unary` are energies, -log P. `images` are colours in 0..255. `smooth` is w2 with deviation `smooth_xy` in pixels;
    `appearance` w1 with deviations `appearance_xy` in pixels and `appearance_rgb` in levels of 0..255. Pixels outside
    `where` take no part and keep their unary.

    method "exact": every pair of pixels, O(N^2) in time and memory, up to 20,000 pixels;
    a gradient flows to the colours as well.
    method "lattice": O(N), both kernels on permutohedral lattices (`Lattice` says what that approximates), as in the
    authors' library, whose numbers it gives to about 1e-4. Beside "exact" it changes the label of some pixels that were
    in doubt: .1 to 1 % on drawn scenes and photographs, up to 4 % where the energies are noise.
    Gradients flow to `unary` and the weights with both. Computes in float32 at least, whatever autocast says.

    Raises `StemmaError` where "exact" is asked for more pixels than it can hold.
    """
    with torch.autocast(unary.device.type, enabled=False):
        unary = unary if unary.dtype == torch.float64 else unary.float()
        images = images.to(unary)
        both = features(images, appearance_xy, appearance_rgb)
        place = both[..., :2] * (appearance_xy / smooth_xy)
        make = _dense if method == "exact" else _lattice
        there = None if where is None else where.flatten()
        near, alike = (normalised(make(f, there), f, there) for f in (place, both))
        given = -unary.movedim(1, -1).flatten(0, 2)
        q = given.softmax(1)
        for _ in range(iterations):
            q = (given + smooth * near(q) + appearance * alike(q)).softmax(1)
        b, c, h, w = unary.shape
        return q.view(b, h, w, c).movedim(-1, 1)


def features(images: Float[Tensor, "B 3 H W"], xy: float, rgb: float) -> Float[Tensor, "B N 5"]:
    """Place and colour of every pixel, each in deviations."""
    b, _, h, w = images.shape
    y, x = torch.meshgrid(torch.arange(h, device=images.device), torch.arange(w, device=images.device), indexing="ij")
    place = torch.stack([x, y], -1).to(images).view(1, h * w, 2).expand(b, -1, -1) / xy
    return torch.cat([place, images.flatten(2).mT / rgb], -1)


def normalised(k: Filter, like: Float[Tensor, "B N d"], where: Bool[Tensor, " P"] | None = None) -> Filter:
    """The filter k_ij / sqrt(n_i n_j), n_i = sum_j k_ij over the pixels of `where`."""
    there = torch.ones_like(like[..., :1]).flatten(0, 1) if where is None else where[:, None].to(like)
    scale = there * (k(there) + TINY).rsqrt()
    return lambda x: scale * k(scale * x)


def _lattice(f: Float[Tensor, "B N d"], where: Bool[Tensor, " P"] | None) -> Filter:
    """All pictures of the batch on one lattice."""
    group = torch.arange(len(f), device=f.device).repeat_interleave(f.shape[1])
    return Lattice(f.flatten(0, 1), group, where)


def _dense(f: Float[Tensor, "B N d"], where: Bool[Tensor, " P"] | None) -> Filter:
    b, n, _ = f.shape
    if n > MOST:
        raise StemmaError(f"an exact CRF holds every pair of {n:,} pixels; it is meant for {MOST:,} at most, use "
                          "method 'lattice'")
    wide = f.double()  # a difference of squares
    squares = (wide**2).sum(-1)
    k = torch.exp(-0.5 * (squares[:, :, None] + squares[:, None] - 2 * wide @ wide.mT).clamp(min=0)).to(f)
    return lambda x: (k @ x.view(b, n, -1)).flatten(0, 1)
