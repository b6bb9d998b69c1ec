"""A small network that tells the noise in a picture beside the one that is edited, and a small reader of sentences:
what two processor cores can train. The published ones are in `published`."""
from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.part import In
from ...core.types import StemmaError


def waves(t: Tensor, width: int) -> Float[Tensor, "B D"]:
    """Sines and cosines of times, as DDPM's network is told them: cosines first, frequencies 1 to 1/10000."""
    f = torch.exp(-math.log(10000.0) * torch.arange(width // 2, device=t.device) / (width // 2))
    x = t[:, None].float() * f
    return torch.cat([x.cos(), x.sin()], -1)


class Words(nn.Module):
    """A sentence as one vector: a word's place in the table is a hash of it, so that any sentence can be read; places
    are told apart by a matrix each. "" is what an example without a sentence is told."""

    def __init__(self, inp: In, buckets: int = 1024, length: int = 16, width: int = 32, out: int = 128) -> None:
        super().__init__()
        self.buckets, self.length = buckets, length
        self.table = nn.Embedding(buckets + 1, width, padding_idx=0)
        self.mix = nn.Sequential(nn.Linear(width * length, out), nn.SiLU(), nn.Linear(out, out))
        self.out = In((out,), (1,))

    def tokens(self, sentences: Sequence[str]) -> Int[Tensor, "B L"]:
        """Words of letters and digits, lower case; 0 where there is none. What is beyond `length` words is not read."""
        rows = []
        for s in sentences:
            words = re.findall(r"\w+", s.lower())[: self.length]
            ids = [1 + zlib.crc32(w.encode()) % self.buckets for w in words]
            rows.append(ids + [0] * (self.length - len(ids)))
        return torch.tensor(rows, dtype=torch.long).view(len(rows), self.length)

    def forward(self, tokens: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        said: Tensor = self.mix(self.table(tokens).flatten(1))
        return said


class Block(nn.Module):
    """Two convolutions about a group norm; what the times and the sentence say scales and shifts the features between
    (FiLM)."""

    def __init__(self, into: int, out: int, told: int, groups: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(into, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(math.gcd(groups, width), width) for width in (into, out))
        self.film = nn.Linear(told, 2 * out)
        self.skip = nn.Conv2d(into, out, 1) if into != out else nn.Identity()
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.first(F.silu(self.norms[0](x)))
        scale, shift = self.film(told)[:, :, None, None].chunk(2, 1)
        h = self.second(F.silu(self.norms[1](h) * (1 + scale) + shift))
        out: Tensor = self.skip(x) + h
        return out


class FilmUNet(nn.Module):
    """A U-Net of `widths`, `blocks` a level each way; cells of `patch` x `patch` pixels are its finest. Built with the
    channels of (what is noised, the picture beside it, the sentence)."""

    def __init__(self, inp: In, widths: tuple[int, ...] = (32, 64), blocks: int = 1, patch: int = 1) -> None:
        super().__init__()
        z, picture, sentence = inp.channels
        self.patch, self.wave, told = patch, widths[0], 2 * widths[0]
        self.step = patch * 2 ** (len(widths) - 1)
        self.time = nn.Sequential(nn.Linear(widths[0], told), nn.SiLU(), nn.Linear(told, told))
        self.sentence = nn.Linear(sentence, told)
        self.first = nn.Conv2d((z + picture) * patch**2, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        kept, now = [widths[0]], widths[0]
        for i, w in enumerate(widths):
            for _ in range(blocks):
                self.down.append(Block(now, w, told))
                now = w
                kept.append(now)
            if i < len(widths) - 1:
                self.down.append(nn.Conv2d(now, now, 3, 2, 1))
                kept.append(now)
        self.middle = Block(now, now, told)
        for i, w in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(Block(now + kept.pop(), w, told))
                now = w
            if i:
                self.up.append(nn.Conv2d(now, now, 3, padding=1))
        self.last = nn.Sequential(nn.GroupNorm(math.gcd(8, now), now), nn.SiLU(),
                                  nn.Conv2d(now, z * patch**2, 3, padding=1))
        nn.init.zeros_(self.last[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.last[2].bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "B C H W"], t: Float[Tensor, " B"],
                sentence: Float[Tensor, "B D"]) -> Float[Tensor, "B Z H W"]:
        """x: what is noised and the picture beside it. Raises `StemmaError` for sides that are no multiple of
        `step`."""
        if x.shape[-1] % self.step or x.shape[-2] % self.step:
            raise StemmaError(f"sides are multiples of {self.step} here, not {x.shape[-1]} x {x.shape[-2]}")
        told = F.silu(self.time(waves(t, self.wave)) + self.sentence(sentence))
        x = self.first(F.pixel_unshuffle(x, self.patch))
        kept = [x]
        for layer in self.down:
            x = layer(x, told) if isinstance(layer, Block) else layer(x)
            kept.append(x)
        x = self.middle(x, told)
        for layer in self.up:
            x = (layer(torch.cat([x, kept.pop()], 1), told) if isinstance(layer, Block)
                 else layer(F.interpolate(x, scale_factor=2.0)))
        out: Tensor = F.pixel_shuffle(self.last(x), self.patch)
        return out


class Pixels(nn.Module):
    """No autoencoder: what is noised is the picture itself, in -1..1."""

    def __init__(self, inp: In) -> None:
        super().__init__()
        self.out, self.step = In((3,), (1,)), 1

    def target(self, x: Tensor) -> Tensor:
        """What is to be made, of a picture [B, 3, H, W] in 0..1."""
        return 2 * x - 1

    def given(self, x: Tensor) -> Tensor:
        """What stands beside the noise, of the picture that is edited."""
        return 2 * x - 1

    def back(self, z: Tensor) -> Tensor:
        """A picture in 0..1."""
        return ((z + 1) / 2).clamp(0, 1)


__all__ = ["Block", "FilmUNet", "Pixels", "Words", "waves"]
