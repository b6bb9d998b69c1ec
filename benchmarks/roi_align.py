"""RoIAlign, forward and backward: ours against torchvision's, one after the other in the same run.

    python benchmarks/roi_align.py            one thread of the CPU
    python benchmarks/roi_align.py --cuda     a GPU, where "ours" is what `auto` picks there

Prints the ratio of the times (above 1: ours is faster) as median with quartiles,
and the largest difference of outputs and gradients.
"""
from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import torch
import torchvision.ops as tv
from torch import Tensor

from stemma.ops.roi import roi_align, roi_align_levels

SETTINGS = {  # name: images, channels, picture side, regions an image, strides
    "128 px, one level": (8, 64, 128, 64, (8,)),
    "512 px, one level": (2, 256, 512, 512, (8,)),
    "512 px, pyramid": (2, 256, 512, 512, (4, 8, 16, 32)),
}


def regions(b: int, r: int, side: int) -> Tensor:
    """Boxes of 1/16 to the whole of a picture's side, sizes spread evenly on a logarithmic scale."""
    centre, size = torch.rand(b, r, 2) * side, side / 16 * 16 ** torch.rand(b, r, 2)
    return torch.cat([(centre - size / 2).clamp(min=0), (centre + size / 2).clamp(max=side)], -1)


def timed(run: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(name: str, rounds: int, device: str) -> dict[str, object]:
    b, c, side, r, strides = SETTINGS[name]
    torch.manual_seed(0)
    xs = [torch.randn(b, c, side // s, side // s, device=device).to(memory_format=torch.channels_last).requires_grad_()
          for s in strides]
    boxes = regions(b, r, side).to(device)
    pool = tv.MultiScaleRoIAlign([str(i) for i in range(len(xs))], 7, 2)
    flat = torch.cat([torch.arange(b, device=device).repeat_interleave(r)[:, None].to(boxes), boxes.flatten(0, 1)], 1)

    def ours() -> Tensor:
        out = roi_align_levels(xs, boxes, 7, strides, 2, False) if len(xs) > 1 else roi_align(xs[0], boxes, 7,
                                                                                              strides[0], 2, False)
        return out.flatten(0, 1)

    def theirs() -> Tensor:
        if len(xs) == 1:
            return tv.roi_align(xs[0], flat, 7, 1 / strides[0], 2)
        return pool({str(i): x for i, x in enumerate(xs)}, list(boxes), [(side, side)] * b)

    weight = torch.randn(b * r, c, 7, 7, device=device)

    def step(pooled: Callable[[], Tensor]) -> Sequence[Tensor]:
        return torch.autograd.grad(pooled(), xs, weight)

    forward, both = [], []
    for _ in range(rounds + 1):  # the first round warms up
        with torch.no_grad():
            a, z = timed(ours, device), timed(theirs, device)
        forward.append(z / a)
        a, z = timed(lambda: step(ours), device), timed(lambda: step(theirs), device)
        both.append(z / a)
    with torch.no_grad():
        differs = (ours() - theirs()).abs().max().item()
    gradient = max((p - q).abs().max().item() for p, q in zip(step(ours), step(theirs)))
    return {"setting": name, "forward": spread(forward[1:]), "forward and backward": spread(both[1:]),
            "output differs": differs, "gradient differs": gradient}


def spread(ratios: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=15)
    ask.add_argument("--cuda", action="store_true")
    ask.add_argument("--json", action="store_true")
    args = ask.parse_args()
    torch.set_num_threads(1)
    rows = [measure(name, args.rounds, "cuda" if args.cuda else "cpu") for name in SETTINGS]
    if args.json:
        print(json.dumps(rows))
        return
    for row in rows:
        parts = [f"{k} {v[0]:.2f}x ({v[1]:.2f} to {v[2]:.2f})" for k, v in row.items() if isinstance(v, tuple)]
        print(f"{row['setting']}: {', '.join(parts)}; largest difference {row['output differs']:.1e}, of gradients "
              f"{row['gradient differs']:.1e}")


if __name__ == "__main__":
    main()
