"""A small U-Net that reads answers out of pictures: which pixels of an edited picture were painted in the colour that
was asked for (InstructDiffusion sec. 3.3)."""
from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.part import In
from ...ops.edits import THRESHOLD, share_of

STEEP = 12.0  # what a share of colour weighs in the logit, before anything is learned


class MarkReader(nn.Module):
    """Reads both pictures and how far each pixel went towards the colour. Until it has learned it says what the colour
    alone says (`ops.edits.read_mask`)."""

    def __init__(self, inp: In, widths: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        a, b = widths
        self.first, self.down = nn.Conv2d(7, a, 3, padding=1), nn.Conv2d(a, b, 3, 2, 1)
        self.middle, self.up = nn.Conv2d(b, b, 3, padding=1), nn.Conv2d(a + b, a, 3, padding=1)
        self.last = nn.Conv2d(a, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, before: Float[Tensor, "B 3 H W"], made: Float[Tensor, "B 3 H W"],
                colours: Float[Tensor, "B 3"]) -> Float[Tensor, "B H W"]:
        """Logits. Pictures and colours in 0..1."""
        share = share_of(before, made, colours).clamp(-1, 2)
        x = F.silu(self.first(torch.cat([2 * before - 1, 2 * made - 1, share[:, None]], 1)))
        y = F.silu(self.middle(F.silu(self.down(x))))
        y = F.interpolate(y, size=x.shape[-2:])
        x = F.silu(self.up(torch.cat([x, y], 1)))
        said: Tensor = self.last(x)[:, 0] + STEEP * (share - THRESHOLD)
        return said


__all__ = ["MarkReader"]
