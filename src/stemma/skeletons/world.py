"""A world model as a value: what is seen becomes codes, codes a belief that moves with actions,
and heads say what the belief holds.

An episode is named channels: "image" uint8 [T, H, W, C] and any others that a sense or a head names, "action" [T, A],
"reward", "first", "terminal" [T]. A step's action and reward are those that led to it: step 0 has none, and `first`
set; the last step of an episode that ended by failure has `terminal` set. A batch is the same with an axis B in front;
its sequences may run from one episode into the next. A channel that it lacks is neither looked at (its code is 0) nor
told.

Axes: B sequences, T steps, A numbers of an action, E code, F features, J candidates, H horizon.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import In, Part
from ..core.types import Losses, StemmaError
from ..parts.worlds.dynamics import Dynamics, State
from ..parts.worlds.nets import Pixels
from ..parts.worlds.plan import CEM, Plan

Episodes = dict[str, Tensor]
Rolled = list[tuple[State, State, Tensor]]


@dataclass(frozen=True)
class Sense:
    """A channel that is looked at, by its encoder. Pictures come through `Pixels`; another channel's last axis has
    `width` numbers."""

    channel: str
    net: Part[Any]
    width: int = 0


@dataclass(frozen=True)
class Head:
    """A channel that is told from the belief: its net, its loss's weight, and which parts of the belief it reads (none
    named: the features). foreseen: weight of the same loss on beliefs that have not yet seen the step."""

    channel: str
    net: Part[Any]
    weight: float = 1.0
    reads: tuple[str, ...] = ()
    foreseen: float = 0.0


@runtime_checkable
class Rule(Protocol):
    """What holds what was seen against what was expected."""

    @property
    def distance(self) -> int: ...
    @property
    def ahead(self) -> bool: ...
    def __call__(self, dynamics: Dynamics, posts: State, priors: State, rolled: Rolled, first: Tensor) -> Losses: ...


@dataclass(frozen=True)
class World:
    """A world model, and who acts in it: a controller of few weights (a part), or a planner."""

    pixels: Pixels
    senses: tuple[Sense, ...]
    dynamics: Part[Dynamics]
    heads: tuple[Head, ...]
    rule: Rule
    actor: Part[Any] | CEM

    def build(self, actions: int) -> WorldModel:
        return WorldModel(self, actions)


class WorldModel(nn.Module):
    """The networks of a `World` for actions of `classes` numbers in -1..1."""

    context = 0  # steps before a sequence whose beliefs are kept with the episodes

    def __init__(self, spec: World, actions: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, actions
        self.told: dict[str, Tensor] = {}  # what the last loss says besides, for the record alone
        px = spec.pixels
        inputs = {s.channel: In((px.channels,), (1,), size=px.size) if s.channel == "image"
                  else In((s.width,), (1,), size=1) for s in spec.senses}
        self.senses = nn.ModuleDict({s.channel: s.net.build(inputs[s.channel]) for s in spec.senses})
        nets: Any = self.senses
        code = sum(int(net.out.channels[0]) for net in nets.values())
        self.dynamics = spec.dynamics.build(In((code,), (1,), actions=actions))
        widths = {k: v.shape[-1] for k, v in self.dynamics.initial(torch.zeros(1), 1).items()}
        if spec.rule.distance < 1 or spec.rule.ahead and spec.rule.distance < 2:
            raise StemmaError("observation overshooting (ahead) looks more than one step ahead: a distance of 2 or "
                              f"more, not {spec.rule.distance}")
        if isinstance(spec.actor, CEM):
            spec.actor.check()
        readers = {h.channel: h.reads for h in spec.heads} | {"critic": getattr(spec, "judged", ())} | (
            {"actor": spec.actor["reads"]} if isinstance(spec.actor, Part) else {})
        for who, reads in readers.items():
            if unknown := set(reads) - set(widths):
                raise StemmaError(f"{who} reads {', '.join(sorted(unknown))}, which this belief does not hold; it "
                                  f"holds {', '.join(widths)}")
        # what no head reads need not be worked out to learn
        self.brief = not {r for h in spec.heads for r in h.reads} & set(self.dynamics.spared)
        wide = self.width_of = lambda reads: sum(widths[r] for r in reads) if reads else self.dynamics.out.channels[0]
        told = {s.channel: s.width for s in spec.senses if s.width}
        self.heads = nn.ModuleDict({h.channel: h.net.build(In((wide(h.reads),), (1,), logits=told.get(
            h.channel, px.channels), size=px.size)) for h in spec.heads})
        self.actor = None
        if isinstance(spec.actor, Part):
            self.actor = spec.actor.build(In((wide(spec.actor["reads"]),), (1,), actions=actions))
        self.returns: Any = self.imagined_returns  # the planner's objective; may be replaced with a compiled one
        self.learn: Any = self.loss  # likewise

    @property
    def nets(self) -> Any:
        """The heads' nets by channel."""
        return self.heads

    # ------------------------------------------------------------ learning

    def values(self, channel: str, batch: Episodes) -> Tensor:
        """A channel as the networks read it."""
        return self.spec.pixels(batch["image"]) if channel == "image" else batch[channel].float()

    def encode(self, batch: Episodes, seen: dict[str, Tensor] | None = None) -> Float[Tensor, "... E"]:
        """Codes of every step; `seen` are channels that were read already."""
        codes, lead = [], batch["first"].shape
        nets: Any = self.senses
        for name, net in nets.items():
            if name not in batch:
                codes.append(torch.zeros(*lead, net.out.channels[0], device=batch["first"].device))
                continue
            x = (seen or {}).get(name)
            x = self.values(name, batch) if x is None else x
            codes.append(net(x.flatten(0, len(lead) - 1)).unflatten(0, lead))
        return torch.cat(codes, -1)

    def read(self, head: Head, state: State) -> Tensor:
        """The numbers of a belief that a head reads."""
        return torch.cat([state[r] for r in head.reads], -1) if head.reads else self.dynamics.features(state)

    def loss(self, batch: Episodes, only: str = ".*") -> Losses:
        """Whole sequences in one call: a loss for each head and those of the rule, of which the name matches `only`.

        A batch with a channel "code" has been encoded before (`encode`), and its pictures are not looked at.
        """
        return self.understand(batch, only)[0]

    def understand(self, batch: Episodes, only: str = ".*", before: State | None = None) -> tuple[Losses, State]:
        """The losses of `loss`, and the posteriors; `before` is the belief that came before the first step."""
        heads = [h for h in self.spec.heads if re.search(only, h.channel) and h.channel in batch]
        looked = () if "code" in batch else (c for c in self.senses if c in batch)
        names = dict.fromkeys([*(h.channel for h in heads), *looked])
        truth = {c: self.values(c, batch) for c in names}
        codes = batch["code"].float() if "code" in batch else self.encode(batch, truth)
        posts, priors = self.dynamics.observe(codes, batch["action"], batch["first"], before, self.brief)
        rule, far = self.spec.rule, self.spec.rule.distance
        rolled = self.dynamics.overshoot(posts, batch["action"], batch["first"], far) if far > 1 else []
        losses: Losses = {}
        for h in heads:
            errors = [self.error(h, posts, truth[h.channel]).mean()]
            if rule.ahead:  # observation overshooting: every head also tells what lies d steps ahead
                for state, _, mask in rolled:
                    d = self.error(h, state, truth[h.channel][:, -mask.shape[1]:])
                    errors.append((d * mask).sum() / mask.sum().clamp(min=1))
            losses[h.channel] = h.weight * torch.stack(errors).mean()
            if h.foreseen:
                told = ~batch["first"]
                early = (self.error(h, priors, truth[h.channel]) * told).sum() / told.sum().clamp(min=1)
                losses[h.channel] = losses[h.channel] + h.foreseen * early
        ruled = rule(self.dynamics, posts, priors, rolled, batch["first"])
        return losses | {k: v for k, v in ruled.items() if re.search(only, k)}, posts

    def updated(self) -> None:
        """What changes with an update besides what it learned: nothing here."""

    def error(self, head: Head, state: State, truth: Tensor) -> Float[Tensor, "B T"]:
        """What a head's answer for beliefs costs, step by step, beside the truth as `values` gives it; unweighted."""
        net, lead = self.nets[head.channel], truth.shape[:2]
        error: Tensor = net.loss(net(self.read(head, state).flatten(0, 1)), truth.flatten(0, 1))
        return error.view(*lead)

    # ------------------------------------------------------------ living

    def said(self, channel: str, state: State) -> Tensor:
        """What a head says of beliefs with any leading axes, in the channel's own units (a picture: the network's)."""
        net = self.nets[channel]
        x = self.read(next(h for h in self.spec.heads if h.channel == channel), state)
        out: Tensor = net.mean(net(x.flatten(0, -2)))
        return out.view(*x.shape[:-1], *out.shape[1:])

    def imagined_returns(self, state: State, action: Float[Tensor, "B J H A"]) -> Float[Tensor, "B J"]:
        """The predicted rewards of action sequences from each belief, summed."""
        b, j, h, _ = action.shape
        state = {k: v[:, None].expand(b, j, *v.shape[1:]).flatten(0, 1) for k, v in state.items()}
        head, net, read = next(x for x in self.spec.heads if x.channel == "reward"), self.nets["reward"], []
        for t in range(h):
            state = self.dynamics.prior(state, action[:, :, t].flatten(0, 1))
            read.append(self.read(head, state))
        told: Tensor = net.mean(net(torch.cat(read)))
        return told.view(h, b, j).sum(0)

    def plan(self, state: State) -> Plan:
        """What the planner finds from beliefs [B, ...]."""
        assert isinstance(self.spec.actor, CEM), "a controller does not plan"
        return self.spec.actor.search(lambda a: self.returns(state, a), state["stoch"],
                                      len(state["stoch"]), self.classes)

    @torch.no_grad()
    def act(self, seen: Episodes, carry: State | None = None, noise: float = 0.0) -> tuple[Float[Tensor, "B A"], State]:
        """(actions, what to carry on) of B worlds after one more observation: the senses' channels and "first" [B]."""
        code = self.encode(seen)
        carry = (self.dynamics.initial(code, len(code)) | {"action": code.new_zeros(len(code), self.classes)}
                 if carry is None else carry)
        past = {k: v for k, v in carry.items() if k != "action"}
        state, _ = self.dynamics.step(past, carry["action"], code, seen["first"])
        action = self.choose(state, noise)
        return action, {k: state[k] for k in past} | {"action": action}

    def choose(self, state: State, noise: float) -> Float[Tensor, "B A"]:
        """What is done from a belief: what is planned, or what the actor says, and normal `noise` on it."""
        action: Tensor = self.plan(state).mean[:, 0] if self.actor is None else self.actor(state)
        return (action + noise * torch.randn_like(action)).clamp(-1, 1) if noise else action.clamp(-1, 1)

    @torch.no_grad()
    def open_loop(self, batch: Episodes, context: int = 5, temperature: float = 1.0) -> State:
        """Beliefs of every step [B, T, ...]: the first `context` have seen, the rest only know what was done."""
        posts, _ = self.dynamics.observe(self.encode(batch), batch["action"], batch["first"])
        begin = {k: v[:, context - 1] for k, v in posts.items()}
        ahead = self.dynamics.imagine(batch["action"][:, context:], begin, temperature)
        return {k: torch.cat([posts[k][:, :context], v], 1) for k, v in ahead.items() if k in posts}


__all__ = ["Episodes", "Head", "Rolled", "Rule", "Sense", "World", "WorldModel"]
