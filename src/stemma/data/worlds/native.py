"""Environments with what is their own: numbers as numbers, pictures as pictures, choices as choices.

    gym:CartPole-v1, gym:ALE/Pong-v5, gym:my_module:My-v0      gymnasium's by their ids
    gym:CrafterReward-v1                                       crafter's, which knows the older gym alone
    gym:VizdoomBasic-v1                                        ViZDoom's own scenarios
    minigrid:GoToDoor-5x5                                      MiniGrid's; its mission comes as tokens, a word a step
    atari:pong, atari100k:pong                                 Atari's games by the protocols of DreamerV3 (`atari`)

`+image` behind a name adds a picture to what is seen. An observation's numbers are the channel "vector", its choices
and flags among them, a picture (`picture_of`) is "image", a word "token". One of several choices is taken by the
largest of its numbers: a one-hot action says it.
"""
from __future__ import annotations

import itertools
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...core import interrupts
from ...core.types import StemmaError
from . import atari
from .engines import looked_for
from .gym import (
    answering,
    as_chosen,
    check_senses,
    choices_of,
    drawn,
    guarded,
    limit_of,
    numbers_of,
    one_number,
    parts_of,
    scaled_to,
    several,
    shrink,
)

PREFIXES = ("gym:", "minigrid:", *atari.PREFIXES)
LEAST = 16  # a smaller array of bytes is a grid of codes and no picture
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))  # of numbers that pictures are made of
# what an id begins with: the package that brings it, and how it is installed
PACKAGES = (*((head, "ale_py", "stemma-vision[worlds]") for head in ("ALE/", *atari.PREFIXES)),
            ("MiniGrid", "minigrid", "stemma-vision[worlds]"),
            ("Vizdoom", "vizdoom.gymnasium_wrapper", "stemma-vision[worlds]"),
            ("BabyAI", "minigrid", "stemma-vision[worlds]"), ("Crafter", "crafter", "stemma-vision[worlds]"),
            ("CarRacing", "Box2D", "stemma-vision[worlds]"), ("LunarLander", "Box2D", "stemma-vision[worlds]"),
            ("Bipedal", "Box2D", "stemma-vision[worlds]"))


@dataclass(frozen=True)
class Native:
    """What is known of an environment: names of an action's numbers, the sizes of its choices (empty: numbers in
    -1..1), its channels with their widths (0: a picture), decisions of an episode at most."""

    name: str
    actions: tuple[str, ...]
    choices: tuple[int, ...]
    inputs: tuple[tuple[str, int], ...]
    limit: int
    numbers: tuple[tuple[str, int], ...] = ()  # what those of "vector" are (`Info.numbers`)
    words: tuple[str, ...] = ()  # of its missions
    mission: tuple[str, ...] | None = None  # where in what is seen these are said


def is_native(name: str) -> bool:
    """Whether a name begins as one of these does."""
    return name.startswith(PREFIXES)


def ident_of(name: str) -> str:
    """The id that a name stands for."""
    bare = name.removesuffix("+image")
    if bare.startswith("minigrid:"):
        own = bare.removeprefix("minigrid:").removeprefix("MiniGrid-")
        return f"MiniGrid-{own}" if own.rpartition("-v")[2].isdigit() else f"MiniGrid-{own}-v0"
    return bare.removeprefix("gym:")


def made(name: str) -> Any:
    """The environment itself. Raises `StemmaError` naming what to install where its package is absent, and where it
    cannot be made."""
    import importlib.util

    ident = ident_of(name)
    for head, package, install in PACKAGES:
        if not ident.startswith(head):
            continue
        if importlib.util.find_spec(brought := package.partition(".")[0]) is None:
            raise StemmaError(f"the environment '{name}' needs the package {brought}, which is not installed: pip "
                              f"install '{install}'")
        if package == "crafter":
            return _crafter(reward="NoReward" not in ident)
        if ident.startswith(atari.PREFIXES):
            return atari.made(ident)
        if package != "Box2D":
            module = importlib.import_module(package)
            if hasattr(module, "register_envs") and package == "ale_py":
                import gymnasium

                gymnasium.register_envs(module)
    import gymnasium

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if ":" in ident and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        env = gymnasium.make(ident, disable_env_checker=True)
        if "rgb_array" in env.metadata.get("render_modes", ()):
            env.close()
            env = gymnasium.make(ident, render_mode="rgb_array", disable_env_checker=True)
        return _doom(env) if type(env.unwrapped).__module__.startswith("vizdoom.") else answering(env, name)
    except Exception as error:  # every package's own kinds
        raise StemmaError(f"the environment '{name}' cannot be made ({type(error).__name__}: "
                          f"{' '.join(str(error).split())[:200]}); after 'gym:' an id is spelled as gymnasium knows "
                          "it") from error


def _doom(env: Any) -> Any:
    """ViZDoom's environment. Where its time is up it says that this is an end too, and what it shows at an end is zeros
    (1.3): here time cuts, and the last that was seen stands for it. What an engine writes, it writes in a folder of its
    own."""
    import gymnasium

    class Doom(gymnasium.Wrapper[Any, Any, Any, Any]):
        def __init__(self) -> None:
            super().__init__(env)
            self.own = tempfile.TemporaryDirectory(prefix="stemma-engine-")
            env.unwrapped.game.set_doom_config_path(os.path.join(self.own.name, "engine.ini"))

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            with interrupts.shielded(), looked_for("_vizdoom"):  # an engine is a process beside us
                self.last, info = self.env.reset(seed=seed, options=options)
            return self.last, info

        def step(self, action: Any) -> Any:
            seen, reward, over, cut, info = self.env.step(action)
            self.last = self.last if over or cut else seen
            return self.last, reward, over and not cut, cut, info

        def close(self) -> None:
            super().close()
            self.own.cleanup()

    return Doom()


def _crafter(reward: bool) -> Any:
    """Crafter, whose own class speaks the older gym."""
    import crafter
    import gymnasium
    from gymnasium import spaces

    class Crafter(gymnasium.Env):
        metadata = {"render_modes": ["rgb_array"]}
        observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
        action_space: Any = spaces.Discrete(17)
        max_steps = 10_000  # its own length of an episode

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            self.inner = crafter.Env(reward=reward, seed=int(self.np_random.integers(1 << 31)))
            return self.inner.reset(), {}

        def step(self, action: Any) -> Any:
            seen, gained, over, info = self.inner.step(int(action))
            dead = bool(over) and info["discount"] == 0
            return seen, float(gained), dead, bool(over) and not dead, {}

        def render(self) -> Any:
            return self.inner.render()

    return Crafter()


# ---------------------------------------------------------------- what is seen


@dataclass(frozen=True)
class Picture:
    """How a leaf of what is shown is a picture. axis: where its colours lie, none: it is grey. stack: its first axis
    is several pictures, of which the last is the newest. scale: (the number that is black, steps of 255 a number)."""

    axis: int | None
    stack: bool
    scale: tuple[float, float] | None

    def __call__(self, seen: Any) -> np.ndarray:
        """uint8 [H, W, 3]."""
        x = np.asarray(seen)[-1] if self.stack else np.asarray(seen)
        x = x[..., None] if self.axis is None else np.moveaxis(x, self.axis, 2)[..., :3]
        if self.scale is not None:
            x = ((x.astype(np.float32) - self.scale[0]) * self.scale[1]).round().clip(0, 255).astype(np.uint8)
        return np.repeat(x, 3, 2) if x.shape[2] == 1 else x


def picture_of(space: Any) -> Picture | None:
    """How a space shows a picture, or None where it shows none. A picture is [H, W, C] or [C, H, W] of 1 or 3 colours,
    or [H, W, 4], whose last is opacity; it is of bytes, or of numbers from 0 to 1, from -1 to 1 or from 0 to 255. Bytes
    may be [H, W]. Two to eight of these, one behind the other, are a picture too."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Box) or (how := _laid(space.shape)) is None:
        return None
    if space.dtype == np.uint8:
        return Picture(*how, None)
    low, high = float(space.low.min()), float(space.high.max())
    fits = (low, high) in RANGES and (high == 255 or np.issubdtype(space.dtype, np.floating)) and len(space.shape) > 2
    return Picture(*how, (low, 255 / (high - low))) if fits else None


def _laid(shape: tuple[int, ...]) -> tuple[int | None, bool] | None:
    """(the axis of a picture's colours, whether it is a stack of them) of an array, or None where it is none."""
    for axis, counts in ((2, (1, 3, 4)), (0, (1, 3))):
        if len(shape) == 3 and shape[axis] in counts and min(shape[:axis] + shape[axis + 1 :]) >= LEAST:
            return axis, False
    if len(shape) == 2:
        return (None, False) if min(shape) >= LEAST else None
    inner = _laid(shape[1:]) if len(shape) in (3, 4) and 2 <= shape[0] <= 8 else None
    return None if inner is None or inner[1] else (inner[0], True)


def taken(seen: Any, keys: tuple[str, ...]) -> Any:
    """The leaf of an observation."""
    for k in keys:
        seen = seen[int(k)] if isinstance(seen, tuple | list) else seen[k]
    return seen


def shown(seen: Any, keys: tuple[str, ...], space: Any, name: str) -> Any:
    """The leaf of an observation at `keys`. Raises `StemmaError` where there is none, and where it is not what `space`
    says of it: a picture of other axes or kind, more or fewer numbers, a choice that is none."""
    what, where = f"the environment '{name}'", "its observation_space"
    try:
        leaf = taken(seen, keys)
    except (KeyError, IndexError, TypeError, ValueError):
        raise StemmaError(f"{what} shows no {'.'.join(keys)}, which {where} names; mend either") from None
    if not is_text(space) and (odd := _unlike(leaf, space)):
        raise StemmaError(f"{what} shows {odd}{f' in its {chr(46).join(keys)}' if keys else ''}, and {where} says "
                          f"{' '.join(str(space).split())[:120]}; mend either")
    return leaf


def _unlike(leaf: Any, space: Any) -> str:
    """What is shown, in words, where it is not of its space; else nothing. Numbers may lie outside their bounds."""
    from gymnasium import spaces

    try:
        x = np.asarray(leaf)
    except ValueError:
        return f"a {type(leaf).__name__} that is no array"
    told = f"{x.dtype} {x.shape}"
    if (how := picture_of(space)) is not None:
        axis = None if how.axis is None else how.axis + how.stack
        alike = x.ndim == len(space.shape) and (axis is None or x.shape[axis] == space.shape[axis])
        return "" if alike and (x.dtype == np.uint8 if how.scale is None else x.dtype.kind in "buif") else told
    if x.dtype.kind not in ("bui" if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) else "buif"):
        return told
    if x.size != (1 if isinstance(space, spaces.Discrete) else int(np.prod(space.shape))):
        return f"{x.size} numbers"
    if isinstance(space, spaces.Box):
        return ""
    first, n = (0, 2) if isinstance(space, spaces.MultiBinary) else (
        (space.start, space.n) if isinstance(space, spaces.Discrete) else (space.start.ravel(), space.nvec.ravel()))
    x = x.reshape(-1)
    wrong = x[(x < first) | (x >= first + n)]
    return f"the choice {wrong[0]}" if len(wrong) else ""


def is_text(space: Any) -> bool:
    """Whether a space is one of sentences."""
    return hasattr(space, "mission_func") or type(space).__name__ == "Text"


def words_of(space: Any) -> tuple[str, ...] | None:
    """The words that missions of a space are made of, or None where it does not say; none stands first, as a blank."""
    told, places = getattr(space, "mission_func", None), getattr(space, "ordered_placeholders", None)
    if told is None:
        return None
    missions = [told(*x) for x in itertools.product(*(places or []))]
    return ("", *sorted({w for m in missions for w in split(m)}))


def split(sentence: str) -> list[str]:
    """The words of a mission."""
    return sentence.replace(",", " ,").split()


class Words:
    """A sentence a word a step, and then from its beginning. A word that was not told is a blank, and is said."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.number, self.said, self.at = {w: i for i, w in enumerate(words)}, [0], 0

    def begin(self, sentence: str) -> None:
        words = split(sentence)
        if strange := [w for w in words if w not in self.number]:
            warnings.warn(f"'{strange[0]}' is a word that the environment did not tell beforehand; a blank is read",
                          stacklevel=2)
        self.said, self.at = [self.number.get(w, 0) for w in words] or [0], 0

    def next(self) -> np.ndarray:
        word = self.said[self.at % len(self.said)]
        self.at += 1
        return np.array(word, np.int32)


def _told(env: Any, keys: tuple[Any, ...], words: tuple[str, ...]) -> bool:
    """Whether what an environment says at the beginning of some episodes is made of `words`."""
    known = set(words)
    return len(words) > 1 and all(set(split(str(taken(env.reset(seed=seed)[0], keys)))) <= known for seed in range(8))


@lru_cache(maxsize=64)
def look(name: str) -> Native:
    """What `name` is. Raises `StemmaError` as `made` does, and for what cannot be seen or done."""
    from gymnasium import spaces

    env = guarded(made(name), name)
    try:
        runs: list[tuple[str, int]] = []
        pictures, words, mission = 0, tuple[str, ...](), None
        for keys, s in parts_of(env.observation_space):
            called = ".".join(keys)
            if is_text(s):
                told = words_of(s) or ()
                if mission is None and _told(env, keys, told):
                    words, mission = told, keys
                    continue
                why = "says its words beside others" if mission is not None else "does not tell its words beforehand"
                warnings.warn(f"'{called or 'text'}' of the environment '{name}' {why}, and is left out", stacklevel=2)
            elif (picture := picture_of(s)) is not None:
                pictures += 1
                if picture.stack or picture.axis == 2 and s.shape[2] == 4:
                    warnings.warn(f"'{called or 'picture'}' of the environment '{name}' is {s.shape}: "
                                  + ("several pictures, of which the last is seen" if picture.stack else
                                     "its fourth colour is taken for opacity, and left out (several pictures "
                                     f"stand in front: {(4, *s.shape[:2])})"), stacklevel=2)
            elif isinstance(s, spaces.Discrete | spaces.MultiDiscrete):
                runs += [("choice", int(n)) for n in np.ravel(s.n if isinstance(s, spaces.Discrete) else s.nvec)]
            elif isinstance(s, spaces.Box | spaces.MultiBinary):
                kind = "numbers" if isinstance(s, spaces.Box) else "flags"
                runs += [(kind, int(spaces.flatdim(s)))] * (spaces.flatdim(s) > 0)
            else:
                raise StemmaError(f"the environment '{name}' shows {called or 'something'} as "
                                  f"{type(s).__name__}; numbers, choices and pictures can be seen")
        if pictures > 1:
            raise StemmaError(f"the environment '{name}' shows {pictures} pictures; one can be seen")
        inputs = [("image", 0)] * (pictures > 0 or name.endswith("+image"))
        inputs += [(k, n) for k, n in (("vector", sum(n for _, n in runs)), ("token", len(words))) if n]
        if not inputs:
            raise StemmaError(f"the environment '{name}' shows nothing that can be seen; where it draws itself, "
                              f"{name}+image looks at that")
        actions, choices = actions_of(env.action_space, name)
        special = tuple(runs) if any(kind != "numbers" for kind, _ in runs) else ()
        return Native(name, actions, choices, tuple(inputs), limit_of(env, name), special, words, mission)
    finally:
        env.close()


def actions_of(space: Any, name: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """(names of an action's numbers, sizes of its choices). Raises `StemmaError` where it has choices and numbers."""
    leaves = parts_of(space)
    sizes = tuple(n for _, s in leaves for n in choices_of(s)[0])
    if not sizes:
        counts = [numbers_of(s, name) for _, s in leaves] or [numbers_of(space, name)]
        return tuple(f"action {i}" for i in range(sum(counts))), ()
    if any(not choices_of(s)[0] for _, s in leaves):
        bare = name.removeprefix("gym:").removesuffix("+image")
        raise StemmaError(f"an action of the environment '{name}' holds choices and other numbers at once; where it "
                          f"draws itself, '{bare}' is the same world by its pictures, with numbers for both")
    head = [f"choice {g}" for g in range(len(sizes))] if len(sizes) > 1 else ["choice"]
    return tuple(f"{what} {i}" for what, n in zip(head, sizes) for i in range(n)), sizes


def doing(space: Any) -> Callable[[np.ndarray], Any]:
    """Our numbers as the environment's own action."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict | spaces.Tuple):
        return several(space, [(sum(choices_of(s)[0]) or int(np.prod(s.shape)), doing(s)) for _, s in parts_of(space)])
    if not (choices := choices_of(space)[0]):
        return scaled_to(space)
    ends = np.cumsum(choices)[:-1]
    return lambda a: as_chosen(space, [int(x.argmax()) for x in np.split(np.asarray(a), ends)])


def world(name: str, size: int, grey: bool, senses: tuple[str, ...]) -> Any:
    """The environment as a world of ours that shows the channels of `senses`; a picture that is no part of what it
    shows is drawn. Raises `StemmaError` where it cannot draw one."""
    import gymnasium
    from gymnasium import spaces

    found, inner = look(name), made(name)
    leaves = parts_of(inner.observation_space)
    picture = next(((keys, how, s) for keys, s in leaves if (how := picture_of(s)) is not None), None)
    numbers = [(keys, s) for keys, s in leaves if picture_of(s) is None and not is_text(s)]
    widths = dict(found.inputs)
    check_senses(f"the environment '{name}'", (k for k in senses if k != "image"), tuple(widths))
    if "image" in senses and picture is None and "rgb_array" not in inner.metadata.get("render_modes", ()):
        raise StemmaError(f"the environment '{name}' does not draw itself, and a picture is wanted")
    act = doing(inner.action_space)

    class World(gymnasium.Env):
        observation_space = spaces.Dict({
            k: spaces.Box(0, 255, (size, size, 1 if grey else 3), np.uint8) if k == "image"
            else spaces.Box(0, widths[k], (), np.int32) if k == "token"
            else spaces.Box(-np.inf, np.inf, (widths[k],), np.float32) for k in senses})
        action_space = spaces.Box(-1.0, 1.0, (len(found.actions),), np.float32)
        steps, words = 0, Words(found.words or ("",))

        def _seen(self, seen: Any) -> dict[str, np.ndarray]:
            out: dict[str, np.ndarray] = {}
            for k in senses:
                if k == "image":
                    whole = drawn(inner, name) if picture is None else picture[1](shown(seen, *picture[::2], name))
                    out[k] = shrink(whole, size, grey)
                elif k == "token":
                    out[k] = self.words.next()
                else:
                    out[k] = np.concatenate([np.asarray(spaces.flatten(s, shown(seen, keys, s, name)), np.float32)
                                             for keys, s in numbers])
            return out

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            seen, _ = inner.reset(seed=seed)
            self.steps = 0
            if found.mission is not None:
                self.words.begin(said := str(taken(seen, found.mission)))
            return self._seen(seen), {"said": said} if found.mission is not None else {}

        def step(self, action: np.ndarray) -> Any:
            seen, reward, over, cut, _ = inner.step(act(action))
            self.steps += 1
            return self._seen(seen), one_number(reward), bool(over), bool(cut) or self.steps >= found.limit, {}

        def render(self) -> Any:
            return inner.render()

        def close(self) -> None:
            inner.close()

    return World()


__all__ = ["Native", "Picture", "Words", "actions_of", "doing", "ident_of", "is_native", "look", "made", "picture_of",
           "taken", "words_of", "world"]
