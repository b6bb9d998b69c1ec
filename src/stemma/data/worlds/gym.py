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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from ...core import interrupts
from ...core.types import StemmaError

_ID = re.compile(r"(?:[A-Za-z_][\w.]*:)?(?:[\w-]+/)?[A-Za-z][\w:.-]*-v\d+")
LIMIT = 1000  # decisions of an episode of an environment that names none
FEW = 3  # choices that one number is cut for
FAR = 1e9  # MuJoCo writes 1e10 where there is no bound
MANY = 256  # whole numbers between two bounds that are choices


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
    """The same environment, of which what it raises in `reset`, `step` and `render` is a `StemmaError` with its name,
    and so is a reward, or a number that it shows, that is none (NaN, infinity)."""
    def told(what: str, own: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(own)
        def call(*given: Any, **more: Any) -> Any:
            try:
                said = own(*given, **more)
                if what != "render":
                    _sound(name, said[0], said[1] if what == "step" else 0.0)
                return said
            except (StemmaError, interrupts.Ended):
                raise
            except (Exception, SystemExit) as error:  # whatever a person's own code raises
                at = traceback.extract_tb(error.__traceback__)[-1]
                said = " ".join(str(error).split())[:200]
                raise StemmaError(f"the environment '{name}' failed in its {what}() ({type(error).__name__}: {said}; "
                                  f"{at.filename}, line {at.lineno}); mend it, and a run that was saved continues with "
                                  "--resume") from error
        return call

    for what in ("reset", "step", "render"):
        setattr(env, what, told(what, getattr(env, what)))
    return env


def answering(env: Any, name: str) -> Any:
    """The same environment, of which an answer of the older gym's form (an observation alone at a reset, four things at
    a step) is a `StemmaError` with its name, below the wrappers that gymnasium puts around it."""
    parts = {"reset": "observation and info",
             "step": "observation, reward, whether it ended, whether it was cut, and info"}

    def told(what: str, own: Callable[..., Any], count: int) -> Callable[..., Any]:
        @wraps(own)
        def call(*given: Any, **more: Any) -> Any:
            said = own(*given, **more)
            if not isinstance(said, tuple) or len(said) != count:
                got = f"{len(said)} things" if isinstance(said, tuple) else f"one {type(said).__name__}"
                raise StemmaError(f"the environment '{name}' answers its {what}() with {got}, and gymnasium's answer "
                                  f"is {parts[what]}; where it was made for the older gym, mend it or wrap it")
            return said
        return call

    inner = env.unwrapped
    for what, count in (("reset", 2), ("step", 5)):
        setattr(inner, what, told(what, getattr(inner, what), count))
    return env


def _sound(name: str, seen: Any, reward: Any) -> None:
    """Raises `StemmaError` for what nothing could be learned from any more."""
    with np.errstate(over="ignore"):  # rewards are kept as float32, in which larger ones are infinite
        whole = np.isfinite(np.float32(one_number(reward)))
    odd = (f"rewards {reward}" if not whole else "") or next(
        (f"shows {v.flat[np.flatnonzero(~np.isfinite(v))[0]]} in its {k}" for k, v in (
            (k, np.asarray(v)) for k, v in (seen.items() if isinstance(seen, dict) else ()))
         if v.dtype.kind == "f" and not np.isfinite(v).all()), "")
    if odd:
        raise StemmaError(f"the environment '{name}' {odd} at a step, and all that is learned from it would be no "
                          "number either; mend it, or wrap it so that its numbers are finite (float32)")


def one_number(reward: Any) -> float:
    """A reward as a number; an array may hold it. Raises `TypeError` where it is none."""
    held = np.asarray(reward)
    if held.size != 1 or held.dtype.kind not in "biuf":
        raise TypeError(f"a reward is one number, and this is {' '.join(repr(reward).split())[:60]}")
    return float(held.item())


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
    return answering(env, name)


def drawn(env: Any, name: str) -> np.ndarray:
    """What an environment draws, uint8 [H, W, 3]. Raises `StemmaError` where it is something else."""
    picture = env.render()
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return picture
    what = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise StemmaError(f"the environment '{name}' draws {what}, and a picture is uint8 (height, width, 3)")


@lru_cache(maxsize=64)
def look(name: str) -> Foreign:
    """What `name` is. Raises `StemmaError` as `made` does, and for actions that numbers cannot say."""
    env = guarded(made(name), name)
    try:
        env.reset(seed=0)
        drawn(env, name)
        names, act, choices = _actions(env.action_space, name)
        return Foreign(name, names, act, limit_of(env, name), choices)
    finally:
        env.close()


def limit_of(env: Any, name: str) -> int:
    """Decisions of an episode, at most: as its registration says, or the environment itself, or, of Atari's games, the
    frames of a game over those of a decision. One that says nothing is cut after `LIMIT`, which is said."""
    named = (getattr(env.spec, "max_episode_steps", None), getattr(env.unwrapped, "max_steps", None))
    told = next((n for n in named if isinstance(n, int | np.integer) and n > 0), None)
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

    if isinstance(space, spaces.Dict | spaces.Tuple) and (leaves := parts_of(space)):
        parts = [(".".join(keys), *_actions(s, name)) for keys, s in leaves]
        return (tuple(f"{called} {n}" for called, own, _, _ in parts for n in own),
                several(space, [(len(own), does) for _, own, does, _ in parts]), any(held for *_, held in parts))
    sizes, _ = choices_of(space)
    if len(sizes) == 1 and sizes[0] > FEW:
        return tuple(f"choice {i}" for i in range(sizes[0])), lambda a: as_chosen(space, [int(np.argmax(a))]), True
    if sizes:
        names = tuple(f"choice {i}" for i in range(len(sizes))) if len(sizes) > 1 else ("choice",)
        return names, lambda a: as_chosen(space, [_part(float(x), c) for x, c in zip(a, sizes)]), True
    count = numbers_of(space, name)
    return tuple(f"action {i}" for i in range(count)) if count > 1 else ("action",), scaled_to(space), False


def choices_of(space: Any) -> tuple[tuple[int, ...], np.ndarray]:
    """(the sizes of the choices that a space without parts has, the first of each); none: it has other things. Whole
    numbers between bounds are choices, up to `MANY` of each."""
    from gymnasium import spaces

    first, n = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if isinstance(space, spaces.Discrete):
        first, n = np.array([space.start]), np.array([space.n])
    elif isinstance(space, spaces.MultiDiscrete):
        first, n = space.start.reshape(-1), space.nvec.reshape(-1)
    elif isinstance(space, spaces.MultiBinary):
        n = np.full(int(np.prod(space.shape)), 2)
        first = np.zeros_like(n)
    elif isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.integer):
        first = space.low.reshape(-1).astype(np.int64)
        n = space.high.reshape(-1).astype(np.int64) - first + 1
        n = n if len(n) and 0 < n.min() and n.max() <= MANY else n[:0]
    return tuple(int(x) for x in n), first


def as_chosen(space: Any, picked: Sequence[int]) -> Any:
    """The action that takes so many steps behind the first of each choice of `choices_of`."""
    from gymnasium import spaces

    taken = choices_of(space)[1] + np.asarray(picked)
    return int(taken[0]) if isinstance(space, spaces.Discrete) else taken.reshape(space.shape).astype(space.dtype)


def numbers_of(space: Any, name: str) -> int:
    """How many numbers an action of a box has. Raises `StemmaError` for other spaces, boxes of whole numbers and empty
    ones."""
    from gymnasium import spaces

    box = isinstance(space, spaces.Box)
    if box and np.issubdtype(space.dtype, np.floating) and (count := int(np.prod(space.shape))):
        return count
    what = f"{space.dtype} {space.shape}" if box else type(space).__name__
    raise StemmaError(f"the environment '{name}' takes actions of {what}; choices and boxes of fractions can be said, "
                      "and whole numbers between bounds that are near, one or more, and dicts and tuples of them")


def parts_of(space: Any) -> list[tuple[tuple[str, ...], Any]]:
    """The leaves of a space: (keys, space)."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return [((k, *keys), s) for k, v in space.spaces.items() for keys, s in parts_of(v)]
    if isinstance(space, spaces.Tuple):
        return [((str(i), *keys), s) for i, v in enumerate(space.spaces) for keys, s in parts_of(v)]
    return [((), space)]


def put_together(space: Any, leaves: Iterator[Any]) -> Any:
    """What a space holds, from what each of its leaves holds, in the order of `parts_of`."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {k: put_together(v, leaves) for k, v in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(put_together(v, leaves) for v in space.spaces)
    return next(leaves)


def several(space: Any, parts: Sequence[tuple[int, Callable[[np.ndarray], Any]]]) -> Callable[[np.ndarray], Any]:
    """Numbers as the action of a space of which each leaf takes so many and does with them what stands beside."""
    ends = np.cumsum([n for n, _ in parts])[:-1]
    return lambda a: put_together(space, (does(x) for x, (_, does) in zip(np.split(np.asarray(a), ends), parts)))


def scaled_to(space: Any) -> Callable[[np.ndarray], Any]:
    """Numbers in -1..1 as a box's own, between its bounds; where it has one alone, the two next to it, and where it has
    none, as they are. A bound beyond `FAR` is none: it stands for infinity."""
    low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
    below, above = low > -FAR, high < FAR
    low, high = (np.where(below, low, np.where(above, high - 2, -1.0)), np.where(above, high, np.where(below, low + 2,
                                                                                                       1.0)))

    def scaled(a: np.ndarray) -> np.ndarray:
        wide = low + (np.asarray(a, np.float64).reshape(low.shape) + 1) / 2 * (high - low)
        return np.asarray(np.clip(np.clip(wide, low, high).astype(space.dtype), space.low, space.high))

    return scaled


def _part(x: float, n: int) -> int:
    """Which of `n` equal parts of -1..1 a number lies in."""
    return min(max(int((x + 1) / 2 * n), 0), n - 1)


__all__ = ["LIMIT", "Foreign", "answering", "as_chosen", "check_senses", "choices_of", "drawn", "guarded", "is_id",
           "limit_of", "look", "made", "numbers_of", "one_number", "parts_of", "put_together", "scaled_to", "several",
           "shrink"]
