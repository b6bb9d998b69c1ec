"""Who acts in a dream and who judges it: a policy that is learned, its critic's slow shadow, returns and their scale.

Axes: N beliefs, A numbers of an action, L steps, F numbers of a belief.
"""
from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError
from .latents import chosen, one_hot, shares
from .normed import topped


class Policy(nn.Module):
    """A distribution over actions from the belief's parts `reads`.

    choices: sizes of groups of which one is taken each, as one-hot numbers; their probabilities hold `mix` of uniform.
    Without any, each number is normal about tanh(m) with a deviation between `least` and `most`. `scale`: of
    the last layer's first weights.
    """

    def __init__(self, inp: In, units: int = 1024, layers: int = 3, reads: tuple[str, ...] = ("deter", "stoch"),
                 choices: tuple[int, ...] = (), mix: float = 0.0, least: float = 0.1, most: float = 1.0,
                 scale: float = 0.01, norm: str = "rms") -> None:
        super().__init__()
        if choices and sum(choices) != inp.actions:
            raise StemmaError(f"choices of {', '.join(map(str, choices))} are {sum(choices)} numbers, and an action "
                              f"has {inp.actions} here")
        self.choices, self.mix, self.least, self.most = tuple(choices), mix, least, most
        self.net = topped(sum(inp.channels), units, layers, inp.actions * (1 if choices else 2), scale, norm)

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N P"]:
        """What the distribution is told by: logits of choices, or means and raw deviations."""
        said: Tensor = self.net(x)
        return said

    def _groups(self, said: Tensor) -> list[Tensor]:
        """Log probabilities of each group of choices."""
        out = []
        for x in said.split(self.choices, -1):
            out.append(((1 - self.mix) * shares(x) + self.mix / x.shape[-1]).log() if self.mix else shares(x, log=True))
        return out

    def _normal(self, said: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = said.chunk(2, -1)
        return mean.tanh(), (self.most - self.least) * (raw + 2).sigmoid() + self.least

    def sample(self, said: Float[Tensor, "N P"]) -> Float[Tensor, "N A"]:
        """Actions: one-hot groups, or numbers that may lie beyond -1..1, through which gradients flow."""
        if not self.choices:
            mean, std = self._normal(said)
            return mean + std * torch.randn_like(std)
        return torch.cat([one_hot(chosen(x.exp()), x) for x in self._groups(said.detach())], -1)

    def log_prob(self, said: Float[Tensor, "N P"], action: Float[Tensor, "N A"]) -> Float[Tensor, " N"]:
        if self.choices:
            return (torch.cat(self._groups(said), -1) * action).sum(-1)
        mean, std = self._normal(said)
        return (-0.5 * ((action - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)).sum(-1)

    def spreads(self) -> tuple[float, float]:
        """The entropies between which an actor's lies: (surest, by chance), in nats."""
        if self.choices:
            return 0.0, sum(math.log(n) for n in self.choices)
        last: Any = self.net[-1]
        numbers, whole = int(last.out_features) // 2, 0.5 * math.log(2 * math.pi) + 0.5
        return numbers * (math.log(self.least) + whole), numbers * (math.log(self.most) + whole)

    def entropy(self, said: Float[Tensor, "N P"]) -> Float[Tensor, " N"]:
        if self.choices:
            return torch.stack([-(x.exp() * x).sum(-1) for x in self._groups(said)]).sum(0)
        return (self._normal(said)[1].log() + 0.5 * math.log(2 * math.pi) + 0.5).sum(-1)


class Worths(nn.Module):
    """What each of `choices` is worth from the belief's parts `reads`, as its symlog, which begins at 0. Of several
    groups it is the sum of what is taken in each."""

    def __init__(self, inp: In, units: int = 1024, layers: int = 3, reads: tuple[str, ...] = ("deter",),
                 choices: tuple[int, ...] = (), norm: str = "rms") -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.net = topped(sum(inp.channels), units, layers, inp.actions, 0.0, norm)

    def forward(self, x: Float[Tensor, "... F"]) -> Float[Tensor, "... A"]:
        said: Tensor = self.net(x)
        return said

    def best(self, said: Float[Tensor, "... A"]) -> Float[Tensor, "... A"]:
        """The choice of each group that is worth most, as one-hot numbers."""
        return torch.cat([one_hot(x.argmax(-1), x) for x in said.detach().split(self.choices, -1)], -1)

    def of(self, said: Float[Tensor, "... A"], action: Float[Tensor, "... A"]) -> Tensor:
        """What was said of the choices that were taken."""
        return (said * action).sum(-1)


class Shadow(nn.Module):
    """A slow copy of a net: its weights, as buffers, follow by `rate` at each `follow`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        for name, p in net.named_parameters():
            self.register_buffer(name.replace(".", "/"), p.detach().clone())

    def forward(self, net: nn.Module, x: Tensor) -> Tensor:
        """What the copy says of `x`; `net` lends its shape."""
        own = {k.replace("/", "."): v for k, v in self.named_buffers()}
        said: Tensor = torch.func.functional_call(net, own, (x,))
        return said

    @torch.no_grad()
    def follow(self, net: nn.Module, rate: float) -> None:
        torch._foreach_lerp_(list(self.buffers()), [p.detach() for p in net.parameters()], rate)


class Scale(nn.Module):
    """How far returns lie apart: the running 5th and 95th percentile, from 0 on and without a correction for that;
    what divides is never under `least` (sec. "Actor learning")."""

    low: Tensor
    high: Tensor

    def __init__(self, rate: float = 0.01, least: float = 1.0) -> None:
        super().__init__()
        self.rate, self.least = rate, least
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    @torch.no_grad()
    def forward(self, returns: Tensor, update: bool = True) -> Float[Tensor, ""]:
        if update:
            ends = torch.quantile(returns.float().flatten(), returns.new_tensor([0.05, 0.95]))
            self.low.lerp_(ends[0], self.rate)
            self.high.lerp_(ends[1], self.rate)
        return (self.high - self.low).clamp(min=self.least)


def lambda_returns(
    reward: Float[Tensor, "N L"], going: Float[Tensor, "N L"], value: Float[Tensor, "N L"], lam: float = 0.95,
    cut: Tensor | None = None,
) -> Float[Tensor, "N L-1"]:
    """R_t = r_{t+1} + g_{t+1} ((1 - lam) v_{t+1} + lam R_{t+1}), and R of the last step is its value.

    A reward and a `going` (chance of going on, discounted) belong to the step that they come with. Behind a step that
    is `cut` nothing of the sequence is looked at: its value stands for it.
    """
    trust = torch.full_like(going, lam) if cut is None else lam * (1 - cut.to(going.dtype))
    inner = reward[:, 1:] + going[:, 1:] * (1 - trust[:, 1:]) * value[:, 1:]
    keep = going[:, 1:] * trust[:, 1:]
    out: list[Any] = [value[:, -1]]
    for t in reversed(range(inner.shape[1])):
        out.append(inner[:, t] + keep[:, t] * out[-1])
    return torch.stack(out[:0:-1], 1)


def ends_of(batch: dict[str, Tensor]) -> Bool[Tensor, "B T"]:
    """Which steps of sequences are the last of an episode: it failed there, or another begins behind it."""
    first = batch["first"]
    return torch.cat([first[:, 1:], torch.zeros_like(first[:, :1])], 1) | batch["terminal"].bool()


def accounted(returns: Float[Tensor, "N L"], value: Float[Tensor, "N L"], spread: Float[Tensor, "N L"],
              scale: tuple[Tensor, Tensor], spreads: tuple[float, float]) -> dict[str, Tensor]:
    """What dreams came to, for the record alone, as the authors' code has it: "entropy" of the actor, and its place
    between the surest one and chance ("randomness", 0..1); mean "return" on the running scale (where it begins, how
    wide it is), and how often that is 1 or more ("return_rate"); mean size of the "advantage"."""
    (low, wide), (least, most) = scale, spreads
    scaled = (returns - low) / wide
    return {k: v.detach().float().mean() for k, v in (
        ("entropy", spread), ("randomness", (spread - least) / (most - least)), ("return", scaled),
        ("return_rate", (scaled.abs() >= 1).float()), ("advantage", ((returns - value) / wide).abs()))}


__all__ = ["Policy", "Scale", "Shadow", "Worths", "accounted", "ends_of", "lambda_returns"]
