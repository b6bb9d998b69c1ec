"""An agent that learns no model of its world: what each choice is worth is learned from what was lived alone, as in
R2D2 (Kapturowski et al., ICLR 2019). With the senses and the memory of those that foresee, it is what they are held
against.

Axes: B sequences, T steps, A numbers of an action.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.types import Losses, StemmaError
from ..parts.worlds.acting import Shadow, ends_of, lambda_returns
from ..parts.worlds.dynamics import Dynamics, State
from ..parts.worlds.latents import kept, unkept
from ..parts.worlds.nats import OneStep
from ..parts.worlds.nets import symexp, symlog
from .world import Episodes, Rolled, World, WorldModel


@dataclass(frozen=True)
class Unforeseen(OneStep):
    """The rule of who foresees nothing: there is nothing to hold against what was seen."""

    def __call__(self, dynamics: Dynamics, posts: State, priors: State, rolled: Rolled, first: Tensor) -> Losses:
        return {}


@dataclass(frozen=True)
class Playing(World):
    """A `World` without heads, whose `actor` says what each choice is worth (`acting.Worths`).

    discount: of returns, R2D2's
    lam: of the lambda-returns, which look five steps ahead in the mean, where R2D2's look five
    burn: steps of a sequence that only lead its memory in
    shadow: how fast the slow copy of the actor follows, which values what comes
    context: the memory that an episode was lived with begins its sequences
    taken: which weights are taken over from a model that it starts from, a pattern of their names
    """

    discount: float = 0.997
    lam: float = 0.8
    burn: int = 8
    shadow: float = 0.02
    context: bool = True
    taken: str = ".*"

    def build(self, actions: int) -> Player:
        return Player(self, actions)


class Player(WorldModel):
    """The networks of a `Playing`. Raises `StemmaError` where actions are not choices."""

    def __init__(self, spec: Playing, actions: int) -> None:
        super().__init__(spec, actions)
        if not spec.senses:
            raise StemmaError("this agent sees nothing of the world: neither its numbers nor its pictures")
        if self.actor is None or not self.actor.choices:
            raise StemmaError("this agent says what each choice is worth, and so lives where actions are choices alone")
        if spec.burn < 0:
            raise StemmaError(f"a memory is led in by 0 or more steps, not {spec.burn}")
        self.spec: Any = spec
        self.shadow, self.context, self.taken = Shadow(self.actor), int(spec.context), spec.taken
        self.fresh: State = {}  # beliefs of the last batch, as they are kept

    def kept(self, state: State) -> State:
        """Beliefs with any leading axes as they lie beside an episode (`latents.kept`)."""
        return kept(self.dynamics.latent, state)

    def _read(self, state: State) -> Tensor:
        return torch.cat([state[k] for k in self.spec.actor["reads"]], -1)

    def loss(self, batch: Episodes, only: str = ".*") -> Losses:
        """{"worth"}: half the squared error of the symlog of what the choices that were made are worth. Its target is
        double: the actor picks what would be done next, its slow copy values that. A batch with kept beliefs has one
        step more in front, whose belief is where it begins. The last step of an episode is masked."""
        before = None
        if "deter" in batch:
            before = unkept(self.dynamics.latent, {k: batch[k][:, 0] for k in ("deter", "stoch")})
            batch = {k: v[:, 1:] for k, v in batch.items() if k not in ("deter", "stoch")}
        posts, _ = self.dynamics.observe(self.encode(batch), batch["action"], batch["first"], before)
        self.fresh = self.kept(posts) if self.context else {}
        x, actor, last = self._read(posts), self.actor, ends_of(batch)
        assert actor is not None
        said = actor(x)
        with torch.no_grad():
            value = symexp(actor.of(self.shadow(actor, x), actor.best(said)))
            going = (1 - batch["terminal"].float()) * self.spec.discount
            target = symlog(lambda_returns(batch["reward"].float(), going, value, self.spec.lam, last))
        missed = 0.5 * (actor.of(said[:, :-1], batch["action"][:, 1:]) - target).square() * ~last[:, :-1]
        return {"worth": missed[:, min(self.spec.burn, missed.shape[1] - 1) :].mean()}

    def updated(self) -> None:
        """The slow copy follows after each update."""
        assert self.actor is not None
        self.shadow.follow(self.actor, self.spec.shadow)

    def choose(self, state: State, noise: float) -> Float[Tensor, "B A"]:
        """What is worth most, as one-hot numbers, and with the chance `noise` something else."""
        actor = self.actor
        assert actor is not None
        action: Tensor = actor.best(actor(self._read(state)))
        if not noise:
            return action
        other = actor.best(torch.rand_like(action))
        return torch.where(torch.rand(len(action), 1, device=action.device) < noise, other, action)


__all__ = ["Player", "Playing", "Unforeseen"]
