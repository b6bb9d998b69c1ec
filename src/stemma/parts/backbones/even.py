"""Bringing a backbone's levels to one scale before a head stands on them.

What pretrained networks hand out is of no common size: the maps of EfficientNet-Lite0 that stand at strides 8 and 16
have a root mean square of 7.7 and 6.1, a ResNet's 0.7. A convolution that is drawn for inputs near 1, as most heads
are, then answers wildly at its first step (SSD's first loss was ten times that of even answers). One factor a level,
measured once when the network is built, mends it and changes nothing of what the features say (after the data-dependent
scaling of Mishkin and Matas, "All you need is a good init", 2015; theirs is a layer's, here a level's).
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.modes import in_mode

PICTURES, SIDE = 4, 128


def natural(count: int = PICTURES, side: int = SIDE, channels: int = 3) -> Float[Tensor, "B C S S"]:
    """Noise with the spectrum of photographs, power 1 / frequency^2 (Field 1987), of mean 0 and deviation 1 a picture;
    always the same."""
    draw = torch.Generator().manual_seed(0)
    x, n = torch.zeros(count, channels, side, side), 2
    while n <= side:
        octave = torch.randn(count, channels, n, n, generator=draw) + torch.randn(count, 1, n, n, generator=draw)
        x = x + F.interpolate(octave, size=(side, side), mode="bilinear", align_corners=False)
        n *= 2
    x = x - x.mean((1, 2, 3), keepdim=True)
    return x / x.std((1, 2, 3), keepdim=True)


@torch.no_grad()
def unit(body: nn.Module, channels: int = 3, side: int = SIDE) -> Float[Tensor, " L"]:
    """One factor a level that brings what `body` hands out to a root mean square of 1,
    on `natural` pictures of `side` pixels.

    Batch norms use the statistics of the batch, as in training, so that little depends on what the pictures show;
    `body` is left as it was. A silent level keeps a factor of 1.
    """
    before = {k: v.clone() for k, v in body.named_buffers()}
    with torch.random.fork_rng(devices=[]), in_mode(body, True):
        levels = body(natural(PICTURES, side, channels))
    for k, v in body.named_buffers():
        v.copy_(before[k])
    size = torch.stack([x.float().square().mean().sqrt() for x in levels])
    return torch.where(size > 1e-6, 1 / size.clamp(min=1e-6), 1.0)
