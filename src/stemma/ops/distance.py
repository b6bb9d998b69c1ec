"""Euclidean distance to a mask, batched and without a host sync. Axes: N masks (any leading axes), H W pixels."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def distance(masks: Bool[Tensor, "*N H W"], reach: int) -> Float[Tensor, "*N H W"]:
    """Distance in pixels from every pixel's centre to the nearest set pixel's, 0 on the mask; infinite where it is more than `reach`.

    Separable (Felzenszwalb and Huttenlocher 2012, eq. 2): along rows first by doubling steps, then the lower envelope down the columns.
    """
    assert reach >= 1
    far = torch.full((), float("inf"), device=masks.device)
    row = torch.where(masks, torch.zeros_like(far), far)
    step = 1
    while step <= reach:  # after steps 1, 2, 4, .. the nearest within their sum is known
        left = F.pad(row, (step, 0), value=float("inf"))[..., : row.shape[-1]]
        right = F.pad(row, (0, step), value=float("inf"))[..., step:]
        row = torch.minimum(row, torch.minimum(left, right) + step)
        step *= 2
    square = row * row
    best = square
    for dy in range(1, min(reach, masks.shape[-2] - 1) + 1):
        up = F.pad(square, (0, 0, dy, 0), value=float("inf"))[..., : square.shape[-2], :]
        down = F.pad(square, (0, 0, 0, dy), value=float("inf"))[..., dy:, :]
        best = torch.minimum(best, torch.minimum(up, down) + dy * dy)
    return torch.where(best <= reach * reach, best, far).sqrt()


def nearest_two(masks: Bool[Tensor, "B N H W"], reach: int) -> tuple[Float[Tensor, "B H W"], Float[Tensor, "B H W"]]:
    """Distances to the nearest and to the second nearest of N masks at every pixel (different masks, also where they overlap)."""
    d = distance(masks, reach)
    first, which = d.min(1)
    if d.shape[1] < 2:
        return first, torch.full_like(first, float("inf"))
    second = d.scatter(1, which[:, None], float("inf")).amin(1)
    return first, second
