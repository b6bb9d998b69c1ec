"""Atari games as DreamerV3's code plays them (embodied/envs/atari.py and configs.yaml, env.atari and env.atari100k).

    atari:pong         all eighteen choices, of which one in four is taken a frame late (sticky)
    atari100k:pong     the choices that the game needs, none late

A decision lasts four frames; what is seen is the larger of the last two at each pixel, since games draw some things
every second frame. A game begins after 0 to 30 frames in which nothing is done, ends when it is over, not with a life,
and after 108,000 frames at most. A game is called as in the Arcade Learning Environment, in words of any spelling.
"""
from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from ...core.types import StemmaError

REPEAT, IDLE, FRAMES = 4, 30, 108_000
KINDS: dict[str, dict[str, Any]] = {
    "atari": {"repeat_action_probability": 0.25, "full_action_space": True},
    "atari100k": {"repeat_action_probability": 0.0, "full_action_space": False}}
PREFIXES = tuple(f"{kind}:" for kind in KINDS)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def made(name: str) -> Any:
    """The environment that `atari:GAME` or `atari100k:GAME` names. Raises `StemmaError` for an unknown game."""
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    kind, _, game = name.partition(":")
    games = {_plain(i.removeprefix("ALE/").rpartition("-v")[0]): i for i in gymnasium.registry if i.startswith("ALE/")}
    if (key := _plain(game)) not in games:
        near = difflib.get_close_matches(key, games, 3, 0.6)
        raise StemmaError(f"there is no game '{game}' among the {len(games)} of the Arcade Learning Environment"
                          + (f"; did you mean {' or '.join(near)}?" if near else ""))

    class Game(gymnasium.Wrapper[Any, Any, Any, Any]):
        """Four frames a decision, the last two of them in one picture."""

        repeat = REPEAT

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            seen, info = self.env.reset(seed=seed, options=options)
            for _ in range(int(self.env.unwrapped.np_random.integers(IDLE + 1))):
                seen, _, over, cut, info = self.env.step(0)
                if over or cut:
                    seen, info = self.env.reset()
            return seen, info

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            total, seen = 0.0, []
            for frame in range(REPEAT):
                picture, reward, over, cut, info = self.env.step(action)
                total += float(reward)
                seen += [picture] * (frame >= REPEAT - 2)
                if over or cut:
                    break
            return np.max(seen or [picture], 0), total, over, cut, info

    return Game(gymnasium.make(games[key], frameskip=1, max_num_frames_per_episode=FRAMES, disable_env_checker=True,
                               render_mode="rgb_array", **KINDS[kind]))


__all__ = ["FRAMES", "IDLE", "KINDS", "PREFIXES", "REPEAT", "made"]
