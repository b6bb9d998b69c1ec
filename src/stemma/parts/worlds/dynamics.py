"""How a world model's belief moves: one interface for beliefs that remember, that are drawn, or both.

A belief is a dict of named tensors; "stoch" is the drawn part (here also where nothing is random), "deter" the
remembered one. An action is stored with the observation it led to, so step t goes from belief t - 1 by action t to
belief t.

    observe(embed, action, first)    beliefs that have seen (posteriors) and that were about to (priors),
                                     for whole sequences
    imagine(action, state)           beliefs along actions, nothing seen
    features(state)                  what heads and actors read

Axes: B sequences, T steps, D distances, E numbers of an embedded observation, A of an action, F of the features.
"""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...core.part import In, Part, part
from ...core.types import StemmaError
from .by_hand import GaussianSteps, by_hand
from .latents import Gaussian, Latent

State = dict[str, Tensor]


def stacked(states: list[State], axis: int = 1) -> State:
    """States of single steps as one state with an axis of time."""
    return {k: torch.stack([s[k] for s in states], axis) for k in states[0]}


def at(state: State, index: int | slice) -> State:
    """The state of a step, or of a stretch of steps, of sequences [B, T, ...]."""
    return {k: v[:, index] for k, v in state.items()}


def flat(state: State) -> State:
    """[B, T, ...] as [B T, ...]."""
    return {k: v.flatten(0, 1) for k, v in state.items()}


class Dynamics(nn.Module):
    """A belief's motion. A kind of dynamics gives `initial`, `prior` and `posterior` for one step;
    sequences are made of these."""

    out: In  # channels: the width of the features
    latent: Any  # what the drawn part is distributed as
    spared: tuple[str, ...] = ()  # parts of the belief that a brief observation may leave out

    def initial(self, like: Tensor, count: int) -> State:
        """The belief before anything was seen, `count` times, of the kind and place of `like`."""
        raise NotImplementedError

    def prior(self, state: State, action: Float[Tensor, "B A"], temperature: float = 1.0) -> State:
        """One step with closed eyes; `temperature` scales how random it is, 0 not at all."""
        raise NotImplementedError

    def posterior(self, prior: State, embed: Float[Tensor, "B E"]) -> State:
        """The belief `prior` after it has seen."""
        raise NotImplementedError

    def drawn(self, state: State) -> Tensor:
        """The drawn part of what was foreseen, drawn anew."""
        out: Tensor = self.latent.sample(state)
        return out

    def features(self, state: State) -> Float[Tensor, "... F"]:
        raise NotImplementedError

    def divergence(self, post: State, prior: State) -> Tensor:
        """How far what was seen is from what was expected, in nats."""
        raise NotImplementedError

    def step(self, state: State, action: Tensor, embed: Tensor, first: Tensor) -> tuple[State, State]:
        """(posterior, prior) of one step of B sequences; where `first`, the past and the action are forgotten."""
        keep = ~first
        state = {k: v * keep.view(-1, *[1] * (v.ndim - 1)) for k, v in state.items()}
        prior = self.prior(state, action * keep[:, None])
        return self.posterior(prior, embed), prior

    def observe(
        self, embed: Float[Tensor, "B T E"], action: Float[Tensor, "B T A"], first: Bool[Tensor, "B T"],
        state: State | None = None, brief: bool = False
    ) -> tuple[State, State]:
        """(posteriors, priors) of whole sequences, each [B, T, ...]; brief: without the parts that are `spared`."""
        state = self.initial(embed, len(embed)) if state is None else state
        posts, priors = [], []
        for t in range(embed.shape[1]):
            state, prior = self.step(state, action[:, t], embed[:, t], first[:, t])
            posts.append(state)
            priors.append(prior)
        return stacked(posts), stacked(priors)

    def imagine(self, action: Float[Tensor, "B T A"], state: State, temperature: float = 1.0) -> State:
        """Priors along `action`, each step from the one before."""
        states = []
        for t in range(action.shape[1]):
            state = self.prior(state, action[:, t], temperature)
            states.append(state)
        return stacked(states)

    def overshoot(
        self, posts: State, action: Float[Tensor, "B T A"], first: Bool[Tensor, "B T"], distance: int
    ) -> list[tuple[State, State, Bool[Tensor, "B S"]]]:
        """PlaNet eq. 6: for each distance d of 2..`distance`, beliefs rolled d steps with closed eyes from every
        posterior.

        Each entry is (priors, posteriors of the same steps, mask), over the T - d steps that have a posterior d steps
        earlier in the sequence. The mask is False where an episode began in between. All starts are rolled as one
        batch. Distance 1 is `observe`'s.
        """
        b, t = first.shape
        out: list[tuple[State, State, Tensor]] = []
        state = at(posts, slice(0, t - 1))  # belief at s; after d steps it speaks of s + d
        whole = torch.ones(b, t - 1, dtype=torch.bool, device=first.device)
        for d in range(1, min(distance, t - 1) + 1):
            state, whole = at(state, slice(0, t - d)), whole[:, : t - d] & ~first[:, d:]
            moved = self.prior(flat(state), action[:, d:].flatten(0, 1))
            state = {k: v.unflatten(0, (b, t - d)) for k, v in moved.items()}
            if d > 1:
                out.append((state, at(posts, slice(d, t)), whole))
        return out


def glorot(module: nn.Module) -> nn.Module:
    """Weights uniform by fan-in and fan-out, biases 0: what TensorFlow's dense layers begin with."""
    for m in module.modules():
        if isinstance(m, nn.Linear):
            nn.init.xavier_uniform_(m.weight)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return module


class GRUCell(nn.Module):
    """PlaNet's memory: a layer over the drawn part and the action, then a gated unit. (stoch, action, deter) -> deter.

    The gates are TensorFlow's: the reset gate acts on the memory before its matrix, and the gates' biases begin at 1.
    """

    def __init__(self, inp: In, size: int = 200, hidden: int = 200) -> None:
        super().__init__()
        self.size = size
        self.join = nn.Linear(inp.channels[0] + inp.actions, hidden)
        # reset, update, candidate; what other cells have as matrices over [x, h]
        self.of_x = nn.Linear(hidden, 3 * size)
        self.of_h = nn.Linear(size, 2 * size, bias=False)
        self.of_reset = nn.Linear(size, size, bias=False)
        glorot(self)
        gates, new = (6 / (hidden + 3 * size)) ** 0.5, (6 / (hidden + 2 * size)) ** 0.5
        with torch.no_grad():
            x, h, r = self.of_x.weight, self.of_h.weight, self.of_reset.weight
            for w, bound in ((x[: 2 * size], gates), (h, gates), (x[2 * size :], new), (r, new)):
                w.uniform_(-bound, bound)
            self.of_x.bias[: 2 * size].fill_(1.0)

    def forward(self, stoch: Float[Tensor, "B S"], action: Float[Tensor, "B A"],
                deter: Float[Tensor, "B H"]) -> Float[Tensor, "B H"]:
        gates, new = self.of_x(F.relu(self.join(torch.cat([stoch, action], -1)))).split((2 * self.size, self.size), -1)
        reset, update = torch.addmm(gates, deter, self.of_h.weight.mT).sigmoid().chunk(2, -1)
        new = torch.addmm(new, reset * deter, self.of_reset.weight.mT).tanh()
        return torch.lerp(new, deter, update)


class RSSM(Dynamics):
    """The recurrent state-space model (PlaNet sec. 3): memory h_t = f(h, s, a), prior p(s_t | h_t),
    posterior q(s_t | h_t, o_t).

    With a latent that is `noiseless` it is PlaNet's deterministic model, a plain recurrent network.
    `cell` is a part that maps (stoch, action, deter) to deter and tells its `size`. dropout: the chance with which a
    number of the memory is lost at a step (0 to under 1), when it learns and when it foresees alike, unless the
    temperature is 0: noise in proportion to what is remembered, of a strength that nothing learns.
    """

    dropout = 0.0

    def __init__(self, inp: In, latent: Latent = Gaussian(), cell: Part = part(GRUCell), hidden: int = 200,
                 dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise StemmaError(f"dynamics.dropout is a chance, 0 to under 1, not {dropout}")
        self.latent, self.dropout = latent, dropout
        self.cell: Any = cell.build(In((latent.width,), (1,), actions=inp.actions))
        self.size = int(self.cell.size)
        self.expect = nn.Sequential(nn.Linear(self.size, hidden), nn.ReLU(), nn.Linear(hidden, latent.params))
        # recall and see are one layer over both; its half that reads what is seen
        self.recall = nn.Linear(self.size, hidden)
        self.see = nn.Linear(inp.channels[0], hidden, bias=False)  # is worked out for a whole sequence at once
        self.judge: nn.Module = nn.Linear(hidden, latent.params)
        for m in (self.expect, self.recall, self.see, self.judge):
            glorot(m)
        self.out = In((latent.width + self.size,), (1,), actions=inp.actions)

    def initial(self, like: Tensor, count: int) -> State:
        stats = self.latent.stats(like.new_zeros(count, self.latent.params))
        return {**stats, "stoch": like.new_zeros(count, self.latent.width), "deter": like.new_zeros(count, self.size)}

    def prior(self, state: State, action: Tensor, temperature: float = 1.0) -> State:
        return self._foreseen(self._held(self.cell(state["stoch"], action, state["deter"]), temperature), temperature)

    def _held(self, deter: Tensor, temperature: float = 1.0) -> Tensor:
        """What stays of a memory."""
        return F.dropout(deter, self.dropout) if self.dropout and temperature else deter

    def _foreseen(self, deter: Tensor, temperature: float = 1.0, posts: State | None = None) -> State:
        """The prior that a memory implies, [..., H]; where it is learned from, `posts` are what was then seen."""
        stats = self.latent.stats(self.expect(deter))
        return {**stats, "stoch": self.latent.sample(stats, temperature), "deter": deter}

    def posterior(self, prior: State, embed: Tensor) -> State:
        return self._judged(prior["deter"], self.see(embed))

    def _judged(self, deter: Tensor, seen: Tensor) -> State:
        stats = self.latent.stats(self.judge(F.relu(self.recall(deter) + seen)))
        return {**stats, "stoch": self.latent.sample(stats), "deter": deter}

    def observe(self, embed: Tensor, action: Tensor, first: Tensor, state: State | None = None,
                brief: bool = False) -> tuple[State, State]:
        state = self.initial(embed, len(embed)) if state is None else state
        keep = (~first).to(embed.dtype)[..., None]
        if self.plain and by_hand(embed):
            post = self._by_hand(embed, action * keep, keep, state)
            return post, self._foreseen(post["deter"], posts=post)
        cell, told = getattr(self.cell, "ready", lambda did: (self.cell, did))(action * keep)
        posts = []
        forgets = [True] * first.shape[1] if torch.compiler.is_compiling() else first.any(0).tolist()
        steps = zip(self.see(embed).unbind(1), told.unbind(1), keep.unbind(1), forgets)
        for seen, did, on, forget in steps:
            stoch, deter = (state[k] * on if forget else state[k] for k in ("stoch", "deter"))
            state = self._judged(self._held(cell(stoch, did, deter)), seen)
            posts.append(state)
        post = stacked(posts)
        return post, self._foreseen(post["deter"], posts=post)

    @property
    def plain(self) -> bool:
        """Whether it is PlaNet's own, for which `GaussianSteps` is written."""
        return ((type(self), type(self.cell), type(self.latent)) == (RSSM, GRUCell, Gaussian)
                and not self.latent.noiseless and not self.dropout)

    def _by_hand(self, embed: Tensor, action: Tensor, keep: Tensor, state: State) -> State:
        """The posteriors of `observe`."""
        cell, judge, latent = self.cell, self.judge, self.latent
        join = cell.join.weight.split((latent.width, action.shape[-1]), -1)
        forgets = (keep == 0).any(0)[:, 0].tolist()
        out = GaussianSteps.apply(
            F.linear(action, join[1], cell.join.bias), self.see(embed) + self.recall.bias, state["stoch"],
            state["deter"], keep, forgets, latent.least, join[0], cell.of_x.weight, cell.of_x.bias, cell.of_h.weight,
            cell.of_reset.weight, self.recall.weight, judge.weight, judge.bias)
        return dict(zip(("mean", "std", "stoch", "deter"), out))

    def features(self, state: State) -> Tensor:
        return torch.cat([state["stoch"], state["deter"]], -1)

    def divergence(self, post: State, prior: State) -> Tensor:
        nats: Tensor = self.latent.kl(post, prior)
        return nats


class SSM(Dynamics):
    """The state-space model without memory (PlaNet sec. 3, "SSM"): every number of the belief is drawn anew at each
    step."""

    def __init__(self, inp: In, latent: Latent = Gaussian(), hidden: int = 200) -> None:
        super().__init__()
        self.latent = latent
        n = latent.params
        self.move = nn.Sequential(nn.Linear(latent.width + inp.actions, hidden), nn.ReLU(), nn.Linear(hidden, n))
        self.judge = nn.Sequential(nn.Linear(n + inp.channels[0], hidden), nn.ReLU(), nn.Linear(hidden, n))
        glorot(self)
        self.out = In((latent.width,), (1,), actions=inp.actions)

    def initial(self, like: Tensor, count: int) -> State:
        return {**self.latent.stats(like.new_zeros(count, self.latent.params)),
                "stoch": like.new_zeros(count, self.latent.width)}

    def prior(self, state: State, action: Tensor, temperature: float = 1.0) -> State:
        stats = self.latent.stats(self.move(torch.cat([state["stoch"], action], -1)))
        return {**stats, "stoch": self.latent.sample(stats, temperature)}

    def posterior(self, prior: State, embed: Tensor) -> State:
        known = [v.flatten(v.ndim - 1 if k != "logits" else v.ndim - 2) for k, v in prior.items() if k != "stoch"]
        stats = self.latent.stats(self.judge(torch.cat([*known, embed], -1)))
        return {**stats, "stoch": self.latent.sample(stats)}

    def features(self, state: State) -> Tensor:
        return state["stoch"]

    def divergence(self, post: State, prior: State) -> Tensor:
        nats: Tensor = self.latent.kl(post, prior)
        return nats


__all__ = ["RSSM", "SSM", "Dynamics", "GRUCell", "State", "at", "flat", "glorot", "stacked"]
