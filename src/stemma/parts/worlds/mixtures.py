"""The mixture-density recurrent network of World Models: a long short-term memory that says,
of each number of the next code, a mixture.

Axes: B sequences, T steps, Z numbers of a code, K components, H units.
"""
from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from .by_hand import MixtureNLL, by_hand
from .dynamics import Dynamics, State, stacked
from .latents import Gaussian, chosen

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def mixture_nll(x: Float[Tensor, "... Z"], logit: Float[Tensor, "... K"], mean: Float[Tensor, "... Z K"],
                log_std: Float[Tensor, "... Z K"]) -> Tensor:
    """-ln of a mixture's density at `x`: number by number [..., Z] where `logit` is [..., Z, K], of all of them at once
    [...] where it is [..., K].

    `logit` need not be normalised. The components are moved to the front: a sum over a few last numbers is slow. Where
    a CPU learns, they already lie before the code's numbers (`MDNRNN.said`).
    """
    if logit.ndim == mean.ndim and mean.stride(-2) == 1 and by_hand(mean):
        out: Tensor = MixtureNLL.apply(x, *(v.mT for v in (logit, mean, log_std)))
        return out + HALF_LOG_TAU
    logit, mean, log_std = (v.movedim(-1, 0).contiguous() for v in (logit, mean, log_std))
    each = -0.5 * ((x - mean) * (-log_std).exp()).square() - log_std - HALF_LOG_TAU
    return logit.logsumexp(0) - (logit + (each if logit.ndim == each.ndim else each.sum(-1))).logsumexp(0)


def mixture_draw(
    logit: Float[Tensor, "... K"], mean: Float[Tensor, "... Z K"], log_std: Float[Tensor, "... Z K"],
    temperature: float = 1.0
) -> Float[Tensor, "... Z"]:
    """One draw of each number: component by softmax(logit / temperature), noise times sqrt(temperature). At 0 the
    likeliest component's mean.

    The component is each number's own where `logit` is [..., Z, K], and all numbers' where it is [..., K].
    """
    if temperature == 0:
        pick = logit.argmax(-1, keepdim=True)
    else:
        pick = chosen(((logit - logit.amax(-1, keepdim=True)) / temperature).exp())[..., None]
    pick = pick if logit.ndim == mean.ndim else pick[..., None, :].expand_as(mean[..., :1])
    centre = mean.gather(-1, pick)[..., 0]
    if temperature == 0:
        return centre
    std = log_std.gather(-1, pick)[..., 0].exp()
    return torch.addcmul(centre, std, torch.randn_like(std), value=temperature**0.5)


class MDNRNN(Dynamics):
    """World Models sec. 2.2 as a dynamics: remembered are h and c of one LSTM (one bias, as TensorFlow's),
    drawn is the code z.

    The encoder has said mean and log variance of z; the posterior is that alone, and the prior is the mixture that h
    implies. An episode's first step has h = c = 0. `restart`: the network is told besides whether the step it comes
    from was a first one. `joint` (not in the paper): one mixture over the whole code in place of one for each of its
    numbers, so that what begins in several at once begins or does not. `pedals`: of three numbers of an action the
    second is told as gas, (a + 1) / 2, and the third as brake, max(0, a), which is what the authors' record holds.
    """

    spared = ("cell",)

    def __init__(self, inp: In, hidden: int = 256, mixtures: int = 5, restart: bool = False,
                 joint: bool = False, pedals: bool = False) -> None:
        super().__init__()
        self.pedals = pedals and inp.actions == 3
        self.latent = Gaussian(inp.channels[0] // 2)
        self.hidden, self.mixtures, self.restart, self.joint = hidden, mixtures, restart, joint
        size = self.latent.size
        self.drive = nn.Linear(size + inp.actions + restart, 4 * hidden)
        with torch.no_grad():
            self.drive.bias[hidden : 2 * hidden] += 1  # to remember is the first guess, as in the authors' cell
        self.recur = nn.Linear(hidden, 4 * hidden, bias=False)
        self.mixture = nn.Linear(hidden, mixtures * (2 * size + (1 if joint else size)))
        self.out = In((size + hidden,), (1,), actions=inp.actions)

    def initial(self, like: Tensor, count: int) -> State:
        zeros = {"stoch": self.latent.size, "deter": self.hidden, "cell": self.hidden, "begun": 1}
        return {k: like.new_zeros(count, n) for k, n in zeros.items()}

    def _lstm(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = torch.addmm(x, h, self.recur.weight.mT).chunk(4, -1)
        c = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh())
        return o.sigmoid() * c.tanh(), c

    def _inputs(self, state: State, action: Tensor) -> Tensor:
        if self.pedals:
            steer, gas, brake = action.split(1, -1)
            action = torch.cat([steer, (gas + 1) / 2, brake.clamp(min=0)], -1)
        return torch.cat([state["stoch"], action, *([state["begun"]] if self.restart else [])], -1)

    def said(self, h: Float[Tensor, "... H"], learns: bool = False) -> State:
        """The mixture of the next code: "logit", "mean" and "log_std", each [..., Z, K];
        a joint one's "logit" is [..., K]. learns: as they lie best for `mixture_nll`, a component's numbers side by
        side."""
        k, z = self.mixtures, self.latent.size
        if learns and not self.joint:
            w, b = (v.unflatten(0, (3, z, k)).transpose(1, 2).flatten(0, 2) for v in self.mixture.parameters())
            parts = nn.functional.linear(h, w, b).unflatten(-1, (3, k, z)).unbind(-3)
            return {name: v.mT for name, v in zip(("logit", "mean", "log_std"), parts)}
        logit, rest = self.mixture(h).split([k if self.joint else z * k, 2 * z * k], -1)
        mean, log_std = rest.unflatten(-1, (2, z, k)).unbind(-3)
        logit = logit if self.joint else logit.unflatten(-1, (z, k))
        return {"logit": logit, "mean": mean, "log_std": log_std}

    def prior(self, state: State, action: Tensor, temperature: float = 1.0) -> State:
        h, c = self._lstm(self.drive(self._inputs(state, action)), state["deter"], state["cell"])
        said = self.said(h)
        z = mixture_draw(said["logit"], said["mean"], said["log_std"], temperature)
        return {"stoch": z, "deter": h, "cell": c, "begun": torch.zeros_like(state["begun"])}

    def posterior(self, prior: State, embed: Float[Tensor, "B 2Z"]) -> State:
        return prior | self._coded(embed)

    def _coded(self, embed: Tensor) -> State:
        """z anew from the code's mean and log variance."""
        mean, log_var = embed.chunk(2, -1)
        stats = {"mean": mean, "std": (0.5 * log_var).exp()}
        return {**stats, "stoch": self.latent.sample(stats)}

    def step(self, state: State, action: Tensor, embed: Tensor, first: Tensor) -> tuple[State, State]:
        new = first.to(embed.dtype)[:, None]
        prior = self.prior({k: state[k] for k in ("stoch", "deter", "cell", "begun")}, action)
        prior = prior | {"deter": prior["deter"] * (1 - new), "cell": prior["cell"] * (1 - new), "begun": new}
        return self.posterior(prior, embed), prior

    def observe(self, embed: Tensor, action: Tensor, first: Tensor, state: State | None = None,
                brief: bool = False) -> tuple[State, State]:
        """As `Dynamics.observe`; all but the recurrence is worked out for the whole sequences. Priors are mixtures
        ("logit", "mean", "log_std"). brief: without the cell, and then torch's own recurrence does for a CPU."""
        state = self.initial(embed, len(embed)) if state is None else state
        coded, new = self._coded(embed), first.to(embed.dtype)[..., None]
        before = (torch.cat([state["stoch"][:, None], coded["stoch"][:, :-1]], 1),
                  torch.cat([state["begun"][:, None], new[:, :-1]], 1))
        x = self._inputs({"stoch": before[0], "begun": before[1]}, action)
        if brief and x.device.type == "cpu" and not torch.compiler.is_compiling():
            remembered = {"deter": self._whole(x, first, state) * (1 - new), "begun": new}
        else:
            remembered = {**self._unrolled(self.drive(x), 1 - new, state), "begun": new}
        return {**coded, **remembered}, {**self.said(remembered["deter"], by_hand(x)), **remembered}

    def _unrolled(self, driven: Float[Tensor, "B T 4H"], keep: Float[Tensor, "B T 1"], state: State) -> State:
        """Step by step: "deter" and "cell" [B, T, H]."""
        h, c, memory = state["deter"], state["cell"], []
        for x, on in zip(driven.unbind(1), keep.unbind(1)):
            h, c = self._lstm(x, h, c)
            h, c = h * on, c * on
            memory.append({"deter": h, "cell": c})
        return stacked(memory)

    def _whole(self, x: Float[Tensor, "B T I"], first: Tensor, state: State) -> Float[Tensor, "B T H"]:
        """"deter" by one call, whose sequences are the pieces between the steps at which the memory is emptied; at
        these themselves it is what would have come."""
        count, length = first.shape
        row, step = first[:, :-1].nonzero().unbind(1)
        rows = torch.cat([torch.arange(count), row])
        begin = torch.cat([torch.zeros(count, dtype=torch.long), step + 1])
        if len(row):
            x = x[rows[:, None], (begin[:, None] + torch.arange(length)).clamp(max=length - 1)]
        empty = x.new_zeros(1, len(row), self.hidden)
        carried = [torch.cat([state[k][None], empty], 1) for k in ("deter", "cell")]
        weights = [self.drive.weight, self.recur.weight, self.drive.bias, torch.zeros_like(self.drive.bias)]
        out: Tensor = torch.lstm(x, carried, weights, True, 1, 0.0, self.training, False, True)[0]
        if not len(row):
            return out
        passed = first.long().cumsum(1) - first.long()  # emptied so often before a step
        earlier = torch.cat([torch.zeros(1, dtype=torch.long), first[:, :-1].sum(1).cumsum(0)[:-1]])
        piece = torch.where(passed > 0, count + earlier[:, None] + passed - 1, torch.arange(count)[:, None])
        return out[piece, torch.arange(length) - begin[piece]]

    def features(self, state: State) -> Tensor:
        return torch.cat([state["stoch"], state["deter"]], -1)

    def divergence(self, post: State, prior: State) -> Tensor:
        """-ln of what was expected at the code that was seen, mean over its numbers (as the authors' code has it, and
        not their sum)."""
        nll = mixture_nll(post["stoch"], prior["logit"], prior["mean"], prior["log_std"])
        return nll / self.latent.size if self.joint else nll.mean(-1)


__all__ = ["MDNRNN", "mixture_draw", "mixture_nll"]
