"""LangRoom: a room in which one moves and speaks at once, and is asked what colour a thing has (arXiv 2308.01399; the
package `langroom`).

    langroom:answer-only, langroom:answer-and-echo, langroom:echo        what earns (the package's `task`)

A word a step is heard; the answer counts at the very step at which the room says it. An action is two choices, where to
go and which word to say: the token head that agents have there is the second of them.
"""
from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ...core.types import StemmaError
from .gym import check_senses, shrink

TASKS = ("answer-only", "answer-and-echo", "echo")
MOVES = ("stay", "down", "up", "right", "left")
LIMIT = 200


def vocabulary() -> tuple[str, ...]:
    """What is said and may be said, nothing first."""
    return tuple(importlib.import_module("langroom.langroom").VOCAB)


def actions() -> tuple[str, ...]:
    """The numbers of an action: where to go, then what to say."""
    return (*MOVES, *(f"say {w}" if w else "say nothing" for w in vocabulary()))


def task_of(name: str) -> str:
    """The task of a name. Raises `StemmaError` for one that there is not."""
    task = name.partition(":")[2]
    if task not in TASKS:
        raise StemmaError(f"no LangRoom of the task '{task}'; there are: {', '.join(TASKS)}")
    return task


def world(name: str, size: int, grey: bool, senses: tuple[str, ...]) -> Any:
    """The room as a world of ours that shows the channels of `senses`. Raises `StemmaError` for a task or a channel
    that there is not."""
    import gymnasium
    from gymnasium import spaces

    task, words = task_of(name), len(vocabulary())
    check_senses("LangRoom", senses, ("image", "token"))
    inner: Any = importlib.import_module("langroom").LangRoom(task=task, length=LIMIT)

    class Room(gymnasium.Env):
        observation_space = spaces.Dict({
            k: spaces.Box(0, 255, (size, size, 1 if grey else 3), np.uint8) if k == "image"
            else spaces.Box(0, words - 1, (), np.int32) for k in senses})
        action_space = spaces.Box(-1.0, 1.0, (len(MOVES) + words,), np.float32)

        def _seen(self, told: Any) -> dict[str, np.ndarray]:
            every = {"image": lambda: shrink(np.ascontiguousarray(told["image"]), size, grey),
                     "token": lambda: np.array(told["text"], np.int32)}
            return {k: every[k]() for k in senses}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            inner.rng = np.random.default_rng(int(self.np_random.integers(1 << 31)))
            return self._seen(inner.step({"move": 0, "talk": 0, "reset": True})), {}

        def step(self, action: np.ndarray) -> Any:
            move, talk = (int(np.argmax(x)) for x in np.split(np.asarray(action), [len(MOVES)]))
            told = inner.step({"move": move, "talk": talk, "reset": False})
            over = bool(told["is_terminal"])
            return self._seen(told), float(told["reward"]), over, bool(told["is_last"]) and not over, {}

        def render(self) -> Any:
            return inner.render().transpose(1, 0, 2)

    return Room()


__all__ = ["LIMIT", "MOVES", "TASKS", "actions", "task_of", "vocabulary", "world"]
