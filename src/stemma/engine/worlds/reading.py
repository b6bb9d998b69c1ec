"""What an agent that reads is asked: how well it foresees the next token, with its memory and without, beside counts of
words; and how it would go on.

Axes: B lives, T steps, V tokens.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...data.worlds import envs
from ...parts.worlds.dynamics import at

SMOOTH = 0.1  # what is added to each count
DRAWS = 32  # of what is foreseen, over which a token's probability is the mean
READ, CONTINUED = 50, 10  # tokens that are read, and that are then continued


def reads(model: nn.Module, lived: list[envs.Episode]) -> bool:
    """Whether a model says tokens by their numbers, and some are said where it lived."""
    m: Any = model
    return "token" in m.heads and "token" in lived[0]


def gathered(model: nn.Module, lived: list[envs.Episode]) -> tuple[dict[str, Tensor], Tensor]:
    """Lives as one batch, padded behind with their last step, and which steps are theirs [B, T]."""
    m: Any = model
    device = next(model.parameters()).device
    most = max(len(e["reward"]) for e in lived)
    names = [k for k in (*m.senses, "action", "first") if k in lived[0]]
    batch = {k: torch.from_numpy(np.stack([np.concatenate([e[k], np.repeat(e[k][-1:], most - len(e[k]), 0)])
                                           for e in lived])).to(device) for k in names}
    own = torch.tensor([len(e["reward"]) for e in lived], device=device)[:, None] > torch.arange(most, device=device)
    return batch, own


@torch.no_grad()
def surprise(model: nn.Module, batch: dict[str, Tensor], remember: bool = True, draws: int = DRAWS) -> Tensor:
    """-ln of the probability of each token after the first, [B, T - 1], foreseen one step before it is seen: from all
    that was lived, or, with `remember` False, from the one step before it.

    What is foreseen is a mixture over the belief's drawn part; its probability is the mean over `draws`. The authors'
    report takes one, which is nearer to how well a single guess does, and more: a bound from above.
    """
    m: Any = model
    if not remember:  # every pair of steps is a life of its own
        b, t = batch["first"].shape
        pairs = {k: torch.stack([v[:, :-1], v[:, 1:]], 2).flatten(0, 1) for k, v in batch.items()}
        pairs["first"] = torch.tensor([True, False], device=batch["first"].device).expand(b * (t - 1), 2)
        return surprise(model, pairs, draws=draws).view(b, t - 1)
    _, priors = m.dynamics.observe(m.encode(batch), batch["action"], batch["first"])
    ahead, truth = at(priors, slice(1, None)), batch["token"][:, 1:, None].long()
    chance = torch.zeros(truth.shape[:2], device=truth.device)
    for _ in range(draws):
        drawn = ahead | {"stoch": m.dynamics.drawn(ahead)}
        chance += m.said("token", drawn).gather(-1, truth)[..., 0] / draws
    return -chance.clamp(min=1e-30).log()


def counted(known: list[np.ndarray], held: list[np.ndarray], size: int) -> tuple[float, float]:
    """Nats a token of `held` by how often each was `known`, alone and after the one before it, each count of V and of V
    x V more by `SMOOTH`."""
    alone, pairs = np.full(size, SMOOTH), np.full((size, size), SMOOTH, np.float32)
    for x in known:
        np.add.at(alone, x[1:], 1)
        np.add.at(pairs, (x[:-1], x[1:]), 1)
    one, two = np.log(alone / alone.sum()), np.log(pairs / pairs.sum(1, keepdims=True))
    n = sum(len(x) - 1 for x in held)
    return (-float(sum(one[x[1:]].sum() for x in held)) / n, -float(sum(two[x[:-1], x[1:]].sum() for x in held)) / n)


def foretold(model: nn.Module, held: list[envs.Episode], known: list[np.ndarray]) -> dict[str, float]:
    """Nats a token of lives that nothing was learned from: "nats" and "perplexity" with the whole life remembered,
    "forgetful" with one step, "unigram" and "bigram" of the tokens that are `known` (lives [T])."""
    m: Any = model
    torch.manual_seed(0)
    batch, own = gathered(model, held)
    own = own[:, 1:]
    whole, short = (float((surprise(model, batch, r) * own).sum() / own.sum()) for r in (True, False))
    size = next(s.width for s in m.spec.senses if s.channel == "token")
    unigram, bigram = counted(known, [e["token"] for e in held], size) if size <= 4096 else (math.nan, math.nan)
    return {"nats": whole, "perplexity": math.exp(whole), "forgetful": short, "unigram": unigram, "bigram": bigram,
            "tokens": int(own.sum())}


@torch.no_grad()
def continued(model: nn.Module, lived: envs.Episode, words: tuple[str, ...], read: int = READ,
              steps: int = CONTINUED) -> dict[str, str]:
    """A life's first `read` tokens are seen; what comes is dreamt with what was done there, a token drawn a step.
    {"read", "continued", "said"}: what was read, what the model says then, and what was said then."""
    m: Any = model
    batch, _ = gathered(model, [lived])
    read = min(read, batch["first"].shape[1] - 1)
    posts, _ = m.dynamics.observe(m.encode({k: v[:, :read] for k, v in batch.items()}), batch["action"][:, :read],
                                  batch["first"][:, :read])
    ahead = m.dynamics.imagine(batch["action"][:, read : read + steps], at(posts, -1))
    drawn = torch.multinomial(m.said("token", ahead)[0], 1)[:, 0].cpu().numpy()
    told = lambda tokens: " ".join(words[int(t)] or "_" for t in tokens)
    return {"read": told(lived["token"][:read]), "continued": told(drawn),
            "said": told(lived["token"][read : read + len(drawn)])}


__all__ = ["continued", "counted", "foretold", "gathered", "reads", "surprise"]
