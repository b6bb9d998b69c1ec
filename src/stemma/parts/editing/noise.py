"""Noise that is put on and taken off: schedules, what a network tells of it, and steps back.

z_t = sqrt(a_t) z_0 + sqrt(1 - a_t) eps with a_t falling from about 1 to about 0 over `steps` (DDPM's alpha-bar). In the
coordinates of Karras et al. (z / sqrt(a), sigma^2 = (1 - a) / a) an Euler step and an ancestral Euler step are the
steps of DDIM with eta 0 and 1, so that one sampler is all of them.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...core.part import Count
from ...core.types import StemmaError

Aim = Literal["eps", "v", "x0"]


@dataclass(frozen=True)
class Noise:
    """How the noise grows. scaled-linear: betas whose roots are linear (Stable Diffusion); linear: DDPM's; cosine:
    Nichol and Dhariwal, arXiv 2102.09672, eq. 17."""

    kind: Literal["scaled-linear", "linear", "cosine"] = "scaled-linear"
    steps: Count = 1000
    begin: float = 0.00085
    end: float = 0.012

    def alphas(self) -> Tensor:
        """alpha-bar of each step, float64 [T]."""
        if self.kind == "cosine":
            f = lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
            betas = torch.tensor([min(1 - f((i + 1) / self.steps) / f(i / self.steps), 0.999)
                                  for i in range(self.steps)], dtype=torch.float64)
        elif self.kind == "linear":
            betas = torch.linspace(self.begin, self.end, self.steps, dtype=torch.float64)
        else:
            betas = torch.linspace(self.begin**0.5, self.end**0.5, self.steps, dtype=torch.float64) ** 2
        return torch.cumprod(1 - betas, 0)


def noised(z: Tensor, eps: Tensor, a: Tensor) -> Tensor:
    """z_t. `a` broadcasts against `z`."""
    return a.sqrt() * z + (1 - a).sqrt() * eps


def aimed(aim: Aim, z: Tensor, eps: Tensor, a: Tensor) -> Tensor:
    """What the network shall say: the noise, the velocity sqrt(a) eps - sqrt(1 - a) z (Salimans and Ho, arXiv
    2202.00512), or the picture."""
    return eps if aim == "eps" else z if aim == "x0" else a.sqrt() * eps - (1 - a).sqrt() * z


def clean(aim: Aim, said: Tensor, z: Tensor, a: float) -> Tensor:
    """The picture without noise that a network's word means at z_t."""
    if aim == "x0":
        return said
    noise = math.sqrt(1 - a) * said
    return math.sqrt(a) * z - noise if aim == "v" else (z - noise) / math.sqrt(a)


@dataclass(frozen=True)
class Sampler:
    """Steps back from noise.

    eta:     0: DDIM, which is Euler's method; 1: ancestral
    spacing: which of the T times. linspace: from T - 1 to 0 in equal steps (k-diffusion; a single one is at T - 1);
             trailing: T - 1, T - 1 - T / K ... (of few steps the best)
    clamp:   hold each foreseen picture within -1..1, after guidance: in pixels alone
    """

    steps: Count = 100
    eta: float = 1.0
    spacing: Literal["linspace", "trailing"] = "linspace"
    clamp: bool = False

    def times(self, count: int, total: int) -> Tensor:
        """The times of `count` steps, float64, falling. Raises `StemmaError` for less than one or more than there
        are."""
        if not 1 <= count <= total:
            raise StemmaError(f"the number of steps lies between 1 and {total}, not at {count}")
        if self.spacing == "linspace":
            return torch.linspace(total - 1, 0, count, dtype=torch.float64)
        # as whole numbers, rounded to even as NumPy does
        back = total - torch.arange(count, dtype=torch.float64) * (total / count)
        return back.round() - 1

    def first(self, drawn: Tensor, alphas: Tensor, steps: int) -> Tensor:
        """What a walk of `steps` begins from, of standard noise: on k-diffusion's times its first sigma times the
        noise, sqrt(1 - a) in our coordinates and a little less than one; else the noise itself, as DDIM has it."""
        if self.spacing != "linspace":
            return drawn
        return drawn * math.sqrt(1 - float(level(alphas, self.times(steps, len(alphas))[:1])[0]))

    def __call__(self, tell: Callable[[Tensor, float], Tensor], z: Tensor, alphas: Tensor, aim: Aim, steps: int,
                 draw: Callable[[], Tensor]) -> Tensor:
        """From noise `z` to a picture. tell(z_t, t) is what the guided network says; `draw` gives standard noise, once
        a step but the last, where eta is not 0."""
        times = self.times(steps, len(alphas))
        levels = torch.cat([level(alphas, times), torch.ones(1, dtype=torch.float64)]).tolist()
        for t, a, b in zip(times.tolist(), levels, levels[1:]):
            picture = clean(aim, tell(z, t).float(), z, a)
            if self.clamp:
                picture = picture.clamp(-1, 1)
            eps = (z - math.sqrt(a) * picture) / math.sqrt(1 - a)
            spread = self.eta * math.sqrt(max((1 - b) / (1 - a) * (1 - a / b), 0.0))
            z = math.sqrt(b) * picture + math.sqrt(max(1 - b - spread**2, 0.0)) * eps
            if spread > 0 and b < 1:
                z = z + spread * draw()
        return z


def level(alphas: Tensor, times: Tensor) -> Tensor:
    """alpha-bar at times between the whole ones: linear in the logarithm of sigma, as k-diffusion has it."""
    log_sigma = 0.5 * ((1 - alphas) / alphas).log()
    low = times.floor().long().clamp(0, len(alphas) - 1)
    high = (low + 1).clamp(max=len(alphas) - 1)
    share = times - low
    s = (1 - share) * log_sigma[low] + share * log_sigma[high]
    return torch.where(share == 0, alphas[low], 1 / (1 + (2 * s).exp()))


__all__ = ["Aim", "Noise", "Sampler", "aimed", "clean", "level", "noised"]
