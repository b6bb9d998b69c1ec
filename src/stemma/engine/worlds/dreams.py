"""Living in what a world model foresees: many rollouts at once for evolution,
or one at a time as a gymnasium environment.

    returns, lengths, ended = rollouts(model, weights, starts, each=16, horizon=1000, temperature=1.15)
    env = dream_env(model, codes, temperature=1.15)        reset() and step(action), as any environment

Axes: P controllers, R dreams of each, N stored beginnings, W weights of a controller.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.types import StemmaError
from ...parts.worlds.dynamics import State
from ...parts.worlds.plan import Controller

LOOK = 16  # steps between two looks at which dreams still go on


@dataclass(frozen=True)
class Dreamt:
    """What rollouts came to, each [P, R]: predicted rewards summed, steps lived, and whether they ended in failure."""

    returns: Tensor
    lengths: Tensor
    ended: Tensor


def beginnings(model: nn.Module, replay: Any, device: str, most: int = 1024) -> Tensor:
    """Codes [N, E] of the first frames that are held."""
    m: Any = model
    n = replay.steps
    rows = np.flatnonzero(replay.arrays["first"][:n])
    rows = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]
    seen = {k: torch.from_numpy(replay.arrays[k][rows]).to(device) for k in (*m.senses, "first") if k in replay.arrays}
    with torch.no_grad():
        return torch.cat([m.encode({k: v[i : i + 256] for k, v in seen.items()}) for i in range(0, len(rows), 256)])


def begin(model: nn.Module, codes: Tensor) -> State:
    """Beliefs that have seen the first frames of which `codes` are the codes."""
    m: Any = model
    first = torch.ones(len(codes), dtype=torch.bool, device=codes.device)
    state = m.dynamics.initial(codes, len(codes))
    post, _ = m.dynamics.step(state, codes.new_zeros(len(codes), m.classes), codes, first)
    return {k: post[k] for k in state}


def told(model: nn.Module, state: State, sampled: bool) -> tuple[Tensor | float, Tensor | None]:
    """(reward, whether it ended) of dreamt steps; a model without a reward head counts one point a step.

    sampled: an end comes with its probability; otherwise where its logit is above 0, as World Models' code has it.
    """
    m: Any = model
    reward = m.said("reward", state) if "reward" in m.heads else 1.0
    if "terminal" not in m.heads:
        return reward, None
    if sampled:
        chance = m.said("terminal", state)
        return reward, torch.rand_like(chance) < chance
    head = next(h for h in m.spec.heads if h.channel == "terminal")
    return reward, m.heads["terminal"](m.read(head, state)) > 0


@torch.no_grad()
def rollouts(
    model: nn.Module, weights: Tensor, codes: Tensor, each: int = 16, horizon: int = 1000, temperature: float = 1.0,
    sampled: bool = True, choose: Any = None,
) -> Dreamt:
    """`each` dreams of every controller in `weights` [P, W], from beginnings drawn among `codes`, all in one batch.

    Every controller has the same beginnings. Dreams that have ended leave the batch. `choose(state)` acts in the place
    of the controllers.
    """
    m: Any = model
    actor: Controller | None = m.actor
    if actor is None and choose is None:
        raise StemmaError("this model plans, and has no controller to evolve")
    p, device = len(weights), codes.device
    drawn = torch.randint(len(codes), (each,), device=device).repeat(p)
    state = begin(m, codes[drawn])
    mine = weights.to(codes).repeat_interleave(each, 0) if p > 1 else weights.to(codes)
    row = torch.arange(p * each, device=device)
    total = torch.zeros(p * each, device=device)
    length, ended = torch.zeros_like(total), torch.zeros(p * each, dtype=torch.bool, device=device)
    value, lived, over = torch.zeros_like(total), torch.zeros_like(total), torch.zeros_like(ended)
    whole = weights.to(codes)
    for t in range(horizon):
        action = choose(state) if choose is not None else actor.many(state, whole)  # type: ignore[union-attr]
        moved = m.dynamics.prior(state, action, temperature)
        state = {k: moved[k] for k in state}
        reward, end = told(m, state, sampled)
        on = (~over).to(value.dtype)
        value, lived = value + reward * on, lived + on
        if end is not None:
            over = over | end
            if t % LOOK == LOOK - 1 or t == horizon - 1:
                left = int((~over).sum())
                if left < 0.75 * len(over) or t == horizon - 1:
                    total[row], length[row], ended[row] = value, lived, over
                    keep = (~over).nonzero()[:, 0]
                    if not left:
                        break
                    row, value, lived, over = row[keep], value[keep], lived[keep], over[keep]
                    state = {k: v[keep] for k, v in state.items()}
                    whole = mine[row] if p > 1 else mine
    total[row], length[row], ended[row] = value, lived, over
    return Dreamt(total.view(p, each), length.view(p, each), ended.view(p, each))


def dream_env(model: nn.Module, codes: Tensor, temperature: float = 1.0, horizon: int = 1000,
              sampled: bool = True) -> Any:
    """The dream as a gymnasium environment: what is observed is the belief's features;
    `render` draws what it stands for."""
    import gymnasium
    from gymnasium import spaces

    m: Any = model
    if temperature < 0:
        raise StemmaError(f"a dream's temperature is 0 or more, not {temperature}")

    class Dream(gymnasium.Env):
        observation_space: Any = spaces.Box(-np.inf, np.inf, (m.dynamics.out.channels[0],), np.float32)
        action_space: Any = spaces.Box(-1.0, 1.0, (m.classes,), np.float32)

        def _features(self) -> np.ndarray:
            features: np.ndarray = m.dynamics.features(self.state)[0].float().cpu().numpy()
            return features

        @torch.no_grad()
        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            torch.manual_seed(int(self.np_random.integers(1 << 31)))
            i = int(torch.randint(len(codes), (1,)))
            self.state, self.taken = begin(m, codes[i : i + 1]), 0
            return self._features(), {}

        @torch.no_grad()
        def step(self, action: np.ndarray) -> Any:
            a = torch.as_tensor(np.clip(action, -1, 1), dtype=codes.dtype, device=codes.device)[None]
            moved = m.dynamics.prior(self.state, a, temperature)
            self.state = {k: moved[k] for k in self.state}
            reward, end = told(m, self.state, sampled)
            self.taken += 1
            return self._features(), float(reward), bool(end) if end is not None else False, self.taken >= horizon, {}

        @torch.no_grad()
        def render(self) -> Any:
            return m.spec.pixels.back(m.said("image", self.state))[0].cpu().numpy()

    return Dream()


__all__ = ["Dreamt", "beginnings", "begin", "dream_env", "rollouts", "told"]
