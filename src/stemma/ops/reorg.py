"""Fine maps folded into the channels of coarse ones, in the two orders that published weights use."""
from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Order = Literal["darknet", "space_to_depth"]


def reorg(x: Float[Tensor, "B C H W"], stride: int = 2, order: Order = "space_to_depth") -> Float[Tensor, "B D h w"]:
    """Every pixel kept: H and W divided by `stride`, C multiplied by its square.

    "space_to_depth": the pixels of a block of `stride` x `stride` become the channels of one cell, channel by channel
    (pixel unshuffle).
    "darknet": what the released code computes. It reads the map as if it had C / stride^2 channels and were `stride`
    times as wide and high, folds that, and calls the result maps of the wanted size, so a cell's channels come from
    distant rows. Its weights need this order.
    """
    if order == "space_to_depth":
        return F.pixel_unshuffle(x, stride)
    b, c, h, w = x.shape
    s = stride
    assert c % (s * s) == 0 and h % s == 0 and w % s == 0, f"a map of {c} x {h} x {w} cannot be folded by {s}"
    wide = x.reshape(b, c // (s * s), h, s, w, s)
    return wide.permute(0, 3, 5, 1, 2, 4).reshape(b, c * s * s, h // s, w // s)
