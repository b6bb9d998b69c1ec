"""A world model in which an actor and its critic learn: dreams begin at every belief of a batch, and one sum of losses
trains all of it (DreamerV3, arXiv 2301.04104).

Axes: B sequences, T steps, N = B T beliefs, H steps of a dream, L = H + 1, F features, A numbers of an action.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.part import Count, In, Part
from ..core.types import Losses, StemmaError
from ..parts.worlds.acting import Scale, Shadow, accounted, ends_of, lambda_returns
from ..parts.worlds.dynamics import State, flat
from ..parts.worlds.latents import kept, unkept
from ..parts.worlds.normed import TwoHotHead
from ..parts.worlds.plan import Lookahead
from .world import Episodes, World, WorldModel


@dataclass(frozen=True)
class Behaviour:
    """How the actor and the critic learn from dreams.

    horizon: steps of a dream      lam: of the lambda-returns      entropy: its bonus to the actor
    shadow: how fast the slow critic follows; pull: how much the critic is drawn to it; slow: whether returns look at it
    rate, least: of the returns' scale      replay: weight of the critic's loss on what was lived
    through: continuous actors learn by gradients through the dream, and not by REINFORCE (the first version)
    """

    horizon: Count = 15
    lam: float = 0.95
    entropy: float = 3e-4
    shadow: float = 0.02
    pull: float = 1.0
    slow: bool = False
    rate: float = 0.01
    least: float = 1.0
    replay: float = 0.3
    through: bool = False


@dataclass(frozen=True)
class Dreaming(World):
    """A `World` with a critic. `actor` is a policy whose distribution is learned; heads "reward" and "terminal" must be
    there. context: beliefs that were kept when an episode was lived begin its sequences. taken: which weights are taken
    over from a model that it starts from, a pattern of their names. looks: whether it searches when it acts. judged:
    which parts of the belief the critic reads; none: its features."""

    critic: Part[TwoHotHead]
    behaviour: Behaviour = Behaviour()
    looks: Lookahead = Lookahead()
    context: bool = True
    taken: str = ".*"
    judged: tuple[str, ...] = ()

    def build(self, actions: int) -> Dreamer:
        return Dreamer(self, actions)


class Dreamer(WorldModel):
    """The networks of a `Dreaming`."""

    def __init__(self, spec: Dreaming, actions: int) -> None:
        super().__init__(spec, actions)
        if {"reward", "terminal"} - set(self.heads) or self.actor is None:
            raise StemmaError("a dream is lived by an actor, and its model foresees reward and terminal")
        if not spec.senses:
            raise StemmaError("this agent sees nothing of the world: neither its numbers nor its pictures")
        self.spec: Any = spec
        self.critic: Any = spec.critic.build(In((self.width_of(spec.judged),), (1,)))
        self.shadow, self.scale = Shadow(self.critic), Scale(spec.behaviour.rate, spec.behaviour.least)
        self.context, self.taken = int(spec.context), spec.taken
        spec.looks.check()
        self.fresh: State = {}  # beliefs of the last batch, as they are kept

    # ------------------------------------------------------------ what is kept with episodes

    def kept(self, state: State) -> State:
        """Beliefs with any leading axes as they lie beside an episode (`latents.kept`)."""
        return kept(self.dynamics.latent, state)

    # ------------------------------------------------------------ learning

    def loss(self, batch: Episodes, only: str = ".*") -> Losses:
        """The world model's losses, then "actor", "critic" and "replay". A batch with kept beliefs has one step more in
        front, whose belief is where it begins."""
        before = None
        if "deter" in batch:
            state = {k: batch[k][:, 0] for k in ("deter", "stoch")}
            deter = state["deter"].float()
            before = self.dynamics.initial(deter, len(deter)) | unkept(self.dynamics.latent, state)
            batch = {k: v[:, 1:] for k, v in batch.items() if k not in state}
        losses, posts = self.understand(batch, only, before)
        self.fresh = self.kept(posts) if self.context else {}
        if re.search(only, "actor") or re.search(only, "critic"):
            losses |= {k: v for k, v in self.behave(batch, posts).items() if re.search(only, k)}
        return losses

    def dream(self, posts: State, steps: int | None = None, learned: bool = False) -> tuple[
            Float[Tensor, "N L F"], Float[Tensor, "N L A"], Float[Tensor, "N L P"]]:
        """Features along dreams of `steps` (the behaviour's horizon) from every belief, the belief itself first, what
        is done in each of them, and what the actor said; `learned`: with gradients to its weights."""
        actor, through = self.actor, self.spec.behaviour.through
        assert actor is not None
        steps = self.spec.behaviour.horizon if steps is None else steps
        state = {k: v.detach() for k, v in flat(posts).items()}
        features, actions, said = [], [], []
        for t in range(steps + 1):
            features.append(self.dynamics.features(state))
            with torch.set_grad_enabled(learned or torch.is_grad_enabled()):
                said.append(actor(self.of_actor({k: v.detach() for k, v in state.items()})))
            actions.append(actor.sample(said[-1]))
            if t < steps:
                moved = self.dynamics.prior(state, actions[-1])
                state = {k: moved[k] for k in state} if through else {k: moved[k].detach() for k in state}
        with torch.set_grad_enabled(learned or torch.is_grad_enabled()):
            return torch.stack(features, 1), torch.stack(actions, 1), torch.stack(said, 1)

    def of_actor(self, state: State) -> Tensor:
        """What of a belief the actor reads."""
        return torch.cat([state[k] for k in self.spec.actor["reads"]], -1)

    def behave(self, batch: Episodes, posts: State) -> Losses:
        """{"actor", "critic", "replay"}: what dreams teach, and what was lived teaches the critic."""
        b, h, actor = batch["first"].shape, self.spec.behaviour, self.actor
        assert actor is not None
        through = h.through and not self.spec.actor["choices"]
        learned = torch.is_grad_enabled()
        quiet = [p for m in (self.dynamics, self.heads) for p in m.parameters() if p.requires_grad]
        with torch.set_grad_enabled(through and learned):
            for p in quiet if through else ():  # gradients run through the dream and not into the model of the world
                p.requires_grad_(False)
            path, actions, policy = self.dream(posts, learned=learned)
            reward, end = self.foretold(path)
            for p in quiet if through else ():
                p.requires_grad_(True)
        still, done = path.detach(), actions.detach()
        said, shares, slow = self._judged(still.flatten(0, 1))
        judged = (slow if h.slow else self.critic.mean(said.detach(), shares[1])).view(still.shape[:2])
        felt = self._live(path) if through else judged
        returns = lambda_returns(reward, end, felt, h.lam)
        weight = (end.cumprod(1) / self._discount).detach()[:, :-1]
        scale = self.scale(returns.detach(), self.training)
        policy = policy.flatten(0, 1)
        gain = (returns - felt[:, :-1]) / scale
        if not through:
            chosen = actor.log_prob(policy, done.flatten(0, 1)).view(still.shape[:2])[:, :-1]
            gain = chosen * gain.detach()
        spread = actor.entropy(policy).view(still.shape[:2])[:, :-1]
        self.told = accounted(returns, judged[:, :-1], spread, (self.scale.low, scale), actor.spreads())
        losses = {"actor": -(weight * (gain + h.entropy * spread)).mean()}
        target = torch.cat([returns.detach(), torch.zeros_like(returns[:, :1])], 1).flatten()
        missed = self._missed(said, target, slow, shares)
        losses["critic"] = (weight * missed.view(still.shape[:2])[:, :-1]).mean()
        if h.replay and b[1] > 1:
            losses["replay"] = h.replay * self._lived(batch, posts, returns[:, 0].detach().view(b))
        return losses

    def _missed(self, said: Tensor, target: Tensor, slow: Tensor, shares: tuple[Tensor, Tensor]) -> Tensor:
        """The critic's loss on returns, and on what the slow critic says."""
        far, behind = self.critic.losses(said, torch.stack([target, slow]), shares)
        missed: Tensor = far + self.spec.behaviour.pull * behind
        return missed

    @property
    def _discount(self) -> float:
        head: Any = self.heads["terminal"]
        return 1.0 if head.inside else float(head.discount)

    def foretold(self, path: Float[Tensor, "N L F"]) -> tuple[Tensor, Tensor]:
        """(reward, weight of going on) of every step of a dream, each [N, L]."""
        nets, reads = self.nets, {h.channel: h.reads for h in self.spec.heads}
        of = {k: nets[k](self.part_of(path.flatten(0, 1), reads[k])) for k in ("reward", "terminal")}
        return (nets["reward"].mean(of["reward"]).view(path.shape[:2]),
                nets["terminal"].going(of["terminal"]).view(path.shape[:2]))

    def _live(self, path: Tensor) -> Tensor:
        """Values through which gradients reach the path, and no weight of the critic."""
        own = {k: v.detach() for k, v in self.critic.named_parameters()}
        said = torch.func.functional_call(self.critic, own, (self.part_of(path.flatten(0, 1), self.spec.judged),))
        value: Tensor = self.critic.mean(said).view(path.shape[:2])
        return value

    def value(self, features: Float[Tensor, "N F"]) -> Float[Tensor, " N"]:
        """What the critic says of beliefs."""
        said: Tensor = self.critic.mean(self.critic(self.part_of(features, self.spec.judged)))
        return said

    def _judged(self, features: Float[Tensor, "N F"]) -> tuple[Tensor, tuple[Tensor, Tensor], Float[Tensor, " N"]]:
        """(the bins that the critic says of beliefs, their `shares`, the mean of what the slow one says)."""
        x = self.part_of(features, self.spec.judged)
        said = self.critic(x)
        with torch.no_grad():
            return said, self.critic.shares(said), self.critic.mean(self.shadow(self.critic, x))

    def part_of(self, features: Float[Tensor, "N F"], reads: tuple[str, ...]) -> Float[Tensor, "N R"]:
        """What of a belief is read, from its features: all of them where `reads` names nothing."""
        state = self.parted(features) if reads else {}
        return torch.cat([state[k] for k in reads], -1) if reads else features

    def parted(self, features: Float[Tensor, "N F"]) -> State:
        """The belief that features were made of."""
        latent: Any = self.dynamics.latent
        stoch, deter = features.split((latent.width, features.shape[-1] - latent.width), -1)
        return {"stoch": stoch, "deter": deter}

    def _lived(self, batch: Episodes, posts: State, begun: Float[Tensor, "B T"]) -> Tensor:
        """The critic's loss on the rewards that came: lambda-returns along the batch, bootstrapped by what a dream from
        each step returns (`begun`). Gradients reach the world model. The last step of an episode is masked."""
        h, head = self.spec.behaviour, self.nets["terminal"]
        said, shares, slow = self._judged(self.dynamics.features(posts).flatten(0, 1))
        last = ends_of(batch)
        going = (1 - batch["terminal"].float()) * head.discount
        returns = lambda_returns(batch["reward"].float(), going, begun, h.lam, last)
        target = torch.cat([returns, torch.zeros_like(returns[:, :1])], 1).flatten()
        missed = self._missed(said, target, slow, shares).view(last.shape)
        return (missed * ~last)[:, :-1].mean()

    def updated(self) -> None:
        """The slow critic follows after each update."""
        self.shadow.follow(self.critic, self.spec.behaviour.shadow)

    # ------------------------------------------------------------ living

    def choose(self, state: State, noise: float) -> Float[Tensor, "B A"]:
        """Actions are drawn, and `noise` means nothing: the distribution is the actor's own."""
        actor = self.actor
        assert actor is not None
        drawn: Tensor = (self.spec.looks.decide(self, state) if self.spec.looks.ahead else
                         actor.sample(actor(self.of_actor(state))).clamp(-1, 1))
        return drawn


__all__ = ["Behaviour", "Dreamer", "Dreaming"]
