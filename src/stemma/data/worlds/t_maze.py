"""A T-maze: a sign is seen at its beginning, and after a corridor of so many steps one turns as it said or is wrong
(after Bakker 2001, of whom the walking is left out here: one is carried on, so that memory alone is asked for). Where
one has turned the sign is seen again, so that a memory can be asked for it whatever was done.

    t-maze:20        a corridor of 20 steps
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ...core.types import StemmaError
from .gym import check_senses

WIDTH, SIDES, MOST = 4, ("left", "right"), 10_000  # the sign's two numbers, the corridor, the junction


def length_of(name: str) -> int:
    """The steps of a name's corridor. Raises `StemmaError` for a name without a whole number of them."""
    told = name.partition(":")[2]
    if not told.isdigit() or not 1 <= int(told) <= MOST:
        raise StemmaError(f"'{name}' names no corridor; write t-maze:20 for one of 20 steps, 1 to {MOST}")
    return int(told)


def world(name: str, size: int, grey: bool, senses: tuple[str, ...]) -> Any:
    """The maze as a world of ours that shows "vector". What is done on the way has no effect; at its end the side that
    the sign told earns 1, the other -1. Raises `StemmaError` for another channel."""
    import gymnasium
    from gymnasium import spaces

    long = length_of(name)
    check_senses("a T-maze", senses, ("vector",))

    class Maze(gymnasium.Env):
        observation_space = spaces.Dict({"vector": spaces.Box(0.0, 1.0, (WIDTH,), np.float32)})
        action_space = spaces.Box(-1.0, 1.0, (len(SIDES),), np.float32)
        side = at = 0

        def _seen(self) -> dict[str, np.ndarray]:
            told = {0: self.side, long: 3, long + 1: self.side}.get(self.at, 2)
            return {"vector": np.eye(WIDTH, dtype=np.float32)[told]}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            self.side, self.at = int(self.np_random.integers(2)), 0
            return self._seen(), {}

        def step(self, action: np.ndarray) -> Any:
            self.at += 1
            if self.at <= long:
                return self._seen(), 0.0, False, False, {}
            return self._seen(), 1.0 if int(np.argmax(action)) == self.side else -1.0, True, False, {}

    return Maze()


__all__ = ["SIDES", "WIDTH", "length_of", "world"]
