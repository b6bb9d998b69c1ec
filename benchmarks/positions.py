"""Position-sensitive pooling, InstanceFCN's assembling and deformable convolution on a CPU: ours against torchvision's
operators, one after the other in the same run.

    python benchmarks/positions.py [--rounds 7]

Prints torchvision's processor time over ours (above 1: ours is faster), median with quartiles, forward and forward with
backward, and the largest difference. Maps lie channels last with their bins outside, as R-FCN's head makes them;
torchvision reads its own order. Its `ps_roi_pool` rounds boxes to cells,
so regions here lie on cells and inside the map. InstanceFCN's windows are assembled cell by cell, where `ps_roi_pool`
says the mean of each of their parts: it reads the same numbers and writes fewer.
"""
from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torchvision.ops as tv
from torch import Tensor

from stemma.ops import deform, psroi
from stemma.parts.windows.instances import assemble

REGIONS = {  # name: images, outputs, bins a side, map's height and width, regions an image, stride
    "R-FCN, VOC, 600 x 1000": (1, 21, 7, 38, 63, 300, 16),
    "R-FCN, COCO, 600 x 1000": (1, 81, 7, 38, 63, 300, 16),
    "R-FCN small, 128 px": (16, 9, 3, 16, 16, 80, 8),
}
WINDOWS = {"published: 2,000 of 21 x 21 cells, k = 5": (2000, 21, 5, 75, 125),  # windows, side, k, map of 600 x 1000
           "small: 2,000 of 7 x 7 cells, k = 3": (2000, 7, 3, 16, 16)}
# images, channels, height, width
CONVOLUTIONS = {"fifth stage, 600 x 1000": (1, 512, 38, 63), "small, 128 px": (16, 96, 16, 16)}
Run = Callable[[], Tensor]


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def ratio(ours: Run, theirs: Run, rounds: int) -> dict[str, object]:
    slope = torch.randn_like(ours())

    def with_gradient(run: Run) -> Callable[[], object]:
        return lambda: run().backward(slope)

    found: dict[str, object] = {"difference": float((ours() - theirs()).abs().max())}
    for name, pair in {"forward": (ours, theirs),
                       "forward and backward": (with_gradient(ours), with_gradient(theirs))}.items():
        each = [seconds(pair[1]) / seconds(pair[0]) for _ in range(rounds + 1)][1:]
        low, middle, high = statistics.quantiles(each, n=4)
        found[name] = f"{middle:.1f} ({low:.1f} to {high:.1f})"
    return found


def pooling(name: str, rounds: int) -> dict[str, dict[str, object]]:
    b, c, k, h, w, r, stride = REGIONS[name]
    low = torch.stack([torch.randint(1, w // 2, (b, r)), torch.randint(1, h // 2, (b, r))], -1)
    side = torch.stack([torch.randint(1, w // 2 - 1, (b, r)), torch.randint(1, h // 2 - 1, (b, r))], -1)
    boxes = torch.cat([low, low + side], -1).float() * stride
    flat = torch.cat([torch.arange(float(b)).repeat_interleave(r)[:, None], boxes.flatten(0, 1)], 1)
    plain = torch.randn(b, c * k * k, h, w, requires_grad=True)
    last = (plain.detach().unflatten(1, (c, k * k)).transpose(1, 2).flatten(1, 2)
            .contiguous(memory_format=torch.channels_last).requires_grad_())

    def ours(align: bool) -> Tensor:
        op = psroi.ps_roi_align if align else psroi.ps_roi_pool
        return op(last, boxes, k, stride, bins_first=True).flatten(0, 1)

    pool = ratio(lambda: ours(False), lambda: tv.ps_roi_pool(plain, flat, k, 1 / stride), rounds)
    return {"pool": pool,
            "align": ratio(lambda: ours(True), lambda: tv.ps_roi_align(plain, flat, k, 1 / stride, 2), rounds)}


def assembling(name: str, rounds: int) -> dict[str, object]:
    """Windows around cells, all inside the map; torchvision pools the same ones from maps that lie first."""
    r, m, k, h, w = WINDOWS[name]
    row, column = (torch.randint(m // 2, n - m // 2, (r,)) for n in (h, w))
    maps = torch.randn(1, k * k, h, w)
    codes = maps.permute(0, 2, 3, 1).reshape(1, h * w, k * k).contiguous()
    low = torch.stack([column - m // 2, row - m // 2], 1).float()
    boxes = torch.cat([torch.zeros(r, 1), low, low + m - 1], 1)  # torchvision's last cell is included

    def pooled() -> Tensor:
        found: Tensor = tv.ps_roi_pool(maps, boxes, k, 1.0)
        return found

    def put_together() -> Tensor:
        return assemble(codes, (row * w + column)[None], ((h, w),), m)

    if k * (m // k) == m:  # only then do both cut a window alike
        mean = put_together()[0].unflatten(1, (k, -1)).unflatten(3, (k, -1)).mean((2, 4))
        assert torch.allclose(mean, pooled()[:, 0], atol=1e-5)
    each = [seconds(pooled) / seconds(put_together) for _ in range(rounds + 1)][1:]
    low_, middle, high = statistics.quantiles(each, n=4)
    return {"forward": f"{middle:.2f} ({low_:.2f} to {high:.2f})", "ms": round(1e3 * seconds(put_together), 1)}


def convolution(name: str, rounds: int) -> dict[str, object]:
    b, c, h, w = CONVOLUTIONS[name]
    x, weight = torch.randn(b, c, h, w, requires_grad=True), torch.randn(c, c, 3, 3, requires_grad=True)
    offset = torch.randn(b, 72, h, w, requires_grad=True)
    run = {m: lambda m=m: deform.deform_conv2d(x, offset, weight, None, 1, 2, 2, None, m)
           for m in ("columns", "torchvision")}
    return ratio(run["columns"], run["torchvision"], rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name in REGIONS:
        print(json.dumps({name: pooling(name, args.rounds)}), flush=True)
    for name in WINDOWS:
        print(json.dumps({f"assembling, {name}": assembling(name, args.rounds)}), flush=True)
    for name in CONVOLUTIONS:
        print(json.dumps({f"deformable 3x3, {name}": convolution(name, args.rounds)}), flush=True)
