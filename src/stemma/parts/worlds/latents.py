"""What a world model's hidden variable is distributed as: its numbers, a draw, a mean, a divergence. No weights.

Axes: `...` any leading axes (sequences, steps), D numbers of the latent, G groups, C classes.
A latent's statistics are a dict of named tensors, so that beliefs of every kind are carried about alike.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Stats = dict[str, Tensor]
FEW = 24  # classes


def chosen(weights: Float[Tensor, "... C"]) -> Tensor:
    """Which of C, drawn with chances in proportion to `weights`: one uniform number for each draw."""
    ends = weights.cumsum(-1)
    return (ends[..., :-1] <= torch.rand_like(ends[..., :1]) * ends[..., -1:]).sum(-1)


def one_hot(index: Tensor, like: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
    """`index` as ones among zeros, of `like`'s last axis and kind."""
    return torch.zeros_like(like).scatter_(-1, index[..., None], 1.0)


def shares(raw: Float[Tensor, "... C"], log: bool = False) -> Float[Tensor, "... C"]:
    """Softmax over the last axis, or its logarithm. A few classes are moved to the front for it: a CPU takes the last
    axis row by row, and the first for many rows at once, ten times as fast."""
    few = raw.shape[-1] < FEW and raw.device.type == "cpu"
    x = raw.movedim(-1, 0).contiguous() if few else raw
    axis = 0 if few else -1
    x = x.log_softmax(axis) if log else x.softmax(axis)
    return x.movedim(0, -1).contiguous() if few else x


def normal_kl(mean_q: Tensor, std_q: Tensor, mean_p: Tensor, std_p: Tensor) -> Tensor:
    """KL of one diagonal Gaussian from another, summed over the last axis."""
    ratio = (std_q / std_p).square()
    return 0.5 * (ratio + ((mean_q - mean_p) / std_p).square() - 1 - ratio.log()).sum(-1)


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian; standard deviations are softplus(x) + `least` (PlaNet).
    `noiseless`: a draw is the mean (its "mean only")."""

    size: int = 30
    least: float = 0.1
    noiseless: bool = False

    @property
    def width(self) -> int:
        return self.size

    @property
    def params(self) -> int:
        return 2 * self.size

    def stats(self, raw: Float[Tensor, "... 2D"]) -> Stats:
        mean, spread = raw.chunk(2, -1)
        return {"mean": mean, "std": F.softplus(spread) + self.least}

    def sample(self, s: Stats, temperature: float = 1.0) -> Float[Tensor, "... D"]:
        """A draw; its variance is multiplied with `temperature`."""
        return s["mean"] if self.noiseless else torch.addcmul(s["mean"], s["std"], torch.randn_like(s["std"]),
                                                              value=temperature**0.5)

    def mode(self, s: Stats) -> Float[Tensor, "... D"]:
        return s["mean"]

    def kl(self, q: Stats, p: Stats) -> Tensor:
        """KL(q || p) in nats, summed over the latent's numbers."""
        return normal_kl(q["mean"], q["std"], p["mean"], p["std"])

    def kl_standard(self, q: Stats) -> Tensor:
        """KL from N(0, 1)."""
        return 0.5 * (q["mean"].square() + q["std"].square() - 1 - 2 * q["std"].log()).sum(-1)


@dataclass(frozen=True)
class Categorical:
    """Groups of one-of-many variables (DreamerV2 and V3). `mix` of each probability is uniform; draws pass gradients
    straight through."""

    groups: int = 32
    classes: int = 32
    mix: float = 0.01

    @property
    def width(self) -> int:
        return self.groups * self.classes

    @property
    def params(self) -> int:
        return self.width

    def stats(self, raw: Float[Tensor, "... GC"]) -> Stats:
        p = shares(raw.unflatten(-1, (self.groups, self.classes)))
        return {"logits": ((1 - self.mix) * p + self.mix / self.classes).log()}

    def sample(self, s: Stats, temperature: float = 1.0) -> Float[Tensor, "... GC"]:
        """A draw as one-hot groups; the log probabilities are divided by `temperature`."""
        p = shares(s["logits"] / temperature) if temperature != 1 else s["logits"].exp()
        hot = one_hot(chosen(p.detach()), p)
        return (hot + p - p.detach() if p.requires_grad else hot).flatten(-2)

    def mode(self, s: Stats) -> Float[Tensor, "... GC"]:
        return one_hot(s["logits"].argmax(-1), s["logits"]).flatten(-2)

    def kl(self, q: Stats, p: Stats) -> Tensor:
        """KL(q || p) in nats, summed over the groups."""
        return (q["logits"].exp() * (q["logits"] - p["logits"])).sum((-2, -1))

    def kl_standard(self, q: Stats) -> Tensor:
        """KL from uniform classes."""
        return (q["logits"].exp() * (q["logits"] + math.log(self.classes))).sum((-2, -1))


Latent = Gaussian | Categorical


def kept(latent: object, state: Stats) -> Stats:
    """Beliefs with any leading axes as they lie beside an episode: "deter" as halves, "stoch" as the numbers of its
    classes, or as halves where it has none."""
    stoch = state["stoch"].detach()
    if isinstance(latent, Categorical):
        stoch = stoch.unflatten(-1, (latent.groups, latent.classes)).argmax(-1).to(torch.uint8)
    else:
        stoch = stoch.half()
    return {"deter": state["deter"].detach().half(), "stoch": stoch}


def unkept(latent: object, state: Stats) -> Stats:
    """Beliefs from what `kept` gave."""
    stoch = state["stoch"]
    if isinstance(latent, Categorical):
        stoch = F.one_hot(stoch.long(), latent.classes).flatten(-2)
    return {"deter": state["deter"].float(), "stoch": stoch.float()}


__all__ = ["Categorical", "Gaussian", "Latent", "Stats", "chosen", "kept", "normal_kl", "one_hot", "shares", "unkept"]
