"""What the picture's scale does to a ground that is known exactly: no network, but the best that one could learn.

    python benchmarks/guidance.py [RUN]

Pictures are a grey of their own with a fine grain, as the drawn edits' ground; the fourth line of each way has the
wider greys of those that are `unsteady`. In the pairs that are learned from the grey moves by so much (standard
deviation, of 0 to 1) between before and after. What is said of noise with the picture and without it are then the means
of two Gaussians, and the walk from noise is the editor's own (`Sampler`). A line is the mean change of what should stay
by the picture's scale. `even`: the greys' own even spread in the Gaussian's place; `off`: the pass without the picture
errs in the grey as a trained network does, the same way all along a picture's walk, by all of it or a half.

RUN, of `unsteady` pairs: what that network says of the grey of grounds that moved as those that it learned from, at
times of the noise, of pairs that it did not see. How much of the move it takes over with the picture. Without it: the
error of its grey and the least that one could have (root of the mean square, in -1..1), and how far it is off from the
answer that has that. The last, where noise hides what is ground: the mean of other drawn pictures, weighed by how
likely each is; before, the ground's own mean.
"""
from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import binary_erosion
from torch import Tensor

from stemma.data.editing.hard import MOVED, Hard
from stemma.engine.running import checkpoint
from stemma.parts.editing.noise import Noise, Sampler, clean, level, noised

SCALES = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)
GRAIN = 0.06  # standard deviation of the grain in -1..1, of each channel
WAYS = ((0.0, 0.3), (0.02, 0.3), (0.05, 0.3), (0.06, 0.7))  # by how much greys move, and how wide they are about 0.5
PICTURES, PIXELS = 200, 3 * 160  # values of a ground: three channels of what things do not cover
NOISE = Noise("linear", 1000, 1e-4, 0.02).alphas()
OFF = {0: 0.0, 200: 0.019, 300: 0.028, 400: 0.050, 500: 0.034, 600: 0.035, 700: 0.031, 800: 0.019, 900: 0.012,
       999: 0.012}  # by time, of the longer run of `unsteady` pairs in docs/measured.md
GREYS = torch.linspace(-1.6, 1.6, 801, dtype=torch.float64)
FIRST, BANK = 60_000, 6000  # a drawn pair beyond those that are learned from; pictures that might be under the noise
HIDDEN = 500  # from this time on noise hides what is ground, and `BANK` pictures are enough to ask which it might be


def grey_of(mean: Tensor, spread: float, own: float, wide: float, even: bool) -> Tensor:
    """The best guess of greys [N, 1] in -1..1, of noised means whose noise has the variance `spread`: greys are as wide
    as `wide` says and moved by a variance `own`."""
    if not even:
        grey = wide**2 / 3 + own
        return grey / (grey + spread) * mean
    edge = lambda at: torch.special.log_ndtr((GREYS - at) / math.sqrt(own)).exp()
    likely = (edge(-wide) - edge(wide)).clamp(min=1e-300).log() - (GREYS - mean).square() / (2 * spread)
    return (likely.softmax(1) * GREYS).sum(1, keepdim=True)


def change(sampler: Sampler, scale: float, moved: float, wide: float, even: bool = False, off: float = 0.0) -> float:
    """Mean change of a ground, 0 to 1, at a scale of the picture, learned of pairs that move by `moved`. `wide`: from
    the darkest grey to the lightest. off: shares of `OFF` by which the pass without the picture errs."""
    g = torch.Generator().manual_seed(0)
    before = 2 * torch.empty(PICTURES, 1, dtype=torch.float64).uniform_(0.5 - wide / 2, 0.5 + wide / 2, generator=g) - 1
    before = before + GRAIN * torch.randn(PICTURES, PIXELS, dtype=torch.float64, generator=g)
    draw = lambda: torch.randn(PICTURES, PIXELS, dtype=torch.float64, generator=g)
    own = (2 * moved) ** 2
    way = torch.randn(PICTURES, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(5))

    def tell(z: Tensor, t: float) -> Tensor:
        a = float(level(NOISE, torch.tensor([t], dtype=torch.float64))[0])
        seen, spread = z / math.sqrt(a), (1 - a) / a
        shift = (seen - before).mean(1, keepdim=True)
        told = before + own / (own + spread / PIXELS) * shift
        fine = GRAIN**2
        mean = grey_of(seen.mean(1, keepdim=True), (fine + spread) / PIXELS, own, wide, even)
        mean = mean + off * float(np.interp(t, list(OFF), list(OFF.values()))) * way
        blind = mean + fine / (fine + spread) * (seen - mean)
        return blind + scale * (told - blind)

    made = sampler(tell, sampler.first(draw(), NOISE, sampler.steps), NOISE, "x0", sampler.steps, draw)
    return float((made - before).abs().mean() / 2)


@torch.no_grad()
def heard(run: str, times: Sequence[int] = (200, 300, 400, 500, 600, 700, 800, 900)) -> None:
    """Print what a run's network says of greys that moved."""
    m: Any = checkpoint.load(run).eval()
    drawn = Hard(m.recipe.resize.size, FIRST + PICTURES + BANK, "train", kinds=["unsteady"])
    pairs = [drawn.pair(FIRST + i) for i in range(PICTURES)]
    before, after = (pictures([p.before for p in pairs]), pictures([p.after for p in pairs]))
    bank = pictures([drawn.pair(FIRST + PICTURES + i).after for i in range(BANK)])
    bank = torch.cat([bank, bank.flip(-1)]).flatten(1)
    ground = torch.from_numpy(np.stack([binary_erosion(drawn.scene(FIRST + i)[1] == 0, np.ones((3, 3)), border_value=1)
                                        for i in range(PICTURES)]))
    sentence = m.text(m.text.tokens([p.instruction for p in pairs]))
    null = m.text(m.null).expand(PICTURES, -1)
    pixels = ground.sum((1, 2)).double()
    grey = lambda x: (x.mean(1) * ground).sum((1, 2)).double() / pixels
    error = lambda x: float((x - grey(after)).square().mean().sqrt())
    g, own, size = torch.Generator().manual_seed(0), 2 * MOVED, bank.square().sum(1)
    print(f"{'time':>5} {'best':>6} {'told':>6} {'picture':>8} {'least':>6} {'blind':>6} {'off':>6}")
    for t in times:
        a = float(m.alphas[t])
        z = noised(after, torch.randn(after.shape, generator=g), torch.tensor(a)).float()
        said = {name: grey(clean(m.spec.aim, m(z, torch.full((PICTURES,), float(t)), picture, words), z, a))
                for name, picture, words in (("told", before, sentence), ("picture", before, null),
                                             ("blind", torch.zeros_like(before), null))}
        was, seen, spread = grey(before), grey(z) / math.sqrt(a), (1 - a) / a / 3 / pixels
        went, best = seen - was, own**2 / (own**2 + spread)
        took = [float((x * went).sum() / went.square().sum())
                for x in (best * went, said["told"] - was, said["picture"] - was)]
        if t < HIDDEN:
            blind = torch.cat([grey_of(seen[k].view(1, 1), float(spread[k]), own**2, 0.7, True)[0]
                               for k in range(PICTURES)])
        else:
            likely = (2 * math.sqrt(a) * z.flatten(1) @ bank.T - a * size) / (2 * (1 - a))
            blind = grey((likely.double().softmax(1).float() @ bank).view_as(z))
        off = float((said["blind"] - blind).square().mean().sqrt())
        print(f"{t:5} {took[0]:6.3f} {took[1]:6.3f} {took[2]:8.3f} {error(blind):6.3f} {error(said['blind']):6.3f} "
              f"{off:6.3f}")


def pictures(drawn: Sequence[np.ndarray]) -> Tensor:
    """Pictures, uint8 (H, W, 3), as float32 [N, 3, H, W] in -1..1."""
    return 2 * torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 255 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("run", nargs="?")
    if (run := parser.parse_args().run) is not None:
        return heard(run)
    ways = {"10 steps, no new noise": Sampler(10, 0.0, "trailing", True),
            "100 ancestral steps": Sampler(100, 1.0, "linspace", True)}
    print(f"{'':45}" + " ".join(f"{s:5g}" for s in SCALES))
    for name, sampler in ways.items():
        lines = [(f", moved by {moved:g} of {wide:g}", (moved, wide), 0.0) for moved, wide in WAYS]
        lines += [(f", even{said}", WAYS[-1], off) for said, off in (("", 0.0), (", off a half", 0.5), (", off", 1.0))]
        for said, (moved, wide), off in lines:
            found = (change(sampler, s, moved, wide, "even" in said, off) for s in SCALES)
            print(f"{name + said:45}" + " ".join(f"{x:.4f}"[1:] for x in found))


if __name__ == "__main__":
    main()
