"""What the picture's scale does to a ground that is known exactly: no network, but the best that one could learn.

    python benchmarks/guidance.py

Pictures are a grey of their own with a fine grain, as the drawn edits' ground; the last line of each way has the wider
greys of those that are `unsteady`. In the pairs that are learned from the grey moves by so much (standard deviation, of
0 to 1) between before and after. What is said of noise with the picture
and without it are then the means of two Gaussians, and the walk from noise is the editor's own (`Sampler`). A line is
the mean change of what should stay by the picture's scale.
"""
from __future__ import annotations

import argparse
import math

import torch
from torch import Tensor

from stemma.parts.editing.noise import Noise, Sampler, level

SCALES = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)
GRAIN = 0.015  # standard deviation of the grain in -1..1
WAYS = ((0.0, 0.3), (0.02, 0.3), (0.05, 0.3), (0.06, 0.7))  # by how much greys move, and how wide they are about 0.5
PICTURES, PIXELS = 200, 64
NOISE = Noise("linear", 1000, 1e-4, 0.02).alphas()


def change(sampler: Sampler, scale: float, moved: float, wide: float) -> float:
    """Mean change of a ground, 0 to 1, at a scale of the picture, learned of pairs that move by `moved`. `wide`: from
    the darkest grey to the lightest."""
    g = torch.Generator().manual_seed(0)
    before = 2 * torch.empty(PICTURES, 1, dtype=torch.float64).uniform_(0.5 - wide / 2, 0.5 + wide / 2, generator=g) - 1
    before = before + GRAIN * torch.randn(PICTURES, PIXELS, dtype=torch.float64, generator=g)
    draw = lambda: torch.randn(PICTURES, PIXELS, dtype=torch.float64, generator=g)
    own = (2 * moved) ** 2

    def tell(z: Tensor, t: float) -> Tensor:
        a = float(level(NOISE, torch.tensor([t], dtype=torch.float64))[0])
        seen, spread = z / math.sqrt(a), (1 - a) / a
        shift = (seen - before).mean(1, keepdim=True)
        told = before + own / (own + spread / PIXELS) * shift
        grey, fine = wide**2 / 3 + own, GRAIN**2
        mean = grey / (grey + (fine + spread) / PIXELS) * seen.mean(1, keepdim=True)
        blind = mean + fine / (fine + spread) * (seen - mean)
        return blind + scale * (told - blind)

    made = sampler(tell, sampler.first(draw(), NOISE, sampler.steps), NOISE, "x0", sampler.steps, draw)
    return float((made - before).abs().mean() / 2)


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0]).parse_args()
    ways = {"10 steps, no new noise": Sampler(10, 0.0, "trailing", True),
            "100 ancestral steps": Sampler(100, 1.0, "linspace", True)}
    print(f"{'':45}" + " ".join(f"{s:5g}" for s in SCALES))
    for name, sampler in ways.items():
        for moved, wide in WAYS:
            print(f"{name + f', moved by {moved:g} of {wide:g}':45}"
                  + " ".join(f"{change(sampler, s, moved, wide):.4f}"[1:] for s in SCALES))


if __name__ == "__main__":
    main()
