"""Any gymnasium environment that draws itself, by its id: `CartPole-v1`,
or `my_module:My-v0` for one that a module registers.

Actions are numbers in -1..1 here. A box of numbers is scaled to its bounds; of two or three choices one number is cut
into equal parts, and of more each has a number and the largest is taken.
"""
from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from ...core.types import StemmaError

_ID = re.compile(r"(?:[A-Za-z_][\w.]*:)?(?:[\w-]+/)?[A-Za-z][\w:.-]*-v\d+")
LIMIT = 1000  # decisions of an episode of an environment that names none
FEW = 3  # choices that one number is cut for


@dataclass(frozen=True)
class Foreign:
    """What is known of an environment once it has been made."""

    name: str
    actions: tuple[str, ...]
    act: Callable[[np.ndarray], Any]
    limit: int
    held: bool  # whether chance keeps a choice for some steps


def shrink(picture: np.ndarray, size: int, grey: bool, nearest: bool = False) -> np.ndarray:
    """A picture uint8 [H, W, 3] as [size, size, 1 or 3]: mean over areas, rounded, or of each cell the pixel in its
    middle."""
    from PIL import Image

    small = Image.fromarray(picture).resize((size, size), Image.Resampling.NEAREST if nearest
                                            else Image.Resampling.BOX)
    return np.asarray(small.convert("L"))[..., None] if grey else np.asarray(small)


def guarded(env: Any, name: str) -> Any:
    """The same environment, of which what it raises in `reset`, `step` and `render` is a `StemmaError` with its
    name."""
    def told(what: str, own: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(own)
        def call(*given: Any, **more: Any) -> Any:
            try:
                return own(*given, **more)
            except StemmaError:
                raise
            except Exception as error:  # whatever a person's own code raises
                at = traceback.extract_tb(error.__traceback__)[-1]
                said = " ".join(str(error).split())[:200]
                raise StemmaError(f"the environment '{name}' failed in its {what}() ({type(error).__name__}: {said}; "
                                  f"{at.filename}, line {at.lineno}); mend it, and a run that was saved continues with "
                                  "--resume") from error
        return call

    for what in ("reset", "step", "render"):
        setattr(env, what, told(what, getattr(env, what)))
    return env


def check_senses(world: str, senses: Iterable[str], shown: Sequence[str]) -> None:
    """Raises `StemmaError` where a channel is asked for that a world does not show."""
    if missing := [s for s in senses if s not in shown]:
        raise StemmaError(f"{world} shows no {missing[0]}; it shows {', '.join(shown) or 'nothing'}")


def is_id(name: str) -> bool:
    """Whether a name is spelled as gymnasium spells its ids."""
    return _ID.fullmatch(name) is not None


def made(name: str) -> Any:
    """The environment of an id, drawing itself. A module that the id names is found in the working folder too.

    Raises `StemmaError` where there is none, or it does not draw itself.
    """
    import gymnasium

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if ":" in name and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        env = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True)
    except Exception as error:  # the module of a person's own, and every package's own kinds
        raise StemmaError(f"the environment '{name}' cannot be made ({type(error).__name__}: "
                          f"{' '.join(str(error).split())[:200]}); an id is spelled as gymnasium knows it, MODULE:ID "
                          "where a module that can be imported registers it") from error
    modes = env.metadata.get("render_modes", ())
    if "rgb_array" not in modes:
        env.close()
        raise StemmaError(f"the environment '{name}' does not draw itself: its render modes are "
                          f"{', '.join(map(str, modes)) or 'none'}, and pictures come from 'rgb_array'")
    return env


@lru_cache(maxsize=64)
def look(name: str) -> Foreign:
    """What `name` is. Raises `StemmaError` as `made` does, and for actions that numbers cannot say."""
    env = guarded(made(name), name)
    try:
        env.reset(seed=0)
        picture = env.render()
        if (not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3
            or picture.shape[2] != 3):
            what = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
            raise StemmaError(f"the environment '{name}' draws {what}, and a picture is uint8 (height, width, 3)")
        names, act, choices = _actions(env.action_space, name)
        return Foreign(name, names, act, limit_of(env, name), choices)
    finally:
        env.close()


def limit_of(env: Any, name: str) -> int:
    """Decisions of an episode, at most: as its registration says, or the environment itself, or, of Atari's games, the
    frames of a game over those of a decision. One that says nothing is cut after `LIMIT`, which is said."""
    told = getattr(env.spec, "max_episode_steps", None) or getattr(env.unwrapped, "max_steps", None)
    how = getattr(env.spec, "kwargs", {})
    if told is None and (frames := how.get("max_num_frames_per_episode")):
        skipped = how.get("frameskip", 1)
        a_decision = int(skipped if isinstance(skipped, int) else skipped[0]) * getattr(env, "repeat", 1)
        told = -(-int(frames) // a_decision)
    if told is None:
        warnings.warn(f"the environment '{name}' does not say how long an episode lasts at most: it is cut after "
                      f"{LIMIT} decisions", stacklevel=3)
    return int(told or LIMIT)


def _actions(space: Any, name: str) -> tuple[tuple[str, ...], Callable[[np.ndarray], Any], bool]:
    """(names of the numbers, numbers -> the environment's own action, whether they are choices)."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        n, first = int(space.n), int(space.start)
        if n <= FEW:
            return ("choice",), lambda a: first + _part(float(a[0]), n), True
        return tuple(f"choice {i}" for i in range(n)), lambda a: first + int(np.argmax(a)), True
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        counts = np.full(space.shape, 2) if isinstance(space, spaces.MultiBinary) else np.asarray(space.nvec)
        shape, flat = counts.shape, [int(c) for c in counts.reshape(-1)]
        return (tuple(f"choice {i}" for i in range(len(flat))),
                lambda a: np.array([_part(float(x), c) for x, c in zip(a, flat)], space.dtype).reshape(shape), True)
    if isinstance(space, spaces.Box) and space.shape and np.issubdtype(space.dtype, np.floating):
        count = int(np.prod(space.shape))
        return tuple(f"action {i}" for i in range(count)) if count > 1 else ("action",), scaled_to(space), False
    raise StemmaError(f"the environment '{name}' takes actions of {type(space).__name__}; choices and boxes of numbers "
                      "can be said")


def scaled_to(space: Any) -> Callable[[np.ndarray], Any]:
    """Numbers in -1..1 as a box's own, between its bounds; where it has one alone, the two next to it, and where it has
    none, as they are."""
    low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
    below, above = np.isfinite(low), np.isfinite(high)
    low, high = (np.where(below, low, np.where(above, high - 2, -1.0)), np.where(above, high, np.where(below, low + 2,
                                                                                                       1.0)))

    def scaled(a: np.ndarray) -> np.ndarray:
        wide = low + (np.asarray(a, np.float64).reshape(low.shape) + 1) / 2 * (high - low)
        return np.asarray(np.clip(np.clip(wide, low, high).astype(space.dtype), space.low, space.high))

    return scaled


def _part(x: float, n: int) -> int:
    """Which of `n` equal parts of -1..1 a number lies in."""
    return min(max(int((x + 1) / 2 * n), 0), n - 1)


__all__ = ["LIMIT", "Foreign", "check_senses", "guarded", "is_id", "limit_of", "look", "made", "scaled_to", "shrink"]
