"""Euclidean distance to a mask, batched and without a host sync. Axes: N masks (any leading axes), H W pixels."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def distance(masks: Bool[Tensor, "*N H W"], reach: int) -> Float[Tensor, "*N H W"]:
    """Distance in pixels from every pixel's centre to the nearest set pixel's, 0 on the mask;
    infinite where it is more than `reach`.

    Separable (Felzenszwalb and Huttenlocher 2012, eq. 2): along rows first by doubling steps,
    then the lower envelope down the columns.
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


def layers(masks: Bool[Tensor, "B N H W"]) -> tuple[Int[Tensor, "B H W"], Int[Tensor, "B H W"]]:
    """N masks as two maps of numbers 1..N, 0 for none: of the masks on a pixel the first,
    and the last where that is another.

    Two say all that `nearest_two` and `crowded` ask: a pixel under three masks has two of them at least at every
    distance.
    """
    n = masks.shape[1]
    if n == 0:
        none = masks.new_zeros((len(masks), *masks.shape[2:]), dtype=torch.int16)
        return none, none
    up = torch.arange(1, n + 1, dtype=torch.int16, device=masks.device)[:, None, None]
    first = (masks * up.flip(0)).amax(1)
    first = torch.where(first > 0, n + 1 - first, 0).to(torch.int16)
    last = (masks * up).amax(1)
    return first, torch.where(last != first, last, 0)


# number and squared distance of the nearest, and of the nearest of another number
Two = tuple[Tensor, Tensor, Tensor, Tensor]


def _nearer(best: Two, number: Tensor, square: Tensor) -> Two:
    """`best` after a look at one more candidate a pixel."""
    i1, d1, i2, d2 = best
    other = number != i1
    first, second = other & (square < d1), other & (square < d2)
    return (
        torch.where(first, number, i1), torch.minimum(d1, square),
        torch.where(first, i1, torch.where(second, number, i2)),
        torch.where(first, d1, torch.where(second, square, d2)),
    )


def _moved(x: Tensor, dy: int, dx: int, fill: float) -> Tensor:
    """The map whose pixel (y, x) is that of (y + dy, x + dx), `fill` outside."""
    h, w = x.shape[-2:]
    x = F.pad(x, (max(-dx, 0), max(dx, 0), max(-dy, 0), max(dy, 0)), value=fill)
    return x[..., max(dy, 0) : max(dy, 0) + h, max(dx, 0) : max(dx, 0) + w]


def nearest_two(masks: Bool[Tensor, "B N H W"], reach: int) -> tuple[Float[Tensor, "B H W"], Float[Tensor, "B H W"]]:
    """Distances to the nearest and to the second nearest of N masks at every pixel (different masks, also where they
    overlap).

    As `distance` for every mask, in work that does not grow with N: along a row, and of the rows above and below, the
    two nearest numbers are all that can count.
    """
    assert reach >= 1
    a, b = layers(masks)
    far = torch.full(a.shape, float("inf"), device=a.device)
    row: Two = (a, torch.where(a > 0, 0.0, far), b, torch.where(b > 0, 0.0, far))
    start = row
    for dx in (d for k in range(1, min(reach, a.shape[-1] - 1) + 1) for d in (k, -k)):
        for k in (0, 2):
            row = _nearer(row, _moved(start[k], 0, dx, 0), _moved(start[k + 1], 0, dx, float("inf")) + dx * dx)
    best = row
    for dy in (d for k in range(1, min(reach, a.shape[-2] - 1) + 1) for d in (k, -k)):
        for k in (0, 2):
            best = _nearer(best, _moved(row[k], dy, 0, 0), _moved(row[k + 1], dy, 0, float("inf")) + dy * dy)
    first, second = (torch.where(d <= reach * reach, d, far).sqrt() for d in (best[1], best[3]))
    return first, second


def crowded(masks: Bool[Tensor, "B N H W"]) -> Bool[Tensor, "B H W"]:
    """Where two masks or more come within one pixel of a pixel, diagonals included."""
    maps = torch.stack(layers(masks), 1).float()
    most = F.max_pool2d(maps, 3, 1, 1).amax(1)
    least = -F.max_pool2d(torch.where(maps > 0, -maps, -float("inf")), 3, 1, 1).amax(1)
    return (most > 0) & (most > least)
