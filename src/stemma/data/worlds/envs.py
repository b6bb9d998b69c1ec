"""Worlds to live in, by name, behind gymnasium's API: pictures of one size in a dict, actions of numbers in -1..1.

    env = make("takecover", size=64)         a gymnasium.Env: {"image": uint8 [64, 64, 3]}, Box(-1, 1, (1,))
    random_policy("held", 1, seed)           how actions are chosen by chance there, a function of the seed alone
    live(env, policy, seed)                  one episode as named channels
    with Crew("takecover", 2, ...) as crew:  the same in processes: crew.random(seeds) gives episodes in order

A package that is absent is named with the extra that brings it.
"""
from __future__ import annotations

import difflib
import importlib.util
import multiprocessing
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np

from ...core import interrupts
from ...core.types import Classes, Info, StemmaError
from . import gym, homegrid, langroom, messenger, native, partly, t_maze
from .engines import looked_for
from .gym import shrink

Episode = dict[str, np.ndarray]
Law = Literal["uniform", "held", "choice", "still"]
EXTRA = "stemma-vision[worlds]"
PARTLY = ("text", "text-held", "video", "mute", "once", "times", "pictures", "astray")
SHOWN = ("image", "vector", "grid")
HIDDEN = {"text": SHOWN, "text-held": SHOWN, "video": ("token",)}  # what none of them shows
READ = 100  # words of a manual, at most
CLOSING = 5.0  # seconds that a process of a crew has to close its world


@dataclass(frozen=True)
class EnvCard:
    """A world: its name, what there is to do, the package it needs, how long a decision lasts,
    how chance acts in it."""

    name: str
    about: str
    package: str  # what is imported
    make: Callable[..., Any]
    actions: tuple[str, ...]
    limit: int  # decisions of an episode, at most
    law: Law = "uniform"
    inputs: tuple[tuple[str, int], ...] = ()  # its own channels with their widths (0: a picture); none: a picture alone
    choices: tuple[int, ...] = ()  # sizes of groups of numbers of which the largest is taken
    words: tuple[str, ...] = ()  # what the numbers of its channel "token" stand for
    held: str = ""  # the world in which it is evaluated, where that is another
    numbers: tuple[tuple[str, int], ...] = ()  # what the numbers of its channel "vector" are (`Info.numbers`)


# ---------------------------------------------------------------- worlds of others, made alike


def adapted(
    inner: Any, size: int, grey: bool, actions: int, act: Callable[[np.ndarray], Any], repeat: int, limit: int,
    crop: tuple[int, int] | None = None
) -> Any:
    """A gymnasium environment that draws itself (`render_mode="rgb_array"`) as a world of ours.

    act: our action as the environment's own. repeat: its steps in one decision.
    crop: rows of the picture that are kept.
    """
    import gymnasium
    from gymnasium import spaces

    class Adapted(gymnasium.Env):
        observation_space = spaces.Dict({"image": spaces.Box(0, 255, (size, size, 1 if grey else 3), np.uint8)})
        action_space = spaces.Box(-1.0, 1.0, (actions,), np.float32)
        taken = 0

        def _seen(self) -> dict[str, np.ndarray]:
            picture = inner.render()
            return {"image": shrink(picture if crop is None else picture[slice(*crop)], size, grey)}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            self.taken = 0
            inner.reset(seed=seed)
            return self._seen(), {}

        def step(self, action: np.ndarray) -> Any:
            total, over, cut = 0.0, False, False
            for _ in range(repeat):
                _, reward, over, cut, _ = inner.step(act(np.clip(action, -1, 1)))
                total += gym.one_number(reward)
                if over or cut:
                    break
            self.taken += 1
            return self._seen(), total, bool(over), bool(cut) or self.taken >= limit, {}

        def render(self) -> Any:
            return inner.render()

        def close(self) -> None:
            inner.close()

    return Adapted()


def _drawn(name: str) -> Callable[[int, bool], Any]:
    def build(size: int, grey: bool) -> Any:
        from . import drawn as drawn_worlds

        return getattr(drawn_worlds, name)(size, grey)

    return build


def _classic(ident: str, act: Callable[[np.ndarray], Any], repeat: int, limit: int) -> Callable[[int, bool], Any]:
    def build(size: int, grey: bool) -> Any:
        import gymnasium

        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        return adapted(gymnasium.make(ident, render_mode="rgb_array"), size, grey, 1, act, repeat, limit)

    return build


def _third(action: np.ndarray) -> int:
    """Left, stay, right as 0, 1, 2: World Models' cut of one number."""
    return int(action[0] > 1 / 3) - int(action[0] < -1 / 3) + 1


def _car_racing(size: int, grey: bool) -> Any:
    """World Models' actions: steering as it is, gas (a + 1) / 2, brake max(0, a);
    the bar below the 84th row is cut away."""
    import gymnasium

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    act = lambda a: np.array([a[0], (a[1] + 1) / 2, max(0.0, a[2])], np.float64)
    inner = gymnasium.make("CarRacing-v3", render_mode="state_pixels", max_episode_steps=1000)
    return adapted(inner, size, grey, 3, act, 1, 1000, (0, 84))


def _take_cover(size: int, grey: bool, tics: int = 4) -> Any:
    """ViZDoom's take cover, so many tics a decision: keep clear of fireballs. One point a tic alive, 2,100 at most."""
    import gymnasium
    import vizdoom
    from gymnasium import spaces

    class TakeCover(gymnasium.Env):
        observation_space = spaces.Dict({"image": spaces.Box(0, 255, (size, size, 1 if grey else 3), np.uint8)})
        action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        repeat, limit = tics, 2100

        def __init__(self) -> None:
            game = vizdoom.DoomGame()
            game.load_config(os.path.join(vizdoom.scenarios_path, "take_cover.cfg"))
            game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
            game.set_screen_format(vizdoom.ScreenFormat.RGB24)
            game.set_window_visible(False)
            game.set_render_hud(False)
            game.set_episode_timeout(self.limit + 1)
            # an engine writes its settings where it is told to, else beside whoever began it
            self.own = tempfile.TemporaryDirectory(prefix="stemma-engine-")
            game.set_doom_config_path(os.path.join(self.own.name, "engine.ini"))
            self.game, self.begun = game, False

        def _seen(self) -> dict[str, np.ndarray]:
            state = self.game.get_state()
            if state is not None:
                # the floor under the player's feet says nothing
                self.last = shrink(np.asarray(state.screen_buffer)[:100], size, grey)
            return {"image": self.last}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            self.game.set_seed(int(self.np_random.integers(1 << 31)))
            if self.begun:
                self.game.new_episode()
            else:
                # the engine is a process beside us: a terminal's Ctrl-C would end it in the midst of a decision
                with interrupts.shielded(), looked_for("_vizdoom"):
                    self.game.init()
                    self.begun = True
            return self._seen(), {}

        def step(self, action: np.ndarray) -> Any:
            way = _third(action)
            reward = float(self.game.make_action([way == 0, way == 2], self.repeat))
            over = bool(self.game.is_episode_finished())
            dead = over and bool(self.game.is_player_dead())
            return self._seen(), reward, dead, over and not dead, {}

        def render(self) -> Any:
            return self.last

        def close(self) -> None:
            self.game.close()
            self.own.cleanup()

    return TakeCover()


def _control(domain: str, task: str, repeat: int) -> Callable[..., Any]:
    """A task of DeepMind control from its camera. Software rendering is made some twenty times faster: no shadows,
    no samples, no mirrors, and a buffer of the picture's own size; only the decision's last step is drawn."""
    def build(size: int, grey: bool, senses: tuple[str, ...] = ("image",)) -> Any:
        import gymnasium
        from gymnasium import spaces

        suite = _suite()
        probe = suite.load(domain, task)
        spec = probe.action_spec()
        act = gym.scaled_to(spaces.Box(spec.minimum, spec.maximum, dtype=np.float64))

        class Control(gymnasium.Env):
            observation_space = spaces.Dict({
                k: spaces.Box(0, 255, (size, size, 1 if grey else 3), np.uint8) if k == "image"
                else spaces.Box(-np.inf, np.inf, (_numbers(probe),), np.float32) for k in senses})
            action_space = spaces.Box(-1.0, 1.0, spec.shape, np.float32)
            inner: Any = None
            camera = 2 if domain == "quadruped" else 0

            def _seen(self, told: Any) -> dict[str, np.ndarray]:
                drawn, out = max(64, size), {}
                for k in senses:
                    out[k] = (shrink(self.inner.physics.render(drawn, drawn, camera_id=self.camera), size, grey)
                              if k == "image" else
                              np.concatenate([np.ravel(v) for v in told.observation.values()]).astype(np.float32))
                return out

            def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
                super().reset(seed=seed)
                if self.inner is not None:
                    self.inner.close()
                self.inner = suite.load(domain, task, task_kwargs={"random": int(self.np_random.integers(1 << 31))})
                model = self.inner.physics.model
                model.vis.quality.shadowsize = model.vis.quality.offsamples = 0
                model.vis.global_.offwidth = model.vis.global_.offheight = max(64, size)
                model.mat_reflectance[:] = 0
                model.light_castshadow[:] = 0
                told = self.inner.reset()
                self.taken = 0
                return self._seen(told), {}

            def step(self, action: np.ndarray) -> Any:
                total = 0.0
                for _ in range(repeat):
                    said = self.inner.step(act(np.clip(action, -1, 1)))
                    total += float(said.reward or 0.0)
                    if said.last():
                        break
                ended = said.last() and said.discount == 0  # else its time was up
                return self._seen(said), total, ended, said.last() and not ended, {}

            def render(self) -> Any:
                return self.inner.physics.render(240, 320, camera_id=self.camera)

        return Control()

    return build


def _suite() -> Any:
    """DeepMind control's tasks, rendered in software. torch's compiler brings an LLVM of its own, and crashes where the
    renderer has loaded another before: it is brought in first."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    with suppress(ImportError):
        importlib.import_module("triton")
    return importlib.import_module("dm_control.suite")


def _numbers(probe: Any) -> int:
    """How many numbers a control task shows."""
    return int(sum(np.prod(s.shape, dtype=int) for s in probe.observation_spec().values()))


@lru_cache(maxsize=64)
def _of_control(name: str) -> EnvCard:
    """`dmc:walker-walk`: a task of DeepMind control with its own numbers, two steps a decision."""
    need("dm_control", name)
    suite = _suite()
    key = name.removeprefix("dmc:").removesuffix("+image").replace("-", "_")
    key = f"ball_in_{key}" if key.startswith("cup_") else key
    pair = next((p for p in suite.ALL_TASKS if "_".join(p) == key), None)
    if pair is None:
        tasks = sorted("-".join(p).replace("_", "-") for p in suite.ALL_TASKS)
        asked = name.removeprefix("dmc:")
        raise StemmaError(f"DeepMind control has no task '{asked}'; {_meant(asked, tasks)}")
    probe = suite.load(*pair)
    count = int(np.prod(probe.action_spec().shape))
    inputs = (*([("image", 0)] if name.endswith("+image") else []), ("vector", _numbers(probe)))
    return EnvCard(name, f"{' '.join(pair)} of DeepMind control", "dm_control", _control(pair[0], pair[1], 2),
                   tuple(f"joint {i}" for i in range(count)), 500, inputs=tuple(inputs))


def _cards() -> dict[str, EnvCard]:
    torque = lambda a: np.array([2 * a[0]], np.float32)
    one = lambda a: np.array([a[0]], np.float32)
    found = [
        EnvCard("drawn-pendulum", "swing a rod up and hold it, from pictures without its speed", "gymnasium",
                _drawn("DrawnPendulum"), ("torque",), 50),
        EnvCard("drawn-dodge", "keep clear of what falls: take cover in little", "gymnasium", _drawn("Dodge"),
                ("aside",), 300, "held"),
        EnvCard("pendulum", "Pendulum-v1 of gymnasium", "gymnasium", _classic("Pendulum-v1", torque, 4, 50),
                ("torque",), 50),
        EnvCard("cartpole", "CartPole-v1 of gymnasium: left or right by the sign", "gymnasium",
                _classic("CartPole-v1", lambda a: int(a[0] > 0), 1, 500), ("push",), 500, "held"),
        EnvCard("mountain-car", "MountainCarContinuous-v0 of gymnasium", "gymnasium",
                _classic("MountainCarContinuous-v0", one, 4, 250), ("push",), 250),
        EnvCard("acrobot", "Acrobot-v1 of gymnasium", "gymnasium", _classic("Acrobot-v1", _third, 4, 125),
                ("torque",), 125),
        EnvCard("car-racing", "CarRacing-v3 of gymnasium: a lap of a random track", "Box2D", _car_racing,
                ("steer", "gas", "brake"), 1000),
        EnvCard("takecover", "ViZDoom take cover: keep clear of fireballs", "vizdoom", _take_cover,
                ("aside",), 525, "held"),
        EnvCard("takecover-tics", "the same, a decision a tic, as World Models lived it", "vizdoom",
                partial(_take_cover, tics=1), ("aside",), 2100, "held"),
    ]
    for name, domain, task, repeat, actions in (
        ("cartpole-swingup", "cartpole", "swingup", 8, 1), ("cartpole-balance", "cartpole", "balance", 8, 1),
        ("reacher-easy", "reacher", "easy", 4, 2),
        ("cheetah-run", "cheetah", "run", 4, 6), ("finger-spin", "finger", "spin", 2, 2),
        ("cup-catch", "ball_in_cup", "catch", 4, 2), ("walker-walk", "walker", "walk", 2, 6),
    ):
        names = tuple(f"joint {i}" for i in range(actions)) if actions > 1 else ("push",)
        found.append(EnvCard(name, f"{domain} {task} of DeepMind control", "dm_control", _control(domain, task, repeat),
                             names, 1000 // repeat))
    return {c.name: c for c in found}


ENVS = _cards()


def get(name: str) -> EnvCard:
    """A world's card: ours by its name, or any of gymnasium's by its id (`gym`). Raises `StemmaError` with the nearest
    names when there is none."""
    own = name.strip().removeprefix("env:")
    if (kind := own.partition(":")[0]) in PARTLY:
        return _partly(own, kind)
    if kind == "homegrid":
        return _homegrid(own)
    if kind == "messenger":
        return _messenger(own)
    if kind == "langroom":
        return _langroom(own)
    if kind in ("vln", "vln-ce"):
        raise StemmaError(f"'{own}': VLN-CE needs Habitat, a simulator, and scenes of Matterport3D, given on request; "
                          "neither comes by pip, and it is not among the worlds here")
    if kind == "t-maze":
        return EnvCard(own, "a sign at the beginning, a corridor, a turn that it told", "gymnasium",
                       partial(t_maze.world, own), t_maze.SIDES, t_maze.length_of(own) + 1, "choice",
                       (("vector", t_maze.WIDTH),), (len(t_maze.SIDES),), numbers=(("choice", t_maze.WIDTH),))
    key = own.lower().replace("_", "-")
    key = key if key in ENVS else next((k for k in ENVS if k.replace("-", "") == key.replace("-", "")), key)
    if key not in ENVS:
        if native.is_native(own):
            return _native(own)
        if own.startswith("dmc:"):
            return _of_control(own)
        if gym.is_id(own):
            return _foreign(own)
        raise StemmaError(f"no environment named '{own}'; " + _meant(
            key, ENVS, "; any of gymnasium's that draws itself works by its id too, such as CartPole-v1 or "
            "my_module:My-v0, and with its own numbers and choices as gym:CartPole-v1, minigrid:GoToDoor-5x5, "
            "dmc:walker-walk, atari100k:pong, homegrid:future, messenger:s2, langroom:echo, t-maze:20; "
            "text:FILE@WORLD, video:WORLD, mute:WORLD, once:WORLD and pictures:WORLD show a part, "
            "astray:WORLD says another life's words, times:100:WORLD pays more"))
    return ENVS[key]


def _meant(name: str, known: Collection[str], more: str = "") -> str:
    """Which of the `known` names may be meant; where none is like it, all of them, and `more`."""
    near = difflib.get_close_matches(name, known, 3, 0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}{more}"


def _foreign(name: str) -> EnvCard:
    need("gymnasium", name)
    found = gym.look(name)
    return EnvCard(
        name, f"{name} of gymnasium", "gymnasium",
        lambda size, grey: adapted(gym.made(name), size, grey, len(found.actions), found.act, 1, found.limit),
        found.actions, found.limit, "held" if found.held else "uniform",
    )


def _native(name: str) -> EnvCard:
    need("gymnasium", name)
    found = native.look(name)
    return EnvCard(name, f"{name.partition(':')[2]} with its own numbers and choices", "gymnasium",
                   partial(native.world, name), found.actions, found.limit, "choice" if found.choices else "uniform",
                   found.inputs, found.choices, found.words, numbers=found.numbers)


@lru_cache(maxsize=8)
def _homegrid(name: str) -> EnvCard:
    need("homegrid", name)
    kind, (ids, words) = homegrid.kind_of(name), homegrid.vocabulary()
    return EnvCard(name, "HomeGrid: tasks in a house, told in words" + (f", and {kind}" if kind != "task" else ""),
                   "homegrid", partial(homegrid.world, name), homegrid.ACTIONS, homegrid.LIMIT, "choice",
                   (("image", 0), ("token", len(ids)), ("token_embed", homegrid.EMBEDDED)), (len(homegrid.ACTIONS),),
                   words)


def _langroom(name: str) -> EnvCard:
    need("langroom", name)
    langroom.task_of(name)
    words, actions = langroom.vocabulary(), langroom.actions()
    return EnvCard(name, "LangRoom: move and speak, and say what colour a thing has", "langroom",
                   partial(langroom.world, name), actions, langroom.LIMIT, "choice",
                   (("image", 0), ("token", len(words))), (len(langroom.MOVES), len(words)), words)


def _messenger(name: str) -> EnvCard:
    stage, split = messenger.parsed(name)
    told = {"s1": "nothing moves", "s2": "all move as they like", "s3": "some are not what they look like"}[stage]
    return EnvCard(name, f"Messenger: who is who stands in a manual; {told}", "gymnasium",
                   partial(messenger.world, name), messenger.ACTIONS, messenger.LIMITS[stage] + READ, "choice",
                   (("grid", messenger.SIDE**2 * messenger.KINDS), ("token", len(messenger.words()))),
                   (len(messenger.ACTIONS),), messenger.words())


def _partly(name: str, kind: str) -> EnvCard:
    """A world of which a part comes through, or that pays otherwise (`partly`)."""
    if kind == "times":
        told, _, inner = name.partition(":")[2].partition(":")
        if not re.fullmatch(r"\d*\.?\d+", told) or not float(told) or not inner:
            raise StemmaError(f"'{name}' says no factor and world; write times:100:gym:CartPole-v1")
        card, factor = get(inner), float(told)
        return replace(card, name=f"times:{told}:{card.name}", about=f"{card.about}; rewards times {told}",
                       inputs=card.inputs or (("image", 0),), make=lambda size, grey, senses: partly.paying(
                           make(card.name, size, grey, senses), factor))
    if kind == "pictures":
        inner = name.partition(":")[2]
        card = get(inner)
        if card.inputs and "image" not in dict(card.inputs):
            if not inner.startswith((*native.PREFIXES, "dmc:")):
                raise StemmaError(f"'{card.name}' shows no picture; it shows {', '.join(dict(card.inputs))}")
            card = get(f"{inner}+image")
        return replace(card, name=f"pictures:{card.name}", about=f"{card.about}; its pictures alone",
                       inputs=(("image", 0),), words=(), numbers=(),
                       make=lambda size, grey, senses: make(card.name, size, grey, senses))
    if kind in ("video", "mute", "once", "astray"):
        card = get(name.partition(":")[2])
        if kind != "video" and not card.words:
            raise StemmaError(f"nothing is said in '{card.name}'; there is nothing to "
                              + ("mute" if kind == "mute" else "tell"))
        if kind == "once":
            shown = tuple(x for x in card.inputs if not x[0].startswith("token"))
            return replace(card, name=f"once:{card.name}", about=f"{card.about}; all of the first sentence at once",
                           inputs=(*shown, ("told", len(card.words))), words=(),
                           make=lambda size, grey, senses: partly.at_once(card.make(
                               size, grey, tuple(s for s in senses if s != "told")), card.name, card.words))
        other = lambda seed: RandomPolicy(card.law, len(card.actions), seed, card.choices)
        if kind == "astray":
            return replace(card, name=f"astray:{card.name}", about=f"{card.about}; what is heard is another life's",
                           make=lambda *given: partly.strayed(card.make(*given), card.make(*given), other))
        if kind == "mute":
            return replace(card, name=f"mute:{card.name}", about=f"{card.about}; unheard",
                           make=lambda *given: partly.muted(card.make(*given)))
        return replace(card, name=f"video:{card.name}", about=f"{card.about}; watched and not acted in", law="still",
                       inputs=card.inputs or (("image", 0),), make=lambda size, grey, senses: partly.watched(
                           make(card.name, size, grey, tuple(s for s in senses if not s.startswith("token"))), other))
    path, _, where = name.partition(":")[2].partition("@")
    card = get(where) if where else EnvCard("", "", "gymnasium", partly.reading, ("nothing",), 0)
    if where and not card.words:
        raise StemmaError(f"nothing is said in '{card.name}'; leave out @{where} and the text has its own words")
    text = partly.text_of(path, card.words)
    more = f", {text.other} of them of kinds that are too rare to be told apart" if text.other else ""
    return EnvCard(
        name, f"a text of {len(text.read) + len(text.held)} words, a tenth held out{more}", "gymnasium",
        lambda size, grey, senses: partly.reading(text.held if kind == "text-held" else text.read, len(card.actions),
                                                  len(text.words)),
        card.actions, partly.STRETCH, "still", card.inputs or (("token", len(text.words)),), card.choices, text.words,
        f"text-held:{path}" + (f"@{where}" if where else ""))


def info_of(name: str) -> Info:
    """What a model must know of a world: the numbers of its action are the classes."""
    card = get(name)
    inputs = card.inputs or (("image", 0),)
    return Info(card.name, "env", Classes(card.actions), (*dict(inputs), "reward", "terminal"), inputs=inputs,
                choices=card.choices, numbers=card.numbers)


def need(package: str, name: str) -> None:
    """Raises `StemmaError` naming the extra when a world's package is absent."""
    for p in dict.fromkeys(("gymnasium", package)):
        if importlib.util.find_spec(p) is None:
            more = "; it wants mujoco before 4: pip install dm_control 'mujoco<4'" if p == "dm_control" else ""
            extra = EXTRA.replace("worlds", package) if package in ("homegrid", "langroom") else EXTRA
            raise StemmaError(f"the environment '{name}' needs the package {p}, which is not installed: pip install "
                              f"'{extra}'{more}")


def make(name: str, size: int = 64, grey: bool = False, senses: tuple[str, ...] = ("image",)) -> Any:
    """A world as a gymnasium environment that shows the channels `senses`. Raises `StemmaError` for unknown names,
    absent packages and channels that it does not have."""
    card = get(name)
    need(card.package, card.name)
    if (hidden := HIDDEN.get(card.name.partition(":")[0])) and all(s.startswith(hidden) for s in senses):
        raise StemmaError(f"'{card.name}' shows nothing that this agent sees, which is {', '.join(senses)}")
    if card.inputs:
        return gym.guarded(card.make(size, grey, senses), card.name)
    if unknown := [s for s in senses if s != "image"]:
        raise StemmaError(f"the environment '{card.name}' shows pictures alone, and no {unknown[0]}")
    return gym.guarded(card.make(size, grey), card.name)


# ---------------------------------------------------------------- living


class RandomPolicy:
    """Actions by chance, a function of `seed`. uniform: anew at every step. held: for 1 to 10 steps. choice: one of
    each group of `choices`, anew at every step, as one-hot numbers. still: nothing is done.

    Held ones are uniform too, as World Models' are: of a world that cuts a number in thirds, left, stay and right are
    alike likely, and who learns from such lives has seen what lies between.
    """

    def __init__(self, law: Law, actions: int, seed: int, choices: tuple[int, ...] = ()) -> None:
        self.law, self.actions, self.rng, self.left = law, actions, np.random.default_rng([seed, 77]), 0
        self.choices = choices

    def __call__(self) -> np.ndarray:
        if self.law == "still":
            return np.zeros(self.actions, np.float32)
        if self.law == "uniform":
            return self.rng.uniform(-1, 1, self.actions).astype(np.float32)
        if self.law == "choice":
            return np.concatenate([np.eye(n, dtype=np.float32)[self.rng.integers(n)] for n in self.choices])
        if self.left == 0:
            self.left = int(self.rng.integers(1, 11))
            self.kept = self.rng.uniform(-1, 1, self.actions).astype(np.float32)
        self.left -= 1
        return self.kept


class Recorder:
    """Puts an episode together, step by step."""

    def __init__(self, seen: dict[str, np.ndarray], actions: int) -> None:
        self.seen = {k: [np.asarray(v)] for k, v in seen.items()}
        self.action, self.reward, self.over = [np.zeros(actions, np.float32)], [0.0], False

    def add(self, seen: dict[str, np.ndarray], action: np.ndarray, reward: float, over: bool) -> None:
        for k, v in seen.items():
            self.seen[k].append(np.asarray(v))
        self.action.append(np.asarray(action, np.float32))
        self.reward.append(reward)
        self.over = over

    def episode(self) -> Episode:
        n = len(self.reward)
        first, terminal = np.zeros(n, bool), np.zeros(n, bool)
        first[0], terminal[-1] = True, self.over
        channels = {k: np.stack(v) for k, v in self.seen.items()}
        return {**channels, "action": np.stack(self.action), "reward": np.array(self.reward, np.float32),
                "first": first, "terminal": terminal}


def live(env: Any, policy: Callable[[], np.ndarray], seed: int) -> Episode:
    """One episode under a policy that does not look."""
    seen, _ = env.reset(seed=seed)
    record, done = Recorder(seen, env.action_space.shape[0]), False
    while not done:
        action = policy()
        seen, reward, over, cut, _ = env.step(action)
        record.add(seen, action, reward, over)
        done = over or cut
    return record.episode()


def _work(pipe: Any, name: str, size: int, grey: bool, senses: tuple[str, ...]) -> None:
    """A process of a crew: lives the random episode of each seed that it is told, until it is ended."""
    interrupts.as_child()
    env, card = make(name, size, grey, senses), get(name)
    actions = env.action_space.shape[0]
    try:
        while True:
            seed = pipe.recv()
            try:
                pipe.send((seed, live(env, RandomPolicy(card.law, actions, seed, card.choices), seed)))
            except StemmaError as error:
                pipe.send((seed, StemmaError(str(error))))
    except (EOFError, BrokenPipeError):
        return
    finally:
        env.close()


class Crew:
    """Worlds of one kind, each in a process of its own (`workers` of them), or with `workers` 0 one here.

    What an episode holds depends on its seed alone, and not on how many work.
    """

    def __init__(self, name: str, workers: int = 0, size: int = 64, grey: bool = False,
                 senses: tuple[str, ...] = ("image",)) -> None:
        self.card, self.size, self.grey, self.senses = get(name), size, grey, senses
        need(self.card.package, self.card.name)
        self.pipes: list[Any] = []
        self.processes: list[Any] = []
        self.here: list[Any] = []
        context: Any = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods()
                                                   else "spawn")
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, name, size, grey, senses), daemon=True)
            with interrupts.shielded():
                process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def random(self, seeds: Iterable[int]) -> Iterator[Episode]:
        """Episodes lived by chance, in the order of their seeds."""
        todo = list(seeds)
        if not self.pipes:
            env = self.world(0)
            for s in todo:
                yield live(env, RandomPolicy(self.card.law, env.action_space.shape[0], s, self.card.choices), s)
            return
        n = len(self.pipes)
        for i in range(min(n, len(todo))):
            self.pipes[i].send(todo[i])
        for i in range(len(todo)):
            done = self._take(i % n, todo[i])
            if i + n < len(todo):
                self.pipes[i % n].send(todo[i + n])
            yield done

    def world(self, i: int) -> Any:
        """World `i` in this process, made when it is first asked for."""
        while len(self.here) <= i:
            self.here.append(make(self.card.name, self.size, self.grey, self.senses))
        return self.here[i]

    def _take(self, i: int, seed: int) -> Episode:
        """The episode of a seed from process `i`; what was asked for before and not taken is passed over."""
        try:
            while True:
                told, episode = self.pipes[i].recv()
                if told == seed and isinstance(episode, StemmaError):
                    raise episode
                if told == seed:
                    done: Episode = episode
                    return done
        except (EOFError, ConnectionResetError) as error:
            code = self.processes[i].exitcode
            raise StemmaError(f"a process that lived in '{self.card.name}' ended (status {code}); try --workers 0 "
                              "to see why") from error

    def close(self) -> None:
        """End the processes and close the worlds."""
        pipes, processes, here = self.pipes, self.processes, self.here
        self.pipes, self.processes, self.here = [], [], []
        for process in processes:
            process.terminate()  # one that lives an episode ends in its midst, and closes its world
        for process in processes:
            process.join(CLOSING)
            if process.is_alive():
                interrupts.end_children(process.pid)  # an engine would wait for it for ever
                process.kill()
                process.join()
        for pipe in pipes:
            pipe.close()
        for env in here:
            env.close()


__all__ = ["ENVS", "Crew", "EnvCard", "Episode", "RandomPolicy", "Recorder", "get", "info_of", "live", "make",
           "need", "shrink"]
